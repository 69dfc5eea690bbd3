import EnvoyAPI
import GRPCCore
import GRPCNIOTransportHTTP2Posix
import GRPCProtobuf
import MeshModel
import MeshPlan
import MeshTesting
import SwiftProtobuf
import Synchronization
import Testing

@testable import XDSServer

/// Health discovery with real Envoys.
@Suite(
    .timeLimit(.minutes(2)),
    .serialized,
    .enabled(if: EnvoyProcess.binary != nil || EnvoyProcess.isRequired, "no Envoy")
)
struct `Health checks with Envoy` {
    private let callers = ["front-1", "front-2", "front-3"]
    private let cluster = "cds_egress_demo_blue_demo_http_8080"

    @Test func `an application is checked once, and gets no requests while it fails`() async throws
    {
        let (one, two) = (TestApplication("one"), TestApplication("two"))
        let world = try world(protocol: "http", applications: [one.port, two.port], callers)
        let store = SnapshotStore()
        try await withService(store) { path in
            let start = ContinuousClock.now
            let mesh = try PlannedMesh(world, store, path)
            try await mesh.until {
                $0.health("blue-1") == .healthy && $0.health("blue-2") == .healthy
            }
            try await expectAnswers(["one", "two"], mesh)

            one.answerPing(with: 500)
            try await mesh.until {
                try $0.health("blue-1") == .unhealthy(.status(500))
                    && self.endpoints($0) == [["UNHEALTHY", "UNKNOWN"]]
            }
            try await expectAnswers(["two"], mesh)

            one.answerPing(with: 200)
            try await mesh.until {
                try $0.health("blue-1") == .healthy
                    && self.endpoints($0) == [["UNKNOWN", "UNKNOWN"]]
            }
            try await expectAnswers(["one", "two"], mesh)
            // One check in each interval, however many callers there are.
            let intervals = Int((ContinuousClock.now - start) / .milliseconds(200))
            for tally in [one.tally, two.tally] {
                #expect(tally.probes <= intervals + 2)
                #expect(tally.relayedProbes == 0)
            }

            // Callers take over, and give back, while all proxies go on.
            let before = one.tally.probes
            mesh.setMode(.callers)
            try await mesh.until { $0.health("blue-1") == nil }
            try await until { one.tally.relayedProbes > 6 }
            #expect(one.tally.probes - before < 3)
            // The cluster of the proxy's own checks is still there, and checks nothing.
            let last = one.tally.probes
            try await until { one.tally.relayedProbes > 30 }
            #expect(one.tally.probes == last)
            mesh.setMode(.once)
            try await mesh.until { $0.health("blue-1") == .healthy }
        }
    }

    @Test func `the gRPC health service is asked over HTTP/2`() async throws {
        let service = GRPCHealth()
        let server = GRPCServer(
            transport: .http2NIOPosix(
                address: .ipv4(host: "127.0.0.1", port: 0),
                transportSecurity: .plaintext
            ),
            services: [service]
        )
        try await withThrowingTaskGroup { group in
            group.addTask { try await server.serve() }
            let port = try #require(try await server.listeningAddress?.ipv4?.port)
            let world = try world(protocol: "grpc", applications: [UInt16(port)], [])
            let store = SnapshotStore()
            try await withService(store) { path in
                let mesh = try PlannedMesh(world, store, path)
                try await mesh.until { $0.health("blue-1") == .healthy }
                service.answer(.notServing)
                try await mesh.until { $0.health("blue-1") == .unhealthy(.unknown) }
                service.answer(.serving)
                try await mesh.until { $0.health("blue-1") == .healthy }
            }
            group.cancelAll()
        }
    }

    /// A node blue with a workload for each application, and one that calls it for each caller.
    private func world(
        protocol: String,
        applications: [UInt16],
        _ callers: [String]
    ) throws -> World {
        func workload(_ name: String, _ app: String, _ spec: String) -> String {
            """
            ---
            apiVersion: heddle.dev/v1alpha1
            kind: Workload
            metadata: {namespace: demo, name: \(name), labels: {app: \(app)}}
            spec: \(spec)

            """
        }
        let workloads =
            applications.enumerated().map { index, port in
                workload("blue-\(index + 1)", "blue", "{ports: {8080: \(port)}}")
            } + callers.map { workload($0, "front", "{}") }
        var world = World(
            demo: """
                apiVersion: appmesh.k8s.aws/v1beta2
                kind: VirtualNode
                metadata: {namespace: demo, name: blue}
                spec:
                  podSelector: {matchLabels: {app: blue}}
                  listeners: [{portMapping: {port: 8080, protocol: \(`protocol`)}}]
                  serviceDiscovery: {dns: {hostname: blue.demo}}
                ---
                apiVersion: appmesh.k8s.aws/v1beta2
                kind: VirtualService
                metadata: {namespace: demo, name: blue}
                spec: {provider: {virtualNode: {virtualNodeRef: {name: blue}}}}
                ---
                apiVersion: appmesh.k8s.aws/v1beta2
                kind: VirtualNode
                metadata: {namespace: demo, name: front}
                spec:
                  podSelector: {matchLabels: {app: front}}
                  backends: [{virtualService: {virtualServiceRef: {name: blue}}}]

                """ + workloads.joined()
        )
        // App Mesh's shortest interval would be 5 s.
        let blue = ObjectReference(namespace: "demo", name: "blue")
        world.virtualNodes[blue]?.spec.listeners[0].healthCheck = HealthCheck(
            healthyThreshold: 2,
            unhealthyThreshold: 2,
            interval: .milliseconds(200),
            timeout: .milliseconds(200),
            path: "/ping",
            protocol: try #require(ListenerProtocol(rawValue: `protocol`))
        )
        world.meshes[ObjectReference(name: "demo")]?.spec.healthChecks = .once
        return world
    }

    /// The health of the endpoints as each caller has it.
    private func endpoints(_ mesh: PlannedMesh) throws -> Set<[String]> {
        Set(try callers.map { try mesh.endpoints(cluster, of: $0) })
    }

    /// Asks until every caller is answered by `names` alone: of its workers Envoy tells nothing.
    private func expectAnswers(_ names: Set<String>, _ mesh: PlannedMesh) async throws {
        for caller in callers {
            try await until {
                Set(mesh.answers(to: caller, host: "blue.demo:8080", count: 10)) == names
            }
        }
    }
}

extension PlannedMesh {
    fileprivate func setMode(_ mode: HealthCheckMode) {
        change { $0.meshes[ObjectReference(name: "demo")]?.spec.healthChecks = mode }
    }
}

/// The standard gRPC health service.
private final class GRPCHealth: RegistrableRPCService {
    enum Status: UInt8 {
        case serving = 1
        case notServing = 2
    }

    private let status = Mutex(Status.serving)

    func answer(_ status: Status) { self.status.withLock { $0 = status } }

    func registerMethods<Transport: ServerTransport>(with router: inout RPCRouter<Transport>) {
        let service = ServiceDescriptor(fullyQualifiedService: "grpc.health.v1.Health")
        router.registerHandler(
            forMethod: MethodDescriptor(service: service, method: "Check"),
            deserializer: ProtobufDeserializer<Google_Protobuf_Empty>(),
            serializer: ProtobufSerializer<Google_Protobuf_Int32Value>()
        ) { _, _ in
            // The one field of a HealthCheckResponse is its first, an enumeration.
            let answer = Google_Protobuf_Int32Value(
                Int32(self.status.withLock { $0.rawValue })
            )
            return StreamingServerResponse { writer in
                try await writer.write(answer)
                return [:]
            }
        }
    }
}
