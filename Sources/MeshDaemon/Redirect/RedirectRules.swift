internal import MeshModel

/// What `iptables-restore` is told of one family of addresses.
///
/// The rules are those of App Mesh's `envoy-networking.sh`: in the table `nat` a chain for what the
/// application sends, and one for what comes to it. Packets between processes of the Pod pass. All of it
/// is one transaction of the kernel, so that no connection meets half of it.
public struct RedirectRules: Hashable, Sendable {
    /// A family of IP addresses.
    public enum Family: CaseIterable, Hashable, Sendable {
        case ipv4
        case ipv6
    }

    private static let ingress = "APPMESH_INGRESS"
    private static let egress = "APPMESH_EGRESS"
    /// The kernel's limit for one rule.
    static let portsPerRule = 15

    /// Whether there shall be rules at all; else what is there is taken away.
    public var isEnabled: Bool
    /// What they are made from.
    public var settings: RedirectSettings
    /// The addresses for which they are.
    public var family: Family
    /// Rules that lead to the two chains now, as `iptables-save` shows them.
    private var hooks: [String]

    /// Makes rules in place of those that `saved` has.
    ///
    /// - Parameters:
    ///   - settings: What they are made from.
    ///   - isEnabled: Whether there shall be rules at all.
    ///   - family: The addresses for which they are.
    ///   - saved: What `iptables-save -t nat` prints; by default there is nothing.
    public init(
        _ settings: RedirectSettings,
        isEnabled: Bool = true,
        for family: Family,
        replacing saved: String = ""
    ) {
        self.settings = settings
        self.isEnabled = isEnabled
        self.family = family
        hooks = saved.split(whereSeparator: \.isNewline).map(String.init).filter { line in
            line.hasPrefix("-A ")
                && [Self.ingress, Self.egress].contains { line.hasSuffix(" -j \($0)") }
        }
    }

    /// The text for `iptables-restore --noflush`.
    ///
    /// A chain that is declared is made, or emptied when it is there; so the rules of a container that
    /// starts again are the same.
    public var text: String {
        var lines = ["*nat", ":\(Self.ingress) - [0:0]", ":\(Self.egress) - [0:0]"]
        lines += hooks.map { "-D" + $0.dropFirst(2) }
        lines += isEnabled ? enabled : ["-X \(Self.ingress)", "-X \(Self.egress)"]
        lines.append("COMMIT")
        return lines.joined(separator: "\n") + "\n"
    }

    private var enabled: [String] {
        let ingress = "-A \(Self.ingress) -p tcp"
        let egress = "-A \(Self.egress)"
        var lines: [String] = []
        if let uid = settings.ignoredUID {
            lines.append("\(egress) -m owner --uid-owner \(uid) -j RETURN")
        }
        if let gid = settings.ignoredGID {
            lines.append("\(egress) -m owner --gid-owner \(gid) -j RETURN")
        }
        lines += matches(of: settings.ignoredPorts).map { "\(egress) -p tcp \($0) -j RETURN" }
        for range in settings.ignoredRanges where range.isIPv6 == (family == .ipv6) {
            lines.append("\(egress) -p tcp -d \(range) -j RETURN")
        }
        lines.append("\(egress) -p tcp -j REDIRECT --to-ports \(settings.egressPort)")
        lines += matches(of: settings.applicationPorts).map {
            "\(ingress) \($0) -j REDIRECT --to-ports \(settings.ingressPort)"
        }
        lines.append("-A OUTPUT -p tcp -m addrtype ! --dst-type LOCAL -j \(Self.egress)")
        lines.append("-A PREROUTING -p tcp -m addrtype ! --src-type LOCAL -j \(Self.ingress)")
        return lines
    }

    private func matches(of ports: [Port]) -> [String] {
        stride(from: 0, to: ports.count, by: Self.portsPerRule).map { start in
            let some = ports[start..<min(start + Self.portsPerRule, ports.count)]
            return "-m multiport --dports \(some.map(\.description).joined(separator: ","))"
        }
    }
}
