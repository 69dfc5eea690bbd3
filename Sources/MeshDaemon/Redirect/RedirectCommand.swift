internal import Glibc
internal import MeshModel

/// `heddle redirect`: sets a Pod's own rules so that its traffic goes through its proxy.
public struct RedirectCommand: Sendable {
    private let settings: RedirectSettings
    private let isEnabled: Bool
    private let environment: [String: String]
    private let console: Console

    /// Makes the command.
    ///
    /// - Parameters:
    ///   - settings: What goes through the proxy.
    ///   - isEnabled: Whether there shall be rules; nil as the settings say.
    ///   - environment: Of which `PATH` matters.
    ///   - console: Where it prints.
    public init(
        _ settings: RedirectSettings,
        isEnabled: Bool?,
        environment: [String: String],
        console: Console
    ) {
        self.settings = settings
        self.isEnabled = isEnabled ?? settings.isEnabledAtStart
        self.environment = environment
        self.console = console
    }

    /// Prints the rules that a Pod without any would get.
    public func printRules() {
        for family in families {
            console.print("# \(family.program)-restore --noflush\n")
            console.print(RedirectRules(settings, isEnabled: isEnabled, for: family).text)
        }
    }

    /// Sets the rules.
    ///
    /// - Throws: `DaemonError` when that can't be done.
    public func run() throws {
        guard mayChangeRules else {
            throw DaemonError(
                "cannot change the rules of this Pod: the capability NET_ADMIN is missing; run as root "
                    + "with securityContext.capabilities.add: [NET_ADMIN]"
            )
        }
        let kernel = InternetAddresses()
        for family in families {
            if family == .ipv6, !kernel.knowsIPv6 {
                console.note("heddle: no rules for IPv6, which this kernel does not have")
                continue
            }
            do {
                try set(family)
            } catch  where family == .ipv6 && !kernel.hasGlobalIPv6 {
                // Nothing comes or goes that they could redirect.
                console.note("heddle: no rules for IPv6, of which the Pod has no address: \(error)")
            }
        }
        console.note("heddle: \(summary)")
    }

    private var families: [RedirectRules.Family] {
        settings.includesIPv6 ? [.ipv4, .ipv6] : [.ipv4]
    }

    private var summary: String {
        guard isEnabled else { return "redirects nothing" }
        let ports = settings.applicationPorts.map(\.description).joined(separator: ", ")
        let ingress = ports.isEmpty ? "" : "port \(ports) to \(settings.ingressPort), and "
        return "redirects \(ingress)what leaves the Pod to \(settings.egressPort)"
    }

    /// Sets the rules of `family` by the first program that can: a kernel may have the old tables alone,
    /// or the new ones.
    private func set(_ family: RedirectRules.Family) throws {
        let names = [family.program, "\(family.program)-nft", "\(family.program)-legacy"]
        let path = environment["PATH"] ?? "/usr/sbin:/usr/bin:/sbin:/bin"
        var complaint: String?
        for name in names {
            guard let save = NetfilterProgram("\(name)-save", in: path),
                let restore = NetfilterProgram("\(name)-restore", in: path)
            else { continue }
            let saved = try save.run(["-t", "nat"])
            let rules = RedirectRules(
                settings,
                isEnabled: isEnabled,
                for: family,
                replacing: saved.output
            )
            let result = try restore.run(["--noflush", "--wait", "10"], input: rules.text)
            if result.isDone { return }
            complaint = complaint ?? result.complaint
        }
        guard let complaint else {
            throw DaemonError(
                "cannot change the rules of this Pod: no \(family.program)-restore in PATH; install "
                    + "iptables"
            )
        }
        throw DaemonError("cannot change the rules of this Pod: \(complaint)")
    }

    /// Whether this process has the capability NET_ADMIN.
    private var mayChangeRules: Bool {
        let status = text(of: "/proc/self/status")
        let line = status.split(separator: "\n").first { $0.hasPrefix("CapEff:") }
        guard let word = line?.split(whereSeparator: \.isWhitespace).last,
            let capabilities = UInt64(word, radix: 16)
        else { return true }
        let netAdmin: UInt64 = 12
        return capabilities >> netAdmin & 1 == 1
    }
}

extension RedirectRules.Family {
    /// How its programs' names begin.
    fileprivate var program: String {
        switch self {
        case .ipv4: "iptables"
        case .ipv6: "ip6tables"
        }
    }
}

/// What the kernel has of IPv6.
private struct InternetAddresses {
    /// Whether it has it at all.
    let knowsIPv6: Bool
    /// Whether anyone could be reached by it.
    let hasGlobalIPv6: Bool

    init() {
        knowsIPv6 = access("/proc/net/if_inet6", F_OK) == 0
        // Address, interface, prefix length, scope, flags and name; the scope of global ones is 00.
        hasGlobalIPv6 = text(of: "/proc/net/if_inet6").split(separator: "\n").contains { line in
            let fields = line.split(whereSeparator: \.isWhitespace)
            return fields.count == 6 && fields[3] == "00"
        }
    }
}

/// The file `path` of the kernel's; empty when there is none.
private func text(of path: String) -> String {
    guard let file = fopen(path, "re") else { return "" }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 4096)
    while case let count = fread(&buffer, 1, buffer.count, file), count > 0 {
        bytes += buffer[..<count]
    }
    return String(decoding: bytes, as: UTF8.self)
}
