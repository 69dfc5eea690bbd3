import Foundation
import KubernetesAPI
import Logging
import MeshTesting
import Testing

/// How the client's connections to the real server come about.
@Suite(.enabled(if: kubernetesIsExpected), .timeLimit(.minutes(5)))
struct ClientConnectionTests {
    private typealias ConfigMap = ClientServerTests.ConfigMap
    private static let configMaps = ClientServerTests.configMaps

    private static func fill(
        _ server: KubernetesServer,
        _ client: KubernetesClient
    ) async throws
        -> String
    {
        let namespace = try await server.makeNamespace("connection")
        let text = String(repeating: "colors ", count: 20_000)
        _ = try await client.create(
            ClientServerTests.configMap("large", ["text": text]),
            configMaps,
            namespace: namespace
        )
        return namespace
    }

    @Test func `requests at once share one connection, beside watches, and lists are compressed`()
        async throws
    {
        let server = try await KubernetesServer.shared()
        let proxy = try await ConnectionProxy(server.server)
        let client = try ClientServerTests.client(
            try server.kubeconfig(server: proxy.endpoint)
        )
        let namespace = try await Self.fill(server, client)
        let key = ObjectKey(namespace: namespace, name: "large")
        let start = try await client.list(ConfigMap.self, Self.configMaps, namespace: namespace)
        let events = client.watch(
            ConfigMap.self,
            Self.configMaps,
            namespace: namespace,
            from: start.resourceVersion,
            timeoutSeconds: 60
        )
        var iterator = events.makeAsyncIterator()
        try await client.patch(Self.configMaps, key, .merge, ["data": ["a": "1"]])
        _ = try await iterator.next()
        let before = try await proxy.counts()
        let sizes = try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<20 {
                group.addTask {
                    try await client.get(ConfigMap.self, Self.configMaps, key)
                        .data?["text"]?.count ?? 0
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(sizes == Array(repeating: 140_000, count: 20))
        let after = try await proxy.counts()
        #expect(after.connections == 1)
        #expect(after.received - before.received < 20 * 140_000 / 4)
        #expect(client.requestCounts[RequestKind(verb: "get", code: 200)] == 20)
    }

    @Test func `a connection that is cut is made again, and what can be repeated is`() async throws
    {
        let server = try await KubernetesServer.shared()
        let proxy = try await ConnectionProxy(server.server)
        let client = try ClientServerTests.client(
            try server.kubeconfig(server: proxy.endpoint)
        )
        let start = try await client.list(ConfigMap.self, Self.configMaps)
        let events = client.watch(
            ConfigMap.self,
            Self.configMaps,
            from: start.resourceVersion,
            timeoutSeconds: 600
        )
        let reader = Task { for try await _ in events {} }
        try await poll {
            client.requestCounts[RequestKind(verb: "watch", code: 200)]
        } until: {
            $0 == 1
        }
        try await proxy.cut()
        let error = await #expect(throws: KubernetesError.self) { try await reader.value }
        #expect(error?.kind == .unreachable)
        _ = try await client.list(ConfigMap.self, Self.configMaps)
        #expect(try await proxy.counts().connections == 2)
    }

    @Test func `connections without any answer are given up, and others made`() async throws {
        let server = try await KubernetesServer.shared()
        let proxy = try await ConnectionProxy(server.server)
        var options = KubernetesClient.Options()
        // As long as it takes until silence counts.
        options.requestTimeout = .seconds(6)
        let client = KubernetesClient(
            try .kubeconfig(path: try server.kubeconfig(server: proxy.endpoint)),
            options: options,
            logger: Logger(label: "test")
        )
        let start = try await client.list(ConfigMap.self, Self.configMaps)
        let events = client.watch(
            ConfigMap.self,
            Self.configMaps,
            from: start.resourceVersion,
            timeoutSeconds: 600
        )
        let reader = Task { for try await _ in events {} }
        try await poll {
            client.requestCounts[RequestKind(verb: "watch", code: 200)]
        } until: {
            $0 == 1
        }
        try await proxy.freeze()
        let error = await #expect(throws: KubernetesError.self) {
            try await client.list(ConfigMap.self, Self.configMaps)
        }
        #expect(error?.kind == .unreachable)
        // The watch is on that connection, too, and would hear nothing for ten minutes.
        await #expect(throws: KubernetesError.self) { try await reader.value }
        _ = try await client.list(ConfigMap.self, Self.configMaps)
    }

    /// What a cluster's fields say of trust, beside its server, and whether the server is trusted.
    private static let trust: [(fields: String, isTrusted: Bool)] = [
        ("certificate-authority: AUTHORITY", true), ("certificate-authority-data: DATA", true),
        ("certificate-authority: AUTHORITY\ntls-server-name: localhost", true),
        ("certificate-authority: AUTHORITY\ntls-server-name: other.example", false),
        ("certificate-authority: OTHER", false), ("certificate-authority-data: WRONG", false),
        ("tls-server-name: localhost", false), ("insecure-skip-tls-verify: true", true),
        ("insecure-skip-tls-verify: true\ntls-server-name: other.example", true),
    ]

    @Test(arguments: trust.indices)
    func `a server is trusted as the cluster's fields say`(_ index: Int) async throws {
        let row = Self.trust[index]
        let server = try await KubernetesServer.shared()
        let authority = try Data(contentsOf: URL(fileURLWithPath: server.certificateAuthority))
        try await TestFolder.use { folder in
            let other = try await TestAuthority("other", in: folder.path)
            let wrong = try Data(contentsOf: URL(fileURLWithPath: other.certificate))
            let fields = row.fields
                .replacing("AUTHORITY", with: server.certificateAuthority)
                .replacing("OTHER", with: other.certificate)
                .replacing("DATA", with: authority.base64EncodedString())
                .replacing("WRONG", with: wrong.base64EncodedString())
            let (certificate, key) = try await server.clientCertificate(user: "ann")
            let path = try folder.kubeconfig(
                cluster: "server: \(server.server)\n\(fields)",
                user: "{client-certificate: \(certificate), client-key: \(key)}"
            )
            let client = try ClientServerTests.client(path)
            if row.isTrusted {
                _ = try await client.list(ConfigMap.self, Self.configMaps)
            } else {
                let error = await #expect(throws: KubernetesError.self) {
                    try await client.list(ConfigMap.self, Self.configMaps)
                }
                #expect(error?.kind == .unreachable)
                #expect(error?.problem.contains("SSL") == true, "\(error as Any)")
                // There is no use in another attempt.
                #expect(client.requestCounts == [RequestKind(verb: "list", code: 0): 1])
            }
        }
    }

    @Test func `a client certificate that is replaced is used from then on`() async throws {
        let server = try await KubernetesServer.shared()
        try await TestFolder.use { folder in
            func use(_ user: String, _ groups: [String]) async throws {
                let (certificate, key) = try await server.clientCertificate(
                    user: user,
                    groups: groups
                )
                for (name, path) in [("key", key), ("crt", certificate)] {
                    let text = try String(contentsOfFile: path, encoding: .utf8)
                    try folder.write("client.\(name)", text)
                }
            }
            try await use("ben", ["nobody"])
            let path = try folder.kubeconfig(
                cluster: "server: \(server.server)\n"
                    + "certificate-authority: \(server.certificateAuthority)",
                user: "{client-certificate: client.crt, client-key: client.key}"
            )
            let client = try ClientServerTests.client(path)
            let error = await #expect(throws: KubernetesError.self) {
                try await client.list(ConfigMap.self, Self.configMaps)
            }
            #expect(error?.problem.contains(#"User "ben" cannot list"#) == true)
            try await use("ann", ["system:masters"])
            _ = try await client.list(ConfigMap.self, Self.configMaps)
        }
    }

    @Test func `the server is asked through a proxy`() async throws {
        let server = try await KubernetesServer.shared()
        let proxy = try await ConnectionProxy("http://127.0.0.1:1")
        let authority = try Data(contentsOf: URL(fileURLWithPath: server.certificateAuthority))
        let port = server.server.split(separator: ":").last ?? ""
        try await TestFolder.use { folder in
            let cluster = """
                server: https://kubernetes.example:\(port)
                certificate-authority-data: \(authority.base64EncodedString())
                tls-server-name: kubernetes.default.svc
                proxy-url: \(proxy.endpoint.replacing("//", with: "//ann:secret@"))
                """
            let (certificate, key) = try await server.clientCertificate(user: "ann")
            let path = try folder.kubeconfig(
                cluster: cluster,
                user: "{client-certificate: \(certificate), client-key: \(key)}"
            )
            let client = try ClientServerTests.client(path)
            _ = try await client.list(ConfigMap.self, Self.configMaps)
            let heads = try await proxy.counts().requests
            #expect(heads.allSatisfy { $0.hasPrefix("CONNECT kubernetes.example:\(port) ") })
            #expect(heads.count == 1)
            let password = Data("ann:secret".utf8).base64EncodedString()
            #expect(heads.first?.contains("Proxy-Authorization: Basic \(password)") == true)
        }
    }
}
