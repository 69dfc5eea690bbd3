import Foundation
import KubernetesAPI
import Logging
import MeshDaemon
import MeshTesting
import Synchronization
import Testing

/// How the roots get into the configurations of webhooks when something is in the way.
@Suite(.enabled(if: kubernetesIsExpected), .timeLimit(.minutes(5)))
struct CABundleKeeperTests {
    private func count(
        _ log: LogRecorder,
        _ message: String,
        _ level: Logger.Level
    ) -> Int {
        log.lines.count { $0.level == level && $0.text.contains(message) }
    }

    /// Makes a configuration of one webhook that nothing asks.
    private func configure(_ server: KubernetesServer, _ name: String) async throws {
        try await server.apply(
            """
            apiVersion: admissionregistration.k8s.io/v1
            kind: MutatingWebhookConfiguration
            metadata: {name: \(name)}
            webhooks:
            - {name: nobody.heddle.dev, admissionReviewVersions: [v1], sideEffects: None, \
            clientConfig: {url: "https://localhost:1/"}, \
            rules: [{apiGroups: [nobody.heddle.dev], apiVersions: [v1], operations: [CREATE], \
            resources: [nothings]}]}
            """
        )
    }

    private func bundle(_ server: KubernetesServer, _ name: String) async throws -> String {
        try await server.kubectl(
            "get",
            "mutatingwebhookconfiguration",
            name,
            "-o",
            "jsonpath={.webhooks[0].clientConfig.caBundle}"
        )
    }

    /// Roots that the API server takes.
    private func roots(_ server: KubernetesServer) throws -> String {
        try String(contentsOfFile: server.certificateAuthority, encoding: .utf8)
    }

    private func running(_ keeper: CABundleKeeper, body: () async throws -> Void) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await keeper.run() }
            defer { group.cancelAll() }
            try await body()
        }
    }

    @Test func `without the right it is told once, and with it the roots are written`()
        async throws
    {
        let server = try await KubernetesServer.shared()
        let namespace = try await server.makeNamespace()
        try await configure(server, namespace)
        let group = "admissionregistration.k8s.io"
        let kinds = ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"]
        let reads = KubernetesServer.Rule(group, kinds, ["get", "list", "watch"])
        let kubeconfig = try await server.createServiceAccount(
            namespace,
            "heddle",
            rules: [reads]
        )
        let log = LogRecorder(level: .info)
        let client = KubernetesClient(try .kubeconfig(path: kubeconfig), logger: log.logger)
        let roots = try roots(server)
        let keeper = CABundleKeeper(
            client: client,
            name: namespace,
            roots: { roots },
            leadershipEnd: { .now + .seconds(60) },
            firstPause: .milliseconds(1),
            logger: log.logger
        )
        try await running(keeper) {
            try await poll(
                { client.requestCounts[RequestKind(verb: "patch", code: 403)] ?? 0 },
                until: { $0 > 5 }
            )
            #expect(count(log, "cannot write the root", .warning) == 1)
            try await server.setRules(namespace, "heddle", [reads, .init(group, kinds, ["patch"])])
            _ = try await poll({ try await bundle(server, namespace) }, until: { !$0.isEmpty })
            try await poll({ count(log, "wrote the root", .info) }, until: { $0 == 1 })
            #expect(count(log, "cannot write the root", .warning) == 1)
        }
    }

    @Test func `a replica waits until the API server has had its roots`() async throws {
        let server = try await KubernetesServer.shared()
        let namespace = try await server.makeNamespace()
        try await configure(server, namespace)
        let log = LogRecorder(level: .info)
        let client = KubernetesClient(
            try .kubeconfig(path: server.kubeconfig),
            logger: log.logger
        )
        let own = try roots(server)
        let current = Mutex(own)
        let isLeading = Mutex(false)
        let keeper = CABundleKeeper(
            client: client,
            name: namespace,
            roots: { current.withLock { $0 } },
            leadershipEnd: { isLeading.withLock { $0 } ? .now + .seconds(60) : nil },
            logger: log.logger
        )
        #expect(keeper.waiting.count == 2)
        try await running(keeper) {
            let told = try await poll({ keeper.waiting }, until: { $0.count == 1 })
            // There is no validating one to wait for.
            #expect(
                told.first?.hasPrefix("MutatingWebhookConfiguration \(namespace) has another root")
                    == true
            )
            isLeading.withLock { $0 = true }
            keeper.look()
            try await poll({ keeper.waiting }, until: { $0.isEmpty })
            #expect(!(try await bundle(server, namespace)).isEmpty)
            // Another root later takes no replica away.
            isLeading.withLock { $0 = false }
            current.withLock { $0 = own.replacing("M", with: "N") }
            #expect(keeper.waiting == [])
        }
    }

    @Test func `who may not read the configurations waits for nothing`() async throws {
        let server = try await KubernetesServer.shared()
        let namespace = try await server.makeNamespace()
        try await configure(server, namespace)
        let kubeconfig = try await server.createServiceAccount(namespace, "heddle", rules: [])
        let log = LogRecorder(level: .info)
        let client = KubernetesClient(try .kubeconfig(path: kubeconfig), logger: log.logger)
        let roots = try roots(server)
        let keeper = CABundleKeeper(
            client: client,
            name: namespace,
            roots: { roots },
            leadershipEnd: { nil },
            logger: log.logger
        )
        #expect(!keeper.waiting.isEmpty)
        try await running(keeper) {
            try await poll({ keeper.waiting }, until: { $0.isEmpty })
        }
    }

    @Test func `a write ends with the Lease`() async throws {
        let server = try await KubernetesServer.shared()
        let namespace = try await server.makeNamespace()
        try await configure(server, namespace)
        let proxy = try await ConnectionProxy(server.server)
        var options = KubernetesClient.Options()
        options.requestTimeout = .seconds(3600)
        let log = LogRecorder(level: .info)
        let client = KubernetesClient(
            try .kubeconfig(path: server.kubeconfig(server: proxy.endpoint)),
            options: options,
            logger: log.logger
        )
        let end = Mutex<ContinuousClock.Instant?>(nil)
        let roots = try roots(server)
        let keeper = CABundleKeeper(
            client: client,
            name: namespace,
            roots: { roots },
            leadershipEnd: { end.withLock { $0 } },
            logger: log.logger
        )
        try await running(keeper) {
            try await poll(
                { client.requestCounts[RequestKind(verb: "watch", code: 200)] ?? 0 },
                until: { $0 == 2 }
            )
            try await proxy.set(.stall)
            try await proxy.freeze()
            end.withLock { $0 = .now + .seconds(2) }
            keeper.look()
            try await poll(
                { client.requestCounts[RequestKind(verb: "patch", code: 0)] ?? 0 },
                until: { $0 == 1 }
            )
            #expect(try await bundle(server, namespace) == "")
        }
    }
}
