import Synchronization
import Testing

@testable import KubernetesAPI

/// How many requests are under way at once.
@Suite(.timeLimit(.minutes(1)))
struct ClientGateTests {
    private final class Peak: Sendable {
        private let state = Mutex((now: 0, most: 0))
        var most: Int { state.withLock { $0.most } }

        func change(by number: Int) {
            state.withLock { state in
                state.now += number
                state.most = max(state.most, state.now)
            }
        }
    }

    @Test func `no more than so many are let through`() async throws {
        let gate = RequestGate(limit: 2)
        let peak = Peak()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<50 {
                group.addTask {
                    try await gate.run {
                        peak.change(by: 1)
                        await Task.yield()
                        peak.change(by: -1)
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(peak.most == 2)
    }

    @Test func `those who give up take no place`() async throws {
        let gate = RequestGate(limit: 1)
        try await gate.run {
            let waiting = Task { try await Self.pass(gate) }
            waiting.cancel()
            await #expect(throws: CancellationError.self) { try await waiting.value }
        }
        try await Self.pass(gate)
    }

    private static func pass(_ gate: RequestGate) async throws { try await gate.run {} }
}
