import EnvoyAPI
import GRPCCore
import GRPCProtobuf
import MeshModel
import MeshPlan
import MeshTesting
import Testing

@testable import XDSServer

/// The service for proxies elsewhere, over real TLS.
@Suite(.timeLimit(.minutes(2))) struct `Remote xDS service` {
    private let blue = proxy("blue-1")
    private let red = proxy("red-1")
    private let blueNode = "mesh/m/virtualNode/blue"

    private func store() throws -> SnapshotStore {
        let store = SnapshotStore()
        store.admit([
            blue: RemoteProxy(
                nodeID: blueNode,
                podUID: "uid of blue-1",
                spiffeID: "spiffe://m/demo/blue"
            ),
            red: RemoteProxy(
                nodeID: "mesh/m/virtualNode/red",
                podUID: "uid of red-1",
                spiffeID: "spiffe://m/demo/red"
            ),
        ])
        try store.publish([
            blue: snapshot(cluster("for-blue")), red: snapshot(cluster("for-red")),
        ])
        return store
    }

    @Test(arguments: [
        "mesh/m/virtualNode/blue",
        "arn:aws:appmesh:eu-west-1:123456789012:mesh/m/virtualNode/blue",
    ])
    func `a Pod's token gets that Pod's snapshot`(node: String) async throws {
        try await withRemoteServer(try store()) { server in
            let token = server.reviews.token("blue", pod: "blue-1")
            try await server.withClient(token: token) { client in
                client.send(firstRequest(.clusters, node: node))
                let response = try await client.accept()
                #expect(response.resources.map(\.name) == ["for-blue"])
                // Envoy says who it is once.
                client.send(request(.endpoints, subscribe: ["none"]))
                #expect(try await client.accept().removedResources == ["none"])
            }
        }
    }

    @Test func `who proves nobody is told what to do`() async throws {
        let log = LogRecorder()
        try await withRemoteServer(try store(), log: log) { server in
            let unbound = server.reviews.token("unbound", pod: nil)
            let cases: [(token: String?, says: String)] = [
                (nil, "no token: send one as metadata \"authorization: Bearer <token>\""),
                ("e30.unknown.c2ln", "the token proves nobody: it has ended"),
                ("no token at all", "the token proves nobody: it has ended"),
                (unbound, "the token of service account demo/default is bound to no Pod"),
            ]
            for (token, says) in cases {
                let error = try await server.refusal(token: token)
                #expect(error?.code == .unauthenticated)
                #expect(error?.message.hasPrefix(says) == true, "\(error?.message ?? "")")
            }
            // Nobody is asked about what does not claim to be a proxy's.
            #expect(server.reviews.count == 0)
        }
        #expect(log.texts.count == 3)
        #expect(!log.texts.joined().contains("unknown.c2ln"))
    }

    @Test func `who is no planned proxy is told so`() async throws {
        try await withRemoteServer(try store()) { server in
            let other = server.reviews.token("other", pod: "other-1")
            var error = try await server.refusal(token: other)
            #expect(error?.code == .permissionDenied)
            #expect(error?.message.hasPrefix("Pod demo/other-1 is no proxy of a mesh") == true)

            let old = server.reviews.token("old", pod: "blue-1", uid: "before")
            error = try await server.refusal(token: old)
            #expect(error?.code == .permissionDenied)
            #expect(error?.message.contains("with the uid before") == true)

            let elsewhere = server.reviews.token("ns", pod: "blue-1", namespace: "other")
            error = try await server.refusal(token: elsewhere)
            #expect(error?.code == .permissionDenied)
            #expect(server.reviews.count == 0)
        }
    }

    @Test(arguments: [
        (["aud": "other"], 0), (["exp": "1"], 0), (["uid": "another"], 0), ([:], 1),
    ])
    func `the API server is asked about a token only if it claims what a proxy's would`(
        claims: [String: String],
        reviews: Int
    ) async throws {
        try await withRemoteServer(try store()) { server in
            let forged = forgedToken(
                "forged",
                pod: "blue-1",
                uid: claims["uid"] ?? "uid of blue-1",
                audience: claims["aud"] ?? "heddle.dev",
                endSeconds: claims["exp"] ?? "99999999999"
            )
            let error = try await server.refusal(token: forged)
            #expect(error != nil)
            #expect(server.reviews.count == reviews)
        }
    }

    @Test func `who is refused again and again on one connection is put out`() async throws {
        var limits = ConnectionRegistry.Limits()
        limits.refusals = 3
        limits.proof = .seconds(3600)
        try await withRemoteServer(try store(), limits: limits) { server in
            let codes = try await withGRPCClient(transport: try server.transport()) { client in
                var codes: [RPCError.Code] = []
                for _ in 0..<3 {
                    let error = await #expect(throws: RPCError.self) {
                        try await client.bidirectionalStreaming(
                            request: StreamingClientRequest<DeltaRequest> { _ in },
                            descriptor: AggregatedDiscovery.delta,
                            serializer: ProtobufSerializer<DeltaRequest>(),
                            deserializer: ProtobufDeserializer<Delta>(),
                            options: .defaults
                        ) { response in for try await _ in response.messages {} }
                    }
                    if let error { codes.append(error.code) }
                }
                return codes
            }
            #expect(codes == [.unauthenticated, .unauthenticated, .unauthenticated])
            #expect(server.connections.endedCount == 1)
            try await poll {
                server.connections.unprovenCount
            } until: {
                $0 == 0
            }
            let token = server.reviews.token("blue", pod: "blue-1")
            #expect(try await server.refusal(token: token) == nil)
        }
    }

    @Test(arguments: [
        ("mesh/m/virtualNode/red", RPCError.Code.permissionDenied),
        ("arn:aws:appmesh:eu-west-1:1:mesh/m/virtualNode/red", .permissionDenied),
        ("", .permissionDenied),
        ("mesh/m/virtualNode/none", .invalidArgument),
        ("x:mesh/m/virtualNode/blue", .invalidArgument),
    ])
    func `a node id that is not planned is refused by all services`(
        node: String,
        code: RPCError.Code
    ) async throws {
        try await withRemoteServer(try store()) { server in
            let token = server.reviews.token("blue", pod: "blue-1")
            let error = try await server.refusal(token: token, node: node)
            #expect(error?.code == code)
            #expect(error?.message.contains("\"\(node)\"") == true)
            #expect(error?.message.contains("planned as \"mesh/m/virtualNode/blue\"") == true)

            let health = await #expect(throws: RPCError.self) {
                try await server.withStream(HealthDiscovery.stream, token: token) {
                    (client: inout StreamClient<HealthRequest, HealthSpecifier>) in
                    var first = HealthRequest()
                    first.healthCheckRequest.node.id = node
                    client.send(first)
                    while true { _ = try await client.next() }
                }
            }
            #expect(health?.code == code)
            let log = await #expect(throws: RPCError.self) {
                try await server.withStream(AccessLogService.stream, token: token) {
                    (client: inout StreamClient<LogMessage, LogAnswer>) in
                    var first = LogMessage()
                    first.identifier.node.id = node
                    client.send(first)
                    while true { _ = try await client.next() }
                }
            }
            #expect(log?.code == code)
        }
    }

    @Test func `while nobody can be asked the proxy is to try again, and then gets in`()
        async throws
    {
        try await withRemoteServer(try store()) { server in
            let token = server.reviews.token("blue", pod: "blue-1")
            server.reviews.setDown(true)
            let error = try await server.refusal(token: token)
            #expect(error?.code == .unavailable)
            #expect(error?.message.hasSuffix("connection refused") == true)
            server.reviews.setDown(false)
            #expect(try await server.refusal(token: token) == nil)
            // What was answered stands while the API is away.
            server.reviews.setDown(true)
            #expect(try await server.refusal(token: token) == nil)
        }
    }

    @Test func `before the first plan the proxy is to try again`() async throws {
        let store = SnapshotStore()
        try await withRemoteServer(store) { server in
            let token = server.reviews.token("blue", pod: "blue-1")
            var error = try await server.refusal(token: token)
            #expect(error?.code == .unavailable)
            store.admit([:])
            error = try await server.refusal(token: token)
            #expect(error?.code == .permissionDenied)
        }
    }

    @Test func `a second Envoy of a Pod takes over, and a Pod of the same name begins anew`()
        async throws
    {
        let store = try store()
        let (blue, blueNode) = (blue, blueNode)
        try await withRemoteServer(store) { server in
            let token = server.reviews.token("blue", pod: "blue-1")
            try await server.withClient(token: token, metadata: [envoyHeader: "a"]) { first in
                first.send(firstRequest(.clusters, node: blueNode))
                _ = try await first.accept()
                try await server.withClient(token: token, metadata: [envoyHeader: "b"]) { second in
                    second.send(firstRequest(.clusters, node: blueNode))
                    _ = try await second.accept()
                    store.admit([blue: RemoteProxy(nodeID: blueNode, podUID: "new")])
                    let error = await #expect(throws: RPCError.self) { try await second.next() }
                    #expect(error?.code == .notFound)
                }
                let error = await #expect(throws: RPCError.self) { try await first.next() }
                #expect(error?.code == .aborted)
            }
            #expect(try await server.refusal(token: token)?.code == .permissionDenied)
            let new = server.reviews.token("new", pod: "blue-1", uid: "new")
            #expect(try await server.refusal(token: new) == nil)
        }
    }

    @Test func `a client certificate proves nobody unless that is asked for`() async throws {
        try await withRemoteServer(try store()) { server in
            let own = try await server.authority.issue("blue", for: ["spiffe://m/demo/blue"])
            let error = await #expect(throws: RPCError.self) {
                let names = ["heddle-proxy": "demo/blue-1"]
                try await server.withClient(client: own, metadata: names) { client in
                    _ = try await client.next()
                }
            }
            #expect(error?.code == .unauthenticated)
            #expect(error?.message.contains("certificate") == false)
        }
    }

    @Test func `a Pod that another node selects gets nothing of that as the one that it was`()
        async throws
    {
        let store = try store()
        let (blue, red, blueNode) = (blue, red, blueNode)
        try await withRemoteServer(store) { server in
            let token = server.reviews.token("blue", pod: "blue-1")
            try await server.withClient(token: token) { client in
                client.send(firstRequest(.clusters, node: blueNode))
                _ = try await client.accept()
                store.admit([
                    blue: RemoteProxy(nodeID: "mesh/m/virtualNode/red", podUID: "uid of blue-1"),
                    red: RemoteProxy(nodeID: blueNode, podUID: "uid of red-1"),
                ])
                try store.publish([blue: snapshot(cluster("for-red"))])
                let error = await #expect(throws: RPCError.self) { try await client.next() }
                #expect(error?.code == .notFound)
            }
            // Its bootstrap is of the node that it was made for.
            try await server.withClient(token: token) { client in
                client.send(firstRequest(.clusters, node: blueNode))
                let error = await #expect(throws: RPCError.self) { try await client.next() }
                #expect(error?.message.contains("restart the Pod") == true)
            }
        }
    }

    @Test func `a client certificate is good for any proxy of its virtual node`() async throws {
        let node = blueNode
        try await withRemoteServer(try store(), takesClientCertificates: true) { server in
            let own = try await server.authority.issue("blue", for: ["spiffe://m/demo/blue"])
            let names = ["heddle-proxy": "demo/blue-1"]
            try await server.withClient(client: own, metadata: names) { client in
                client.send(firstRequest(.clusters, node: node))
                let response = try await client.accept()
                #expect(response.resources.map(\.name) == ["for-blue"])
            }
            var error = try await server.refusal(client: own)
            #expect(error?.code == .invalidArgument)
            error = try await server.refusal(client: own, metadata: ["heddle-proxy": "demo/red-1"])
            #expect(error?.code == .permissionDenied)
            #expect(error?.message.contains("is of \"spiffe://m/demo/blue\"") == true)

            let plain = try await server.authority.issue("plain", for: ["blue.demo"])
            error = try await server.refusal(client: plain, metadata: names)
            #expect(error?.code == .unauthenticated)

            let stranger = try await TestAuthority("stranger", in: try temporaryFolder())
            let forged = try await stranger.issue("blue", for: ["spiffe://m/demo/blue"])
            error = try await server.refusal(client: forged, metadata: names)
            #expect(error?.code == .unavailable)
        }
    }

    @Test func `a new certificate is for new connections, and streams go on`() async throws {
        let store = try store()
        let (blue, node) = (blue, blueNode)
        try await withRemoteServer(store) { server in
            let token = server.reviews.token("blue", pod: "blue-1")
            try await server.withClient(token: token) { client in
                client.send(firstRequest(.clusters, node: node))
                _ = try await client.accept()
                #expect(try await serial(at: UInt16(server.port)) == 1001)
                let next = try await servingCertificate(server.authority, serial: 1002)
                server.certificate.value = next
                #expect(try await serial(at: UInt16(server.port)) == 1002)
                try store.publish([blue: snapshot(cluster("for-blue", "2"))])
                #expect(try await client.accept().resources.map(\.name) == ["for-blue"])
            }
        }
    }

    @Test(arguments: [
        ("-tls1_2", "h2", false), ("-tls1_3", "h2", true), ("-tls1_3", "http/1.1", false),
    ])
    func `TLS is 1.3, with HTTP 2`(version: String, alpn: String, isAccepted: Bool) async throws {
        try await withRemoteServer(try store()) { server in
            let command = [
                "sh", "-c",
                "exec openssl s_client -connect 127.0.0.1:\(server.port) \(version) -alpn \(alpn) </dev/null",
            ]
            let result = try await runCommand("/usr/bin/env", command)
            #expect(result.output.contains("ALPN protocol: h2") == isAccepted)
        }
    }

    @Test func `who begins no handshake is put out, and others get in`() async throws {
        var limits = ConnectionRegistry.Limits()
        limits.unproven = 4
        limits.handshake = .milliseconds(300)
        try await withRemoteServer(try store(), limits: limits) { server in
            let silent = (0..<8).map { _ in SilentConnection(port: server.port) }
            // The first four are in time, and the others are put out at once.
            for connection in silent.dropFirst(4) { try await connection.waitForEnd() }
            for connection in silent { try await connection.waitForEnd() }
            #expect(server.connections.refusedCount > 0)
            try await poll {
                server.connections.unprovenCount
            } until: {
                $0 == 0
            }
            let token = server.reviews.token("blue", pod: "blue-1")
            #expect(try await server.refusal(token: token) == nil)
        }
    }

    @Test func `who proves nothing after the handshake is put out, who did stays`() async throws {
        var limits = ConnectionRegistry.Limits()
        limits.proof = .milliseconds(300)
        let store = try store()
        let (blue, node) = (blue, blueNode)
        try await withRemoteServer(store, limits: limits) { server in
            let token = server.reviews.token("blue", pod: "blue-1")
            try await server.withClient(token: token) { client in
                client.send(firstRequest(.clusters, node: node))
                _ = try await client.accept()
                // It ends when the server closes it: its input does not.
                let command = [
                    "bash", "-c",
                    "exec openssl s_client -connect 127.0.0.1:\(server.port) -alpn h2 "
                        + "< <(exec sleep 60 2>/dev/null)",
                ]
                let result = try await runCommand("/usr/bin/env", command)
                #expect(result.output.contains("ALPN protocol: h2"))
                try store.publish([blue: snapshot(cluster("for-blue", "2"))])
                _ = try await client.accept()
            }
        }
    }

    @Test func `an address in use is named with the option that moves it`() async throws {
        let store = try store()
        try await withRemoteServer(store) { server in
            let error = #expect(throws: ListenError.self) {
                try TCPListener.listen(host: "127.0.0.1", port: UInt16(server.port))
            }
            let address = "127.0.0.1:\(server.port)"
            let text = "cannot listen on \(address) for xDS: address already in use"
            #expect(error?.description == "\(text); stop the other process or pass --xds-address")
        }
        let error = #expect(throws: ListenError.self) {
            try TCPListener.listen(host: "heddle", port: 1)
        }
        #expect(error?.description.contains("\"heddle\" is no IP address") == true)
    }
}
