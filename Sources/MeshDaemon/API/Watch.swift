import MeshModel
import ServiceLifecycle

/// A `watch=true` request: first, if asked for, the objects that are there, then each change.
///
/// It holds no queue: it reads the changes after the version it has come to. A client too slow for
/// the kept changes gets the event that Kubernetes sends then, and lists again.
/// https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
struct Watch: Sendable {
    private let handler: APIHandler
    private let selection: Selection
    private let presentation: Presentation
    /// The version after which changes are sent; nil sends the present objects first.
    private let start: Int?
    /// Whether a bookmark tells where the present objects end (`sendInitialEvents`).
    private let marksInitialEnd: Bool
    private let allowsBookmarks: Bool
    private let timeout: Duration?

    /// Reads the request's parameters.
    init(
        _ handler: APIHandler,
        _ selection: Selection,
        _ presentation: Presentation,
        _ request: APIRequest
    ) throws(APIFailure) {
        self.handler = handler
        self.selection = selection
        self.presentation = presentation
        allowsBookmarks = request.flag("allowWatchBookmarks")
        marksInitialEnd = request.flag("sendInitialEvents")
        let version = request.query["resourceVersion"] ?? ""
        guard let number = Int(version.isEmpty ? "0" : version), number >= 0 else {
            throw .badRequest("invalid resource version \"\(version)\"")
        }
        start = number == 0 || marksInitialEnd ? nil : number
        let seconds = request.query["timeoutSeconds"] ?? "0"
        guard let timeoutSeconds = Int(seconds), timeoutSeconds >= 0 else {
            throw .badRequest("timeoutSeconds \"\(seconds)\" is not a number of seconds")
        }
        // A clock can count so far and no farther.
        timeout = timeoutSeconds == 0 ? nil : .seconds(min(timeoutSeconds, 7 * 24 * 3600))
    }

    /// Sends events until the timeout, the client's end, or the server's shutdown.
    func run(_ write: BodyWrite) async throws {
        let subscription = handler.state.subscribe()
        defer { handler.state.unsubscribe(subscription) }
        let clock = ContinuousClock()
        let end = timeout.map { clock.now + $0 }
        var progress = Progress()
        if let start { progress.version = start } else { try await writePresent(&progress, write) }
        subscription.wake.yield()
        // Also opens the body, so that a client sees the watch begin.
        if !progress.isAnythingWritten { try await write([]) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            // Wakes for bookmarks and for the timeout; what is due is decided below.
            group.addTask {
                while true {
                    try await Task.sleep(for: handler.bookmarkInterval)
                    subscription.wake.yield()
                }
            }
            if let timeout {
                group.addTask {
                    try await Task.sleep(for: timeout)
                    subscription.wake.yield()
                }
            }
            defer { group.cancelAll() }
            var lastWrite = clock.now
            for await _ in subscription.signals.cancelOnGracefulShutdown() {
                guard try await writeChanges(&progress, write) else { return }
                if allowsBookmarks, clock.now - lastWrite >= handler.bookmarkInterval {
                    try await writeBookmark(progress.version, write)
                    lastWrite = clock.now
                }
                if let end, clock.now >= end { return }
            }
        }
    }

    /// How far a watch is.
    private struct Progress {
        /// The version up to which all was sent.
        var version = 0
        /// Whether the table's columns were sent.
        var hasColumns = false
        /// Whether the body has begun.
        var isAnythingWritten = false
    }

    private func writePresent(_ progress: inout Progress, _ write: BodyWrite) async throws {
        let (entries, version) = handler.state.list(selection)
        progress.version = version
        var bytes: [UInt8] = []
        for entry in entries { bytes += event("ADDED", entry, &progress) }
        if !bytes.isEmpty {
            try await write(bytes)
            progress.isAnythingWritten = true
        }
        guard marksInitialEnd else { return }
        let annotations: JSONValue = ["k8s.io/initial-events-end": "true"]
        try await writeBookmark(version, annotations: annotations, write)
        progress.isAnythingWritten = true
    }

    /// Sends what changed; false when the watch is over because changes were missed.
    private func writeChanges(_ progress: inout Progress, _ write: BodyWrite) async throws -> Bool {
        var bytes: [UInt8] = []
        do throws(APIFailure) {
            for change in try handler.state.changes(after: progress.version) {
                progress.version = change.entry.version
                guard let change = change.seen(through: selection) else { continue }
                bytes += event(change.kind.rawValue, change.entry, &progress)
            }
        } catch {
            try await write(line("ERROR", error.document))
            return false
        }
        if !bytes.isEmpty { try await write(bytes) }
        return true
    }

    private func writeBookmark(
        _ version: Int,
        annotations: JSONValue? = nil,
        _ write: BodyWrite
    ) async throws {
        var metadata: JSONValue = [
            "resourceVersion": .string(String(version)), "creationTimestamp": .null,
        ]
        metadata["annotations"] = annotations
        let object: JSONValue = [
            "apiVersion": .string(selection.kind.apiVersion),
            "kind": .string(selection.kind.rawValue), "metadata": metadata,
        ]
        try await write(line("BOOKMARK", object))
    }

    private func event(_ type: String, _ entry: APIEntry, _ progress: inout Progress) -> [UInt8] {
        guard case .table(let include) = presentation else { return line(type, entry.document) }
        let includesColumns = !progress.hasColumns
        progress.hasColumns = true
        let table = ObjectTable.document(
            of: [entry],
            kind: selection.kind,
            version: entry.version,
            include: include,
            nowSeconds: handler.nowSeconds(),
            includesColumns: includesColumns
        )
        return line(type, table)
    }

    private func line(_ type: String, _ object: JSONValue) -> [UInt8] {
        JSONText.compact(["type": .string(type), "object": object]) + [UInt8(ascii: "\n")]
    }
}
