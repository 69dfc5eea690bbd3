import Foundation
import MeshTesting
import Testing

@testable import MeshTelemetry

@Suite struct TelemetryFileTests {
    private let warnings = TelemetryWarnings()
    private static let inMemory = """
        cannot keep traces and the audit in a file, and keeps them in memory until it ends; \
        make room or correct the file, or remove it
        """
    private static let broken =
        "traces and the audit of earlier are lost: their file is broken; begins anew"

    private func store(_ path: String) -> TelemetryStore {
        TelemetryStore(
            folder: path,
            nowSeconds: { 1_795_439_731 },
            clock: QuickClock(),
            logger: warnings.logger
        )
    }

    private func spans(_ count: Int) -> [Span] {
        var random = RandomSpans(seed: 1)
        return random.trace(count)
    }

    @Test func `a store that runs writes by itself, and all at its end`() async throws {
        let folder = try StoreFolder()
        let store = store(folder.path)
        try await running([store]) {
            store.take(spans(10))
            try await poll({ store.counts.stored }, until: { $0 == 10 })
            store.take(spans(30))
        }
        #expect(store.counts.stored == 30)
        #expect(try await self.store(folder.path).traces().map(\.spanCount) == [30])
    }

    @Test func `only the owner reads the file`() throws {
        let folder = try StoreFolder()
        _ = FileManager.default.createFile(atPath: folder.database, contents: nil)
        chmod(folder.database, 0o644)
        let store = store(folder.path)
        store.take(spans(1))
        for file in try FileManager.default.contentsOfDirectory(atPath: folder.path) {
            let attributes = try FileManager.default.attributesOfItem(
                atPath: "\(folder.path)/\(file)"
            )
            #expect(attributes[.posixPermissions] as? Int == 0o600, "\(file)")
        }
        #expect(store.isInFile)
    }

    @Test func `a file that is no database is set aside`() async throws {
        let folder = try StoreFolder()
        let garbage = Data((0..<10_000).map { UInt8(truncatingIfNeeded: $0 &* 7) })
        try garbage.write(to: URL(fileURLWithPath: folder.database))
        let store = store(folder.path)
        store.take(spans(3))
        #expect(try await store.traces().map(\.spanCount) == [3])
        #expect(store.isInFile)
        #expect(warnings.lines == [TelemetryFileTests.broken])
        #expect(folder.files == ["telemetry.sqlite", "telemetry.sqlite.broken"])
        let kept = try Data(contentsOf: URL(fileURLWithPath: folder.database + ".broken"))
        #expect(kept == garbage)
    }

    @Test func `a file that breaks while it is used is set aside`() async throws {
        let folder = try StoreFolder()
        do {
            let before = store(folder.path)
            var random = RandomSpans(seed: 2)
            for _ in 0..<200 { before.take(random.trace(10)) }
            _ = try await before.traces()
        }
        let file = try FileHandle(forUpdating: URL(fileURLWithPath: folder.database))
        // The header stays, as does the first page: what is found later is found by reading.
        let size = try file.seekToEnd()
        try #require(size > 20 * 4096)
        try file.seek(toOffset: 4096)
        try file.write(contentsOf: Data(repeating: 0xa5, count: Int(size) - 4096))
        try file.close()
        let store = store(folder.path)
        store.take(spans(3))
        #expect(try await store.traces().map(\.spanCount) == [3])
        #expect(store.isInFile)
        #expect(warnings.lines == [TelemetryFileTests.broken])
    }

    @Test(arguments: seeds(8))
    func `a file with any bytes changed ends nothing`(seed: UInt64) async throws {
        let folder = try StoreFolder()
        var random = RandomSpans(seed: seed)
        let traces = (0..<100).map { _ in random.trace(5) }
        do {
            let before = store(folder.path)
            before.take(traces.flatMap { $0 })
            before.record([
                AuditRecord(
                    caller: "a",
                    target: "b",
                    verdict: .allowed,
                    firstSeconds: 1,
                    lastSeconds: 2,
                    count: 3
                )
            ])
            _ = try await before.traces()
        }
        let url = URL(fileURLWithPath: folder.database)
        var bytes = Array(try Data(contentsOf: url))
        for _ in 0..<random.number(1...200) {
            bytes[random.number(0...(bytes.count - 1))] = UInt8(random.number(0...255))
        }
        try Data(bytes).write(to: url)
        let store = store(folder.path)
        for trace in traces { _ = try? await store.spans(of: trace.first?.traceID ?? "") }
        for service in [nil, "blue", "demo/green"] {
            _ = try? await store.traces(TraceQuery(service: service, limit: 1000))
        }
        _ = try? await store.audit()
        store.take(traces.flatMap { $0 } + random.trace(10))
        _ = try? await store.traces()
        await store.tend()
        #expect(store.counts.stored + store.counts.dropped <= 510)
        #expect(warnings.lines.count <= 3)
    }

    @Test func `a file of a newer Heddle stays as it is, and memory has to do`() async throws {
        let folder = try StoreFolder()
        do { _ = try await store(folder.path).traces() }
        let file = try FileHandle(forUpdating: URL(fileURLWithPath: folder.database))
        // Where SQLite has user_version.
        try file.seek(toOffset: 60)
        try file.write(contentsOf: Data([0, 0, 0, 99]))
        try file.close()
        let before = try Data(contentsOf: URL(fileURLWithPath: folder.database))
        let store = store(folder.path)
        store.take(spans(3))
        #expect(try await store.traces().map(\.spanCount) == [3])
        await store.tend()
        #expect(!store.isInFile)
        #expect(warnings.lines == [TelemetryFileTests.inMemory])
        #expect(try Data(contentsOf: URL(fileURLWithPath: folder.database)) == before)
    }

    @Test func `once a file can be made, what was in memory goes there`() async throws {
        let folder = try StoreFolder()
        let missing = "\(folder.path)/later"
        let store = store(missing)
        #expect(warnings.lines == [TelemetryFileTests.inMemory])
        store.take(spans(3))
        store.record([
            AuditRecord(
                caller: "a",
                target: "b",
                verdict: .allowed,
                firstSeconds: 1,
                lastSeconds: 2,
                count: 3
            )
        ])
        #expect(try await store.traces().count == 1)
        await store.tend()
        #expect(!store.isInFile)
        try FileManager.default.createDirectory(atPath: missing, withIntermediateDirectories: false)
        await store.tend()
        #expect(store.isInFile)
        #expect(try await store.traces().map(\.spanCount) == [3])
        let restarted = self.store(missing)
        #expect(try await restarted.traces().map(\.spanCount) == [3])
        #expect(try await restarted.audit().map(\.count) == [3])
        #expect(store.spanCount == 3)
        #expect(warnings.lines.count == 1)
    }

    @Test(.enabled("a small disk can be mounted") { await SmallDisk.canBeMounted() })
    func `on a disk that is full memory has to do, until there is room`() async throws {
        let folder = try StoreFolder()
        let disk = try await SmallDisk(at: folder.path, kibibytes: 1024)
        do {
            let store = store(folder.path)
            try disk.fill()
            var random = RandomSpans(seed: 2)
            for _ in 0..<50 { store.take(random.trace(20)) }
            #expect(try await store.traces(TraceQuery(limit: 100)).count == 50)
            #expect(!store.isInFile)
            #expect(store.counts == .init(stored: 1000, dropped: 0))
            #expect(warnings.lines == [TelemetryFileTests.inMemory])
            try disk.free()
            await store.tend()
            #expect(store.isInFile)
            #expect(try await store.traces(TraceQuery(limit: 100)).count == 50)
        } catch {
            await disk.close()
            throw error
        }
        await disk.close()
    }
}

/// A disk of its own that a test can fill.
private struct SmallDisk {
    private let path: String

    static func canBeMounted() async -> Bool {
        guard let folder = try? StoreFolder(),
            let disk = try? await SmallDisk(at: folder.path, kibibytes: 64)
        else { return false }
        await disk.close()
        return true
    }

    init(at path: String, kibibytes: Int) async throws {
        self.path = path
        let arguments = ["-t", "tmpfs", "-o", "size=\(kibibytes)k", "none", path]
        let result = try await runCommand("/usr/bin/env", ["mount"] + arguments)
        guard result.status == 0 else { throw NotMounted() }
    }

    private struct NotMounted: Error {}

    /// Leaves no room.
    func fill() throws {
        guard let file = fopen("\(path)/filler", "w") else { throw NotMounted() }
        defer { fclose(file) }
        let page = [UInt8](repeating: 0, count: 4096)
        while fwrite(page, 1, page.count, file) == page.count, fflush(file) == 0 {}
    }

    /// Makes room.
    func free() throws { try FileManager.default.removeItem(atPath: "\(path)/filler") }

    func close() async { _ = try? await runCommand("/usr/bin/env", ["umount", "-l", path]) }
}
