internal import Glibc
public import MeshModel

/// What of a Pod's traffic goes through its proxy: the variables of App Mesh's `proxyinit` container, as
/// values.
public struct RedirectSettings: Hashable, Sendable {
    /// Whether rules are made when nobody says `enable` or `disable`.
    public var isEnabledAtStart = true
    /// The user whose connections pass, as they are the proxy's own.
    public var ignoredUID: UInt32? = 1337
    /// The group whose connections pass.
    public var ignoredGID: UInt32?
    /// Where the proxy takes what comes to the application.
    public var ingressPort = Port.ingress
    /// Where the proxy takes what the application sends.
    public var egressPort = Port.egress
    /// The application's ports; what comes to others passes by the proxy.
    public var applicationPorts: [Port] = []
    /// Where connections lead that pass by the proxy.
    public var ignoredRanges: [AddressRange] = []
    /// To which ports connections lead that pass by the proxy.
    public var ignoredPorts = [RedirectSettings.ssh]
    /// Whether there are rules for IPv6 too.
    public var includesIPv6 = true

    /// Port 22, which App Mesh never redirected.
    private static let ssh = Port(22) ?? .http

    /// Makes the settings of a container without variables.
    public init() {}

    /// The settings that `variables` say.
    ///
    /// - Parameters:
    ///   - variables: The environment; other variables don't matter.
    ///   - options: What the command line says in place of a variable.
    /// - Throws: `ClientFailure` with every mistake at once.
    public init(_ variables: [String: String], options: [RedirectVariable: String] = [:]) throws {
        self.init()
        var mistakes: [String] = []
        for variable in RedirectVariable.allCases {
            let (name, given) =
                options[variable].map { (variable.option, $0) }
                ?? (variable.rawValue, variables[variable.rawValue] ?? "")
            let text = trimmed(given[...])
            guard !text.isEmpty || options[variable] != nil else { continue }
            do {
                try set(variable, text)
            } catch {
                mistakes.append("\(name): \(error.problem)")
            }
        }
        // Else the proxy's own connections would come back to it for ever.
        let (uid, gid) = (RedirectVariable.ignoredUID, RedirectVariable.ignoredGID)
        let saysUID = options[uid] != nil || variables[uid.rawValue, default: ""] != ""
        if !saysUID, options[gid] != nil || variables[gid.rawValue, default: ""] != "" {
            ignoredUID = nil
        }
        guard mistakes.isEmpty else {
            throw ClientFailure(.usage, mistakes.joined(separator: "\n"))
        }
    }

    private mutating func set(
        _ variable: RedirectVariable,
        _ text: Substring
    ) throws(UnreadableValue) {
        switch variable {
        case .startEnabled: isEnabledAtStart = try flag(text)
        case .ignoredUID: ignoredUID = try number(text, "a user's number")
        case .ignoredGID: ignoredGID = try number(text, "a group's number")
        case .ingressPort: ingressPort = try port(text)
        case .egressPort: egressPort = try port(text)
        case .applicationPorts: applicationPorts = try ports(text)
        case .ignoredIPs:
            ignoredRanges = try elements(text).map { (element) throws(UnreadableValue) in
                guard let range = AddressRange(element) else {
                    throw UnreadableValue(
                        problem: "\"\(element)\" is neither an IP address nor a range such as "
                            + "10.0.0.0/8; names are not looked up"
                    )
                }
                return range
            }
        case .ignoredPorts:
            ignoredPorts = [Self.ssh] + (try ports(text)).filter { $0 != Self.ssh }
        case .ipv6: includesIPv6 = try flag(text)
        }
    }
}

/// What sets `RedirectSettings`: variables of `proxyinit`, and an option of `heddle redirect` for each.
public enum RedirectVariable: String, CaseIterable, Hashable, Sendable {
    case startEnabled = "APPMESH_START_ENABLED"
    case ignoredUID = "APPMESH_IGNORE_UID"
    case ignoredGID = "APPMESH_IGNORE_GID"
    case ingressPort = "APPMESH_ENVOY_INGRESS_PORT"
    case egressPort = "APPMESH_ENVOY_EGRESS_PORT"
    case applicationPorts = "APPMESH_APP_PORTS"
    case ignoredIPs = "APPMESH_EGRESS_IGNORED_IP"
    case ignoredPorts = "APPMESH_EGRESS_IGNORED_PORTS"
    case ipv6 = "APPMESH_ENABLE_IPV6"

    /// The option of the command line; of the first it is `enable` itself.
    var option: String {
        switch self {
        case .startEnabled: "enable"
        case .ignoredUID: "--ignore-uid"
        case .ignoredGID: "--ignore-gid"
        case .ingressPort: "--ingress-port"
        case .egressPort: "--egress-port"
        case .applicationPorts: "--app-ports"
        case .ignoredIPs: "--egress-ignored-ips"
        case .ignoredPorts: "--egress-ignored-ports"
        case .ipv6: "--ipv6"
        }
    }
}

/// An IP address, or with a prefix length a range of them.
///
/// Guarantee: its text has nothing in it but digits, letters a to f, dots, colons and a slash.
public struct AddressRange: Hashable, Sendable, CustomStringConvertible {
    /// The text.
    public let description: String
    /// Whether it is one of IPv6.
    public let isIPv6: Bool

    /// Parses `169.254.169.254`, `10.0.0.0/8`, or the same of IPv6; nil for anything else.
    public init?(_ text: some StringProtocol) {
        let isPlain = text.utf8.allSatisfy { byte in
            "0123456789abcdefABCDEF.:/".utf8.contains(byte)
        }
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard isPlain, let address = parts.first.map({ String($0) }) else { return nil }
        isIPv6 = address.contains(":")
        var bytes = in6_addr()
        guard inet_pton(isIPv6 ? AF_INET6 : AF_INET, address, &bytes) == 1 else { return nil }
        if parts.count == 2 {
            guard let length = UInt8(parts[1]), length <= (isIPv6 ? 128 : 32),
                parts[1].allSatisfy(\.isNumber)
            else { return nil }
        }
        description = String(text)
    }
}

/// Why a value is no setting.
private struct UnreadableValue: Error {
    var problem: String
}

private func flag(_ text: Substring) throws(UnreadableValue) -> Bool {
    switch text.lowercased() {
    case "1", "true", "enabled": return true
    case "0", "false", "disabled": return false
    default: throw UnreadableValue(problem: "\"\(text)\" is neither 1 nor 0")
    }
}

private func number(_ text: Substring, _ what: String) throws(UnreadableValue) -> UInt32 {
    guard text.allSatisfy(\.isASCIIDigit), let number = UInt32(text), number < UInt32.max else {
        throw UnreadableValue(problem: "\"\(text)\" is not \(what)")
    }
    return number
}

private func port(_ text: Substring) throws(UnreadableValue) -> Port {
    guard text.allSatisfy(\.isASCIIDigit), let number = Int(text), let port = Port(number) else {
        throw UnreadableValue(problem: "\"\(text)\" is no port; give a number from 1 to 65535")
    }
    return port
}

/// Each port once, in the order given.
private func ports(_ text: Substring) throws(UnreadableValue) -> [Port] {
    var seen: Set<Port> = []
    var result: [Port] = []
    for element in elements(text) {
        let port = try port(element)
        if seen.insert(port).inserted { result.append(port) }
    }
    return result
}

private func elements(_ text: Substring) -> [Substring] {
    text.split(separator: ",").map(trimmed).filter { !$0.isEmpty }
}

private func trimmed(_ text: Substring) -> Substring {
    let start = text.drop(while: \.isWhitespace)
    let end = start.lastIndex { !$0.isWhitespace }
    return end.map { start[...$0] } ?? ""
}

extension Character {
    fileprivate var isASCIIDigit: Bool { isASCII && isNumber }
}
