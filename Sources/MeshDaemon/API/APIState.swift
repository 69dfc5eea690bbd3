public import MeshModel
import Synchronization

/// What the local API shows: the newest objects with their status, and the latest changes.
///
/// Every change of an object or its status gets the next resource version. The changes are kept up
/// to a limit, so that a watch resumes where it was; a watch from before that lists again.
///
/// Guarantee: a reader sees the whole of one `publish` or nothing of it.
public final class APIState: Sendable {
    private let state: Mutex<State>
    private let historyLimit: Int
    /// What happened.
    let events: EventLog

    /// Makes an empty state.
    ///
    /// - Parameters:
    ///   - firstVersion: The resource version to start at. It should exceed those of earlier runs,
    ///     so that a client that outlives a restart lists again; milliseconds since 1970 do.
    ///   - historyLimit: How many changes are kept at least.
    ///   - events: What happened; without one, nothing is kept of it.
    public init(
        firstVersion: Int = 1,
        historyLimit: Int = 1000,
        events: EventLog = EventLog()
    ) {
        self.events = events
        state = Mutex(
            State(
                version: firstVersion,
                oldestVersion: firstVersion,
                certificatesVersion: firstVersion,
                proxiesVersion: firstVersion
            )
        )
        self.historyLimit = historyLimit
    }

    /// Replaces everything shown by `objects` and their `statuses`, and wakes the watches.
    ///
    /// Namespaces that objects are in and that no manifest declares are shown too, as kubectl and
    /// k9s ask for them.
    ///
    /// `problems` are errors that no object's condition shows, one line each.
    public func publish(
        objects: [MeshObject],
        statuses: [ObjectID: ObjectStatus],
        problems: [String] = [],
        certificates: CertificateReport = CertificateReport(),
        proxies: ProxyReport = ProxyReport()
    ) {
        let wakes = state.withLock { state in
            state.problems = problems
            var isRenewed = state.certificates != certificates
            if isRenewed {
                state.certificates = certificates
                state.certificatesVersion += 1
            }
            if state.proxies != proxies {
                isRenewed = true
                state.proxies = proxies
                state.proxiesVersion += 1
            }
            let changed = state.replace(objects: objects, statuses: statuses) || isRenewed
            state.trimHistory(to: historyLimit)
            return changed ? Array(state.wakes.values) : []
        }
        for wake in wakes { wake.yield() }
    }

    /// The errors that no object's condition shows; that there is nothing to show yet is one.
    var problems: [String] { state.withLock { $0.shownProblems } }

    /// All objects, in no order, and the problems at the same moment.
    var everything: (entries: [APIEntry], problems: [String]) {
        let (entries, problems) = state.withLock { ($0.entries, $0.shownProblems) }
        return (Array(entries.values), problems)
    }

    /// The certificates, and their version, which no other kind shares.
    var certificates: (report: CertificateReport, version: Int) {
        state.withLock { ($0.certificates, $0.certificatesVersion) }
    }

    /// The proxies, and their version, which no other kind shares.
    var proxies: (report: ProxyReport, version: Int) {
        state.withLock { ($0.proxies, $0.proxiesVersion) }
    }

    /// Whether anything was published.
    var isPublished: Bool { state.withLock { $0.isPublished } }

    /// The objects that `selection` selects, ordered by namespace and name, and the version at
    /// which they are so.
    func list(_ selection: Selection) -> (entries: [APIEntry], version: Int) {
        let (entries, version) = state.withLock { ($0.entries, $0.version) }
        let selected = entries.values.filter(selection.matches).sorted { $0.id < $1.id }
        return (selected, version)
    }

    /// The object `id`.
    func entry(_ id: ObjectID) -> APIEntry? { state.withLock { $0.entries[id] } }

    /// The changes after `version`, oldest first.
    func changes(after version: Int) throws(APIFailure) -> [APIChange] {
        let (changes, oldest) = state.withLock { ($0.changes(after: version), $0.oldestVersion) }
        guard let changes else { throw .expired(version: version, oldest: oldest) }
        return changes
    }

    /// A signal for each publication that changes something, until `unsubscribe`.
    func subscribe() -> Subscription {
        let (stream, wake) = AsyncStream.makeStream(
            of: Void.self,
            bufferingPolicy: .bufferingNewest(1)
        )
        let number = state.withLock { state in
            state.lastSubscription += 1
            state.wakes[state.lastSubscription] = wake
            return state.lastSubscription
        }
        return Subscription(number: number, signals: stream, wake: wake)
    }

    /// Ends a subscription.
    func unsubscribe(_ subscription: Subscription) {
        _ = state.withLock { $0.wakes.removeValue(forKey: subscription.number) }
        subscription.wake.finish()
    }

    /// Counts an answer of the API by its HTTP status.
    func countResponse(_ code: Int) { state.withLock { $0.responses[code, default: 0] += 1 } }

    /// How many requests the API answered, by HTTP status.
    public var responseCounts: [Int: Int] { state.withLock { $0.responses } }

    /// How many watches are open.
    var subscriptionCount: Int { state.withLock { $0.wakes.count } }
}

extension APIState {
    /// A watch's ear.
    struct Subscription: Sendable {
        fileprivate var number: Int
        /// One element after each change, or several; only that there was one counts.
        var signals: AsyncStream<Void>
        /// Causes a signal.
        var wake: AsyncStream<Void>.Continuation
    }

    fileprivate struct State {
        var problems: [String] = []
        var version: Int
        /// The oldest version from which a watch can go on; `history` holds every later change.
        var oldestVersion: Int
        var isPublished = false
        var certificates = CertificateReport()
        var certificatesVersion: Int
        var proxies = ProxyReport()
        var proxiesVersion: Int
        var entries: [ObjectID: APIEntry] = [:]
        var history: [APIChange] = []
        var wakes: [Int: AsyncStream<Void>.Continuation] = [:]
        var lastSubscription = 0
        var responses: [Int: Int] = [:]
    }
}

extension APIState.State {
    fileprivate var shownProblems: [String] {
        isPublished ? problems : ["Heddle is starting, and has planned nothing yet."]
    }

    /// Takes over the new objects and says whether anything changed.
    ///
    /// Deletions come first, from the innermost kind outwards, then additions and changes from the
    /// outermost inwards, so that a watcher of all kinds meets an owner before its parts.
    mutating func replace(
        objects: [MeshObject],
        statuses: [ObjectID: ObjectStatus]
    ) -> Bool {
        let before = version
        isPublished = true
        let shown = withImpliedNamespaces(
            objects.map { object in
                APIEntry(
                    id: object.id,
                    metadata: object.metadata,
                    manifest: object.manifest.document,
                    status: statuses[object.id],
                    version: 0
                )
            }
        )
        let identities = Dictionary(shown.map { ($0.id, $0.metadata.uid) }) { _, last in last }
        let gone = entries.values.filter { identities[$0.id] != $0.metadata.uid }
        for entry in gone.sorted(by: { $0.id > $1.id }) {
            record(.deleted, entry, previous: entry)
        }
        let changed = shown.filter { entry in
            entries[entry.id].map { !entry.isEqual(to: $0) } ?? true
        }
        for entry in changed.sorted(by: { $0.id < $1.id }) {
            let previous = entries[entry.id]
            record(previous == nil ? .added : .modified, entry, previous: previous)
        }
        return version != before
    }

    private mutating func record(_ type: APIChange.Kind, _ entry: APIEntry, previous: APIEntry?) {
        version += 1
        var entry = entry
        entry.version = version
        entries[entry.id] = type == .deleted ? nil : entry
        history.append(APIChange(kind: type, entry: entry, previous: previous))
    }

    private func withImpliedNamespaces(_ shown: [APIEntry]) -> [APIEntry] {
        let declared = Set(shown.lazy.filter { $0.id.kind == .namespace }.map(\.id.name))
        var implied: [String: Int] = [:]
        for entry in shown
        where entry.id.kind.isNamespaced && !declared.contains(entry.id.namespace) {
            let time = entry.metadata.creationTimestampSeconds
            implied[entry.id.namespace] = min(implied[entry.id.namespace] ?? time, time)
        }
        return shown
            + implied.map { name, creationTimestampSeconds in
                let id = ObjectID(.namespace, ObjectReference(name: name))
                let metadata = Metadata(
                    name: name,
                    creationTimestampSeconds: creationTimestampSeconds,
                    labels: ["kubernetes.io/metadata.name": name]
                )
                // Once shown, it stays as it is: its oldest object may go before it.
                let known = entries[id].flatMap { $0.metadata.uid.isEmpty ? $0 : nil }
                return known ?? APIEntry(id: id, metadata: metadata, manifest: .null, version: 0)
            }
    }

    /// The changes after `version`; nil when they are not all known.
    ///
    /// A version from the future is of another run, and as unknown as one of the far past.
    func changes(after version: Int) -> [APIChange]? {
        guard version >= oldestVersion, version <= self.version else { return nil }
        // Versions are consecutive, so a change's place follows from its version.
        return Array(history[(version - oldestVersion)...])
    }

    /// Drops the oldest changes once there are twice as many as `limit`.
    mutating func trimHistory(to limit: Int) {
        guard history.count > 2 * limit else { return }
        let excess = history.count - limit
        history.removeFirst(excess)
        oldestVersion += excess
    }
}

/// One change of an object.
struct APIChange: Sendable {
    /// What happened.
    enum Kind: String, Sendable {
        case added = "ADDED"
        case modified = "MODIFIED"
        case deleted = "DELETED"
    }

    /// What happened.
    var kind: Kind
    /// The object after it; of a deleted one, as it last was, at the version of the deletion.
    var entry: APIEntry
    /// The object before it; nil when it is new.
    var previous: APIEntry?

    /// The change as seen through `selection`: an object whose labels cease to match is deleted to
    /// this watch, one that begins to match is added.
    func seen(through selection: Selection) -> APIChange? {
        let matches = selection.matches(entry)
        let matched = previous.map(selection.matches) ?? false
        switch kind {
        case .added, .deleted: return matches ? self : nil
        case .modified:
            guard matches || matched else { return nil }
            var change = self
            change.kind = matches ? (matched ? .modified : .added) : .deleted
            return change
        }
    }
}
