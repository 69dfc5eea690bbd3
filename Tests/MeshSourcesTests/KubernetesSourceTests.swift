import Foundation
import KubernetesAPI
import MeshModel
import MeshTesting
import Synchronization
import Testing

@testable import MeshSources

@Suite(.enabled(if: kubernetesIsExpected), .timeLimit(.minutes(5)))
struct KubernetesSourceTests {
    private func source(
        of server: KubernetesServer,
        as kubeconfig: String? = nil,
        timing: KubernetesSource.Timing = KubernetesSource.Timing()
    ) throws -> KubernetesSource {
        KubernetesSource(
            client: try KubernetesCluster.client(of: server, as: kubeconfig),
            timing: timing,
            logger: silentLogger
        )
    }

    @Test func `applying an object deploys it, deleting it removes it`() async throws {
        let server = try await KubernetesCluster.shared()
        let namespace = try await server.makeNamespace(labels: ["mesh": "demo"])
        let blue = ObjectReference(namespace: namespace, name: "blue")
        try await server.apply(nodeManifest("blue"), namespace: namespace)
        let source = try source(of: server)
        var worlds = ClusterWorlds(source)
        try await running(source) {
            let first = try await worlds.next()
            let node = try #require(first.virtualNodes[blue])
            #expect(first.labels(ofNamespace: namespace)["mesh"] == "demo")
            #expect(!node.metadata.uid.isEmpty)
            #expect(node.metadata.annotations.isEmpty)
            try await server.apply(nodeManifest("blue", port: 9080), namespace: namespace)
            let second = try await worlds.next {
                $0.virtualNodes[blue]?.spec.listeners.first?.portMapping.port.number == 9080
            }
            #expect(second.virtualNodes[blue]?.metadata.generation == 2)
            try await server.kubectl("delete", "virtualnode", "blue", "-n", namespace)
            try await worlds.next { $0.virtualNodes[blue] == nil }
        }
    }

    @Test func `Pods come, get addresses, become ready and go`() async throws {
        let server = try await KubernetesCluster.shared()
        let namespace = try await server.makeNamespace()
        let pod = ObjectReference(namespace: namespace, name: "blue-1")
        let node = "node-of-\(namespace)"
        try await server.createNode(node, zone: "a")
        try await server.apply(nodeManifest("blue"), namespace: namespace)
        let source = try source(of: server)
        var worlds = ClusterWorlds(source)
        var pods = source.pods.makeAsyncIterator()
        try await running(source) {
            try await worlds.next()
            let uid = try await server.createPod(
                namespace,
                "blue-1",
                labels: ["app": "blue"],
                node: node
            )
            let pending = try await worlds.next { $0.workloads[pod] != nil }
            #expect(pending.workloads[pod]?.spec.pod?.uid == uid)
            #expect(pending.workloads[pod]?.spec.pod?.hasProxy == false)
            #expect(source.currentPods[ProxyID(pod)]?.phase == .starting)
            try await server.patchPodStatus(namespace, "blue-1", ip: "10.1.2.3", isReady: false)
            let placed = try await worlds.next { $0.workloads[pod]?.spec.pod?.address != nil }
            #expect(placed.workloads[pod]?.spec.pod?.address == "10.1.2.3")
            #expect(placed.workloads[pod]?.spec.pod?.zone == "a")
            try await server.patchPodStatus(namespace, "blue-1", ip: "10.1.2.3", isReady: true)
            while let told = await pods.next(isolation: #isolation),
                told[ProxyID(pod)]?.phase != .running
            {}
            #expect(source.currentPods[ProxyID(pod)]?.phase == .running)
            try await server.deletePod(namespace, "blue-1")
            try await worlds.next { $0.workloads[pod] == nil }
            #expect(source.currentPods[ProxyID(pod)] == nil)
        }
    }

    @Test func `a Pod that has ended is no Workload any more`() async throws {
        let server = try await KubernetesCluster.shared()
        let namespace = try await server.makeNamespace()
        let pod = ObjectReference(namespace: namespace, name: "job-1")
        try await server.apply(nodeManifest("job"), namespace: namespace)
        try await server.createPod(namespace, "job-1", labels: ["app": "job"])
        let source = try source(of: server)
        var worlds = ClusterWorlds(source)
        try await running(source) {
            try await worlds.next { $0.workloads[pod] != nil }
            try await server.patchPodStatus(
                namespace,
                "job-1",
                isReady: false,
                phase: "Succeeded"
            )
            try await worlds.next { $0.workloads[pod] == nil }
        }
    }

    @Test func `many objects at once are few worlds`() async throws {
        let server = try await KubernetesCluster.shared()
        let namespace = try await server.makeNamespace()
        let source = try source(
            of: server,
            timing: KubernetesSource.Timing(quiet: .seconds(2), limit: .seconds(60))
        )
        var worlds = ClusterWorlds(source)
        try await running(source) {
            try await worlds.next()
            let before = worlds.count
            let manifests = (0..<30).map { nodeManifest("n\($0)") }.joined(separator: "\n---\n")
            try await server.apply(manifests, namespace: namespace)
            try await worlds.next { world in
                world.virtualNodes.keys.count { $0.namespace == namespace } == 30
            }
            #expect(worlds.count - before < 10)
        }
    }

    @Test func `a broken object takes nothing from the others`() async throws {
        let server = try await KubernetesCluster.shared()
        let namespace = try await server.makeNamespace()
        // The CRD can't say that listeners need a serviceDiscovery.
        let broken = """
            apiVersion: appmesh.k8s.aws/v1beta2
            kind: VirtualNode
            metadata: {name: broken}
            spec: {listeners: [{portMapping: {port: 8080, protocol: http}}]}
            """
        try await server.apply(
            nodeManifest("good") + "\n---\n" + nodeManifest("other"),
            namespace: namespace
        )
        try await server.apply(broken, namespace: namespace)
        let source = try source(of: server)
        var worlds = ClusterWorlds(source)
        let other = ObjectID(.virtualNode, ObjectReference(namespace: namespace, name: "other"))
        try await running(source) {
            let first = try await worlds.next()
            let mine = first.virtualNodes.keys.filter { $0.namespace == namespace }
            #expect(Set(mine.map(\.name)) == ["good", "other"])
            let found = first.diagnostics.filter { $0.object?.namespace == namespace }
            #expect(found.map(\.severity) == [.error])
            #expect(found.first?.object?.name == "broken")
            // One that breaks later stays as it was.
            try await server.kubectl(
                "patch",
                "virtualnode",
                "other",
                "-n",
                namespace,
                "--type=json",
                "-p",
                #"[{"op": "remove", "path": "/spec/serviceDiscovery"}]"#
            )
            let second = try await worlds.next { world in
                world.diagnostics.contains { $0.object == other && $0.severity == .error }
            }
            #expect(second.virtualNodes[other.reference]?.spec.serviceDiscovery != nil)
        }
    }

    /// What a service account may read, but for `left`, and nodes.
    private func rules(without left: Kind? = nil) -> [KubernetesServer.Rule] {
        let read = ["get", "list", "watch"]
        return KubernetesSource.kinds.filter { $0 != left }.map {
            KubernetesServer.Rule($0.group, [$0.plural], read)
        } + [.init("", ["pods"], read)]
    }

    private let colors = """

        ---
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: VirtualRouter
        metadata: {name: colors}
        spec: {listeners: [{portMapping: {port: 8080, protocol: http}}]}
        """

    @Test func `without rights on what refines a mesh the rest works, and it is told`()
        async throws
    {
        let server = try await KubernetesCluster.shared()
        let namespace = try await server.makeNamespace()
        let kubeconfig = try await server.createServiceAccount(
            namespace,
            "heddle",
            rules: rules(without: .trafficPolicy)
        )
        try await server.apply(nodeManifest("blue"), namespace: namespace)
        let source = try source(
            of: server,
            as: kubeconfig,
            timing: KubernetesSource.Timing(deniedPatience: .milliseconds(100))
        )
        var worlds = ClusterWorlds(source)
        try await running(source) {
            let first = try await worlds.next()
            #expect(first.virtualNodes.keys.contains { $0.namespace == namespace })
            let told = first.diagnostics.filter { $0.object == nil }.map(\.description)
            #expect(
                told == [
                    """
                    error: the service account \(namespace)/heddle may not list \
                    trafficpolicies.heddle.dev, so that none are in force; grant verbs get, list and \
                    watch in a ClusterRole
                    """,
                    """
                    warning: the service account \(namespace)/heddle may not list nodes, so that \
                    zones of Pods are not known; grant verbs get, list and watch in a ClusterRole
                    """,
                ]
            )
            try await server.setRules(
                namespace,
                "heddle",
                rules() + [.init("", ["nodes"], ["get", "list", "watch"])]
            )
            let second = try await worlds.next { world in
                world.diagnostics.allSatisfy { $0.object != nil }
            }
            #expect(second.virtualNodes.keys.contains { $0.namespace == namespace })
        }
    }

    @Test func `without rights on what routes there is no world, and later they only stop changes`()
        async throws
    {
        let server = try await KubernetesServer()
        try await KubernetesCluster.install(on: server)
        let namespace = try await server.makeNamespace()
        let kubeconfig = try await server.createServiceAccount(
            namespace,
            "heddle",
            rules: rules(without: .virtualRouter)
        )
        try await server.apply(nodeManifest("blue") + colors, namespace: namespace)
        let source = try source(
            of: server,
            as: kubeconfig,
            timing: KubernetesSource.Timing(deniedPatience: .milliseconds(100))
        )
        var worlds = ClusterWorlds(source)
        let reference = ObjectReference(namespace: namespace, name: "colors")
        try await running(source) {
            // All was read that may be read, and all that is dispensable was given up.
            try await poll({ source.readings.filter { !$0.isListed } }) { unread in
                unread.map(\.resource) == ["nodes", "virtualrouters.appmesh.k8s.aws"]
                    && unread.allSatisfy { $0.problem?.contains("may not list") == true }
            }
            #expect(!source.board.isPublished)
            try await server.setRules(namespace, "heddle", rules())
            let first = try await worlds.next()
            #expect(first.virtualRouters[reference] != nil)
            // The watch that is open ends with the connection.
            try await server.setRules(namespace, "heddle", rules(without: .virtualRouter))
            try await server.restart(.apiserver)
            let second = try await worlds.next { world in
                world.diagnostics.contains { $0.message.contains("virtualrouters") }
            }
            #expect(second.virtualRouters[reference] != nil)
            try await server.apply(nodeManifest("red"), namespace: namespace)
            try await worlds.next { world in
                world.virtualNodes[ObjectReference(namespace: namespace, name: "red")] != nil
            }
        }
    }
}

/// Bursts and first worlds, by a clock of the test's own.
@Suite struct KubernetesBoardTests {
    private final class TestTime: Sendable {
        let now = Mutex(Duration.zero)
        var steady: SteadyTime {
            SteadyTime(now: { self.now.withLock { $0 } }, sleep: { _ in })
        }
        func set(_ milliseconds: Int) { now.withLock { $0 = .milliseconds(milliseconds) } }
    }

    private let time = TestTime()
    private let board: ClusterBoard

    init() {
        board = ClusterBoard(
            ReadingState(
                [KubernetesResource(.virtualNode), .pods, .nodes],
                dispensable: [.nodes],
                patience: ReadingState.Patience(denied: .seconds(3), unavailable: .seconds(60))
            ),
            Burst(quiet: .milliseconds(20), limit: .milliseconds(200)),
            time.steady,
            silentLogger
        )
    }

    private func begin() throws {
        board.take(.all([try document(.virtualNode, "blue", nodeSpec("blue"))]), of: .virtualNode)
        board.take(.all([try pod("blue-1")]))
        board.take(InformerEvent<KubernetesNode>.replaced([:]))
        #expect(board.publish().0.world != nil)
    }

    @Test func `a burst ends after a quiet time`() throws {
        try begin()
        #expect(board.remaining == nil)
        board.take(.changed(try document(.virtualNode, "red", nodeSpec("red"))), of: .virtualNode)
        #expect(board.remaining == .milliseconds(20))
        time.set(15)
        board.take(
            .changed(try document(.virtualNode, "green", nodeSpec("green"))),
            of: .virtualNode
        )
        #expect(board.remaining == .milliseconds(20))
        time.set(35)
        #expect(board.remaining == .zero)
        let (publication, _) = board.publish()
        #expect(publication.world?.virtualNodes.count == 3)
        #expect(publication.processes == nil)
        #expect(board.remaining == nil)
    }

    @Test func `a burst that goes on is cut`() throws {
        try begin()
        for step in 0...20 {
            time.set(step * 10)
            let node = try document(.virtualNode, "n\(step)", nodeSpec("red"))
            board.take(.changed(node), of: .virtualNode)
        }
        #expect(board.remaining == .zero)
    }

    @Test func `there is no world before all was listed`() throws {
        board.take(.all([try pod("blue-1")]))
        board.take(InformerEvent<KubernetesNode>.replaced([:]))
        #expect(board.publish().0.world == nil)
        #expect(!board.isPublished)
        board.take(.all([]), of: .virtualNode)
        #expect(board.remaining == .milliseconds(20))
        #expect(board.publish().0.world != nil)
        #expect(board.isPublished)
    }

    @Test func `a world without Pods is none`() throws {
        board.take(.all([try document(.virtualNode, "blue", nodeSpec("blue"))]), of: .virtualNode)
        board.take(InformerEvent<KubernetesNode>.replaced([:]))
        board.take(InformerEvent<Pod>.failed(forbidden("list pods")))
        time.set(86_400_000)
        let (none, again) = board.publish()
        #expect(none.world == nil)
        #expect(again == nil)
        board.take(.all([try pod("blue-1")]))
        #expect(board.publish().0.world?.virtualNodes.count == 1)
    }

    @Test func `a kind that fails is waited for, and then told of`() throws {
        board.take(.all([try document(.virtualNode, "blue", nodeSpec("blue"))]), of: .virtualNode)
        board.take(.all([try pod("blue-1")]))
        board.take(InformerEvent<KubernetesNode>.failed(forbidden("list nodes")))
        let (none, again) = board.publish()
        #expect(none.world == nil)
        #expect(again == .seconds(3))
        time.set(3000)
        let world = try #require(board.publish().0.world)
        #expect(world.virtualNodes.count == 1)
        #expect(world.diagnostics.count == 1)
        // What fails later takes nothing away.
        board.take(.failed(failure(500)), of: .virtualNode)
        let later = try #require(board.publish().0.world)
        #expect(later.virtualNodes.count == 1)
        #expect(later.diagnostics.count == 2)
        #expect(board.denials.count == 1)
    }

    @Test func `readiness alone is no world`() throws {
        try begin()
        let ready = #""phase": "Running", "podIP": "10.0.0.1", "conditions": [{"type": "Ready","#
        board.take(.changed(try pod("blue-1", status: ready + #" "status": "True"}]"#)))
        let (publication, _) = board.publish()
        #expect(publication.world == nil)
        #expect(publication.processes?.values.map(\.phase) == [.running])
    }
}
