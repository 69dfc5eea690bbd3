import MeshModel
import Testing

@testable import EnvoySupervisor

/// So near to the least that jitter changes nothing; zero itself is drawn again and again.
struct EvenGenerator: RandomNumberGenerator {
    mutating func next() -> UInt64 { 1 << 10 }
}

struct ProcessLifecycleTests {
    private let start = ContinuousClock.now
    private var generator = EvenGenerator()

    private static let envoy = ProcessLifecycle.Policy(
        hasReadiness: true,
        drainTime: .seconds(20),
        killAfter: .seconds(3)
    )
    private static let application = ProcessLifecycle.Policy(
        hasReadiness: false,
        drainTime: .zero,
        killAfter: .seconds(5)
    )

    private func running(_ policy: ProcessLifecycle.Policy) -> ProcessLifecycle {
        var lifecycle = ProcessLifecycle(policy)
        _ = lifecycle.wanted()
        _ = lifecycle.started(pid: 7, startTimeSeconds: 1, at: start)
        _ = lifecycle.becameReady()
        return lifecycle
    }

    /// Fires the timer that `actions` set.
    private func fire(
        _ actions: [ProcessLifecycle.Action],
        _ lifecycle: inout ProcessLifecycle
    ) throws -> [ProcessLifecycle.Action] {
        for case .setTimer(let number, _) in actions { return lifecycle.timerFired(number) }
        Issue.record("no timer in \(actions)")
        return []
    }

    private func pauses(_ actions: [ProcessLifecycle.Action]) -> [Duration] {
        actions.compactMap { if case .setTimer(_, let pause) = $0 { pause } else { nil } }
    }

    @Test func `an Envoy starts, is probed and runs`() {
        var lifecycle = ProcessLifecycle(Self.envoy)
        #expect(lifecycle.wanted() == [.start])
        #expect(lifecycle.wanted() == [])
        #expect(lifecycle.observation == ProcessObservation(phase: .starting))
        #expect(lifecycle.started(pid: 7, startTimeSeconds: 1, at: start) == [.probe])
        #expect(lifecycle.observation.phase == .starting)
        #expect(lifecycle.observation.pid == 7)
        #expect(lifecycle.becameReady() == [])
        #expect(lifecycle.observation.phase == .running)
        #expect(lifecycle.observation.startTimeSeconds == 1)
    }

    @Test func `an application runs once it was started`() {
        var lifecycle = ProcessLifecycle(Self.application)
        _ = lifecycle.wanted()
        #expect(lifecycle.started(pid: 7, startTimeSeconds: 1, at: start) == [])
        #expect(lifecycle.observation.phase == .running)
    }

    @Test mutating func `the first crash restarts at once, further ones after growing pauses`()
        throws
    {
        var lifecycle = running(Self.envoy)
        var actions = lifecycle.exited("exited with code 1", at: start, using: &generator)
        #expect(actions == [.start])
        #expect(lifecycle.observation.restarts == 1)
        #expect(lifecycle.observation.lastError == "exited with code 1")
        #expect(lifecycle.observation.pid == nil)
        var seen: [Duration] = []
        for restarts in 2...12 {
            _ = lifecycle.started(pid: 8, startTimeSeconds: 2, at: start)
            actions = lifecycle.exited("exited with code 1", at: start, using: &generator)
            #expect(lifecycle.observation.phase == .backingOff)
            seen += pauses(actions)
            #expect(try fire(actions, &lifecycle) == [.start])
            #expect(lifecycle.observation.restarts == restarts)
            #expect(lifecycle.observation.failures == restarts)
        }
        let expected = [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 60, 60, 60]
        for (pause, seconds) in zip(seen, expected) {
            #expect(abs(pause / .seconds(1) - seconds) < 0.01)
        }
        #expect(seen.count == expected.count)
    }

    @Test mutating func `a crash after 60 s counts as the first`() throws {
        var lifecycle = running(Self.envoy)
        _ = lifecycle.exited("crash", at: start, using: &generator)
        _ = lifecycle.started(pid: 8, startTimeSeconds: 2, at: start)
        #expect(
            lifecycle.exited("crash", at: start + .seconds(60), using: &generator) == [.start]
        )
        _ = lifecycle.started(pid: 9, startTimeSeconds: 3, at: start + .seconds(60))
        let actions = lifecycle.exited("crash", at: start + .seconds(119), using: &generator)
        #expect(pauses(actions).count == 1)
    }

    @Test mutating func `who runs for 60 s has recovered`() throws {
        var lifecycle = running(Self.envoy)
        _ = lifecycle.exited("crash", at: start, using: &generator)
        #expect(lifecycle.observation.failures == 1)
        _ = lifecycle.started(pid: 8, startTimeSeconds: 2, at: start)
        let actions = lifecycle.becameReady()
        #expect(pauses(actions) == [.seconds(60)])
        #expect(try fire(actions, &lifecycle) == [])
        #expect(lifecycle.observation.failures == 0 && lifecycle.observation.restarts == 1)
    }

    @Test(arguments: [2, 5, 9, 10, 11, 60])
    func `chance only makes pauses longer, by a quarter at most`(failures: Int) {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<200 {
            let seconds = Backoff.pause(failures: failures, using: &generator) / .seconds(1)
            let base = failures < 10 ? 0.1 * Double(1 << (failures - 2)) : 60
            #expect(seconds >= base && seconds <= base * 1.25)
        }
    }

    @Test mutating func `what cannot start is tried again after a pause`() throws {
        var lifecycle = ProcessLifecycle(Self.application)
        _ = lifecycle.wanted()
        let reason = "cannot start \"foo\": no such file in PATH"
        let actions = lifecycle.failedToStart(reason, using: &generator)
        #expect(lifecycle.observation.phase == .backingOff)
        #expect(lifecycle.observation.lastError == reason)
        #expect(try fire(actions, &lifecycle) == [.start])
    }

    @Test mutating func `what waits for room on the disk is tried at a steady pace, as no restart`()
        throws
    {
        var lifecycle = ProcessLifecycle(Self.application)
        _ = lifecycle.wanted()
        for _ in 1...20 {
            let actions = lifecycle.failedToStart(
                "disk full",
                retryAfter: .seconds(5),
                using: &generator
            )
            #expect(pauses(actions) == [.seconds(5)])
            #expect(try fire(actions, &lifecycle) == [.start])
        }
        #expect(lifecycle.observation.restarts == 0 && lifecycle.observation.failures == 0)
    }

    @Test mutating func `removal drains, terminates and kills`() throws {
        var lifecycle = running(Self.envoy)
        var actions = lifecycle.removed(drainTime: .seconds(20))
        #expect(actions.first == .drain && pauses(actions) == [.seconds(20)])
        #expect(lifecycle.observation.phase == .draining)
        actions = lifecycle.drained()
        #expect(actions.first == .terminate && pauses(actions) == [.seconds(3)])
        #expect(lifecycle.observation.phase == .draining)
        #expect(try fire(actions, &lifecycle) == [.kill])
        #expect(lifecycle.exited("killed", at: start, using: &generator) == [])
        #expect(lifecycle.isStopped)
        #expect(lifecycle.observation.lastError == nil)
    }

    @Test func `the drain time ends the draining`() throws {
        var lifecycle = running(Self.envoy)
        let actions = lifecycle.removed(drainTime: .seconds(20))
        #expect(try fire(actions, &lifecycle).first == .terminate)
        #expect(lifecycle.drained() == [])
    }

    @Test func `the daemon's end shortens a drain under way`() throws {
        var lifecycle = running(Self.envoy)
        let long = lifecycle.removed(drainTime: .seconds(20))
        let short = lifecycle.removed(drainTime: .seconds(2))
        #expect(pauses(short) == [.seconds(2)])
        #expect(try fire(long, &lifecycle) == [])
        #expect(try fire(short, &lifecycle).first == .terminate)
    }

    @Test func `an application and an unready Envoy are terminated without draining`() {
        var application = running(Self.application)
        #expect(application.removed(drainTime: .seconds(20)).first == .terminate)
        var envoy = ProcessLifecycle(Self.envoy)
        _ = envoy.wanted()
        _ = envoy.started(pid: 7, startTimeSeconds: 1, at: start)
        #expect(envoy.removed(drainTime: .seconds(20)).first == .terminate)
    }

    @Test mutating func `what waits or backs off is gone at once when removed`() throws {
        var waiting = ProcessLifecycle(Self.envoy)
        _ = waiting.wanted()
        #expect(waiting.removed(drainTime: .seconds(20)) == [])
        #expect(waiting.isStopped)
        var backingOff = ProcessLifecycle(Self.envoy)
        _ = backingOff.wanted()
        let actions = backingOff.failedToStart("no", using: &generator)
        #expect(backingOff.removed(drainTime: .seconds(20)) == [])
        #expect(backingOff.isStopped)
        #expect(try fire(actions, &backingOff) == [])
    }

    @Test mutating func `a change drains and starts anew, which is no restart`() {
        var lifecycle = running(Self.envoy)
        #expect(lifecycle.changed().first == .drain)
        #expect(lifecycle.changed() == [])
        #expect(lifecycle.drained().first == .terminate)
        #expect(lifecycle.exited("exited", at: start, using: &generator) == [.start])
        #expect(lifecycle.observation.restarts == 0)
        #expect(lifecycle.observation.lastError == nil)
    }

    @Test mutating func `a change ends the pause after a crash`() {
        var lifecycle = ProcessLifecycle(Self.envoy)
        _ = lifecycle.wanted()
        _ = lifecycle.failedToStart("no", using: &generator)
        #expect(lifecycle.changed() == [.start])
    }

    @Test mutating func `what is wanted again while it ends starts again after its end`() {
        var lifecycle = running(Self.envoy)
        _ = lifecycle.removed(drainTime: .seconds(20))
        #expect(lifecycle.wanted() == [])
        _ = lifecycle.drained()
        #expect(lifecycle.exited("exited", at: start, using: &generator) == [.start])
    }

    // MARK: Gates, takeovers, adoption

    private static let replaceable = ProcessLifecycle.Policy(
        hasReadiness: true,
        drainTime: .seconds(20),
        killAfter: .seconds(3),
        canBeReplaced: true
    )

    @Test func `a removed proxy that has drained waits for its application`() {
        var lifecycle = running(Self.envoy)
        lifecycle.hasDependent = true
        _ = lifecycle.removed(drainTime: .seconds(20))
        #expect(lifecycle.drained() == [] && lifecycle.isHeld)
        #expect(lifecycle.observation.phase == .draining)
        #expect(lifecycle.dependentEnded().first == .terminate)
    }

    @Test func `the end of an application that nobody waits for ends no proxy`() {
        var lifecycle = running(Self.envoy)
        lifecycle.hasDependent = true
        #expect(lifecycle.dependentEnded() == [])
        #expect(lifecycle.isRunning)
    }

    @Test func `a running Envoy with other settings is replaced and does not end`() {
        var lifecycle = running(Self.replaceable)
        #expect(lifecycle.changed() == [.replace])
        #expect(lifecycle.observation.phase == .running)
        lifecycle.replaced(pid: 9, startTimeSeconds: 5, at: start)
        #expect(lifecycle.observation.pid == 9 && lifecycle.observation.upgrades == 1)
        #expect(lifecycle.observation.restarts == 0 && lifecycle.isRunning)
    }

    @Test mutating func `an Envoy that does not answer is ended and starts at once`() {
        var lifecycle = running(Self.replaceable)
        #expect(lifecycle.silent("did not answer for 9 s") == [.kill])
        #expect(lifecycle.exited("killed", at: start, using: &generator) == [.start])
        #expect(lifecycle.observation.lastError == "did not answer for 9 s")
        #expect(lifecycle.observation.restarts == 1)
    }

    @Test mutating func `an adopted Envoy is as old as it says`() {
        var lifecycle = ProcessLifecycle(Self.replaceable)
        let known = ProcessObservation(phase: .running, pid: 4, restarts: 3)
        #expect(lifecycle.adopted(known, isReady: true, age: .seconds(61), at: start) == [])
        #expect(lifecycle.isRunning && lifecycle.observation.restarts == 3)
        #expect(lifecycle.exited("crash", at: start, using: &generator) == [.start])
        var loading = ProcessLifecycle(Self.replaceable)
        #expect(loading.adopted(known, isReady: false, age: .zero, at: start) == [.probe])
        var dead = ProcessLifecycle(Self.replaceable)
        #expect(dead.adoptedDead(known, reason: "gone") == [.start])
        #expect(dead.observation.restarts == 4 && dead.observation.lastError == "gone")
    }
}
