internal import Foundation
internal import Synchronization

/// A server that ends with this object, and with the test process whatever becomes of it.
final class ServerProcess: Sendable {
    /// The first line of its output that has `marker` in it.
    let line: String
    private let process: Process
    /// The server ends when this is closed.
    private let input: FileHandle

    private init(line: String, process: Process, input: FileHandle) {
        self.line = line
        self.process = process
        self.input = input
    }

    deinit { try? input.close() }

    /// Starts `command`, and waits for `marker` in its output, on a thread of its own.
    ///
    /// - Parameters:
    ///   - command: The program and its arguments.
    ///   - environment: Variables beside those of this process.
    ///   - marker: What is in the output once it serves.
    ///   - folder: Removed once the server has ended.
    /// - Returns: The server.
    /// - Throws: When it ends before `marker` is seen.
    static func start(
        _ command: [String],
        environment: [String: String] = [:],
        until marker: String,
        removing folder: String = ""
    ) async throws -> ServerProcess {
        try await onThread { try startBlocking(command, environment, marker, folder) }
    }

    private static func startBlocking(
        _ command: [String],
        _ environment: [String: String],
        _ marker: String,
        _ folder: String
    ) throws -> ServerProcess {
        let process = Process()
        let (input, output) = (Pipe(), Pipe())
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        // The shell waits for the end of its input, and then ends the server; of a server that ends by
        // itself the output does. It does not `wait` for that, which would take a signal that is
        // blocked in processes that come from here.
        let script = #"""
            "$@" </dev/null & exec >&- 2>&-; read _; kill -9 $!
            [ -z "$0" ] || { sleep 1; rm -rf "$0"; }
            """#
        process.arguments = ["-c", script, folder] + command
        process.environment = ProcessInfo.processInfo.environment
            .merging(environment) { _, new in new }
        process.standardInput = input
        process.standardOutput = output
        process.standardError = output
        try process.run()
        let reader = output.fileHandleForReading
        let line = try firstLine(of: reader, with: marker)
        // What the server says later is thrown away, as it would wait for a reader.
        Thread { while !reader.availableData.isEmpty {} }.start()
        return ServerProcess(line: line, process: process, input: input.fileHandleForWriting)
    }

    private static func firstLine(of reader: FileHandle, with marker: String) throws -> String {
        var text = ""
        while true {
            let bytes = reader.availableData
            guard !bytes.isEmpty else { throw ServerFailed(output: text) }
            text += String(decoding: bytes, as: UTF8.self)
            guard text.last == "\n" else { continue }
            if let line = text.split(separator: "\n").first(where: { $0.contains(marker) }) {
                return String(line)
            }
        }
    }
}

/// A server ended before it served.
struct ServerFailed: Error, CustomStringConvertible {
    let output: String
    var description: String { "the server ended: \(output)" }
}

/// Does blocking work on a thread of its own: a test has few to wait with.
func onThread<Value: Sendable>(
    _ work: @escaping @Sendable () throws -> Value
) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
        Thread { continuation.resume(with: Result { try work() }) }.start()
    }
}
