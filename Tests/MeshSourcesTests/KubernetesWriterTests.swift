import Foundation
import KubernetesAPI
import MeshModel
import MeshTesting
import ServiceLifecycle
import Testing

@testable import MeshSources

@Suite(.enabled(if: kubernetesIsExpected), .timeLimit(.minutes(5)))
struct KubernetesWriterTests {
    private func status(
        _ kind: Kind,
        _ value: Condition.Status = .true,
        fields: [String: JSONValue] = [:],
        at seconds: Int = 1_800_000_000
    ) -> ObjectStatus {
        ObjectStatus(
            conditions: [
                Condition(
                    type: "\(kind.rawValue)Active",
                    status: value,
                    reason: value == .true ? "Active" : "Invalid",
                    message: value == .true ? "It is valid and in force." : "It is not.",
                    lastTransitionTimeSeconds: seconds
                )
            ],
            observedGeneration: 1,
            fields: fields
        )
    }

    @Test func `a status is written once, whoever leads`() async throws {
        let server = try await KubernetesCluster.shared()
        let namespace = try await server.makeNamespace()
        try await server.apply(nodeManifest("blue"), namespace: namespace)
        let id = nodeID(namespace)
        let wanted = [id: status(.virtualNode, fields: ["virtualNodeARN": "arn:local"])]
        let state = ".status.conditions[0].status"
        var version = ""
        let first = try WriterReplica(server)
        try await running(first.source, first.writer) {
            first.lead()
            first.writer.write(wanted)
            try await server.kubectl(
                "wait",
                "--for=condition=VirtualNodeActive",
                "virtualnode/blue",
                "-n",
                namespace,
                "--timeout=60s"
            )
            #expect(
                try await nodeField(".status.virtualNodeARN", namespace, on: server) == "arn:local"
            )
            version = try await nodeField(".metadata.resourceVersion", namespace, on: server)
            try await poll(
                { first.source.board.live(id)?.resourceVersion },
                until: { $0 == version }
            )
            // The same, planned anew at a later time.
            first.writer.write([:])
            first.writer.write(
                [
                    id: status(
                        .virtualNode,
                        fields: ["virtualNodeARN": "arn:local"],
                        at: 1_900_000_000
                    )
                ]
            )
            // Something else is written after it.
            try await server.apply(nodeManifest("red"), namespace: namespace)
            first.writer.write(
                wanted.merging([nodeID(namespace, "red"): status(.virtualNode)]) { $1 }
            )
            try await poll(
                { try await nodeField(state, of: "red", namespace, on: server) },
                until: { $0 == "True" }
            )
            #expect(
                try await nodeField(".metadata.resourceVersion", namespace, on: server) == version
            )
        }
        let second = try WriterReplica(server)
        try await running(second.source, second.writer) {
            second.lead()
            try await server.apply(nodeManifest("green"), namespace: namespace)
            second.writer.write(
                wanted.merging([nodeID(namespace, "green"): status(.virtualNode)]) { $1 }
            )
            try await poll(
                { try await nodeField(state, of: "green", namespace, on: server) },
                until: { $0 == "True" }
            )
            #expect(
                try await nodeField(".metadata.resourceVersion", namespace, on: server) == version
            )
            let time = ".status.conditions[0].lastTransitionTime"
            #expect(try await nodeField(time, namespace, on: server) == "2027-01-15T08:00:00Z")
        }
    }

    @Test func `nothing is written before leadership, nor after it`() async throws {
        let server = try await KubernetesCluster.shared()
        let namespace = try await server.makeNamespace()
        try await server.apply(
            nodeManifest("blue") + "\n---\n" + nodeManifest("red"),
            namespace: namespace
        )
        let (blue, red) = (nodeID(namespace), nodeID(namespace, "red"))
        let replica = try WriterReplica(server)
        var worlds = ClusterWorlds(replica.source)
        try await running(replica.source, replica.writer) {
            try await worlds.next()
            replica.writer.write([blue: status(.virtualNode)])
            // What the writer would have seen meanwhile.
            try await server.apply(nodeManifest("green"), namespace: namespace)
            try await worlds.next {
                $0.virtualNodes.keys.contains(nodeID(namespace, "green").reference)
            }
            #expect(replica.writer.counts.isEmpty)
            #expect(try await nodeField(".status", namespace, on: server) == "")
            replica.lead()
            try await poll({ replica.written() }, until: { $0 == 1 })
            replica.leadership.lapse()
            replica.writer.write([blue: status(.virtualNode), red: status(.virtualNode)])
            try await server.kubectl("delete", "virtualnode", "green", "-n", namespace)
            try await worlds.next {
                !$0.virtualNodes.keys.contains(nodeID(namespace, "green").reference)
            }
            #expect(replica.written() == 1)
            #expect(try await nodeField(".status", of: "red", namespace, on: server) == "")
            replica.lead()
            try await poll({ replica.written() }, until: { $0 == 2 })
        }
    }

    @Test func `a leader that saw an old object is refused`() async throws {
        let server = try await KubernetesCluster.shared()
        let namespace = try await server.makeNamespace()
        try await server.apply(nodeManifest("blue"), namespace: namespace)
        let id = nodeID(namespace)
        let replica = try WriterReplica(server)
        // Its informers are cut off: it has the object as it once was.
        let old = try document(
            .virtualNode,
            "blue",
            nodeSpec("blue"),
            namespace: namespace,
            version: "1"
        )
        replica.source.board.take(.changed(old), of: .virtualNode)
        try await running(replica.writer) {
            replica.lead()
            replica.writer.write([id: status(.virtualNode)])
            try await poll({ replica.written("status", "conflict") }, until: { $0 == 1 })
            #expect(try await nodeField(".status", namespace, on: server) == "")
            // The informer comes back.
            let version = try await nodeField(".metadata.resourceVersion", namespace, on: server)
            let new = try document(
                .virtualNode,
                "blue",
                nodeSpec("blue"),
                namespace: namespace,
                version: version
            )
            replica.source.board.take(.changed(new), of: .virtualNode)
            try await poll({ replica.written() }, until: { $0 == 1 })
        }
    }

    @Test func `what App Mesh's controller left is replaced`() async throws {
        let server = try await KubernetesCluster.shared()
        let namespace = try await server.makeNamespace()
        try await server.apply(nodeManifest("blue"), namespace: namespace)
        try await server.request(
            "PATCH",
            "/apis/appmesh.k8s.aws/v1beta2/namespaces/\(namespace)/virtualnodes/blue/status",
            """
            {"status": {"virtualNodeARN": "arn:aws:appmesh:us-west-2:1:mesh/m/virtualNode/blue",
             "conditions": [{"type": "VirtualNodeActive", "status": "True",
              "lastTransitionTime": "2021-01-01T00:00:00Z"}], "observedGeneration": 1}}
            """,
            type: "application/merge-patch+json"
        )
        let replica = try WriterReplica(server)
        try await running(replica.source, replica.writer) {
            replica.lead()
            replica.writer.write(
                [nodeID(namespace): status(.virtualNode, fields: ["virtualNodeARN": "arn:local"])]
            )
            try await poll(
                { try await nodeField(".status.virtualNodeARN", namespace, on: server) },
                until: { $0 == "arn:local" }
            )
            let condition = ".status.conditions[*]['reason','lastTransitionTime']"
            #expect(
                try await nodeField(condition, namespace, on: server)
                    == "Active 2021-01-01T00:00:00Z"
            )
        }
    }

    @Test func `an object that is broken says so`() async throws {
        let server = try await KubernetesCluster.shared()
        let namespace = try await server.makeNamespace()
        try await server.apply(
            """
            apiVersion: appmesh.k8s.aws/v1beta2
            kind: VirtualNode
            metadata: {name: blue}
            spec: {listeners: [{portMapping: {port: 8080, protocol: http}}]}
            """,
            namespace: namespace
        )
        let replica = try WriterReplica(server)
        try await running(replica.source, replica.writer) {
            replica.lead()
            replica.writer.write([:])
            let condition = ".status.conditions[0]['type','status','reason']"
            try await poll(
                { try await nodeField(condition, namespace, on: server) },
                until: { $0 == "VirtualNodeActive False Invalid" }
            )
            let message = try await nodeField(
                ".status.conditions[0].message",
                namespace,
                on: server
            )
            #expect(message.contains("serviceDiscovery"))
            try await poll(
                { try await server.kubectl("get", "events", "-n", namespace) },
                until: { $0.contains("ReconcileError") && $0.contains("serviceDiscovery") }
            )
        }
    }

    @Test func `without the right to write one status the others are written`() async throws {
        let server = try await KubernetesCluster.shared()
        let namespace = try await server.makeNamespace()
        let kinds = KubernetesSource.kinds
        var rules = kinds.map {
            KubernetesServer.Rule($0.group, [$0.plural], ["get", "list", "watch"])
        }
        rules.append(.init("", ["pods", "nodes"], ["get", "list", "watch"]))
        rules.append(.init("appmesh.k8s.aws", ["meshes/status"], ["patch"]))
        let kubeconfig = try await server.createServiceAccount(namespace, "heddle", rules: rules)
        try await server.apply(nodeManifest("blue"), namespace: namespace)
        try await server.apply(meshManifest(namespace))
        let mesh = ObjectID(.mesh, ObjectReference(name: namespace))
        let replica = try WriterReplica(server, as: kubeconfig, time: hastyTime(20))
        try await running(replica.source, replica.writer) {
            replica.lead()
            replica.writer.write([mesh: status(.mesh), nodeID(namespace): status(.virtualNode)])
            let path = #"{.status.conditions[?(@.type=="KubernetesAccess")]['status','message']}"#
            let arguments = ["get", "mesh", namespace, "-o", "jsonpath=\(path)"]
            try await poll({ try await server.kubectl(arguments) }) {
                $0.contains("False")
                    && $0.contains("may not patch virtualnodes.appmesh.k8s.aws/status")
            }
            rules.append(.init("appmesh.k8s.aws", ["virtualnodes/status"], ["patch"]))
            try await server.setRules(namespace, "heddle", rules)
            try await poll({ try await server.kubectl(arguments) }, until: \.isEmpty)
            #expect(
                try await nodeField(".status.conditions[0].status", namespace, on: server) == "True"
            )
        }
    }

    @Test func `events are where kubectl shows them, and are counted`() async throws {
        let server = try await KubernetesCluster.shared()
        let namespace = try await server.makeNamespace()
        try await server.apply(nodeManifest("blue"), namespace: namespace)
        try await server.apply(meshManifest(namespace))
        let mesh = ObjectID(.mesh, ObjectReference(name: namespace))
        let replica = try WriterReplica(server)
        var worlds = ClusterWorlds(replica.source)
        try await running(replica.source, replica.writer) {
            try await worlds.next()
            let now = timeSince1970() / .seconds(1)
            func event(_ object: ObjectID, _ message: String) -> MeshEvent {
                MeshEvent(
                    timeSeconds: now,
                    severity: .warning,
                    reason: "RefusedByProxy",
                    message: message,
                    object: object
                )
            }
            // Nobody leads yet.
            replica.writer.record([event(nodeID(namespace), "It is lost.")])
            replica.lead()
            replica.writer.record([
                event(nodeID(namespace), "It was refused."), event(mesh, "It was, too."),
            ])
            try await poll({ replica.written("event") }, until: { $0 == 2 })
            replica.writer.record([event(nodeID(namespace), "It was refused.")])
            try await poll({ replica.written("event") }, until: { $0 == 3 })
        }
        let listed = try await server.kubectl("get", "events", "-n", namespace)
        #expect(listed.contains(/Warning +RefusedByProxy +virtualnode\/blue +It was refused\./))
        #expect(!listed.contains("lost"))
        let count = try await server.kubectl(
            "get",
            "events",
            "-n",
            namespace,
            "-o",
            "jsonpath={.items[*]['count','source.component']}"
        )
        #expect(count == "2 heddle")
        let described = try await server.kubectl("describe", "virtualnode", "blue", "-n", namespace)
        #expect(described.contains("It was refused."))
        #expect(try await server.kubectl("describe", "mesh", namespace).contains("It was, too."))
    }
}
