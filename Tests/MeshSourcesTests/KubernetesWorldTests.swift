import Foundation
import KubernetesAPI
import MeshModel
import Testing

@testable import MeshSources

@Suite struct KubernetesWorldTests {
    private var cluster = ClusterWorld()
    private let blue = ObjectID(.virtualNode, ObjectReference(namespace: "demo", name: "blue"))

    @Test mutating func `objects are as the server has them`() throws {
        let change = cluster.take(
            .all([
                try document(
                    .virtualNode,
                    "blue",
                    nodeSpec("blue"),
                    version: "7",
                    generation: 3,
                    metadata: """
                        "labels": {"a": "b"}, "managedFields": [{"manager": "kubectl"}], "annotations":
                        {"kubectl.kubernetes.io/last-applied-configuration": "{}", "c": "d"},
                        """
                )
            ]),
            of: .virtualNode
        )
        #expect(change.world)
        let node = try #require(cluster.world.virtualNodes[blue.reference])
        #expect(node.metadata.uid == "uid-of-blue")
        #expect(node.metadata.generation == 3)
        #expect(node.metadata.resourceVersion == "7")
        #expect(node.metadata.labels == ["a": "b"])
        #expect(node.metadata.annotations == ["c": "d"])
        #expect(node.manifest.document["metadata"]?["managedFields"] == nil)
        #expect(cluster.diagnostics.isEmpty)
    }

    @Test mutating func `what is nested too deep, and what no kind has, is not read`() throws {
        let deep = String(repeating: "[", count: 5000) + String(repeating: "]", count: 5000)
        _ = cluster.take(
            .all([try document(.virtualNode, "blue", nodeSpec("blue") + #", "x": \#(deep)"#)]),
            of: .virtualNode
        )
        let node = try #require(cluster.world.virtualNodes[blue.reference])
        #expect(node.manifest.document["x"] == nil)
        #expect(cluster.diagnostics.isEmpty)
    }

    @Test func `only what is read as a Namespace is one without saying so`() throws {
        let json = Array(#"{"metadata": {"name": "demo", "namespace": "demo"}}"#.utf8)[...]
        let namespace = try NamespaceDocument(json: json)
        #expect(namespace.document.object?.id == ObjectID(.namespace, namespace.metadata.key))
        let other = try MeshDocument(json: json)
        #expect(other.object == nil)
        #expect(other.diagnostics.contains { $0.severity == .error })
    }

    @Test mutating func `a status that is written makes no world`() throws {
        let first = try document(.virtualNode, "blue", nodeSpec("blue"))
        _ = cluster.take(.changed(first), of: .virtualNode)
        let written = try document(
            .virtualNode,
            "blue",
            nodeSpec("blue"),
            version: "2",
            status: #"{"conditions": []}"#
        )
        let change = cluster.take(.changed(written), of: .virtualNode)
        #expect(!change.world)
        #expect(change.objects == [blue])
        #expect(cluster.live[blue]?.resourceVersion == "2")
        #expect(cluster.live[blue]?.status == ["conditions": []])
        // A list again brings nothing new.
        let listed = cluster.take(.all([written]), of: .virtualNode)
        #expect(!listed.world)
        #expect(listed.objects.isEmpty)
    }

    @Test mutating func `an object with a mistake keeps its last good version`() throws {
        _ = cluster.take(
            .changed(try document(.virtualNode, "blue", nodeSpec("blue"))),
            of: .virtualNode
        )
        _ = cluster.take(
            .changed(try document(.virtualNode, "red", nodeSpec("red"))),
            of: .virtualNode
        )
        let broken = try document(
            .virtualNode,
            "blue",
            nodeSpec("blue", port: 70000),
            version: "2",
            generation: 2
        )
        #expect(cluster.take(.changed(broken), of: .virtualNode).world)
        let node = try #require(cluster.world.virtualNodes[blue.reference])
        #expect(node.spec.listeners.first?.portMapping.port.number == 8080)
        #expect(node.metadata.generation == 2)
        #expect(cluster.world.virtualNodes.count == 2)
        let problems = cluster.diagnostics.sorted().map(\.message)
        #expect(problems.count == 2)
        #expect(problems.first?.contains("spec.listeners[0].portMapping.port") == true)
        #expect(problems.last == "VirtualNode demo/blue: keeps its last good version")
        #expect(cluster.live[blue]?.mistakes == [])
        let mended = try document(
            .virtualNode,
            "blue",
            nodeSpec("blue"),
            version: "3",
            generation: 3
        )
        #expect(cluster.take(.changed(mended), of: .virtualNode).world)
        #expect(cluster.diagnostics.isEmpty)
    }

    @Test mutating func `an edit that mends nothing is seen all the same`() throws {
        _ = cluster.take(
            .changed(try document(.virtualNode, "blue", nodeSpec("blue"))),
            of: .virtualNode
        )
        func broken(generation: Int, status: String? = nil) throws -> MeshDocument {
            try document(
                .virtualNode,
                "blue",
                nodeSpec("blue", port: 70000),
                version: "\(generation)",
                generation: generation,
                status: status
            )
        }
        #expect(cluster.take(.changed(try broken(generation: 2)), of: .virtualNode).world)
        #expect(cluster.take(.changed(try broken(generation: 3)), of: .virtualNode).world)
        #expect(cluster.world.virtualNodes[blue.reference]?.metadata.generation == 3)
        // A status alone is none.
        let told = try broken(generation: 3, status: #"{"observedGeneration": 3}"#)
        #expect(!cluster.take(.changed(told), of: .virtualNode).world)
    }

    @Test mutating func `an object that never was right is told of, and is nowhere`() throws {
        let broken = try document(.virtualNode, "blue", nodeSpec("blue", port: 0))
        #expect(cluster.take(.changed(broken), of: .virtualNode).world)
        #expect(cluster.world.virtualNodes.isEmpty)
        #expect(cluster.live[blue]?.mistakes.count == 1)
        // Another object of the same name has no last version.
        _ = cluster.take(
            .changed(try document(.virtualNode, "blue", nodeSpec("blue"))),
            of: .virtualNode
        )
        let other = try document(.virtualNode, "blue", nodeSpec("blue", port: 0), uid: "other")
        #expect(cluster.take(.changed(other), of: .virtualNode).world)
        #expect(cluster.world.virtualNodes.isEmpty)
        #expect(cluster.take(.deleted(blue.key), of: .virtualNode).world)
        #expect(cluster.diagnostics.isEmpty)
        #expect(cluster.live.isEmpty)
    }

    @Test mutating func `a list takes away what it does not have, of its kind only`() throws {
        _ = cluster.take(.all([try document(.mesh, "demo")]), of: .mesh)
        _ = cluster.take(
            .all([
                try document(.virtualNode, "blue", nodeSpec("blue")),
                try document(.virtualNode, "red", nodeSpec("red")),
            ]),
            of: .virtualNode
        )
        let change = cluster.take(
            .all([try document(.virtualNode, "red", nodeSpec("red"))]),
            of: .virtualNode
        )
        #expect(change.objects == [blue])
        #expect(cluster.world.virtualNodes.keys.map(\.name) == ["red"])
        #expect(cluster.world.meshes.count == 1)
    }

    @Test mutating func `a failure takes nothing away`() throws {
        _ = cluster.take(.all([try document(.mesh, "demo")]), of: .mesh)
        let change = cluster.take(.failed(forbidden("list meshes.appmesh.k8s.aws")), of: .mesh)
        #expect(!change.world)
        #expect(cluster.world.meshes.count == 1)
    }

    @Test mutating func `an object that is being deleted stays until it is gone`() throws {
        let node = try document(
            .virtualNode,
            "blue",
            nodeSpec("blue"),
            metadata: #""deletionTimestamp": "2026-11-23T10:00:00Z", "finalizers": ["a/b"],"#
        )
        _ = cluster.take(.changed(node), of: .virtualNode)
        #expect(cluster.world.virtualNodes.count == 1)
        #expect(cluster.live[blue]?.isBeingDeleted == true)
        #expect(cluster.live[blue]?.finalizers == ["a/b"])
    }

    // MARK: Pods

    @Test mutating func `Pods count where a VirtualNode may select them`() throws {
        _ = cluster.take(
            .all([try pod("blue-1"), try pod("blue-2"), try pod("other", namespace: "else")])
        )
        #expect(cluster.world.workloads.isEmpty)
        #expect(cluster.processes.isEmpty)
        let node = try document(.virtualNode, "blue", nodeSpec("blue"))
        #expect(cluster.take(.changed(node), of: .virtualNode).processes)
        #expect(Set(cluster.world.workloads.keys.map(\.name)) == ["blue-1", "blue-2"])
        #expect(cluster.processes.count == 2)
        #expect(cluster.take(.deleted(blue.key), of: .virtualNode).processes)
        #expect(cluster.world.workloads.isEmpty)
        #expect(cluster.processes.isEmpty)
    }

    @Test mutating func `readiness changes no world`() throws {
        _ = cluster.take(
            .changed(try document(.virtualNode, "blue", nodeSpec("blue"))),
            of: .virtualNode
        )
        _ = cluster.take(.changed(try pod("blue-1", status: #""phase": "Pending""#)))
        let address = cluster.take(.changed(try pod("blue-1")))
        #expect(address.world)
        let ready = try pod(
            "blue-1",
            status: """
                "phase": "Running", "podIP": "10.0.0.1",
                "conditions": [{"type": "Ready", "status": "True"}]
                """
        )
        let change = cluster.take(.changed(ready))
        #expect(!change.world)
        #expect(change.processes)
        let id = ProxyID(ObjectReference(namespace: "demo", name: "blue-1"))
        #expect(cluster.processes[id]?.phase == .running)
        let same = cluster.take(.all([ready]))
        #expect(!same.world && !same.processes)
        #expect(cluster.take(InformerEvent<Pod>.deleted(ready.metadata.key)).world)
        #expect(cluster.processes.isEmpty)
    }

    @Test mutating func `a Pod is in its node's zone, whichever is known first`() throws {
        _ = cluster.take(
            .changed(try document(.virtualNode, "blue", nodeSpec("blue"))),
            of: .virtualNode
        )
        _ = cluster.take(.all([try pod("blue-1")]))
        func zone() -> String? {
            cluster.world.workloads[ObjectReference(namespace: "demo", name: "blue-1")]?.spec.pod?
                .zone
        }
        #expect(zone() == nil)
        let label = "topology.kubernetes.io/zone"
        let node = try kubernetesNode("node-1", labels: #"{"\#(label)": "a"}"#)
        #expect(cluster.take(.all([node])).world)
        #expect(zone() == "a")
        #expect(!cluster.take(.changed(node)).world)
        // Without rights nothing is told, and nothing is taken back.
        #expect(!cluster.take(InformerEvent<KubernetesNode>.failed(forbidden("list nodes"))).world)
        #expect(zone() == "a")
        #expect(cluster.take(InformerEvent<KubernetesNode>.deleted(node.metadata.key)).world)
        #expect(zone() == nil)
    }
}
