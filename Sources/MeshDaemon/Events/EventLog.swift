public import Logging
public import MeshModel
import Synchronization

/// The events that `heddle events` and `kubectl get events` show, over restarts of the daemon.
///
/// It is bounded, in all and for each object, and forgets the oldest. What repeats within ten minutes
/// is one event with a count.
public final class EventLog: Sendable {
    private let state: Mutex<State>
    private let limit: Int
    private let limitPerObject: Int
    /// For how long a repeat counts as the same event.
    static let repeatSeconds = 600.0

    fileprivate struct State {
        /// By their first versions.
        var events: [Int: LoggedEvent] = [:]
        /// The first version of the newest event of each key.
        var newest: [LoggedEvent.Key: Int] = [:]
        var version: Int
        var file: EventFile?
        var wakes: [Int: AsyncStream<Void>.Continuation] = [:]
        var lastSubscription = 0

        /// The events by the time at which they happened last, which is the order of versions.
        var sorted: [LoggedEvent] { events.values.sorted { $0.version < $1.version } }
    }

    /// Makes a log with the events of earlier runs.
    ///
    /// - Parameters:
    ///   - path: The file that keeps them; nil keeps none. What cannot be read or written is told once,
    ///     and stops nothing.
    ///   - firstVersion: The resource version to start at, unless the file has come farther.
    ///   - limit: How many events there are at most.
    ///   - limitPerObject: How many events of one object there are at most.
    ///   - logger: Where trouble with the file is told.
    public init(
        path: String? = nil,
        firstVersion: Int = 1,
        limit: Int = 1000,
        limitPerObject: Int = 50,
        logger: Logger = Logger(label: "events") { _ in SwiftLogNoOpLogHandler() }
    ) {
        self.limit = limit
        self.limitPerObject = limitPerObject
        var file = path.map { EventFile(path: $0, logger: logger) }
        var state = State(version: firstVersion)
        for event in file?.read() ?? [] {
            state.events[event.firstVersion] = event
            state.newest[LoggedEvent.Key(event.event)] = event.firstVersion
            state.version = max(state.version, event.version)
        }
        state.file = file
        state.trim(to: limit, limitPerObject)
        self.state = Mutex(state)
    }

    /// Adds what happened, and wakes the watches.
    public func record(_ events: [MeshEvent]) {
        guard !events.isEmpty else { return }
        let wakes = state.withLock { state in
            var changed: Set<Int> = []
            for event in events { changed.insert(state.add(event)) }
            state.trim(to: limit, limitPerObject)
            let sorted = state.sorted
            let written = sorted.filter { changed.contains($0.firstVersion) }
            state.file?.write(written, of: sorted, limit: limit)
            return Array(state.wakes.values)
        }
        for wake in wakes { wake.yield() }
    }

    /// All events, the oldest first, and the version at which they are so.
    var all: (events: [LoggedEvent], version: Int) {
        state.withLock { ($0.sorted, $0.version) }
    }

    /// A signal for each record, until `unsubscribe`.
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

    /// A watch's ear.
    struct Subscription: Sendable {
        fileprivate var number: Int
        /// One element after each record, or several; only that there was one counts.
        var signals: AsyncStream<Void>
        /// Causes a signal.
        var wake: AsyncStream<Void>.Continuation
    }
}

extension EventLog.State {
    /// Adds `event` or counts it as a repeat, and returns the first version of what it became.
    fileprivate mutating func add(_ event: MeshEvent) -> Int {
        version += 1
        let key = LoggedEvent.Key(event)
        if let first = newest[key], let known = events[first],
            event.timeSeconds - known.event.timeSeconds <= EventLog.repeatSeconds
        {
            events[first]?.event = event
            events[first]?.count += 1
            events[first]?.version = version
            return first
        }
        events[version] = LoggedEvent(
            event: event,
            firstSeconds: event.timeSeconds,
            count: 1,
            firstVersion: version,
            version: version
        )
        newest[key] = version
        return version
    }

    /// Forgets the oldest events of objects that have too many, and then of all.
    fileprivate mutating func trim(to limit: Int, _ limitPerObject: Int) {
        var counts: [ObjectID: Int] = [:]
        for event in events.values { counts[event.event.object, default: 0] += 1 }
        var excess = events.count - limit
        guard excess > 0 || counts.values.contains(where: { $0 > limitPerObject }) else { return }
        for event in sorted where counts[event.event.object, default: 0] > limitPerObject {
            counts[event.event.object, default: 0] -= 1
            excess -= 1
            forget(event)
        }
        guard excess > 0 else { return }
        for event in sorted.prefix(excess) { forget(event) }
    }

    private mutating func forget(_ event: LoggedEvent) {
        events[event.firstVersion] = nil
        let key = LoggedEvent.Key(event.event)
        if newest[key] == event.firstVersion { newest[key] = nil }
    }
}
