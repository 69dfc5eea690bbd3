import Foundation
import Logging
import MeshModel
import MeshSources

/// A folder that goes away with the test.
final class TemporaryFolder: Sendable {
    let path: String

    init() throws {
        let url = FileManager.default.temporaryDirectory
            .appendingPathComponent("heddle-sources-\(UUID().uuidString)")
        path = url.path
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// Writes `text` to the file `name`, in place as `echo > file` does.
    func write(_ name: String, _ text: String) throws {
        let url = URL(fileURLWithPath: "\(path)/\(name)")
        try FileManager.default.createDirectory(
            at: url.deletingLastPathComponent(),
            withIntermediateDirectories: true
        )
        try text.write(to: url, atomically: false, encoding: .utf8)
    }

    /// Runs a shell command in the folder.
    func shell(_ command: String) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        process.arguments = ["-ec", command]
        process.currentDirectoryURL = URL(fileURLWithPath: path)
        try process.run()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw CommandFailed(command: command) }
    }
}

struct CommandFailed: Error {
    let command: String
}

/// The worlds of a source, one after the other.
struct Worlds {
    private var iterator: AsyncStream<World>.Iterator
    /// The nodes of every world seen.
    private(set) var seen: [[String]] = []

    init(_ source: FolderSource) { iterator = source.worlds.makeAsyncIterator() }

    /// Waits for a world in which `condition` holds.
    mutating func next(where condition: (World) -> Bool = { _ in true }) async throws -> World {
        while let world = await iterator.next(isolation: #isolation) {
            seen.append(world.nodes)
            if condition(world) { return world }
        }
        throw StreamEnded()
    }

    /// Waits for a world of just these nodes.
    @discardableResult
    mutating func next(of nodes: [String]) async throws -> World {
        try await next { $0.nodes == nodes }
    }
}

struct StreamEnded: Error {}

/// Watches `paths` while `body` runs.
func watching(
    _ paths: String...,
    excluded: String? = nil,
    body: (inout Worlds) async throws -> Void
) async throws {
    let source = FolderSource(
        paths: paths,
        excluded: excluded,
        decode: decodeLines,
        // Longer than a shell on a busy machine takes between two commands.
        quiet: .milliseconds(100),
        limit: .seconds(2),
        logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    )
    try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await source.run() }
        var worlds = Worlds(source)
        do {
            try await body(&worlds)
            group.cancelAll()
        } catch {
            group.cancelAll()
            throw error
        }
    }
}
