internal import FoundationEssentials
internal import Glibc

/// An Envoy that can run proxies.
public struct EnvoyBinary: Hashable, Sendable {
    /// Absolute path.
    public var path: String
    /// Its version, such as `1.40.0`.
    public var version: String

    /// The oldest version that runs proxies.
    static let oldestVersion = [1, 34, 0]

    /// Whether its health checks can send a body, which those of gRPC for all callers do.
    var probesGRPC: Bool {
        !EnvoyBinary.numbers(of: version).lexicographicallyPrecedes([1, 36, 0])
    }

    /// Whether it can wait for the handshake of a TLS connection before it connects to the application.
    var connectsAfterHandshake: Bool {
        !EnvoyBinary.numbers(of: version).lexicographicallyPrecedes([1, 37, 0])
    }

    /// The Envoy to use: the one of the option `--envoy`, of the variable HEDDLE_ENVOY, in PATH, or
    /// the copy that set-up installed, whichever is named or found first.
    ///
    /// - Throws: `DaemonError` when there is none, or it does not run or is too old.
    public static func find(
        option: String?,
        environment: [String: String]
    ) throws -> EnvoyBinary {
        guard let path = try locate(option: option, environment: environment) else {
            throw DaemonError(
                "no Envoy found; pass --envoy PATH, set HEDDLE_ENVOY, put envoy in PATH, or run "
                    + "\"make envoy\""
            )
        }
        let version = try ProgramVersion(of: path).envoyVersion()
        guard !numbers(of: version).lexicographicallyPrecedes(oldestVersion) else {
            throw DaemonError(
                "\(path) is Envoy \(version), and 1.34 is the oldest that works; pass a newer one "
                    + "with --envoy"
            )
        }
        return EnvoyBinary(path: absolutePath(path), version: version)
    }

    private static func locate(
        option: String?,
        environment: [String: String]
    ) throws -> String? {
        for (source, path) in [("--envoy", option), ("HEDDLE_ENVOY", environment["HEDDLE_ENVOY"])] {
            guard let path, !path.isEmpty else { continue }
            if let problem = problem(ofProgram: path) {
                throw DaemonError("\(source) names \(path), which \(problem)")
            }
            return path
        }
        let folders = (environment["PATH"] ?? "").split(separator: ":").map(String.init)
        let cache =
            environment["XDG_CACHE_HOME"]
            ?? environment["HOME"].map { "\($0)/.cache" }
        let candidates =
            folders.map { "\($0)/envoy" }
            + [cache.map { "\($0)/heddle/envoy/envoy" }]
            .compactMap { $0 }
        return candidates.first { problem(ofProgram: $0) == nil }
    }

    /// Why `path` can be no program, and the remedy; nil when it may be one.
    private static func problem(ofProgram path: String) -> String? {
        guard access(path, F_OK) == 0 else {
            let isAbsent = errno == ENOENT || errno == ENOTDIR
            return isAbsent
                ? "does not exist; correct the path"
                : "cannot be read: \(String(cString: strerror(errno)).lowercased())"
        }
        if isFolder(path) { return "is a folder; correct the path" }
        return access(path, X_OK) == 0 ? nil : "is not executable; make it so with chmod +x"
    }

    private static func numbers(of version: String) -> [Int] {
        version.split(separator: ".").compactMap { Int($0) }
    }

    /// The version in the line `envoy  version: <commit>/1.40.0/Clean/RELEASE/BoringSSL`.
    static func version(in output: String) -> String? {
        output.split(whereSeparator: { $0 == "/" || $0.isWhitespace }).last { part in
            let numbers = part.split(separator: ".", omittingEmptySubsequences: false)
            return numbers.count == 3
                && numbers.allSatisfy { UInt($0.prefix { $0.isNumber }) != nil }
                && part.first?.isNumber == true
        }
        .map { String($0.prefix { $0.isNumber || $0 == "." }) }
    }
}
