internal import KubernetesAPI
internal import MeshModel

/// An Event of the core group, as `kubectl describe` shows it below the object that it is of.
struct ClusterEvent: Hashable, Codable, Sendable {
    /// The object.
    struct Reference: Hashable, Codable, Sendable {
        var apiVersion: String
        var kind: String
        var name: String
        var namespace: String?
        var uid: String
    }

    struct Source: Hashable, Codable, Sendable { var component: String }

    var apiVersion = "v1"
    var kind = "Event"
    var metadata: ObjectMetadata
    var involvedObject: Reference
    var reason: String
    var message: String
    var type: String
    var source = Source(component: "heddle")
    var reportingComponent = "heddle"
    var firstTimestamp: String
    var lastTimestamp: String
    var count: Int
}

/// What changes in an Event when the same happens again.
struct ClusterEventRepeat: Hashable, Codable, Sendable {
    var count: Int
    var lastTimestamp: String
}

/// An Event that is written.
enum EventWrite: Sendable {
    case create(ClusterEvent)
    case repeated(ObjectKey, ClusterEventRepeat)
}

/// Decides which Events are written: no I/O.
///
/// As client-go does it: what happens again within ten minutes is counted in the Event that is there
/// already, and an object that has had 25 has one more every five minutes.
struct EventQueue: Sendable {
    /// What makes two events the same.
    struct Key: Hashable, Sendable {
        fileprivate var reference: ClusterEvent.Reference
        fileprivate var severity: MeshEvent.Severity
        fileprivate var reason: String
        fileprivate var message: String

        /// The kind of the object.
        var kind: String { reference.kind }
    }

    /// What was not written yet.
    private struct Pending {
        var count: Int
        var firstSeconds: Double
        var lastSeconds: Double
        var attempts = 0
        var due = Duration.zero
    }

    /// What was written.
    private struct Known {
        var key: ObjectKey
        var count: Int
        var at: Duration
    }

    private static let repeatInterval = Duration.seconds(600)
    private static let pendingLimit = 1000
    private static let knownLimit = 4096

    private var pending: [Key: Pending] = [:]
    private var order: [Key] = []
    private var known: [Key: Known] = [:]
    private var running: Set<Key> = []
    private var perObject: [ClusterEvent.Reference: RateLimit] = [:]
    private var rate: RateLimit
    private let concurrency: Int
    private var serial = 0

    init(perSecond: Int, concurrency: Int) {
        rate = RateLimit(perSecond: Double(perSecond), burst: Double(perSecond))
        self.concurrency = concurrency
    }

    /// Takes an event of the object whose uid is `uid`.
    ///
    /// - Returns: Whether it will be written; an object or a cluster with too many loses some.
    @discardableResult
    mutating func add(_ event: MeshEvent, uid: String, at now: Duration) -> Bool {
        let key = Key(
            reference: ClusterEvent.Reference(event.object, uid: uid),
            severity: event.severity,
            // For those whose alerts wait for what App Mesh's controller said.
            reason: event.reason == "Invalid" ? "ReconcileError" : event.reason,
            message: event.message.truncated(toBytes: 1024)
        )
        if pending[key] != nil {
            pending[key]?.count += 1
            pending[key]?.lastSeconds = event.timeSeconds
            return true
        }
        guard order.count < Self.pendingLimit, isAllowed(key.reference, at: now) else {
            return false
        }
        pending[key] = Pending(
            count: 1,
            firstSeconds: event.timeSeconds,
            lastSeconds: event.timeSeconds
        )
        order.append(key)
        return true
    }

    private mutating func isAllowed(_ object: ClusterEvent.Reference, at now: Duration) -> Bool {
        if perObject.count > Self.knownLimit {
            perObject = perObject.filter { !$0.value.isIdle(at: now) }
        }
        var limit = perObject[object] ?? RateLimit(perSecond: 1.0 / 300, burst: 25, at: now)
        defer { perObject[object] = limit }
        return limit.take(at: now)
    }

    /// Forgets what was not written.
    mutating func clear() {
        order.removeAll { !running.contains($0) }
        pending = pending.filter { running.contains($0.key) }
    }

    /// The next write, if one is due; else when to ask again, nil being when something changes.
    mutating func next(at now: Duration) -> (write: (Key, EventWrite)?, until: Duration?) {
        guard running.count < concurrency else { return (nil, nil) }
        let due = order.first { !running.contains($0) && (pending[$0]?.due ?? .zero) <= now }
        guard let key = due, let event = pending[key] else {
            let waiting = order.filter { !running.contains($0) }
            return (nil, waiting.compactMap { pending[$0]?.due }.min())
        }
        guard rate.take(at: now) else { return (nil, rate.next(at: now)) }
        running.insert(key)
        if let known = known[key], now - known.at < Self.repeatInterval {
            let change = ClusterEventRepeat(
                count: known.count + event.count,
                lastTimestamp: kubernetesTime(event.lastSeconds)
            )
            return ((key, .repeated(known.key, change)), nil)
        }
        return ((key, .create(clusterEvent(key, event))), nil)
    }

    /// Takes what became of a write: nil is success.
    mutating func finish(
        _ key: Key,
        _ write: EventWrite,
        _ error: KubernetesError?,
        at now: Duration
    ) {
        running.remove(key)
        guard let error else {
            settle(key, write, at: now)
            return
        }
        // One that the server has forgotten is created again, one whose name is taken under another.
        if error.isNotFound { known[key] = nil }
        let attempts = (pending[key]?.attempts ?? 0) + 1
        // A namespace that is being deleted takes none, nor does a server that may not be asked.
        guard attempts < 5, !error.isForbidden, !(error.isNotFound && write.isCreation) else {
            remove(key)
            return
        }
        pending[key]?.attempts = attempts
        pending[key]?.due = now + (error.isNotFound ? .zero : .seconds(1 << attempts))
    }

    private mutating func settle(_ key: Key, _ write: EventWrite, at now: Duration) {
        let written: (key: ObjectKey, count: Int) =
            switch write {
            case .create(let event): (event.metadata.key, event.count)
            case .repeated(let key, let change): (key, change.count)
            }
        let before = known[key].map { now - $0.at < Self.repeatInterval ? $0.count : 0 } ?? 0
        known[key] = Known(key: written.key, count: written.count, at: now)
        trimKnown(at: now)
        // What happened meanwhile is still to be written.
        let total = (pending[key]?.count ?? 0) + (write.isCreation ? 0 : before)
        if total > written.count {
            pending[key]?.count = total - written.count
            pending[key]?.attempts = 0
        } else {
            remove(key)
        }
    }

    private mutating func trimKnown(at now: Duration) {
        guard known.count > Self.knownLimit else { return }
        known = known.filter { now - $0.value.at < Self.repeatInterval }
        guard known.count > Self.knownLimit else { return }
        let oldest = known.sorted { $0.value.at < $1.value.at }.prefix(known.count / 2)
        for (key, _) in oldest { known[key] = nil }
    }

    private mutating func remove(_ key: Key) {
        pending[key] = nil
        order.removeAll { $0 == key }
    }

    private mutating func clusterEvent(_ key: Key, _ event: Pending) -> ClusterEvent {
        serial += 1
        let nanoseconds = UInt64(max(event.firstSeconds, 0)) * 1_000_000_000 + UInt64(serial)
        let object = key.reference
        let attempt = event.attempts == 0 ? "" : String(event.attempts)
        return ClusterEvent(
            metadata: ObjectMetadata(
                name: "\(object.name.prefix(220)).\(String(nanoseconds, radix: 16))\(attempt)",
                namespace: object.namespace ?? "default"
            ),
            involvedObject: object,
            reason: key.reason,
            message: key.message,
            type: key.severity.rawValue,
            firstTimestamp: kubernetesTime(event.firstSeconds),
            lastTimestamp: kubernetesTime(event.lastSeconds),
            count: event.count
        )
    }
}

extension EventWrite {
    fileprivate var isCreation: Bool {
        switch self {
        case .create: true
        case .repeated: false
        }
    }
}

extension ClusterEvent.Reference {
    /// The object `id` as the cluster has it: of a Workload the Pod.
    fileprivate init(_ id: ObjectID, uid: String) {
        let isPod = id.kind == .workload
        self.init(
            apiVersion: isPod ? "v1" : id.kind.apiVersion,
            kind: isPod ? "Pod" : id.kind.rawValue,
            name: id.name,
            namespace: id.namespace.isEmpty ? nil : id.namespace,
            uid: uid
        )
    }
}
