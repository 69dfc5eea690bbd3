import MeshModel

/// The life of one process that shall keep running: a state machine without I/O.
///
/// Each event returns what to do. There is one timer; a new one takes the place of the last, and
/// one that is out of date is ignored.
struct ProcessLifecycle: Sendable {
    /// What is to be done.
    enum Action: Hashable, Sendable {
        /// Start the process; answered by `started` or `failedToStart`.
        case start
        /// Watch for readiness; answered by `becameReady`.
        case probe
        /// Let it finish what it has begun; answered by `drained`.
        case drain
        /// Ask it to end.
        case terminate
        /// End it.
        case kill
        /// Call `timerFired` with this number after this time.
        case setTimer(Int, after: Duration)
    }

    /// How a process is treated.
    struct Policy: Hashable, Sendable {
        /// Whether it starts unready and is probed; else it is ready once it runs.
        var hasReadiness: Bool
        /// For how long it may finish what it has begun; zero ends it at once.
        var drainTime: Duration
        /// From the request to end until it is ended.
        var killAfter: Duration
    }

    private enum State: Hashable {
        case stopped
        case waiting
        case starting
        case running
        case backingOff
        case draining
        case terminating
    }

    private let policy: Policy
    private var state = State.stopped
    private var isWanted = false
    private var failures = 0
    private var startedAt: ContinuousClock.Instant?
    private var timer = 0

    /// What status shows of it.
    private(set) var observation = ProcessObservation(phase: .stopped)

    init(_ policy: Policy) { self.policy = policy }

    /// Whether it has ended for good.
    var isStopped: Bool { state == .stopped }
    /// Whether `start` was asked for and not answered.
    var isWaiting: Bool { state == .waiting }
    /// Whether it finishes what it has begun.
    var isDraining: Bool { state == .draining }
    /// Whether it was asked to end and its exit is no crash.
    var isEnding: Bool { state == .draining || state == .terminating }

    // MARK: Wishes

    /// It shall run.
    mutating func wanted() -> [Action] {
        isWanted = true
        return state == .stopped ? start() : []
    }

    /// It shall run with another command: it ends and starts anew.
    mutating func changed() -> [Action] {
        failures = 0
        // What was wrong with the old command says nothing of the new one.
        observation.lastError = nil
        switch state {
        case .running: return drain(policy.drainTime)
        case .starting: return terminate()
        case .backingOff: return start()
        case .stopped, .waiting, .draining, .terminating: return []
        }
    }

    /// It shall end, and may take `drainTime` to finish what it has begun.
    mutating func removed(drainTime: Duration) -> [Action] {
        isWanted = false
        switch state {
        case .running: return drain(min(drainTime, policy.drainTime))
        case .draining: return [setTimer(after: min(drainTime, policy.drainTime))]
        case .starting: return terminate()
        case .waiting, .backingOff: return stop()
        case .stopped, .terminating: return []
        }
    }

    // MARK: Facts

    /// It was started.
    mutating func started(
        pid: Int,
        startTimeSeconds: Int,
        at now: ContinuousClock.Instant
    ) -> [Action] {
        startedAt = now
        observation.pid = pid
        observation.startTimeSeconds = startTimeSeconds
        enter(policy.hasReadiness ? .starting : .running)
        return policy.hasReadiness ? [.probe] : []
    }

    /// It could not be started.
    mutating func failedToStart(
        _ reason: String,
        using generator: inout some RandomNumberGenerator
    ) -> [Action] {
        guard state == .waiting else { return [] }
        observation.lastError = reason
        // The same again at once would fail the same way.
        failures = max(failures + 1, 2)
        return backOff(using: &generator)
    }

    /// It is ready.
    mutating func becameReady() {
        if state == .starting { enter(.running) }
    }

    /// It has finished what it had begun.
    mutating func drained() -> [Action] { state == .draining ? terminate() : [] }

    /// It ended; `reason` says how.
    mutating func exited(
        _ reason: String,
        at now: ContinuousClock.Instant,
        using generator: inout some RandomNumberGenerator
    ) -> [Action] {
        let wasAsked = isEnding
        let ranLong = startedAt.map { now - $0 >= Backoff.resetAfter } ?? false
        startedAt = nil
        observation.pid = nil
        observation.startTimeSeconds = nil
        if !wasAsked { observation.lastError = reason }
        guard isWanted else { return stop() }
        if wasAsked { return start() }
        failures = ranLong ? 1 : failures + 1
        return backOff(using: &generator)
    }

    /// The timer `number` fired.
    mutating func timerFired(_ number: Int) -> [Action] {
        guard number == timer else { return [] }
        switch state {
        case .backingOff:
            observation.restarts += 1
            return start()
        case .draining: return terminate()
        case .terminating: return [.kill]
        case .stopped, .waiting, .starting, .running: return []
        }
    }

    // MARK: Steps

    private mutating func start() -> [Action] {
        enter(.waiting)
        return [.start]
    }

    private mutating func stop() -> [Action] {
        enter(.stopped)
        return []
    }

    private mutating func drain(_ time: Duration) -> [Action] {
        guard time > .zero else { return terminate() }
        enter(.draining)
        return [.drain, setTimer(after: time)]
    }

    private mutating func terminate() -> [Action] {
        enter(.terminating)
        return [.terminate, setTimer(after: policy.killAfter)]
    }

    private mutating func backOff(
        using generator: inout some RandomNumberGenerator
    ) -> [Action] {
        let pause = Backoff.pause(failures: failures, using: &generator)
        guard pause > .zero else {
            observation.restarts += 1
            return start()
        }
        enter(.backingOff)
        return [setTimer(after: pause)]
    }

    private mutating func setTimer(after time: Duration) -> Action {
        timer += 1
        return .setTimer(timer, after: time)
    }

    private mutating func enter(_ state: State) {
        self.state = state
        timer += 1
        observation.phase =
            switch state {
            case .stopped: .stopped
            case .waiting, .starting: .starting
            case .running: .running
            case .backingOff: .backingOff
            case .draining, .terminating: .draining
            }
    }
}

/// How long to wait before a process that ended by itself starts again.
enum Backoff {
    /// A process that ran for so long starts again at once.
    static let resetAfter = Duration.seconds(30)

    /// None after the first failure; then 0.1 s, doubling up to 30 s, give or take a quarter.
    static func pause(
        failures: Int,
        using generator: inout some RandomNumberGenerator
    ) -> Duration {
        guard failures > 1 else { return .zero }
        let doublings = min(failures - 2, 9)
        let base = min(0.1 * Double(1 << doublings), 30)
        let jittered = base * Double.random(in: 0.75...1.25, using: &generator)
        return .seconds(min(max(jittered, 0.1), 30))
    }
}
