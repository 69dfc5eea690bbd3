import MeshModel
import ServiceLifecycle

/// A part of a report that the API shows as an object of its own.
protocol ReportEntry: Equatable, Sendable {
    /// Its namespace, empty when it has none, and its name.
    var reference: ObjectReference { get }
}

extension APIHandler {
    /// Sends what differs from the report of version `start`; all of it when that is another one.
    ///
    /// - Parameters:
    ///   - start: The version that the client has.
    ///   - report: The newest entries and their version.
    ///   - object: What an event has of an entry, at that version.
    ///   - write: Takes the lines.
    /// - Throws: What `write` throws, as when the client goes.
    func watch<Entry: ReportEntry>(
        after start: Int?,
        _ report: () -> (entries: [Entry], version: Int),
        object: (Entry, _ version: Int) -> JSONValue,
        _ write: BodyWrite
    ) async throws {
        let subscription = state.subscribe()
        defer { state.unsubscribe(subscription) }
        func newest() -> (entries: [ObjectReference: Entry], version: Int) {
            let (entries, version) = report()
            return (Dictionary(entries.map { ($0.reference, $0) }) { first, _ in first }, version)
        }
        var sent: [ObjectReference: Entry] = [:]
        let (present, version) = newest()
        if start == version { sent = present }
        subscription.wake.yield()
        try await write([])
        for await _ in subscription.signals.cancelOnGracefulShutdown() {
            let (present, version) = newest()
            var events: [(type: String, entry: Entry)] = []
            for (reference, entry) in sent where present[reference] == nil {
                events.append(("DELETED", entry))
            }
            for (reference, entry) in present where sent[reference] != entry {
                events.append((sent[reference] == nil ? "ADDED" : "MODIFIED", entry))
            }
            sent = present
            let lines = events.sorted { $0.entry.reference < $1.entry.reference }
                .flatMap { type, entry in
                    JSONText.compact(["type": .string(type), "object": object(entry, version)])
                        + [UInt8(ascii: "\n")]
                }
            if !lines.isEmpty { try await write(lines) }
        }
    }
}
