import Foundation
import Logging
import MeshTelemetry
import ServiceLifecycle
import Synchronization

/// A folder for one test, gone with it.
final class StoreFolder: Sendable {
    let path: String

    init() throws {
        let folder = FileManager.default.temporaryDirectory
            .appendingPathComponent("heddle-telemetry-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        path = folder.path
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    var database: String { "\(path)/telemetry.sqlite" }

    /// Names of the files in it, but those that SQLite makes beside its own.
    var files: [String] {
        let all = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
        return all.filter { !$0.hasSuffix("-wal") && !$0.hasSuffix("-shm") }.sorted()
    }
}

/// Warnings and worse that telemetry logs.
final class TelemetryWarnings: Sendable {
    private let recorded = Mutex<[String]>([])

    var lines: [String] { recorded.withLock { $0 } }
    var logger: Logger { Logger(label: "test") { _ in Handler(warnings: self) } }

    private struct Handler: LogHandler {
        let warnings: TelemetryWarnings
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.warning

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            warnings.recorded.withLock { $0.append("\(event.message)") }
        }
    }
}

/// A time that a test sets.
final class TestTime: Sendable {
    private let value: Mutex<Double>

    init(_ seconds: Double = 1_795_439_731) { value = Mutex(seconds) }

    var seconds: Double { value.withLock { $0 } }

    func pass(_ seconds: Double) { value.withLock { $0 += seconds } }
}

/// A clock whose pauses take a millisecond.
struct QuickClock: Clock {
    typealias Instant = ContinuousClock.Instant

    var now: Instant { .now }
    var minimumResolution: Duration { .zero }

    func sleep(until deadline: Instant, tolerance: Duration?) async throws {
        try await Task.sleep(for: .milliseconds(1))
    }
}

/// Runs services while `body` runs, then shuts them down gracefully.
func running<Result: Sendable>(
    _ services: [any Service],
    logger: Logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
    body: @Sendable () async throws -> Result
) async throws -> Result {
    let group = ServiceGroup(services: services, logger: logger)
    return try await withThrowingTaskGroup { tasks in
        tasks.addTask { try await group.run() }
        let result: Swift.Result<Result, any Error>
        do { result = .success(try await body()) } catch { result = .failure(error) }
        await group.triggerGracefulShutdown()
        try await tasks.waitForAll()
        return try result.get()
    }
}
