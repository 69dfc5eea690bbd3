internal import KubernetesAPI
internal import Logging
internal import MeshModel

/// What a write is decided by, beside what is wanted.
protocol LiveObjects {
    /// What the API server has of `id`; nil when it has none.
    func live(_ id: ObjectID) -> LiveObject?
    /// The objects that keep `id` from being deleted.
    func members(of id: ObjectID) -> [MemberCount]
    /// What can't be read or written for lack of rights.
    var denials: [Diagnostic] { get }
}

extension ClusterBoard: LiveObjects {}

/// One moment by both clocks.
struct Moment: Sendable {
    /// By a clock that is never set.
    var steady: Duration
    /// Seconds since 1970.
    var wallSeconds: Double
}

/// A change of an object on the server.
struct ObjectWrite: Sendable {
    /// What is changed.
    enum Part: String, Hashable, Sendable {
        case status
        case finalizers
    }

    var id: ObjectID
    var part: Part
    /// The merge patch, with the version of the object that it is meant for.
    var body: JSONValue
    fileprivate var version: String
    /// The status that is written, and what it was before.
    fileprivate var status: (wanted: ObjectStatus, live: JSONValue)?
}

/// What became of a write.
enum WriteOutcome: Sendable {
    /// The object has this version now.
    case written(resourceVersion: String?)
    /// Another write came first.
    case conflict
    case failed(KubernetesError)
    /// It was not tried, or was given up, as this replica does not lead.
    case abandoned
}

/// Decides which object is written next: no I/O.
///
/// An object is written when it differs from what is wanted, and not again before the informer has seen
/// the write. What the server does not keep of a status, as its CRD does not know it, is not written
/// again either. Where another writes the same status, the two take turns at ever longer intervals.
struct WriteQueue: Sendable {
    /// What differs in fields or messages only is written no more often than this: how many Pods are ready
    /// changes with each of them.
    private static let detailsInterval = Duration.seconds(10)
    private static let pendingInterval = Duration.seconds(60)
    private static let truce = Duration.seconds(600)

    private var wanted: [ObjectID: ObjectStatus] = [:]
    private var records: [ObjectID: WriteRecord] = [:]
    private var urgent = FIFO()
    private var normal = FIFO()
    private var later: [ObjectID: Duration] = [:]
    private var blocked: Set<ObjectID> = []
    /// The objects of which an Event told since this replica leads.
    private var told: Set<ObjectID> = []
    private var rate: RateLimit
    private let concurrency: Int
    private var running = 0
    /// Until when finalizers of objects that stay are left alone, as another adds them again.
    private var finalizerTruce: Duration?
    private(set) var troubles = WriteTroubles()
    /// Events and lines of the log that came up.
    private var notes = Notes()

    /// What came up while deciding.
    struct Notes: Sendable {
        var events: [MeshEvent] = []
        var lines: [LogLine] = []
    }

    init(writesPerSecond: Int, concurrency: Int) {
        rate = RateLimit(perSecond: Double(writesPerSecond), burst: Double(writesPerSecond))
        self.concurrency = concurrency
    }

    // MARK: What is wanted

    /// Takes the statuses of a plan.
    mutating func want(_ statuses: [ObjectID: ObjectStatus], _ objects: some LiveObjects) {
        for id in wanted.keys where statuses[id] == nil {
            wanted[id] = nil
            look(at: id, objects)
        }
        for (id, status) in statuses where id.kind.hasStatus && wanted[id] != status {
            wanted[id] = status
            look(at: id, objects)
        }
    }

    /// Has `id` looked at, as the server tells something new of it.
    mutating func look(at id: ObjectID, _ objects: some LiveObjects) {
        guard id.kind.hasStatus else { return }
        later[id] = nil
        if let status = wanted[id], let live = objects.live(id),
            turnsFalse(status, after: live.status)
        {
            urgent.append(id)
        } else {
            normal.append(id)
        }
    }

    /// Has the objects looked at that wait for their members to go.
    mutating func lookAtBlocked() {
        for id in blocked {
            later[id] = nil
            normal.append(id)
        }
    }

    // MARK: What is next

    /// The next write, if one is due; else when to ask again, nil being when something changes.
    mutating func next(
        at moment: Moment,
        _ objects: some LiveObjects
    ) -> (write: ObjectWrite?, until: Duration?) {
        let now = moment.steady
        for (id, due) in later where due <= now {
            later[id] = nil
            normal.append(id)
        }
        while let id = urgent.first ?? normal.first {
            guard running < concurrency else { return (nil, nil) }
            let free = rate.next(at: now)
            guard free <= now else { return (nil, free) }
            _ = urgent.removeFirst() ?? normal.removeFirst()
            switch decide(id, moment, objects) {
            case .nothing: continue
            case .later(let due): later[id] = min(due, later[id] ?? due)
            case .write(let write):
                _ = rate.take(at: now)
                running += 1
                troubles.begins(id.kind, write.part, at: now)
                records[id]?.state = .writing
                return (write, nil)
            }
        }
        return (nil, later.values.min())
    }

    /// What came up since the last call.
    mutating func takeNotes() -> Notes {
        defer { notes = Notes() }
        return notes
    }

    private mutating func decide(
        _ id: ObjectID,
        _ moment: Moment,
        _ objects: some LiveObjects
    ) -> WriteDecision {
        guard let live = objects.live(id) else {
            records[id] = nil
            blocked.remove(id)
            told.remove(id)
            notes.lines += troubles.forget(id)
            return .nothing
        }
        var record = records[id] ?? WriteRecord(uid: live.uid)
        if record.uid != live.uid { record = WriteRecord(uid: live.uid) }
        defer { records[id] = record }
        if let waiting = record.wait(live, at: moment.steady) { return waiting }
        let finalizers = decideFinalizers(of: id, live, &record, moment, objects)
        if case .write = finalizers { return finalizers }
        let status = decideStatus(of: id, live, &record, moment, objects)
        switch (finalizers, status) {
        case (.later(let first), .later(let second)): return .later(min(first, second))
        case (.later, .nothing): return finalizers
        default: return status
        }
    }

    // MARK: Status

    private mutating func decideStatus(
        of id: ObjectID,
        _ live: LiveObject,
        _ record: inout WriteRecord,
        _ moment: Moment,
        _ objects: some LiveObjects
    ) -> WriteDecision {
        guard let status = status(of: id, live, moment, objects) else { return .nothing }
        if let settled = record.settled, settled.wanted == status, settled.live == live.status {
            return .nothing
        }
        guard let patch = statusPatch(from: live.status, to: status) else {
            record.settled = (status, live.status)
            return .nothing
        }
        let now = moment.steady
        if let due = dueAfterFailure(of: id, .status, record), due > now { return .later(due) }
        if let due = dueAfterDispute(over: id, status, live, &record, now), due > now {
            return .later(due)
        }
        if patch["observedGeneration"] == nil, !changesCondition(status, after: live.status),
            let due = record.writtenAt.map({ $0 + Self.detailsInterval }), due > now
        {
            return .later(due)
        }
        record.written = status
        return .write(
            ObjectWrite(
                id: id,
                part: .status,
                body: [
                    "metadata": ["resourceVersion": .string(live.resourceVersion)], "status": patch,
                ],
                version: live.resourceVersion,
                status: (status, live.status)
            )
        )
    }

    /// The status that the object shall have; nil when nothing is wanted.
    private func status(
        of id: ObjectID,
        _ live: LiveObject,
        _ moment: Moment,
        _ objects: some LiveObjects
    ) -> ObjectStatus? {
        guard var status = wanted[id] ?? live.brokenStatus(of: id, moment) else { return nil }
        if id.kind == .mesh, let access = accessCondition(objects.denials, moment) {
            status.conditions.append(access)
        }
        return status
    }

    /// When to write a status that another wrote over; nil when none did.
    private mutating func dueAfterDispute(
        over id: ObjectID,
        _ status: ObjectStatus,
        _ live: LiveObject,
        _ record: inout WriteRecord,
        _ now: Duration
    ) -> Duration? {
        guard let settled = record.settled, settled.wanted == status, let last = record.writtenAt
        else { return nil }
        if record.disputedVersion != live.resourceVersion {
            record.disputedVersion = live.resourceVersion
            record.disputes = now - last > Self.truce ? 1 : record.disputes + 1
            if record.disputes == 3 {
                notes.lines.append(
                    LogLine(
                        level: .warning,
                        message: "another controller writes the status of an object too",
                        metadata: [
                            "object": "\(id)",
                            "remedy": "scale App Mesh's controller to 0 if it still runs",
                        ]
                    )
                )
            }
        }
        guard record.disputes > 1 else { return nil }
        return last + min(.seconds(1 << min(record.disputes, 8)), .seconds(300))
    }

    // MARK: Finalizers

    private mutating func decideFinalizers(
        of id: ObjectID,
        _ live: LiveObject,
        _ record: inout WriteRecord,
        _ moment: Moment,
        _ objects: some LiveObjects
    ) -> WriteDecision {
        let now = moment.steady
        guard !live.appMeshFinalizers.isEmpty else {
            blocked.remove(id)
            return .nothing
        }
        let members = live.isBeingDeleted ? objects.members(of: id) : []
        var due: Duration?
        if live.waitsForMembers(!members.isEmpty) {
            blocked.insert(id)
            let last = record.pendingAt
            if last.map({ now - $0 >= Self.pendingInterval }) ?? true {
                record.pendingAt = now
                notes.events.append(
                    MeshEvent(
                        timeSeconds: moment.wallSeconds,
                        severity: .warning,
                        reason: "PendingMembersDeletion",
                        message: pendingMembersMessage(of: id.kind, members),
                        object: id
                    )
                )
            }
            due = (record.pendingAt ?? now) + Self.pendingInterval
        } else {
            blocked.remove(id)
        }
        guard let remaining = live.remainingFinalizers(hasMembers: !members.isEmpty) else {
            return due.map(WriteDecision.later) ?? .nothing
        }
        if let failed = dueAfterFailure(of: id, .finalizers, record), failed > now {
            return .later(min(failed, due ?? failed))
        }
        if !live.isBeingDeleted, let truce = truce(over: id, &record, now) { return .later(truce) }
        return .write(
            ObjectWrite(
                id: id,
                part: .finalizers,
                body: [
                    "metadata": [
                        "resourceVersion": .string(live.resourceVersion),
                        "finalizers": remaining.isEmpty
                            ? .null : .array(remaining.map(JSONValue.string)),
                    ]
                ],
                version: live.resourceVersion
            )
        )
    }

    /// Until when finalizers of objects that stay are left alone; nil when they are not.
    private mutating func truce(
        over id: ObjectID,
        _ record: inout WriteRecord,
        _ now: Duration
    ) -> Duration? {
        if let cleared = record.clearedAt, now - cleared < .seconds(60) {
            record.clearedAt = nil
            finalizerTruce = now + Self.truce
            notes.lines.append(
                LogLine(
                    level: .warning,
                    message: "another controller adds App Mesh's finalizers again",
                    metadata: [
                        "object": "\(id)",
                        "remedy": "scale App Mesh's controller to 0; finalizers stay on objects "
                            + "until they are deleted",
                    ]
                )
            )
        }
        return finalizerTruce.flatMap { $0 > now ? $0 : nil }
    }

    /// When to try `part` of an object again, of which a write failed, or one of another object of its
    /// kind; nil when none did.
    private func dueAfterFailure(
        of id: ObjectID,
        _ part: ObjectWrite.Part,
        _ record: WriteRecord
    ) -> Duration? {
        [record.backOffs[part]?.until, troubles.deniedUntil(id.kind, part)].compactMap(\.self).max()
    }

    // MARK: Outcomes

    /// Takes what became of `write`.
    ///
    /// - Parameters:
    ///   - write: The write.
    ///   - outcome: What became of it.
    ///   - moment: The time.
    ///   - chance: From 0 to 1, for pauses that differ.
    ///   - objects: What the server has.
    mutating func finish(
        _ write: ObjectWrite,
        _ outcome: WriteOutcome,
        at moment: Moment,
        chance: Double,
        _ objects: some LiveObjects
    ) {
        running -= 1
        let id = write.id
        let now = moment.steady
        guard var record = records[id] else { return }
        switch outcome {
        case .written(let version):
            record.backOffs[write.part] = nil
            record.writtenAt = now
            if write.part == .finalizers { record.clearedAt = now }
            if version == nil || version == write.version {
                // The server has all of it that it keeps.
                record.state = .idle
                record.settled = write.status ?? record.settled
                record.written = nil
            } else {
                record.state = .awaiting(version: version ?? "", until: now + .seconds(10))
            }
            notes.lines += troubles.succeeded(id, write.part)
            noteMistakes(of: write, objects, moment)
        case .conflict:
            record.written = nil
            record.state = .stale(version: write.version, until: now + .seconds(2))
        case .failed(let error):
            record.written = nil
            record.state = .idle
            var backOff = record.backOffs[write.part] ?? WriteRecord.BackOff()
            backOff.failures += 1
            let pause = Duration.seconds(min(0.5 * Double(1 << min(backOff.failures, 10)), 300))
            // What a webhook refuses is of a kind, and tried again by one object for all.
            backOff.until =
                now + (error.isByWebhook ? .zero : pause * (0.5 + chance / 2))
            record.backOffs[write.part] = backOff
            // What does not answer is told by whoever reads, and an object that is gone is soon known to
            // be.
            if error.code != nil, !error.isNotFound || backOff.failures > 2 {
                notes.lines += troubles.failed(id, write.part, error, at: now)
            }
        case .abandoned:
            record.written = nil
            record.state = .idle
        }
        records[id] = record
        normal.append(id)
    }

    /// Has it known that something was told of `id`, which need not be told again when its status is
    /// written.
    mutating func didTell(of id: ObjectID) {
        if id.kind.hasStatus { told.insert(id) }
    }

    /// Tells of an object that has mistakes and of which nothing was told: no plan knows it, or it was
    /// wrong already when this replica began to lead.
    private mutating func noteMistakes(
        of write: ObjectWrite,
        _ objects: some LiveObjects,
        _ moment: Moment
    ) {
        guard let (status, live) = write.status,
            wanted[write.id] == nil || !told.contains(write.id), turnsFalse(status, after: live),
            let condition = status.conditions.first, condition.reason == "Invalid"
        else { return }
        told.insert(write.id)
        notes.events.append(
            MeshEvent(
                timeSeconds: moment.wallSeconds,
                severity: .warning,
                reason: condition.reason,
                message: condition.message,
                object: write.id
            )
        )
    }
}

extension Kind {
    /// Whether Heddle writes a status of its objects in a cluster.
    fileprivate var hasStatus: Bool {
        switch self {
        case .mesh, .virtualGateway, .gatewayRoute, .virtualService, .virtualRouter, .virtualNode,
            .trafficPolicy, .certificateMapping:
            true
        case .namespace, .backendGroup, .workload: false
        }
    }
}

/// Objects in the order in which they came, each once.
private struct FIFO: Sendable {
    private var ids: [ObjectID] = []
    private var head = 0
    private var present: Set<ObjectID> = []

    var first: ObjectID? { head < ids.count ? ids[head] : nil }

    mutating func append(_ id: ObjectID) {
        if present.insert(id).inserted { ids.append(id) }
    }

    mutating func removeFirst() -> ObjectID? {
        guard let first else { return nil }
        head += 1
        present.remove(first)
        if head > 1000, head * 2 > ids.count {
            ids.removeFirst(head)
            head = 0
        }
        return first
    }
}
