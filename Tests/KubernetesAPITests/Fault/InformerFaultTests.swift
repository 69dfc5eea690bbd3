import Foundation
import MeshTesting
import Testing

@testable import KubernetesAPI

/// Informers whose server or network fails, with everything real but the network's failing.
///
/// Each ends with the view of `kubectl get`, and with no deletion told that did not happen.
@Suite(.enabled(if: kubernetesIsExpected), .timeLimit(.minutes(5)))
struct InformerFaultTests {
    @Test func `connections that are cut lose nothing`() async throws {
        let server = try await KubernetesServer.shared()
        let namespace = try await server.makeNamespace()
        let proxy = try await ConnectionProxy(server.server)
        var generator = SeededGenerator(seed: 1)
        let client = try KubernetesClient.of(server, through: proxy.endpoint)
        try await withInformer(client, namespace: namespace) { view in
            var deleted: Set<String> = []
            for _ in 0..<8 {
                deleted.formUnion(try await server.churn(namespace, count: 10, using: &generator))
                let before = client.watchCount
                try await proxy.cut()
                try await poll {
                    client.watchCount
                } until: {
                    $0 > before
                }
            }
            try await server.expect(view, in: namespace, deleted: deleted)
            #expect(view.state.lists == 1)
        }
    }

    @Test func `a server that is away for a while is told of once, and nothing is lost`()
        async throws
    {
        let server = try await KubernetesServer.shared()
        let namespace = try await server.makeNamespace()
        let proxy = try await ConnectionProxy(server.server)
        var generator = SeededGenerator(seed: 2)
        let client = try KubernetesClient.of(server, through: proxy.endpoint)
        try await withInformer(client, namespace: namespace) { view in
            try await poll {
                view.state.lists
            } until: {
                $0 == 1
            }
            var deleted = try await server.churn(namespace, count: 20, using: &generator)
            try await server.expect(view, in: namespace, deleted: deleted)
            try await proxy.set(.refuse)
            try await proxy.cut()
            deleted.formUnion(try await server.churn(namespace, count: 20, using: &generator))
            let failures = try await poll {
                view.state.failures
            } until: {
                !$0.isEmpty
            }
            #expect(failures.map(\.kind) == [.unreachable])
            // What was told before still holds.
            #expect(!view.objects.isEmpty)
            try await proxy.set(.serve)
            try await server.expect(view, in: namespace, deleted: deleted)
            #expect(view.state.recoveries == 1)
            #expect(view.state.failures.count == 1)
        }
    }

    @Test func `a connection that went silent is noticed, and given up for another`()
        async throws
    {
        let server = try await KubernetesServer.shared()
        let namespace = try await server.makeNamespace()
        let proxy = try await ConnectionProxy(server.server)
        var generator = SeededGenerator(seed: 3)
        let client = try KubernetesClient.of(server, through: proxy.endpoint)
        try await withInformer(client, namespace: namespace, watchSeconds: 3...3) { view in
            try await poll {
                view.state.lists
            } until: {
                $0 == 1
            }
            try await proxy.freeze()
            let deleted = try await server.churn(namespace, count: 20, using: &generator)
            try await server.expect(view, in: namespace, deleted: deleted)
            #expect(try await proxy.counts().connections > 1)
        }
    }

    @Test(arguments: seeds(2))
    func `storms of 429 and 5xx, and answers that break off, lose nothing`(
        seed: UInt64
    )
        async throws
    {
        let server = try await KubernetesServer.shared()
        let namespace = try await server.makeNamespace()
        let proxy = try await AnswerProxy(server, seed: seed)
        var generator = SeededGenerator(seed: seed)
        var deleted = try await server.churn(namespace, count: 40, using: &generator)
        let client = try KubernetesClient.of(server, through: proxy.endpoint)
        try await proxy.set(.init(share: 0.5, retryAfter: seed == 1 ? 1 : nil, cutShare: 0.3))
        try await withInformer(
            client,
            namespace: namespace,
            pageSize: 5,
            watchSeconds: 1...1
        ) { view in
            try await poll {
                deleted.formUnion(try await server.churn(namespace, count: 10, using: &generator))
                return try await proxy.counts()
            } until: {
                $0.refused >= 6 && $0.cut >= 2 && $0.passed >= 3
            }
            try await proxy.set(.none)
            try await server.expect(view, in: namespace, deleted: deleted)
        }
    }

    @Test func `what etcd has forgotten is listed anew, in a watch and within a list`()
        async throws
    {
        // Watches go to etcd itself.
        let server = try await KubernetesServer(.init(arguments: ["--watch-cache=false"]))
        let namespace = try await server.makeNamespace()
        let (network, answers) = (
            try await ConnectionProxy(server.server), try await AnswerProxy(server)
        )
        var generator = SeededGenerator(seed: 5)
        var deleted = try await server.churn(namespace, count: 60, using: &generator)

        let client = try KubernetesClient.of(server, through: network.endpoint)
        try await withInformer(client, namespace: namespace) { view in
            try await server.expect(view, in: namespace, deleted: deleted)
            try await network.set(.refuse)
            try await network.cut()
            deleted.formUnion(try await server.churn(namespace, count: 30, using: &generator))
            try await server.compact()
            try await network.set(.serve)
            try await server.expect(view, in: namespace, deleted: deleted)
            #expect(view.state.lists == 2)
        }
        let expired = client.requestCounts.filter { $0.key.verb == "watch" && $0.key.code == 410 }
        // It is told within a watch, too.
        #expect(expired.isEmpty || expired.values.reduce(0, +) == 1)

        let patient = try KubernetesClient.of(
            server,
            through: answers.endpoint,
            requestTimeout: .seconds(20)
        )
        try await answers.set(.init(share: 1, statuses: [503], matching: "[?&]continue="))
        try await withInformer(patient, namespace: namespace, pageSize: 3) { view in
            try await poll {
                try await answers.counts().refused
            } until: {
                $0 > 0
            }
            deleted.formUnion(try await server.churn(namespace, count: 30, using: &generator))
            try await server.compact()
            try await answers.set(.none)
            try await server.expect(view, in: namespace, deleted: deleted)
            #expect(view.state.lists == 1)
        }
        let forgotten = patient.requestCounts.filter { $0.key.verb == "list" && $0.key.code == 410 }
        #expect(forgotten.values.reduce(0, +) == 1)
    }

    @Test func `a killed server that is back is watched again, with what changed meanwhile`()
        async throws
    {
        let server = try await KubernetesServer()
        let namespace = try await server.makeNamespace()
        let network = try await ConnectionProxy(server.server)
        var generator = SeededGenerator(seed: 6)
        var deleted = try await server.churn(namespace, count: 40, using: &generator)
        let client = try KubernetesClient.of(server, through: network.endpoint)
        try await withInformer(client, namespace: namespace) { view in
            try await server.expect(view, in: namespace, deleted: deleted)
            // It is back before the informer can ask it, so that changes come first.
            try await network.set(.refuse)
            try await server.restart(.apiserver)
            deleted.formUnion(try await server.churn(namespace, count: 40, using: &generator))
            try await network.set(.serve)
            try await server.expect(view, in: namespace, deleted: deleted)
            // And once more, asked all the time while it starts.
            try await server.kill(.apiserver)
            try await server.restart(.etcd)
            try await server.start(.apiserver)
            deleted.formUnion(try await server.churn(namespace, count: 40, using: &generator))
            try await server.expect(view, in: namespace, deleted: deleted)
            #expect(!view.objects.isEmpty)
        }
    }
}
