internal import Glibc
public import MeshModel

/// Where the daemon's state is when no option says so: `HEDDLE_STATE_DIR`, else `/var/lib/heddle`
/// for root and the XDG state folder for others.
public func defaultStateDirectory(environment: [String: String]) -> String {
    defaultStateDirectory(environment: environment, isRoot: getuid() == 0)
}

/// The same for a user of whom it is known whether it is root.
func defaultStateDirectory(environment: [String: String], isRoot: Bool) -> String {
    func value(_ name: String) -> String? {
        environment[name].flatMap { $0.isEmpty ? nil : $0 }
    }
    if let directory = value("HEDDLE_STATE_DIR") { return directory }
    if isRoot { return "/var/lib/heddle" }
    if let directory = value("XDG_STATE_HOME") { return "\(directory)/heddle" }
    return "\(value("HOME") ?? "")/.local/state/heddle"
}

/// The Unix socket of the local API of the daemon whose state is in `stateDirectory`.
public func apiSocketPath(stateDirectory: String) -> String { "\(stateDirectory)/api.sock" }

/// Reads a time such as `20s`, `500ms`, `2m`, `1h` or `7d`; nil for anything else.
public func duration(_ text: String) -> Duration? {
    let units = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)]
    for (unit, milliseconds) in units where text.hasSuffix(unit) {
        guard let number = Int(text.dropLast(unit.count)), (0...1_000_000).contains(number) else {
            return nil
        }
        return .milliseconds(number * milliseconds)
    }
    return nil
}

/// Reads an IP address and a port, such as `127.0.0.1:2000` or `[::1]:4317`; nil for anything else.
///
/// Proxies are told of it, and Envoy takes no name for it.
public func telemetryEndpoint(_ text: String) -> TelemetryEndpoint? {
    guard let address = HostAndPort(text), let port = Port(address.port) else { return nil }
    var number = in6_addr()
    let isAddress = [AF_INET, AF_INET6].contains { inet_pton($0, address.host, &number) == 1 }
    return isAddress ? TelemetryEndpoint(host: address.host, port: port) : nil
}

/// Reads a size such as `10Mi`, `64Ki`, `1G` or `5000000`, in bytes; nil for anything else.
public func byteCount(_ text: String) -> Int? {
    let units = [
        ("Ki", 1 << 10), ("Mi", 1 << 20), ("Gi", 1 << 30), ("k", 1000), ("M", 1_000_000),
        ("G", 1_000_000_000),
    ]
    let unit = units.first { text.hasSuffix($0.0) } ?? ("", 1)
    let digits = text.dropLast(unit.0.count)
    guard digits.allSatisfy({ $0.isASCII && $0.isNumber }), let number = Int(digits),
        number <= 1 << 30
    else { return nil }
    return number * unit.1
}
