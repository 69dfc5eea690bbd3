import Logging
import MeshTesting
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
                    _ = try await gate.run(until: .now + .seconds(600)) {
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
        _ = try await gate.run(until: .now + .seconds(600)) {
            let waiting = Task { try await Self.pass(gate) }
            waiting.cancel()
            await #expect(throws: CancellationError.self) { try await waiting.value }
        }
        try await Self.pass(gate)
    }

    @Test func `who waits too long is not let through, and takes no place`() async throws {
        let gate = RequestGate(limit: 1)
        _ = try await gate.run(until: .now + .seconds(600)) {
            let late = try await gate.run(until: .now + .milliseconds(10)) { true }
            #expect(late == nil)
        }
        let next = try await gate.run(until: .now + .seconds(600)) { true }
        #expect(next == true)
    }

    @Test func `an election waits for nobody, and others no longer than they may`() async throws {
        let silent = try await ConnectionProxy("http://127.0.0.1:1")
        try await silent.set(.stall)
        let found = #"{"metadata": {"name": "a"}}"#
        let server = try await ScriptedServer([
            ScriptedServer.Answer(200, found), .of(silent.endpoint),
            ScriptedServer.Answer(200, found),
        ])
        var options = KubernetesClient.Options()
        options.maxRequestsInFlight = 1
        let client = KubernetesClient(
            KubernetesConfiguration(server: server.endpoint),
            options: options,
            logger: Logger(label: "test")
        )
        let key = ObjectKey(namespace: "demo", name: "a")
        // Until the first answer nobody knows whether requests can share a connection, and others wait.
        _ = try await client.get(Lease.self, .pods, key)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { _ = try await client.get(Lease.self, .pods, key) }
            defer { group.cancelAll() }
            try await poll({ try await server.requests().count }, until: { $0 == 2 })
            let error = await #expect(throws: KubernetesError.self) {
                let deadline = ContinuousClock.now + .milliseconds(100)
                _ = try await client.get(Lease.self, .pods, key, deadline: deadline)
            }
            #expect(error?.problem.contains("too many other requests") == true)
            let lease = try await client.get(Lease.self, .leases, key)
            #expect(lease.metadata.name == "a")
        }
    }

    private static func pass(_ gate: RequestGate) async throws {
        _ = try await gate.run(until: .now + .seconds(600)) {}
    }
}
