import GRPCCore
import HTTPClient
import MeshTesting
import Synchronization
import Testing

/// What is more than an application takes at once is refused by its own proxy.
@Suite(.enabled(if: envoyIsExpected), .serialized, .timeLimit(.minutes(1)))
struct ConnectionPoolTests {
    @Test func `requests, streams and connections over a node's limit are refused at once`()
        async throws
    {
        let pools: [(name: String, protocol: String, port: Int, pool: String)] = [
            ("web", "http", 8080, "http: {maxConnections: 1, maxPendingRequests: 1}"),
            ("modern", "http2", 8080, "http2: {maxRequests: 2}"),
            ("db", "tcp", 5432, "tcp: {maxConnections: 1}"),
        ]
        let nodes = pools.enumerated().map { index, pool in
            Manifests.served(
                pool.name,
                appPort: "APP\(index + 1)",
                protocol: pool.protocol,
                port: pool.port,
                listener: "connectionPool: {\(pool.pool)}"
            ) + Manifests.service(pool.name)
        }
        let gateway = Manifests.gateway(
            listeners: [8088: "http"],
            listener: "connectionPool: {http: {maxConnections: 1, maxPendingRequests: 1}}"
        )
        let base =
            Manifests.mesh() + Manifests.running("front", backends: pools.map(\.name))
            + nodes.joined() + gateway
            + Manifests.served("plain", appPort: "APP4") + Manifests.service("plain")
            + Manifests.gatewayRoute("plain", to: "plain", match: "{prefix: /}")
        try await RunningMesh.run(["mesh.yaml": base]) { mesh in
            try await checkHTTP(
                mesh,
                mesh.application(1),
                "http://\(try await mesh.egressAddress(of: "front")):8080",
                ("web", "cds_ingress_demo_web_demo_http_8080")
            )
            // A gateway limits what it lets in.
            try await checkHTTP(
                mesh,
                mesh.application(4),
                "http://\(try await mesh.ingressAddress(of: "gateway")):8088",
                ("gateway", "cds_ingress_demo_gateway_demo_self_redirect_http_15001")
            )
            try await checkHTTP2(mesh)
            try await checkTCP(mesh)
        }
    }

    /// Checks that `url` takes one request and another that waits, and no third.
    ///
    /// - Parameters:
    ///   - mesh: The mesh.
    ///   - application: What answers.
    ///   - url: Where it is asked.
    ///   - limit: The proxy that limits, and its cluster.
    /// - Throws: What a request throws.
    private func checkHTTP(
        _ mesh: RunningMesh,
        _ application: TestApplication,
        _ url: String,
        _ limit: (proxy: String, cluster: String)
    ) async throws {
        @Sendable func answer() async throws -> HTTPResponse {
            try await mesh.request(url, headers: [HTTPField("Host", "web.demo:8080")])
        }
        try await application.answer(always: .hold)
        async let first = answer()
        try await application.wait(held: 1)
        async let second = answer()
        let pending = "cluster.\(limit.cluster).upstream_rq_pending_active"
        while try await mesh.statistic(pending, of: limit.proxy) == 0 {}
        // One has the connection, one waits for it.
        #expect(try await answer().status == 503)
        #expect(try await application.counts().attempts == 1)
        try await application.release()
        #expect(try await first.status == 200)
        #expect(try await second.status == 200)
        #expect(try await answer().status == 200)
    }

    private func checkHTTP2(_ mesh: RunningMesh) async throws {
        func answer() async throws -> HTTPResponse {
            try await mesh.request(from: "front", host: "modern.demo:8080")
        }
        let application = mesh.application(2)
        try await application.answer(always: .hold)
        async let first = answer()
        async let second = answer()
        try await application.wait(held: 2)
        #expect(try await answer().status == 503)
        #expect(try await application.counts().attempts == 2)
        try await application.release()
        #expect(try await first.status == 200)
        #expect(try await second.status == 200)
        #expect(try await answer().status == 200)
    }

    private func checkTCP(_ mesh: RunningMesh) async throws {
        let address = try await mesh.egressAddress(of: "front")
        try await TCPConnection.run(address, port: 5432) { first in
            #expect(try await first.exchange("hi") == "db: hi")
            try await TCPConnection.run(address, port: 5432) { second in
                let answer = try await second.exchange("hi")
                #expect(answer == nil)
            }
            #expect(try await first.exchange("again") == "db: again")
        }
        try await mesh.application(3).wait(gone: 1)
        var answer: String?
        while answer == nil {
            try await TCPConnection.run(address, port: 5432) {
                answer = try await $0.exchange("hi")
            }
        }
        #expect(answer == "db: hi")
    }

    @Test func `gRPC calls over a node's limit are refused at once`() async throws {
        try await EchoServer.run(["color"]) { servers, ports in
            let base =
                Manifests.mesh()
                + Manifests.running("front", protocol: "grpc", backends: ["color"])
                + Manifests.node(
                    "color",
                    protocol: "grpc",
                    listener: "connectionPool: {grpc: {maxRequests: 1}}"
                ) + Manifests.runningWorkload("color", of: "color", appPort: ports[0])
                + Manifests.service("color")
            try await RunningMesh.run(["mesh.yaml": base]) { mesh in
                let address = try await mesh.egressAddress(of: "front")
                try await EchoClient.run(address, port: 8080, authority: "color.demo:8080") {
                    client in
                    try await client.chat { chat in
                        #expect(try await chat.exchange("one") == "color: one")
                        await expect(.unavailable) { try await client.say("two") }
                        #expect(servers[0].calls.withLock { $0 } == 1)
                        let answer = try await chat.exchange("three")
                        #expect(answer == "color: three")
                        #expect(try await chat.end() != nil)
                    }
                    #expect(try await client.say("four").message == "color: four")
                }
            }
        }
    }
}
