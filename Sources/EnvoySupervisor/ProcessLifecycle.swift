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
        /// Start another that takes over from it (hot restart); answered by `replaced`.
        case replace
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
        /// Whether another can take over from it while it runs.
        var canBeReplaced = false
    }

    private enum State: Hashable {
        case stopped
        case waiting
        case starting
        case running
        case backingOff
        case draining
        /// It has finished, and waits for the end of what depends on it.
        case held
        case terminating
    }

    private let policy: Policy
    private var state = State.stopped
    private var isWanted = false
    private var failures: Int {
        get { observation.failures }
        set { observation.failures = newValue }
    }
    private var startedAt: ContinuousClock.Instant?
    private var timer = 0
    /// Why we ended it though it was wanted.
    private var verdict: String?
    /// Whether it waits to be tried again, which is no start yet.
    private var awaitsRetry = false
    /// Whether another process needs it until that has ended.
    var hasDependent = false

    /// What status shows of it.
    private(set) var observation = ProcessObservation(phase: .stopped)

    init(_ policy: Policy) { self.policy = policy }

    /// Whether it has ended for good.
    var isStopped: Bool { state == .stopped }
    /// Whether `start` was asked for and not answered.
    var isWaiting: Bool { state == .waiting }
    /// Whether it is ready, or was until it began to end.
    var isServing: Bool { state == .running || state == .draining || state == .held }
    /// Whether it runs and is ready.
    var isRunning: Bool { state == .running }
    /// Whether it has finished, and waits for the end of what depends on it.
    var isHeld: Bool { state == .held }
    /// Whether it finishes what it has begun.
    var isDraining: Bool { state == .draining }
    /// Whether it was asked to end and its exit is no crash.
    var isEnding: Bool { state == .draining || state == .held || state == .terminating }

    // MARK: Wishes

    /// It shall run.
    mutating func wanted() -> [Action] {
        isWanted = true
        switch state {
        case .stopped: return start()
        case .held: return terminate()
        case .waiting, .starting, .running, .backingOff, .draining, .terminating: return []
        }
    }

    /// It shall run once something else does.
    mutating func awaited() { if state == .stopped { observation.phase = .starting } }

    /// It shall run with another command: another takes over, or it ends and starts anew.
    mutating func changed() -> [Action] {
        if state == .running, policy.canBeReplaced { return [.replace] }
        failures = 0
        // What was wrong with the old command says nothing of the new one.
        observation.lastError = nil
        switch state {
        case .running: return drain(policy.drainTime)
        case .starting: return terminate()
        case .backingOff: return start()
        case .stopped, .waiting, .draining, .held, .terminating: return []
        }
    }

    /// It shall end, and may take `drainTime` to finish what it has begun.
    mutating func removed(drainTime: Duration) -> [Action] {
        isWanted = false
        switch state {
        case .running: return drain(min(drainTime, policy.drainTime))
        case .draining: return [setTimer(after: min(drainTime, policy.drainTime))]
        case .starting: return hasDependent ? hold() : terminate()
        case .waiting, .backingOff: return stop()
        case .stopped, .held, .terminating: return []
        }
    }

    // MARK: Facts

    /// It runs already: an earlier daemon started it, `age` ago.
    mutating func adopted(
        _ known: ProcessObservation,
        isReady: Bool,
        age: Duration,
        at now: ContinuousClock.Instant
    ) -> [Action] {
        isWanted = true
        startedAt = now - age
        observation = known
        enter(isReady || !policy.hasReadiness ? .running : .starting)
        if isReady || !policy.hasReadiness { return failures > 0 ? [recoveryTimer()] : [] }
        return [.probe]
    }

    /// It ran when the last daemon ended, and is gone.
    mutating func adoptedDead(_ known: ProcessObservation, reason: String) -> [Action] {
        isWanted = true
        observation = known
        observation.pid = nil
        observation.startTimeSeconds = nil
        observation.lastError = reason
        observation.restarts += 1
        return start()
    }

    /// Another runs in its place.
    ///
    /// - Parameters:
    ///   - pid: The other's number.
    ///   - startTimeSeconds: When it started.
    ///   - failure: How the one before ended, when it did not wait for the other to be ready.
    ///   - now: The time.
    mutating func replaced(
        pid: Int,
        startTimeSeconds: Int,
        after failure: String? = nil,
        at now: ContinuousClock.Instant
    ) {
        startedAt = now
        observation.pid = pid
        observation.startTimeSeconds = startTimeSeconds
        observation.version = nil
        observation.isOutdated = false
        observation.lastError = failure
        if failure == nil {
            observation.upgrades += 1
            failures = 0
        } else {
            observation.restarts += 1
            failures += 1
        }
        enter(failure == nil ? .running : .starting)
    }

    /// Another could not take its place, and it goes on.
    mutating func keeps(_ reason: String) { observation.lastError = reason }

    /// It told its version.
    mutating func told(version: String) { observation.version = version }

    /// Whether an upgrade would start another binary, or start it differently.
    mutating func compared(isOutdated: Bool) { observation.isOutdated = isOutdated }

    /// The kernel ended it, or another of its Envoys, at the limit of its memory.
    mutating func ranOutOfMemory() { observation.outOfMemoryKills += 1 }

    /// It runs and has not answered for long; `reason` says so.
    mutating func silent(_ reason: String) -> [Action] {
        guard state == .running else { return [] }
        verdict = reason
        return [.kill]
    }

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
    ///
    /// - Parameters:
    ///   - reason: Why.
    ///   - pause: The time to the next attempt when the failures before say nothing of it.
    ///   - generator: For the pause otherwise.
    /// - Returns: What to do.
    mutating func failedToStart(
        _ reason: String,
        retryAfter pause: Duration? = nil,
        using generator: inout some RandomNumberGenerator
    ) -> [Action] {
        guard state == .waiting else { return [] }
        observation.lastError = reason
        if let pause {
            enter(.backingOff)
            awaitsRetry = true
            return [setTimer(after: pause)]
        }
        // The same again at once would fail the same way.
        failures = max(failures + 1, 2)
        return backOff(using: &generator)
    }

    /// It is ready.
    mutating func becameReady() -> [Action] {
        guard state == .starting else { return [] }
        enter(.running)
        return failures > 0 ? [recoveryTimer()] : []
    }

    /// It has finished what it had begun.
    mutating func drained() -> [Action] { state == .draining ? endDraining() : [] }

    /// What depended on it has ended.
    mutating func dependentEnded() -> [Action] {
        hasDependent = false
        return state == .held ? terminate() : []
    }

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
        observation.version = nil
        observation.isOutdated = false
        if !wasAsked { observation.lastError = verdict ?? reason }
        verdict = nil
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
            if !awaitsRetry { observation.restarts += 1 }
            return start()
        case .draining: return endDraining()
        case .terminating: return [.kill]
        case .running:
            failures = 0
            return []
        case .stopped, .waiting, .starting, .held: return []
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

    /// What is wanted again starts anew, and what depends on it stays.
    private mutating func endDraining() -> [Action] {
        hasDependent && !isWanted ? hold() : terminate()
    }

    private mutating func hold() -> [Action] {
        enter(.held)
        return []
    }

    private mutating func recoveryTimer() -> Action { setTimer(after: Backoff.resetAfter) }

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
        awaitsRetry = false
        timer += 1
        observation.phase =
            switch state {
            case .stopped: .stopped
            case .waiting, .starting: .starting
            case .running: .running
            case .backingOff: .backingOff
            case .draining, .held, .terminating: .draining
            }
    }
}
