internal import Foundation

/// Why a test that needs Prometheus cannot run.
public struct PrometheusMissing: Error, CustomStringConvertible {
    /// What to do about it.
    public var description: String {
        "no Prometheus found; set HEDDLE_PROMETHEUS to the path of prometheus, beside which promtool "
            + "is, or run .ci/install-prometheus"
    }
}

/// The path of `prometheus`: `HEDDLE_PROMETHEUS`, else PATH.
public let prometheusPath: String? = {
    let environment = ProcessInfo.processInfo.environment
    if let given = environment["HEDDLE_PROMETHEUS"], !given.isEmpty { return given }
    let folders = environment["PATH"]?.split(separator: ":") ?? []
    return folders.map { "\($0)/prometheus" }.first(where: FileManager.default.isExecutableFile)
}()

/// Whether tests that need Prometheus run: where there is one, or `HEDDLE_REQUIRE_PROMETHEUS=1` asks
/// for it.
public var prometheusIsExpected: Bool {
    prometheusPath != nil
        || ProcessInfo.processInfo.environment["HEDDLE_REQUIRE_PROMETHEUS"] == "1"
}

/// Runs `promtool`, the one beside `prometheus`, with `input` as the file to which its standard input
/// is connected.
public func promtool(
    _ arguments: [String],
    input: String = "/dev/null"
) async throws
    -> CommandResult
{
    guard let prometheusPath else { throw PrometheusMissing() }
    let folder = URL(fileURLWithPath: prometheusPath).deletingLastPathComponent()
    let program = folder.appendingPathComponent("promtool").path
    return try await runCommand(
        "/bin/sh",
        ["-c", #"input=$1; shift; exec "$0" "$@" <"$input""#, program, input] + arguments
    )
}
