import Foundation
import KubernetesAPI
import Logging
import MeshTesting
import Testing

/// The client against the real server.
@Suite(.enabled(if: kubernetesIsExpected), .timeLimit(.minutes(5)))
struct ClientServerTests {
    struct ConfigMap: Codable, KubernetesObject {
        var metadata: ObjectMetadata
        var data: [String: String]?
    }

    static let configMaps = KubernetesResource(
        version: "v1",
        plural: "configmaps",
        kind: "ConfigMap"
    )

    static func client(_ kubeconfig: String) throws -> KubernetesClient {
        KubernetesClient(try .kubeconfig(path: kubeconfig), logger: Logger(label: "test"))
    }

    static func configMap(_ name: String, _ data: [String: String] = [:]) -> ConfigMap {
        ConfigMap(metadata: ObjectMetadata(name: name), data: data)
    }

    /// What a server-side apply of a ConfigMap sends.
    struct Applied: Encodable {
        var apiVersion = "v1"
        var kind = "ConfigMap"
        var metadata = ["name": "applied"]
        var data: [String: String]
    }

    let server: KubernetesServer
    let client: KubernetesClient
    let namespace: String

    init() async throws {
        server = try await .shared()
        client = try Self.client(server.kubeconfig)
        namespace = try await server.makeNamespace("client")
    }

    private func key(_ name: String) -> ObjectKey { ObjectKey(namespace: namespace, name: name) }

    @Test func `a list comes in pages`() async throws {
        for number in 0..<5 {
            let made = try await client.create(
                Self.configMap("page-\(number)"),
                Self.configMaps,
                namespace: namespace
            )
            #expect(made.metadata.namespace == namespace)
        }
        var names: [String] = []
        var versions: Set<String> = []
        var sizes: [Int] = []
        var next: String?
        repeat {
            let page = try await client.list(
                ConfigMap.self,
                Self.configMaps,
                namespace: namespace,
                fieldSelector: "metadata.name!=kube-root-ca.crt",
                limit: 2,
                next: next
            )
            names += page.items.map(\.metadata.name)
            versions.insert(page.resourceVersion)
            sizes.append(page.items.count)
            next = page.next
        } while next != nil
        #expect(names == (0..<5).map { "page-\($0)" })
        #expect(sizes.allSatisfy { $0 <= 2 } && versions.count == 1)
    }

    @Test func `selectors are sent as they are written`() async throws {
        for name in ["a", "b", "c"] {
            let object = Self.configMap(name)
            _ = try await client.create(object, Self.configMaps, namespace: namespace)
        }
        let page = try await client.list(
            ConfigMap.self,
            Self.configMaps,
            namespace: namespace,
            fieldSelector: "metadata.name!=b,metadata.name!=c"
        )
        let names = page.items.map(\.metadata.name).filter { $0.count == 1 }
        #expect(names == ["a"])
    }

    @Test func `a watch tells what happens as it happens`() async throws {
        let start = try await client.list(ConfigMap.self, Self.configMaps, namespace: namespace)
        let events = client.watch(
            ConfigMap.self,
            Self.configMaps,
            namespace: namespace,
            from: start.resourceVersion,
            timeoutSeconds: 60
        )
        _ = try await client.create(Self.configMap("one"), Self.configMaps, namespace: namespace)
        var told: [String] = []
        reading: for try await event in events {
            switch event {
            case .added(let object):
                told.append("added \(object.metadata.name)")
                try await client.patch(Self.configMaps, key("one"), .merge, ["data": ["a": "1"]])
            case .modified(let object):
                told.append("modified \(object.data ?? [:])")
                try await client.delete(Self.configMaps, key("one"))
            case .deleted(let object):
                told.append("deleted \(object.metadata.name)")
                break reading
            case .begun, .bookmark: continue
            }
        }
        #expect(told == ["added one", #"modified ["a": "1"]"#, "deleted one"])
    }

    @Test func `a watch ends when its time is over`() async throws {
        let start = try await client.list(ConfigMap.self, Self.configMaps, namespace: namespace)
        let events = client.watch(
            ConfigMap.self,
            Self.configMaps,
            namespace: namespace,
            from: start.resourceVersion,
            timeoutSeconds: 1
        )
        for try await _ in events {}
    }

    @Test func `a watch whose task is cancelled ends at once`() async throws {
        let start = try await client.list(ConfigMap.self, Self.configMaps, namespace: namespace)
        let events = client.watch(
            ConfigMap.self,
            Self.configMaps,
            namespace: namespace,
            from: start.resourceVersion,
            timeoutSeconds: 3600
        )
        let reader = Task { for try await _ in events {} }
        try await poll {
            client.requestCounts[RequestKind(verb: "watch", code: 200)]
        } until: {
            $0 == 1
        }
        reader.cancel()
        _ = await reader.result
    }

    @Test func `server-side apply makes and changes, and tells of conflicts`() async throws {
        let apply = KubernetesClient.PatchType.apply(fieldManager: "heddle", force: false)
        let made = try await client.patch(
            Self.configMaps,
            key("applied"),
            apply,
            Applied(data: ["a": "1"])
        )
        #expect(made.resourceVersion != nil)
        let other = KubernetesClient.PatchType.apply(fieldManager: "other", force: false)
        let error = await #expect(throws: KubernetesError.self) {
            try await client.patch(
                Self.configMaps,
                key("applied"),
                other,
                Applied(data: ["a": "2"])
            )
        }
        #expect(error?.isConflict == true)
        #expect(error?.description.contains("patch configmaps \(namespace)/applied") == true)
        try await client.patch(
            Self.configMaps,
            key("applied"),
            .apply(fieldManager: "other", force: true),
            Applied(data: ["a": "2"])
        )
        let object = try await client.get(ConfigMap.self, Self.configMaps, key("applied"))
        #expect(object.data == ["a": "2"])
    }

    private struct PodStatus: Encodable {
        struct Status: Encodable { var podIP: String }
        struct Metadata: Encodable { var resourceVersion: String? }
        var metadata: Metadata
        var status: Status
    }

    @Test func `a status patch of a stale version is a conflict`() async throws {
        try await server.createPod(namespace, "blue")
        struct Pod: KubernetesObject, Decodable { var metadata: ObjectMetadata }
        let pod = try await client.get(Pod.self, .pods, key("blue"))
        let patch = PodStatus(
            metadata: .init(resourceVersion: pod.metadata.resourceVersion),
            status: .init(podIP: "10.0.0.1")
        )
        let now = try await client.patch(
            .pods,
            key("blue"),
            subresource: "status",
            .merge,
            patch
        )
        #expect(now.resourceVersion != pod.metadata.resourceVersion)
        let error = await #expect(throws: KubernetesError.self) {
            try await client.patch(.pods, key("blue"), subresource: "status", .merge, patch)
        }
        #expect(error?.isConflict == true)
        guard case .status(let status) = error?.kind else { return #expect(Bool(false)) }
        #expect(status.reason == "Conflict")
    }

    @Test func `a stale object does not take the place of a newer one`() async throws {
        let first = try await client.create(
            Self.configMap("replaced", ["a": "1"]),
            Self.configMaps,
            namespace: namespace
        )
        var second = first
        second.data = ["a": "2"]
        _ = try await client.replace(second, Self.configMaps, key("replaced"))
        let error = await #expect(throws: KubernetesError.self) {
            try await client.replace(first, Self.configMaps, key("replaced"))
        }
        #expect(error?.isConflict == true)
    }

    @Test func `a write whose time is over is not sent`() async throws {
        _ = try await client.create(Self.configMap("late"), Self.configMaps, namespace: namespace)
        let error = await #expect(throws: KubernetesError.self) {
            try await client.patch(
                Self.configMaps,
                key("late"),
                .merge,
                ["data": ["a": "1"]],
                deadline: .now - .milliseconds(1)
            )
        }
        #expect(error?.kind == .unreachable)
        let object = try await client.get(ConfigMap.self, Self.configMaps, key("late"))
        #expect(object.data == nil)
    }

    @Test func `what is not there can be deleted, and not read`() async throws {
        try await client.delete(Self.configMaps, key("none"))
        let error = await #expect(throws: KubernetesError.self) {
            try await client.get(ConfigMap.self, Self.configMaps, key("none"))
        }
        #expect(error?.isNotFound == true)
        #expect(
            error?.description == "get configmaps \(namespace)/none: NotFound (404): "
                + #"configmaps "none" not found"#
        )
    }

    @Test(arguments: ["", "..", "a/b"])
    func `a name that leads elsewhere is refused`(_ name: String) async throws {
        let error = await #expect(throws: KubernetesError.self) {
            try await client.get(ConfigMap.self, Self.configMaps, key(name))
        }
        #expect(error?.kind == .malformed)
    }

    @Test func `an expired version is told as such`() async throws {
        let server = try await KubernetesServer(.init(arguments: ["--watch-cache=false"]))
        let client = try Self.client(server.kubeconfig)
        let start = try await client.list(ConfigMap.self, Self.configMaps)
        // The last version of all stays.
        for _ in 0..<3 { _ = try await server.makeNamespace() }
        try await server.compact()
        let events = client.watch(
            ConfigMap.self,
            Self.configMaps,
            from: start.resourceVersion,
            timeoutSeconds: 60
        )
        let error = await #expect(throws: KubernetesError.self) { for try await _ in events {} }
        #expect(error?.isExpired == true)
    }

    // MARK: Identities

    @Test func `a Pod's token names the Pod to its audience alone`() async throws {
        _ = try await server.createServiceAccount(namespace, "blue")
        let uid = try await server.createPod(namespace, "blue-0", serviceAccount: "blue")
        let token = try await server.token(
            namespace,
            "blue",
            pod: ("blue-0", uid),
            audience: "heddle.dev"
        )
        let identity = try await client.review(token: token, audiences: ["heddle.dev"])
        let expected = TokenIdentity(
            namespace: namespace,
            serviceAccount: "blue",
            podName: "blue-0",
            podUID: uid
        )
        #expect(identity == expected)
        #expect(try await client.review(token: token, audiences: ["other"]) == nil)
        #expect(try await client.review(token: "nonsense", audiences: ["heddle.dev"]) == nil)
        #expect(try await client.review(token: "", audiences: ["heddle.dev"]) == nil)
    }

    @Test func `missing rights are told with the verb and the resource`() async throws {
        let kubeconfig = try await server.createServiceAccount(namespace, "nobody")
        let error = await #expect(throws: KubernetesError.self) {
            try await Self.client(kubeconfig).list(ConfigMap.self, Self.configMaps)
        }
        #expect(error?.isForbidden == true)
        #expect(error?.description.contains(#"cannot list resource "configmaps""#) == true)
    }
}
