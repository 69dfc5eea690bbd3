import Foundation
import Logging
import MeshTesting
import ServiceLifecycle
import Synchronization
import Testing

@testable import KubernetesAPI

/// A clock that can be stopped for whoever sleeps by it, as a paused process is; time goes on.
private final class StoppableClock: Sendable {
    private let isStopped = Mutex(false)

    func stop() { isStopped.withLock { $0 = true } }
    func goOn() { isStopped.withLock { $0 = false } }

    var time: LeaderElection.Time {
        var time = LeaderElection.Time()
        time.sleep = { instant in
            try await Task.sleep(until: instant, clock: .continuous)
            while self.isStopped.withLock({ $0 }) { try await Task.sleep(for: .milliseconds(10)) }
        }
        return time
    }
}

/// Elections by Leases of a real API server.
@Suite(.enabled(if: kubernetesIsExpected), .timeLimit(.minutes(5)))
struct LeaderElectionTests {
    /// An election that changes hands within seconds.
    private func election(
        _ client: KubernetesClient,
        _ namespace: String,
        _ identity: String,
        duration: Duration = .seconds(4),
        time: LeaderElection.Time = .init()
    ) -> LeaderElection {
        LeaderElection(
            client: client,
            claim: LeaseClaim(
                key: ObjectKey(namespace: namespace, name: "heddle"),
                identity: identity,
                duration: duration,
                renewDeadline: .seconds(2),
                retryPeriod: .milliseconds(250)
            ),
            time: time,
            logger: Logger(label: "test")
        )
    }

    private func waitUntil(_ election: LeaderElection, leads: Bool) async throws {
        try await poll {
            election.leadershipEnd != nil
        } until: {
            $0 == leads
        }
    }

    /// Runs `elections` while `body` runs.
    private func running(
        _ elections: LeaderElection...,
        body: () async throws -> Void
    ) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for election in elections { group.addTask { try await election.run() } }
            defer { group.cancelAll() }
            try await body()
        }
    }

    private func holder(_ server: KubernetesServer, _ namespace: String) async throws -> String {
        try await server.kubectl(
            "get",
            "lease",
            "heddle",
            "-n",
            namespace,
            "-o",
            "jsonpath={.spec.holderIdentity}"
        )
    }

    @Test func `when the leader stands still another leads, and never both`() async throws {
        let server = try await KubernetesServer.shared()
        let namespace = try await server.makeNamespace()
        let clock = StoppableClock()
        let first = election(try .of(server), namespace, "first", time: clock.time)
        let second = election(try .of(server), namespace, "second")
        try await running(first) {
            try await waitUntil(first, leads: true)
            try await running(second) {
                try await poll {
                    try await holder(server, namespace)
                } until: {
                    $0 == "first"
                }
                clock.stop()
                try await poll {
                    let ends = (first.leadershipEnd, second.leadershipEnd)
                    #expect(ends.0 == nil || ends.1 == nil)
                    return ends.1 != nil
                } until: {
                    $0
                }
                #expect(try await holder(server, namespace) == "second")
                clock.goOn()
                let end = ContinuousClock.now + .seconds(1)
                try await poll {
                    #expect(first.leadershipEnd == nil)
                    return ContinuousClock.now
                } until: {
                    $0 > end
                }
                #expect(second.leadershipEnd != nil)
            }
        }
        let told = try await server.kubectl(
            "get",
            "lease",
            "heddle",
            "-n",
            namespace,
            "-o",
            "jsonpath={.spec.leaseTransitions} {.spec.renewTime}"
        )
        #expect(told.contains(/^1 \S+\.\d{6}Z$/))
    }

    @Test func `who ends gives the Lease back, and another leads at once`() async throws {
        let server = try await KubernetesServer.shared()
        let namespace = try await server.makeNamespace()
        let long = Duration.seconds(3600)
        let first = election(try .of(server), namespace, "first", duration: long)
        let second = election(try .of(server), namespace, "second", duration: long)
        let group = ServiceGroup(services: [first], logger: Logger(label: "test"))
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await group.run() }
            defer { tasks.cancelAll() }
            try await waitUntil(first, leads: true)
            tasks.addTask { try await second.run() }
            await group.triggerGracefulShutdown()
            try await waitUntil(second, leads: true)
            #expect(first.leadershipEnd == nil)
        }
        var changes = first.changes.makeAsyncIterator()
        // The last change, and then the end.
        #expect(await changes.next() == false)
        #expect(await changes.next() == nil)
    }

    @Test func `without its server a leader leads no more, and with it again`() async throws {
        let server = try await KubernetesServer.shared()
        let namespace = try await server.makeNamespace()
        let proxy = try await ConnectionProxy(server.server)
        let election = election(
            // As in production, thrice the time that a leader has.
            try .of(server, through: proxy.endpoint, requestTimeout: .seconds(6)),
            namespace,
            "only"
        )
        try await running(election) {
            var changes = election.changes.makeAsyncIterator()
            #expect(await changes.next() == true)
            for mode in [ConnectionProxy.Mode.refuse, .stall] {
                try await proxy.set(mode)
                try await proxy.cut()
                #expect(await changes.next() == false)
                #expect(election.leadershipEnd == nil)
                try await proxy.set(.serve)
                #expect(await changes.next() == true)
            }
        }
    }

    @Test func `a connection that says nothing any more is given up by who needs it most`()
        async throws
    {
        let server = try await KubernetesServer.shared()
        let namespace = try await server.makeNamespace()
        let proxy = try await ConnectionProxy(server.server)
        let client = try KubernetesClient.of(
            server,
            through: proxy.endpoint,
            requestTimeout: .seconds(6)
        )
        let election = election(client, namespace, "only")
        let path = "jsonpath={.spec.renewTime}"
        func renewal() async throws -> String {
            try await server.kubectl("get", "lease", "heddle", "-n", namespace, "-o", path)
        }
        try await running(election) {
            try await waitUntil(election, leads: true)
            let before = try await proxy.counts().connections
            try await proxy.freeze()
            let last = try await renewal()
            try await poll {
                try await renewal()
            } until: {
                $0 != last
            }
            let after = try await proxy.counts().connections
            #expect(after > before)
            let unanswered = client.requestCounts.filter { $0.key.code == 0 }.values.reduce(0, +)
            #expect(unanswered > 0)
        }
    }

    @Test func `a Lease that is deleted by hand is made anew by its leader`() async throws {
        let server = try await KubernetesServer.shared()
        let namespace = try await server.makeNamespace()
        let first = election(try .of(server), namespace, "first")
        let client = try KubernetesClient.of(server)
        let second = election(client, namespace, "second")
        try await running(first) {
            try await waitUntil(first, leads: true)
            try await running(second) {
                // It has seen who leads.
                try await poll {
                    client.requestCounts[RequestKind(verb: "get", code: 200)] ?? 0
                } until: {
                    $0 > 0
                }
                try await server.kubectl("delete", "lease", "heddle", "-n", namespace)
                try await poll {
                    #expect(second.leadershipEnd == nil)
                    return (try? await holder(server, namespace)) ?? ""
                } until: {
                    $0 == "first"
                }
                try await waitUntil(first, leads: true)
                #expect(second.leadershipEnd == nil)
            }
        }
    }

    @Test(arguments: [
        "{}", #"{holderIdentity: "🦊/x", leaseDurationSeconds: 2, leaseTransitions: 2147483647}"#,
        #"{holderIdentity: "", renewTime: "1999-01-01T00:00:00.000000Z"}"#,
    ])
    func `what others have put into the Lease is waited out, and their labels are kept`(
        spec: String
    ) async throws {
        let server = try await KubernetesServer.shared()
        let namespace = try await server.makeNamespace()
        try await server.apply(
            """
            apiVersion: coordination.k8s.io/v1
            kind: Lease
            metadata: {name: heddle, labels: {team: red}}
            spec: \(spec)
            """,
            namespace: namespace
        )
        let begin = ContinuousClock.now
        let election = election(try .of(server), namespace, "only")
        try await running(election) {
            try await waitUntil(election, leads: true)
            #expect(begin.duration(to: .now) > .seconds(4))
            let told = try await server.kubectl(
                "get",
                "lease",
                "heddle",
                "-n",
                namespace,
                "-o",
                "jsonpath={.spec.holderIdentity} {.metadata.labels.team}"
            )
            #expect(told == "only red")
        }
    }

    @Test func `without rights nobody leads, and with them somebody does`() async throws {
        let server = try await KubernetesServer.shared()
        let namespace = try await server.makeNamespace()
        let kubeconfig = try await server.createServiceAccount(namespace, "heddle")
        let client = try KubernetesClient.of(server, kubeconfig: kubeconfig)
        let election = election(client, namespace, "only")
        try await running(election) {
            try await poll {
                client.requestCounts[RequestKind(verb: "get", code: 403)] ?? 0
            } until: {
                $0 > 1
            }
            #expect(election.leadershipEnd == nil)
            let rule = KubernetesServer.Rule(
                "coordination.k8s.io",
                ["leases"],
                ["get", "create", "update"]
            )
            try await server.setRules(namespace, "heddle", [rule])
            try await waitUntil(election, leads: true)
        }
    }
}
