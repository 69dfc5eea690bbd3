public import KubernetesAPI
public import Logging
public import MeshModel
public import ServiceLifecycle
import Synchronization

/// How many writes ended in one way.
public struct KubernetesWriteCount: Hashable, Sendable {
    /// `status`, `finalizers` or `event`.
    public var operation: String
    /// The kind of the object.
    public var kind: String
    /// `written`, `conflict`, `forbidden`, `failed`, or `dropped` of events that were too many.
    public var result: String
    /// How many.
    public var count: Int
}

/// Writes into a cluster, as its leader only: statuses, Events, and what App Mesh's finalizers hold up.
///
/// A status is written where it differs from what the server has, and the server refuses it if the
/// object has changed meanwhile. So nothing is written twice, after a restart or by another leader, and
/// a leader that was is refused. Whoever leads is asked before each write, and a write is given up when
/// leadership ends.
///
/// App Mesh's finalizers are removed, of objects that stay too: nothing can hang on them when Heddle
/// is gone. Others' finalizers are never touched, and Heddle has none of its own.
public final class KubernetesWriter: Service, Sendable {
    fileprivate struct State {
        var objects: WriteQueue
        var events: EventQueue
        var counts: [Result: Int] = [:]
        var eventDenial: Diagnostic?
        /// When the writer has to be woken, and when somebody will; nil being never.
        var wanted: Duration?
        var alarm: Duration?
    }

    /// What writes are counted by.
    fileprivate struct Result: Hashable {
        var operation: String
        var kind: String
        var result: String
    }

    private enum Work: Sendable {
        case object(ObjectWrite, deadline: ContinuousClock.Instant)
        case event(EventQueue.Key, EventWrite, deadline: ContinuousClock.Instant)
    }

    private let client: KubernetesClient
    private let board: ClusterBoard
    private let leadershipEnd: @Sendable () -> ContinuousClock.Instant?
    private let time: SteadyTime
    private let nowSeconds: @Sendable () -> Double
    private let chance: @Sendable () -> Double
    private let logger: Logger
    private let state: Mutex<State>
    private let wakes: AsyncStream<Void>
    private let wake: AsyncStream<Void>.Continuation

    /// Makes a writer.
    ///
    /// - Parameters:
    ///   - client: Asks the API.
    ///   - source: Knows what the server has.
    ///   - leadershipEnd: Until when this replica leads; nil when it does not.
    ///   - writesPerSecond: How many objects are written at most, and as many Events.
    ///   - concurrency: How many requests are under way at once, of objects and of Events each.
    ///   - time: The clock for pauses.
    ///   - nowSeconds: The time since 1970 in seconds.
    ///   - chance: Numbers from 0 to 1, for pauses that differ.
    ///   - logger: Where each spell of trouble is logged.
    public init(
        client: KubernetesClient,
        source: KubernetesSource,
        leadershipEnd: @escaping @Sendable () -> ContinuousClock.Instant?,
        writesPerSecond: Int = 100,
        concurrency: Int = 8,
        time: SteadyTime = .system,
        nowSeconds: @escaping @Sendable () -> Double = { timeSince1970() / .seconds(1) },
        chance: @escaping @Sendable () -> Double = { .random(in: 0...1) },
        logger: Logger
    ) {
        self.client = client
        board = source.board
        self.leadershipEnd = leadershipEnd
        self.time = time
        self.nowSeconds = nowSeconds
        self.chance = chance
        self.logger = logger
        state = Mutex(
            State(
                objects: WriteQueue(writesPerSecond: writesPerSecond, concurrency: concurrency),
                events: EventQueue(perSecond: writesPerSecond, concurrency: concurrency)
            )
        )
        (wakes, wake) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    // MARK: What to write

    /// Takes the statuses of a plan; the last ones count.
    public func write(_ statuses: [ObjectID: ObjectStatus]) {
        state.withLock { $0.objects.want(statuses, board) }
        wake.yield()
    }

    /// Takes what happened; a replica that does not lead forgets it.
    ///
    /// Of Pods only warnings are written, as kubelet tells the rest.
    public func record(_ events: [MeshEvent]) {
        guard leadershipEnd().map({ $0 > .now }) ?? false else { return }
        let now = time.now()
        state.withLock { state in
            for event in events { add(event, to: &state, at: now) }
        }
        wake.yield()
    }

    /// Has the writer ask again whether this replica leads, which it does each second otherwise.
    public func leadershipChanged() { wake.yield() }

    /// How many writes ended in which way, since the start.
    public var counts: [KubernetesWriteCount] {
        let counts = state.withLock { $0.counts }
        return counts.map { key, count in
            KubernetesWriteCount(
                operation: key.operation,
                kind: key.kind,
                result: key.result,
                count: count
            )
        }.sorted { ($0.operation, $0.kind, $0.result) < ($1.operation, $1.kind, $1.result) }
    }

    private func add(_ event: MeshEvent, to state: inout State, at now: Duration) {
        let isPod = event.object.kind == .workload
        guard !isPod || event.severity == .warning else { return }
        let uid =
            isPod ? board.podUID(event.object.reference) : board.live(event.object)?.uid
        // Of what is gone nobody reads any more.
        guard let uid else { return }
        if event.severity == .warning { state.objects.didTell(of: event.object) }
        if !state.events.add(event, uid: uid, at: now) {
            state.count("event", event.object.kind.rawValue, "dropped")
        }
    }

    // MARK: Run

    /// Writes until shutdown or cancellation.
    public func run() async throws {
        board.beginWriting()
        await cancelWhenGracefulShutdown {
            await withDiscardingTaskGroup { group in
                group.addTask { for await _ in self.board.written { self.wake.yield() } }
                for await _ in self.wakes {
                    while !Task.isCancelled, let work = self.nextWork() {
                        group.addTask { await self.perform(work) }
                    }
                    if let pause = self.nextAlarm() {
                        group.addTask {
                            await self.time.sleep(pause)
                            self.state.withLock { $0.alarm = nil }
                            self.wake.yield()
                        }
                    }
                }
                group.cancelAll()
            }
        }
    }

    private var moment: Moment { Moment(steady: time.now(), wallSeconds: nowSeconds()) }

    /// The next request, if one is due and this replica leads; else the alarm is asked for.
    private func nextWork() -> Work? {
        let moment = moment
        let changed = board.changes()
        let end = leadershipEnd()
        let (work, notes) = state.withLock { state -> (Work?, WriteQueue.Notes) in
            for id in changed { state.objects.look(at: id, board) }
            if !changed.isEmpty { state.objects.lookAtBlocked() }
            state.wanted = nil
            guard let end, end > .now else {
                state.events.clear()
                state.wanted = moment.steady + .seconds(1)
                return (nil, WriteQueue.Notes())
            }
            let object = state.objects.next(at: moment, board)
            var notes = state.objects.takeNotes()
            for event in notes.events { add(event, to: &state, at: moment.steady) }
            notes.events = []
            if let write = object.write { return (.object(write, deadline: end), notes) }
            let event = state.events.next(at: moment.steady)
            if let (key, write) = event.write { return (.event(key, write, deadline: end), notes) }
            state.wanted = [object.until, event.until].compactMap(\.self).min()
            return (nil, notes)
        }
        for line in notes.lines { logger.log(line) }
        return work
    }

    /// How long to sleep until somebody has to wake the writer; nil when somebody does already.
    private func nextAlarm() -> Duration? {
        let now = time.now()
        return state.withLock { state in
            guard let wanted = state.wanted, state.alarm.map({ $0 > wanted }) ?? true else {
                return nil
            }
            state.alarm = wanted
            return max(wanted - now, .zero)
        }
    }

    private func perform(_ work: Work) async {
        switch work {
        case .object(let write, let deadline):
            let outcome = await outcome(of: write, deadline)
            let moment = moment
            let denials = state.withLock { state in
                state.objects.finish(write, outcome, at: moment, chance: chance(), board)
                if let result = outcome.result {
                    state.count(write.part.rawValue, write.id.kind.rawValue, result)
                }
                return state.denials
            }
            board.cannotWrite(denials)
        case .event(let key, let write, let deadline):
            await perform(key, write, deadline)
        }
        wake.yield()
    }

    private func outcome(
        of write: ObjectWrite,
        _ deadline: ContinuousClock.Instant
    ) async -> WriteOutcome {
        do {
            let metadata = try await client.patch(
                KubernetesResource(write.id.kind),
                write.id.key,
                subresource: write.part == .status ? "status" : nil,
                .merge,
                write.body,
                deadline: deadline
            )
            return .written(resourceVersion: metadata.resourceVersion)
        } catch let error as KubernetesError {
            return error.isConflict ? .conflict : .failed(error)
        } catch {
            return .abandoned
        }
    }

    private func perform(
        _ key: EventQueue.Key,
        _ write: EventWrite,
        _ deadline: ContinuousClock.Instant
    ) async {
        var failure: KubernetesError?
        do {
            switch write {
            case .create(let event):
                let namespace = event.metadata.namespace ?? "default"
                _ = try await client.create(
                    event,
                    .events,
                    namespace: namespace,
                    deadline: deadline
                )
            case .repeated(let name, let change):
                try await client.patch(.events, name, .merge, change, deadline: deadline)
            }
        } catch {
            failure =
                error as? KubernetesError
                ?? KubernetesError(.unreachable, request: "write events", problem: "cancelled")
        }
        let now = time.now()
        let (denials, lines) = state.withLock { state in
            state.events.finish(key, write, failure, at: now)
            state.count("event", key.kind, failure?.result ?? "written")
            return (state.denials, state.noteEvent(failure))
        }
        for line in lines { logger.log(line) }
        board.cannotWrite(denials)
    }
}

extension KubernetesWriter.State {
    /// What can't be written for lack of rights.
    fileprivate var denials: [Diagnostic] {
        (objects.troubles.diagnostics + [eventDenial].compactMap(\.self)).sorted()
    }

    fileprivate mutating func count(_ operation: String, _ kind: String, _ result: String) {
        let key = KubernetesWriter.Result(operation: operation, kind: kind, result: result)
        counts[key, default: 0] += 1
    }

    /// Keeps whether Events may be written; gives what to log.
    fileprivate mutating func noteEvent(_ error: KubernetesError?) -> [LogLine] {
        guard let error else {
            guard eventDenial != nil else { return [] }
            eventDenial = nil
            return [LogLine(level: .notice, message: "kubernetes events can be written again")]
        }
        // A namespace that is being deleted takes no new objects from anybody.
        guard error.isForbidden, !error.problem.contains("being terminated"),
            eventDenial == nil
        else { return [] }
        let verb = error.request.hasPrefix("patch") ? "patch" : "create"
        let denial = Diagnostic(
            .error,
            problem: "\(account(in: error)) may not \(verb) events, so that none are written",
            remedy: "grant verbs create and patch in a ClusterRole"
        )
        eventDenial = denial
        return [
            LogLine(
                level: .warning,
                message: "kubernetes events cannot be written",
                metadata: ["problem": denial.message]
            )
        ]
    }
}

extension WriteOutcome {
    /// How it is counted; nil when it is not.
    fileprivate var result: String? {
        switch self {
        case .written: "written"
        case .conflict: "conflict"
        case .failed(let error): error.result
        case .abandoned: nil
        }
    }
}

extension KubernetesError {
    fileprivate var result: String { isForbidden ? "forbidden" : "failed" }
}
