import Synchronization
import Testing

@testable import XDSServer

/// What is asked of the Kubernetes API, and remembered.
@Suite(.timeLimit(.minutes(1))) struct `Token reviews` {
    private let token = "e30.e30.c2ln"
    private let pod = PodIdentity(
        namespace: "demo",
        serviceAccount: "default",
        podName: "blue-1",
        podUID: "1"
    )

    @Test func `an answer is asked for once, and again when it is old`() async throws {
        let asked = Counter()
        let clock = TurnedTime()
        let pod = pod
        let reviews = TokenReviews(clock: clock) { _ in
            asked.add()
            return pod
        }
        #expect(try await reviews.identity(of: token, from: "a") == pod)
        #expect(try await reviews.identity(of: token, from: "a") == pod)
        #expect(asked.value == 1)
        clock.advance(by: .seconds(31))
        #expect(try await reviews.identity(of: token, from: "a") == pod)
        #expect(asked.value == 2)
    }

    @Test func `that a token proves nobody is remembered for less long`() async throws {
        let asked = Counter()
        let clock = TurnedTime()
        let reviews = TokenReviews(clock: clock) { _ in
            asked.add()
            return nil
        }
        for _ in 0..<3 { #expect(try await reviews.identity(of: token, from: "a") == nil) }
        #expect(asked.value == 1)
        clock.advance(by: .seconds(6))
        #expect(try await reviews.identity(of: token, from: "a") == nil)
        #expect(asked.value == 2)
    }

    @Test func `a failure is an error, is not remembered, and is that of all who wait`()
        async throws
    {
        struct Down: Error {}
        let asked = Counter()
        let gate = Gate()
        let reviews = TokenReviews { _ in
            asked.add()
            await gate.wait()
            throw Down()
        }
        let token = token
        let failures = await withTaskGroup { group in
            for _ in 0..<20 {
                group.addTask {
                    do {
                        _ = try await reviews.identity(of: token, from: "a")
                        return false
                    } catch {
                        return true
                    }
                }
            }
            await asked.wait(for: 1)
            gate.open()
            return await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
        }
        #expect(failures == 20)
        // Who came after the first had its answer asked again.
        #expect(asked.value <= 20)
        await #expect(throws: TokenReviews.Unavailable.self) {
            try await reviews.identity(of: token, from: "a")
        }
    }

    @Test func `no more are asked at once than the API can bear`() async throws {
        var limits = TokenReviews.Limits()
        limits.reviews = 2
        limits.waiting = 3
        let running = Counter()
        let gate = Gate()
        let reviews = TokenReviews(limits: limits) { _ in
            running.add()
            await gate.wait()
            return nil
        }
        let unavailable = await withTaskGroup { group in
            for number in 0..<10 {
                group.addTask {
                    do {
                        _ = try await reviews.identity(of: "e30.\(number).c2ln", from: "a")
                        return false
                    } catch {
                        return true
                    }
                }
            }
            await running.wait(for: 2)
            // Five are in or wait, and five can't.
            var unavailable = 0
            for await isUnavailable in group where isUnavailable {
                unavailable += 1
                if unavailable == 5 { break }
            }
            #expect(running.value == 2)
            gate.open()
            return await group.reduce(into: unavailable) { $0 += $1 ? 1 : 0 }
        }
        #expect(unavailable == 5)
        #expect(running.value == 5)
    }

    @Test func `who sends many tokens that prove nobody has few asked about, and others theirs`()
        async throws
    {
        let asked = Counter()
        let clock = TurnedTime()
        let (token, pod) = (token, pod)
        let reviews = TokenReviews(clock: clock) {
            asked.add()
            return $0 == token ? pod : nil
        }
        let limit = TokenReviews.Limits().refusedOfOneAddress
        for number in 0..<limit {
            #expect(try await reviews.identity(of: "e30.\(number).c2ln", from: "many") == nil)
        }
        let error = await #expect(throws: TokenReviews.Unavailable.self) {
            try await reviews.identity(of: "e30.more.c2ln", from: "many")
        }
        #expect(
            error?.description == "too many tokens from many proved nobody; try again later"
        )
        #expect(asked.value == limit)
        #expect(try await reviews.identity(of: token, from: "one") == pod)
        clock.advance(by: .seconds(6))
        #expect(try await reviews.identity(of: "e30.later.c2ln", from: "many") == nil)
    }

    @Test func `one that is not answered in time is an error`() async throws {
        var limits = TokenReviews.Limits()
        limits.deadline = .milliseconds(20)
        let reviews = TokenReviews(limits: limits) { _ in
            try await Task.sleep(for: .seconds(3600))
            return nil
        }
        let error = await #expect(throws: TokenReviews.Unavailable.self) {
            try await reviews.identity(of: token, from: "a")
        }
        #expect(error?.description.hasPrefix("no answer within") == true)
    }

    @Test(arguments: [
        "", "a.b", "a.b.c.d", "a..c", "a.b.c\n", "a.b c.d", "ä.b.c",
        String(repeating: "a", count: 17_000) + ".b.c",
    ])
    func `what has not the form of a token is not asked about`(token: String) async throws {
        let reviews = TokenReviews { _ in
            Issue.record("asked")
            return nil
        }
        #expect(try await reviews.identity(of: token, from: "a") == nil)
    }

    @Test func `no more are remembered than the limit, the newest`() {
        var recent = RecentAnswers<Int, Int>(lifetime: .seconds(10), limit: 100)
        for key in 0..<5000 { recent.insert(key, of: key, at: .milliseconds(key)) }
        #expect(recent.count == 100)
        #expect(recent.value(of: 4999, at: .seconds(5)) == 4999)
        #expect(recent.value(of: 4899, at: .seconds(5)) == nil)
        // One that is asked again stays for as long as the newest answer.
        recent.insert(1, of: 4900, at: .seconds(6))
        for key in 5000..<5050 { recent.insert(key, of: key, at: .seconds(6)) }
        #expect(recent.value(of: 4900, at: .seconds(7)) == 1)
        #expect(recent.value(of: 4900, at: .seconds(16)) == nil)
    }
}

/// Counts, and tells when a number is reached.
private final class Counter: Sendable {
    private struct State {
        var count = 0
        var waiters: [(count: Int, wake: CheckedContinuation<Void, Never>)] = []
    }

    private let state = Mutex(State())

    var value: Int { state.withLock { $0.count } }

    func add() {
        let ready = state.withLock { state in
            state.count += 1
            let count = state.count
            let ready = state.waiters.filter { $0.count <= count }
            state.waiters.removeAll { $0.count <= count }
            return ready
        }
        for waiter in ready { waiter.wake.resume() }
    }

    func wait(for count: Int) async {
        await withCheckedContinuation { wake in
            let isReached = state.withLock { state in
                if state.count >= count { return true }
                state.waiters.append((count, wake))
                return false
            }
            if isReached { wake.resume() }
        }
    }
}

/// Holds who waits until it opens.
private final class Gate: Sendable {
    private let counter = Counter()

    func open() { counter.add() }
    func wait() async { await counter.wait(for: 1) }
}

/// A clock that goes on when a test turns it; who sleeps by it does so until cancelled.
private final class TurnedTime: Clock, Sendable {
    typealias Instant = ContinuousClock.Instant

    private let offset = Mutex(Duration.zero)
    private let begin = ContinuousClock.now

    var now: Instant { begin + offset.withLock { $0 } }
    var minimumResolution: Duration { .nanoseconds(1) }

    func advance(by duration: Duration) { offset.withLock { $0 += duration } }

    func sleep(until deadline: Instant, tolerance: Duration?) async throws {
        try await Task.sleep(for: .seconds(3600))
    }
}
