import Foundation
import Logging
import MeshModel
import MeshPlan
import ServiceLifecycle
import Synchronization
import Testing

@testable import MeshDaemon

/// A time that a test sets.
private final class Wall: Sendable {
    private let seconds = Mutex(1_700_006_400.0)

    var now: Double { seconds.withLock { $0 } }

    func pass(_ amount: Double) { seconds.withLock { $0 += amount } }
}

/// The warnings that were logged.
private final class Warnings: Sendable {
    private let recorded = Mutex<[String]>([])

    var lines: [String] { recorded.withLock { $0 } }
    var logger: Logger { Logger(label: "test") { _ in Handler(warnings: self) } }

    private struct Handler: LogHandler {
        let warnings: Warnings
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.warning

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            let error = event.metadata?["error"].map { "\($0)" } ?? ""
            warnings.recorded.withLock { $0.append("\(event.message): \(error)") }
        }
    }
}

@Suite struct SizingKeeperTests {
    private let folder = "/tmp/heddle-sizing-\(UInt64.random(in: 0...UInt64.max))"
    private let wall = Wall()
    private let warnings = Warnings()
    private let blue = ProxyID(ObjectReference(namespace: "demo", name: "blue"))
    private let red = ProxyID(ObjectReference(namespace: "demo", name: "red"))

    init() throws {
        try FileManager.default.createDirectory(
            atPath: folder,
            withIntermediateDirectories: true
        )
    }

    private var file: String { "\(folder)/sizing.json" }

    private func keeper() -> SizingKeeper {
        SizingKeeper(
            folder: folder,
            nowSeconds: { [wall] in wall.now },
            logger: warnings.logger
        )
    }

    /// Measures `proxies` for `minutes`.
    private func measure(
        _ keeper: SizingKeeper,
        _ proxies: [ProxyID],
        minutes: Int,
        mebibytes: Int = 20
    ) {
        for _ in 0..<(minutes * 6) {
            wall.pass(10)
            let usage = ProxyUsage(
                timeSeconds: wall.now,
                intervalSeconds: 10,
                cpuMillicores: 3,
                memoryBytes: mebibytes << 20
            )
            keeper.record(Dictionary(uniqueKeysWithValues: proxies.map { ($0, usage) }))
        }
    }

    /// Runs `keeper` for as long as `body` takes; it saves at the end.
    private func running(
        _ keeper: SizingKeeper,
        _ body: @Sendable @escaping () async throws -> Void = {}
    ) async throws {
        let group = ServiceGroup(services: [keeper], logger: warnings.logger)
        try await withThrowingTaskGroup { tasks in
            tasks.addTask { try await group.run() }
            try await body()
            await group.triggerGracefulShutdown()
            try await tasks.waitForAll()
        }
    }

    private func remove() { try? FileManager.default.removeItem(atPath: folder) }

    @Test func `summaries change once a minute, and at once after a kill`() async {
        defer { remove() }
        let keeper = keeper()
        var changes = keeper.changes.makeAsyncIterator()
        wall.pass(10)
        measure(keeper, [blue], minutes: 2)
        #expect(await changes.next() != nil)
        let known = keeper.summaries
        #expect(known[blue]?.memoryBytes.maximum == Double(20 << 20))
        wall.pass(10)
        keeper.record([
            blue: ProxyUsage(
                timeSeconds: wall.now,
                intervalSeconds: 10,
                cpuMillicores: 3,
                memoryBytes: 90 << 20
            )
        ])
        #expect(keeper.summaries == known)
        keeper.recordOutOfMemoryKill(red, limitBytes: 32 << 20)
        #expect(await changes.next() != nil)
        #expect(keeper.summaries[red]?.outOfMemoryKills == 1)
        #expect(keeper.summaries[blue]?.memoryBytes.maximum == Double(90 << 20))
        // A proxy may begin and end to refuse work many times a minute.
        keeper.recordShedding(red, limitBytes: 32 << 20)
        #expect(keeper.summaries[red]?.sheddingPeriods == 0)
        measure(keeper, [blue], minutes: 1)
        #expect(await changes.next() != nil)
        #expect(keeper.summaries[red]?.sheddingPeriods == 1)
    }

    @Test func `histories outlive the daemon`() async throws {
        defer { remove() }
        let first = keeper()
        measure(first, [blue, red], minutes: 30)
        try await running(first)
        let attributes = try FileManager.default.attributesOfItem(atPath: file)
        #expect(attributes[.posixPermissions] as? Int == 0o600)
        wall.pass(30)
        let second = keeper()
        #expect(second.summaries.keys.sorted() == [blue, red])
        #expect(second.summaries[blue]?.memoryBytes == first.summaries[blue]?.memoryBytes)
        #expect(warnings.lines.isEmpty)
    }

    @Test(arguments: ["", "[", "{\"version\":1}", "{\"version\":1,\"proxies\":{\"a\":{}}}"])
    func `a damaged file is set aside`(text: String) async throws {
        defer { remove() }
        try Data(text.utf8).write(to: URL(fileURLWithPath: file))
        let keeper = keeper()
        #expect(
            warnings.lines == [
                "history of what proxies used is lost, and starts anew: cannot use \(file): it is "
                    + "damaged; it is now \(file).damaged, remove that"
            ]
        )
        #expect(try Data(contentsOf: URL(fileURLWithPath: "\(file).damaged")) == Data(text.utf8))
        measure(keeper, [blue], minutes: 3)
        try await running(keeper)
        #expect(self.keeper().summaries[blue] != nil)
        #expect(warnings.lines.count == 1)
    }

    @Test func `a file of a newer version is set aside`() throws {
        defer { remove() }
        try Data(#"{"version":2,"proxies":[]}"#.utf8).write(to: URL(fileURLWithPath: file))
        _ = keeper()
        #expect(
            warnings.lines == [
                "history of what proxies used is lost, and starts anew: cannot use \(file): it has "
                    + "version 2, and this is 1; it is now \(file).damaged, remove that"
            ]
        )
    }

    @Test func `a file that can't be written is one warning`() async throws {
        defer { remove() }
        let keeper = keeper()
        measure(keeper, [blue], minutes: 3)
        // A folder where the file shall be: rename fails for root too.
        try FileManager.default.createDirectory(
            atPath: "\(file)/full",
            withIntermediateDirectories: true
        )
        await keeper.save()
        await keeper.save()
        #expect(
            warnings.lines == [
                "history of what proxies used not saved: cannot write \(file): is a directory; "
                    + "mend the permissions of \(folder)"
            ]
        )
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["sizing.json"])
        try FileManager.default.removeItem(atPath: file)
        try await running(keeper)
        #expect(self.keeper().summaries[blue] != nil)
        #expect(warnings.lines.count == 1)
    }

    @Test func `what a crash left of a write is not followed`() async throws {
        defer { remove() }
        let keeper = keeper()
        measure(keeper, [blue], minutes: 3)
        try Data("mine".utf8).write(to: URL(fileURLWithPath: "\(folder)/other"))
        symlink("\(folder)/other", "\(file).new")
        await keeper.save()
        #expect(self.keeper().summaries[blue] != nil)
        #expect(try Data(contentsOf: URL(fileURLWithPath: "\(folder)/other")) == Data("mine".utf8))
    }

    @Test func `a full disk is one warning and leaves what was there`() async throws {
        defer { remove() }
        guard run("mount", "-t", "tmpfs", "-o", "size=64k", "none", folder) else { return }
        defer { _ = run("umount", folder) }
        let keeper = keeper()
        measure(keeper, [blue], minutes: 3)
        await keeper.save()
        let saved = try Data(contentsOf: URL(fileURLWithPath: file))
        let many = (0..<300).map { ProxyID(ObjectReference(namespace: "demo", name: "w\($0)")) }
        measure(keeper, many, minutes: 2)
        await keeper.save()
        await keeper.save()
        #expect(try Data(contentsOf: URL(fileURLWithPath: file)) == saved)
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["sizing.json"])
        #expect(
            warnings.lines == [
                "history of what proxies used not saved: cannot write \(file): no space left on "
                    + "device; make room there"
            ]
        )
    }

    private func run(_ command: String...) -> Bool {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = command
        process.standardError = FileHandle.nullDevice
        guard (try? process.run()) != nil else { return false }
        process.waitUntilExit()
        return process.terminationStatus == 0
    }

    @Test func `a removed Workload's history is kept for a week`() async throws {
        defer { remove() }
        let first = keeper()
        measure(first, [blue, red], minutes: 10)
        first.forget(notIn: [red])
        measure(first, [red], minutes: 2)
        #expect(first.summaries.keys.sorted() == [red])
        await first.save()
        wall.pass(6 * 86_400)
        let second = keeper()
        second.forget(notIn: [blue])
        // Summaries are renewed once a minute.
        wall.pass(60)
        second.recordShedding(blue, limitBytes: 64 << 20)
        #expect(second.summaries[blue]?.memoryBytes.maximum == Double(20 << 20))
        second.forget(notIn: [])
        wall.pass(8 * 86_400)
        second.forget(notIn: [])
        await second.save()
        #expect(try SizingFile(path: file).read().isEmpty)
    }

    @Test func `of removed Workloads the last thousand are kept`() async throws {
        defer { remove() }
        let keeper = keeper()
        let many = (0..<1500).map { ProxyID(ObjectReference(namespace: "demo", name: "w\($0)")) }
        measure(keeper, many, minutes: 1)
        keeper.forget(notIn: Set(many[500...]))
        wall.pass(10)
        keeper.forget(notIn: [])
        await keeper.save()
        let kept = try SizingFile(path: file).read()
        #expect(Set(kept.keys) == Set(many[500...]))
    }

    @Test func `histories are saved every few minutes`() async throws {
        defer { remove() }
        let clock = ManualClock()
        let keeper = SizingKeeper(
            folder: folder,
            nowSeconds: { [wall] in wall.now },
            clock: clock,
            logger: warnings.logger
        )
        measure(keeper, [blue], minutes: 6)
        try await running(keeper) { [file] in
            while access(file, F_OK) != 0 { await clock.wake() }
        }
        #expect(self.keeper().summaries[blue] != nil)
    }
}

/// A clock on which all who sleep are woken at once.
private final class ManualClock: Clock {
    struct Instant: InstantProtocol {
        var offset: Duration = .zero
        func advanced(by duration: Duration) -> Instant { Instant(offset: offset + duration) }
        func duration(to other: Instant) -> Duration { other.offset - offset }
        static func < (left: Instant, right: Instant) -> Bool { left.offset < right.offset }
    }

    private let ticks: AsyncStream<Void>
    private let tick: AsyncStream<Void>.Continuation
    let now = Instant()
    let minimumResolution = Duration.zero

    init() { (ticks, tick) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1)) }

    func sleep(until deadline: Instant, tolerance: Duration?) async throws {
        for await _ in ticks { return }
        throw CancellationError()
    }

    func wake() async {
        tick.yield()
        await Task.yield()
    }
}
