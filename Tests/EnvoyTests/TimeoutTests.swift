import HTTPClient
import MeshTesting
import Testing

/// Requests that an application holds end when the route or the listener says so.
@Suite(.enabled(if: envoyIsExpected), .serialized, .timeLimit(.minutes(1)))
struct TimeoutTests {
    /// A node whose four listeners differ in their timeouts, and one that speaks TCP.
    private static let nodes = """
        ---
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: VirtualNode
        metadata: {name: slow, namespace: demo}
        spec:
          podSelector: {matchLabels: {app: slow}}
          listeners:
            - portMapping: {port: 8080, protocol: http}
            - portMapping: {port: 8081, protocol: http}
              timeout: {http: {perRequest: {unit: ms, value: 200}}}
            - portMapping: {port: 8082, protocol: http}
              timeout: {http: {perRequest: {unit: s, value: 0}}}
            - portMapping: {port: 8083, protocol: http}
              timeout: {http: {idle: {unit: ms, value: 200}, perRequest: {unit: s, value: 0}}}
          serviceDiscovery: {dns: {hostname: slow.demo.svc.cluster.local}}
        ---
        apiVersion: heddle.dev/v1alpha1
        kind: Workload
        metadata: {name: slow, namespace: demo, labels: {app: slow}}
        spec:
          command: [python3, app.py]
          env: {NAME: slow, PORT: "APP1,APP2,APP3,APP4"}
          ports: {8080: APP1, 8081: APP2, 8082: APP3, 8083: APP4}
        ---
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: VirtualNode
        metadata: {name: db, namespace: demo}
        spec:
          podSelector: {matchLabels: {app: db}}
          listeners:
            - portMapping: {port: 5432, protocol: tcp}
              timeout: {tcp: {idle: {unit: ms, value: 200}}}
            - portMapping: {port: 5433, protocol: tcp}
          serviceDiscovery: {dns: {hostname: db.demo.svc.cluster.local}}
        ---
        apiVersion: heddle.dev/v1alpha1
        kind: Workload
        metadata: {name: db, namespace: demo, labels: {app: db}}
        spec:
          command: [python3, app.py]
          env: {NAME: db, PORT: "APP5,APP6", MODE: tcp}
          ports: {5432: APP5, 5433: APP6}

        """

    private static func route(_ path: String, to port: Int, _ timeout: String?) -> String {
        Manifests.route(
            ["slow": 1],
            name: String(path.dropFirst()),
            match: "{prefix: \(path)}",
            targetPort: port,
            rest: timeout.map { "timeout: {\($0)}" } ?? ""
        )
    }

    private static let none = "perRequest: {unit: s, value: 0}"

    @Test func `a request ends when its route or its listener says, and goes on where both say 0`()
        async throws
    {
        let rows: [(path: String, port: Int, timeout: String?)] = [
            ("/route", 8080, "perRequest: {unit: ms, value: 200}"),
            ("/route-idle", 8082, "idle: {unit: ms, value: 200}, \(Self.none)"),
            ("/listener", 8081, nil), ("/listener-none", 8081, Self.none),
            ("/listener-idle", 8083, Self.none),
            // App Mesh's 15 s, at the route and at the listener.
            ("/default", 8080, nil), ("/default-route", 8082, nil),
            ("/default-listener", 8080, Self.none),
        ]
        let routes =
            rows.map { Self.route($0.path, to: $0.port, $0.timeout) }
            + [Self.route("/none", to: 8082, Self.none)]
        let base =
            Manifests.mesh() + Manifests.running("front", backends: ["slow"]) + Self.nodes
            + Manifests.routed("slow", listeners: [8080: "http"], routes: routes)
        try await RunningMesh.run(["mesh.yaml": base]) { mesh in
            let application = mesh.application(1)
            try await application.answer(always: .hold)
            @Sendable func answer(_ path: String) async throws -> HTTPResponse {
                try await mesh.request(from: "front", host: "slow.demo:8080", path: path)
            }
            async let patient = answer("/none")
            try await withThrowingTaskGroup { group in
                for (path, _, _) in rows {
                    group.addTask {
                        let status = try await answer(path).status
                        #expect(status == 504, "\(path)")
                        // It is given up at the application too, and is not sent again.
                        let counts = try await application.wait(path, gone: 1)
                        #expect(counts.attempts == 1, "\(path)")
                    }
                }
                try await group.waitForAll()
            }
            // By now 15 s have passed.
            #expect(try await application.counts("/none").held == 1)
            try await application.release()
            #expect(try await patient.status == 200)
        }
    }

    @Test func `an idle TCP connection is closed when its route or its listener says`() async throws
    {
        let route = Manifests.route(
            ["db": 1],
            type: "tcpRoute",
            match: "{}",
            targetPort: 5433,
            rest: "timeout: {idle: {unit: ms, value: 200}}"
        )
        let base =
            Manifests.mesh() + Manifests.running("front", backends: ["db", "routed"]) + Self.nodes
            + Manifests.service("db")
            + Manifests.routed("routed", listeners: [6000: "tcp"], routes: [route])
        try await RunningMesh.run(["mesh.yaml": base]) { mesh in
            let address = try await mesh.egressAddress(of: "front")
            for (port, ended) in [(5432, 1), (6000, 2)] {
                try await TCPConnection.run(address, port: port) { connection in
                    #expect(try await connection.exchange("one") == "db: one")
                    #expect(try await connection.exchange("two") == "db: two")
                    try await connection.end()
                }
                try await mesh.application(5).wait(gone: ended)
            }
        }
    }
}
