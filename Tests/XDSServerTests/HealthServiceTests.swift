import EnvoyAPI
import GRPCCore
import MeshModel
import MeshPlan
import SwiftProtobuf
import Testing

@testable import XDSServer

/// Health discovery over a real socket.
@Suite(.timeLimit(.minutes(2))) struct `Health discovery service` {
    private let blue = proxy("blue")

    private func store(_ probes: Probe...) -> SnapshotStore {
        let store = SnapshotStore()
        store.authorize(token: "blue-token", for: blue)
        store.publish([blue: Snapshot()], probes: [blue: probes])
        return store
    }

    /// Waits until `health` is what is known of blue.
    private func until(_ health: [Port: ApplicationHealth], _ store: SnapshotStore) async {
        var changes = store.observations.makeAsyncIterator()
        while store.currentObservations[blue]?.health ?? [:] != health {
            _ = await changes.next(isolation: #isolation)
        }
    }

    private func request(_ report: HealthReport) -> HealthRequest {
        HealthRequest.with { $0.endpointHealthResponse = report }
    }

    @Test func `what a proxy reports is observed, and stays so over streams`() async throws {
        let probe = try probe(8080)
        let store = store(probe)
        try await withService(store) { path in
            try await withHealthClient(path, token: "blue-token") { client in
                client.send(.with { $0.healthCheckRequest = .init() })
                let specifier = try await client.next()
                #expect(specifier.clusterHealthChecks.map(\.clusterName) == [probe.cluster])
                client.send(request(report((probe, .unhealthy, 500))))
                await until([probe.port: .unhealthy(.status(500))], store)
                client.send(request(report((probe, .healthy, 200))))
                await until([probe.port: .healthy], store)
                client.send(request(report((probe, .timeout, nil))))
                await until([probe.port: .unhealthy(.timeout)], store)
            }
            try await withHealthClient(path, token: "blue-token") { client in
                _ = try await client.next()
                #expect(
                    store.currentObservations[blue]?.health == [probe.port: .unhealthy(.timeout)]
                )
                client.send(request(report((probe, .healthy, 200))))
                await until([probe.port: .healthy], store)
            }
        }
    }

    @Test func `a change is sent to the open stream, and off takes the results back`() async throws
    {
        let probe = try probe(8080)
        let store = store()
        let blue = blue
        try await withService(store) { path in
            try await withHealthClient(path, token: "blue-token") { client in
                let first = try await client.next()
                #expect(first.clusterHealthChecks.isEmpty)
                store.publish([blue: Snapshot()], probes: [blue: [probe]])
                let second = try await client.next()
                #expect(second.clusterHealthChecks.count == 1)
                client.send(request(report((probe, .timeout, nil))))
                await until([probe.port: .unhealthy(.timeout)], store)
                let third = try await client.next()
                #expect(third.interval.seconds == 1)
                store.publish([blue: Snapshot()])
                #expect(store.currentObservations[blue]?.health == [:])
                let fourth = try await client.next()
                #expect(fourth.clusterHealthChecks.map(\.localityEndpoints) == [[]])
            }
        }
    }

    @Test func `health and configuration do not disturb each other`() async throws {
        let probe = try probe(8080)
        let store = store(probe)
        let blue = blue
        try store.publish([blue: snapshot(cluster("a"))], probes: [blue: [probe]])
        try await withService(store) { path in
            try await withHealthClient(path, token: "blue-token") { health in
                health.send(request(report((probe, .healthy, 200))))
                await until([probe.port: .healthy], store)
                try await withClient(path, token: "blue-token") { client in
                    client.send(XDSServerTests.request(.clusters))
                    _ = try await client.accept()
                    var changes = store.observations.makeAsyncIterator()
                    while store.currentObservations[blue]?.sync[.clusters] != .synced {
                        _ = await changes.next(isolation: #isolation)
                    }
                    let observation = store.currentObservations[blue]
                    #expect(observation?.health == [probe.port: .healthy])
                }
            }
        }
    }

    @Test func `a second stream takes over, and a removed proxy's stream ends`() async throws {
        let probe = try probe(8080)
        let store = store(probe)
        try await withService(store) { path in
            try await withHealthClient(path, token: "blue-token") { first in
                _ = try await first.next()
                first.send(request(report((probe, .healthy, 200))))
                await until([probe.port: .healthy], store)
                try await withHealthClient(path, token: "blue-token") { second in
                    _ = try await second.next()
                    #expect(store.currentObservations[blue]?.health == [probe.port: .healthy])
                    store.publish([:])
                    let error = await #expect(throws: RPCError.self) { try await second.next() }
                    #expect(error?.code == .notFound)
                }
                let error = await #expect(throws: RPCError.self) {
                    while true { _ = try await first.next() }
                }
                #expect(error?.code == .aborted)
            }
        }
        #expect(store.currentObservations.isEmpty)
    }

    @Test func `a proxy is told nothing before its plan is made`() async throws {
        let probe = try probe(8080)
        let store = SnapshotStore()
        let blue = blue
        store.authorize(token: "blue-token", for: blue)
        try await withService(store) { path in
            try await withHealthClient(path, token: "blue-token") { client in
                client.send(request(report((probe, .healthy, 200))))
                store.publish([blue: Snapshot()], probes: [blue: [probe]])
                let told = try await client.next()
                #expect(told.clusterHealthChecks.count == 1)
            }
        }
    }

    @Test(arguments: [nil, "wrong"])
    func `an unknown token is refused`(token: String?) async throws {
        let store = store()
        try await withService(store) { path in
            let error = await #expect(throws: RPCError.self) {
                try await withHealthClient(path, token: token) { _ = try await $0.next() }
            }
            #expect(error?.code == .unauthenticated)
        }
    }

    @Test func `what cannot be read ends only the stream that it came on`() async throws {
        let probe = try probe(8080)
        let store = store(probe)
        let red = proxy("red")
        store.authorize(token: "red-token", for: red)
        store.publish(
            [blue: Snapshot(), red: Snapshot()],
            probes: [blue: [probe], red: [probe]]
        )
        try await withService(store) { path in
            try await withHealthClient(path, token: "blue-token") { client in
                client.send(request(report((probe, .healthy, 200))))
                await until([probe.port: .healthy], store)
                try await withGarbage(path, HealthDiscovery.stream, token: "red-token")
                #expect(store.currentObservations[red]?.health ?? [:] == [:])
                client.send(request(report((probe, .unhealthy, 500))))
                await until([probe.port: .unhealthy(.status(500))], store)
            }
        }
    }
}
