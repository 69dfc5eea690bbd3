import Foundation
import Logging
import MeshModel
import Synchronization
import Testing

@testable import MeshDaemon

/// An event of the Workload `name`.
func event(
    _ reason: String,
    of name: String = "blue-1",
    kind: Kind = .workload,
    at seconds: Int = testNowSeconds,
    _ severity: MeshEvent.Severity = .normal,
    message: String = "It happened."
) -> MeshEvent {
    let namespace = kind.isNamespaced ? "demo" : ""
    return MeshEvent(
        timeSeconds: Double(seconds),
        severity: severity,
        reason: reason,
        message: message,
        object: ObjectID(kind, ObjectReference(namespace: namespace, name: name))
    )
}

/// Counts what is logged.
private struct Warnings: LogHandler {
    let count = Count()
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.trace

    final class Count: Sendable {
        let value = Mutex(0)
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) { count.value.withLock { $0 += 1 } }
}

@Suite struct `Event log` {
    /// Runs `body` with a file's path, the warnings about it, and the way to open it.
    private func withFile(
        limit: Int = 1000,
        _ body: (_ path: String, _ warnings: () -> Int, _ open: () -> EventLog) throws -> Void
    ) throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let handler = Warnings()
        let path = folder.appending(path: "events.jsonl").path()
        try body(path, { handler.count.value.withLock { $0 } }) {
            EventLog(path: path, limit: limit, logger: Logger(label: "test") { _ in handler })
        }
    }

    private func reasons(_ log: EventLog) -> [String] { log.all.events.map(\.event.reason) }

    @Test func `repeats within ten minutes are one event`() throws {
        let log = EventLog()
        let start = testNowSeconds
        log.record([event("A", at: start), event("B", at: start + 1)])
        log.record([event("A", at: start + 600)])
        log.record([event("A", at: start + 601, message: "It is another.")])
        let (events, version) = log.all
        #expect(events.map(\.event.reason) == ["B", "A", "A"])
        #expect(events.map(\.count) == [1, 2, 1])
        #expect(events[1].firstSeconds == Double(start))
        #expect(events[1].event.timeSeconds == Double(start + 600))
        #expect(events.map(\.version) == [3, 4, 5])
        #expect(version == 5)
        log.record([event("A", at: start + 1201)])
        #expect(log.all.events.last?.count == 1)
    }

    @Test func `the oldest are forgotten, of each object and of all`() {
        let log = EventLog(limit: 4, limitPerObject: 2)
        log.record((0..<5).map { event("A\($0)") })
        #expect(reasons(log) == ["A3", "A4"])
        log.record((0..<3).map { event("B", of: "red-\($0)") })
        #expect(reasons(log) == ["A4", "B", "B", "B"])
    }

    @Test func `a log goes on where it was before a restart`() throws {
        try withFile { path, warnings, open in
            let first = open()
            first.record([event("A"), event("B", kind: .mesh)])
            first.record([event("A", at: testNowSeconds + 5)])
            let second = open()
            #expect(second.all.events == first.all.events)
            #expect(second.all.version == first.all.version)
            second.record([event("A", at: testNowSeconds + 9)])
            #expect(open().all.events.map(\.count) == [1, 3])
            let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions]
            #expect(mode as? Int == 0o600)
            #expect(warnings() == 0)
        }
    }

    @Test func `damaged lines are left out with one warning, and mended`() throws {
        try withFile { path, warnings, open in
            open().record([event("A"), event("B")])
            let text = try String(contentsOfFile: path, encoding: .utf8)
            let damaged = "{}\n\u{0}\u{0}\n" + text + text.dropLast(40)
            try damaged.write(toFile: path, atomically: false, encoding: .utf8)
            let log = open()
            #expect(reasons(log) == ["A", "B"])
            #expect(warnings() == 1)
            log.record([event("C")])
            #expect(reasons(open()) == ["A", "B", "C"])
            #expect(warnings() == 1)
        }
    }

    @Test func `a file does not grow for ever`() throws {
        try withFile(limit: 3) { path, _, open in
            let log = open()
            for index in 0..<100 { log.record([event("A\(index)")]) }
            let text = try String(contentsOfFile: path, encoding: .utf8)
            #expect(text.split(separator: "\n").count <= 12)
            #expect(reasons(open()) == ["A97", "A98", "A99"])
        }
    }

    @Test func `a file that cannot be written is one warning, and is written once it can be`()
        throws
    {
        try withFile { path, warnings, open in
            let folder = URL(filePath: path).deletingLastPathComponent().path()
            let log = open()
            try FileManager.default.removeItem(atPath: folder)
            log.record([event("A")])
            log.record([event("B")])
            #expect(warnings() == 1)
            #expect(reasons(log) == ["A", "B"])
            try FileManager.default.createDirectory(
                atPath: folder,
                withIntermediateDirectories: true
            )
            log.record([event("C")])
            #expect(reasons(open()) == ["A", "B", "C"])
            #expect(warnings() == 1)
        }
    }

    @Test func `a full disk is one warning, and stops nothing`() {
        let handler = Warnings()
        var file = EventFile(path: "/dev/full", logger: Logger(label: "test") { _ in handler })
        let entry = LoggedEvent(
            event: event("A"),
            firstSeconds: 0,
            count: 1,
            firstVersion: 1,
            version: 1
        )
        file.write([entry], of: [entry], limit: 10)
        #expect(handler.count.value.withLock { $0 } == 1)
    }
}
