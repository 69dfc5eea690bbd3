import MeshModel
import Testing

@testable import EnvoySupervisor

/// Always in the middle, so that jitter changes nothing.
struct EvenGenerator: RandomNumberGenerator {
    mutating func next() -> UInt64 { UInt64.max / 2 }
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
        lifecycle.becameReady()
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
        lifecycle.becameReady()
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
        }
        let expected = [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30]
        for (pause, seconds) in zip(seen, expected) {
            #expect(abs(pause / .seconds(1) - seconds) < 0.01)
        }
        #expect(seen.count == expected.count)
    }

    @Test mutating func `a crash after 30 s counts as the first`() throws {
        var lifecycle = running(Self.envoy)
        _ = lifecycle.exited("crash", at: start, using: &generator)
        _ = lifecycle.started(pid: 8, startTimeSeconds: 2, at: start)
        #expect(
            lifecycle.exited("crash", at: start + .seconds(30), using: &generator) == [.start]
        )
        _ = lifecycle.started(pid: 9, startTimeSeconds: 3, at: start + .seconds(30))
        let actions = lifecycle.exited("crash", at: start + .seconds(59), using: &generator)
        #expect(pauses(actions).count == 1)
    }

    @Test(arguments: [2, 5, 11, 60])
    func `jitter stays within a quarter and within the limits`(failures: Int) {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<200 {
            let seconds = Backoff.pause(failures: failures, using: &generator) / .seconds(1)
            let base = min(0.1 * Double(1 << min(failures - 2, 9)), 30)
            #expect(seconds >= max(0.1, base * 0.75) && seconds <= min(30, base * 1.25))
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
}
