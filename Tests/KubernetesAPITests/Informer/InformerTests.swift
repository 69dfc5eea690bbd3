import Foundation
import Logging
import MeshTesting
import Testing

@testable import KubernetesAPI

/// Informers of a real API server.
@Suite(.enabled(if: kubernetesIsExpected), .timeLimit(.minutes(5)))
struct InformerTests {
    @Test func `objects of a namespace and a field are told, and no others`() async throws {
        let server = try await KubernetesServer.shared()
        let namespace = try await server.makeNamespace()
        let other = try await server.makeNamespace()
        let client = try KubernetesClient.of(server)
        for (place, name) in [(namespace, "blue"), (namespace, "red"), (other, "blue")] {
            _ = try await client.create(ConfigMap(name, [:]), .configMaps, namespace: place)
        }
        let selector = "metadata.name=blue"
        try await withInformer(client, namespace: namespace, fieldSelector: selector) { view in
            try await poll {
                view.objects
            } until: {
                $0.keys.sorted() == ["\(namespace)/blue"]
            }
            try await server.kubectl("delete", "cm", "red", "-n", namespace)
            try await server.kubectl("delete", "cm", "blue", "-n", other)
            try await server.kubectl("delete", "cm", "blue", "-n", namespace)
            try await poll {
                view.objects
            } until: {
                $0.isEmpty
            }
            #expect(view.state.deleted == ["\(namespace)/blue"])
            #expect(view.state.lists == 1)
        }
    }

    @Test func `a long list comes in pages and is told once`() async throws {
        let server = try await KubernetesServer.shared()
        let namespace = try await server.makeNamespace()
        let client = try KubernetesClient.of(server)
        for number in 0..<25 {
            _ = try await client.create(
                ConfigMap("map-\(number)", [:]),
                .configMaps,
                namespace: namespace
            )
        }
        try await withInformer(client, namespace: namespace, pageSize: 10) { view in
            try await poll {
                view.objects.count
            } until: {
                $0 == 25
            }
            #expect(view.state.lists == 1)
        }
        let lists = client.requestCounts.filter { $0.key.verb == "list" }.values.reduce(0, +)
        #expect(lists == 3)
    }

    @Test func `watches that end go on where they were, without a list`() async throws {
        let server = try await KubernetesServer.shared()
        let namespace = try await server.makeNamespace()
        let client = try KubernetesClient.of(server)
        var generator = SeededGenerator(seed: 7)
        try await withInformer(client, namespace: namespace, watchSeconds: 1...1) { view in
            var deleted: Set<String> = []
            try await poll {
                deleted.formUnion(
                    try await server.churn(namespace, count: 10, using: &generator)
                )
                return client.watchCount
            } until: {
                $0 >= 4
            }
            try await server.expect(view, in: namespace, deleted: deleted)
            #expect(view.state.lists == 1)
            #expect(view.state.failures == [])
        }
    }

    @Test func `a missing right is named, and lists make up for watching`() async throws {
        let server = try await KubernetesServer.shared()
        let namespace = try await server.makeNamespace()
        let kubeconfig = try await server.createServiceAccount(namespace, "heddle")
        let client = try KubernetesClient.of(server, kubeconfig: kubeconfig)
        try await withInformer(client, namespace: namespace) { view in
            let listing = try await poll {
                view.state.failures
            } until: {
                !$0.isEmpty
            }
            #expect(listing.map(\.isForbidden) == [true])
            #expect(listing.map(\.request) == ["list configmaps in \(namespace)"])
            try await server.setRules(namespace, "heddle", [.init("", ["configmaps"], ["list"])])
            let watching = try await poll {
                view.state.failures
            } until: {
                $0.count > 1
            }
            #expect(watching.map(\.request).last == "watch configmaps in \(namespace)")
            try await server.kubectl("create", "configmap", "blue", "-n", namespace)
            try await poll {
                view.objects.keys.sorted()
            } until: {
                $0 == ["\(namespace)/blue"]
            }
            #expect(view.state.recoveries == 0)
            let rules = [KubernetesServer.Rule("", ["configmaps"], ["list", "watch"])]
            try await server.setRules(namespace, "heddle", rules)
            try await poll {
                view.state.recoveries
            } until: {
                $0 == 1
            }
            try await server.kubectl("delete", "configmap", "blue", "-n", namespace)
            try await server.expect(view, in: namespace, deleted: ["\(namespace)/blue"])
            #expect(view.state.failures.count == 2)
        }
    }

    @Test func `a kind that is not installed is told as soon as it is`() async throws {
        let server = try await KubernetesServer.shared()
        let resource = KubernetesResource(
            group: "late.heddle.dev",
            version: "v1",
            plural: "things",
            kind: "Thing"
        )
        let view = InformerView()
        let informer = Informer(
            ConfigMap.self,
            client: try .of(server),
            resource: resource,
            logger: .init(label: "test")
        )
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await informer.run { view.take($0) } }
            defer { group.cancelAll() }
            let failures = try await poll {
                view.state.failures
            } until: {
                !$0.isEmpty
            }
            #expect(failures.map(\.isNotFound) == [true])
            #expect(view.state.lists == 0)
            try await server.apply(Self.definition)
            try await server.kubectl(
                "wait",
                "--for=condition=Established",
                "crd/things.late.heddle.dev"
            )
            try await poll {
                view.state.recoveries
            } until: {
                $0 == 1
            }
            try await server.apply(
                "apiVersion: late.heddle.dev/v1\nkind: Thing\nmetadata: {name: blue}\n",
                namespace: "default"
            )
            try await poll {
                view.objects.keys.sorted()
            } until: {
                $0 == ["default/blue"]
            }
            // With the kind its objects are gone.
            try await server.kubectl("delete", "crd", "things.late.heddle.dev")
            try await poll {
                view.objects.count
            } until: {
                $0 == 0
            }
        }
    }

    private static let definition = """
        apiVersion: apiextensions.k8s.io/v1
        kind: CustomResourceDefinition
        metadata: {name: things.late.heddle.dev}
        spec:
          group: late.heddle.dev
          scope: Namespaced
          names: {kind: Thing, plural: things, singular: thing, listKind: ThingList}
          versions:
          - name: v1
            served: true
            storage: true
            schema: {openAPIV3Schema: {type: object}}
        """
}
