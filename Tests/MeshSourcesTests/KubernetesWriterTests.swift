import Foundation
import KubernetesAPI
import MeshModel
import MeshTesting
import ServiceLifecycle
import Testing

@testable import MeshSources

@Suite(.enabled(if: kubernetesIsExpected), .timeLimit(.minutes(5)))
struct KubernetesWriterTests {
    /// A source and a writer, and who leads.
    private struct Replica {
        let source: KubernetesSource
        let writer: KubernetesWriter
        let leadership = Leadership()

        init(
            _ server: KubernetesServer,
            as kubeconfig: String? = nil,
            time: SteadyTime = .system
        ) throws {
            let client = try KubernetesCluster.client(of: server, as: kubeconfig)
            source = KubernetesSource(client: client, time: time, logger: silentLogger)
            writer = KubernetesWriter(
                client: client,
                source: source,
                leadershipEnd: leadership.leadershipEnd,
                time: time,
                logger: silentLogger
            )
        }

        func lead() {
            leadership.begin()
            writer.leadershipChanged()
        }

        func written(_ operation: String = "status", _ result: String = "written") -> Int {
            writer.counts.filter { $0.operation == operation && $0.result == result }
                .reduce(0) { $0 + $1.count }
        }
    }

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

    private func node(_ namespace: String, _ name: String = "blue") -> ObjectID {
        ObjectID(.virtualNode, ObjectReference(namespace: namespace, name: name))
    }

    /// One field of a VirtualNode as kubectl shows it.
    private func field(
        _ path: String,
        of name: String = "blue",
        _ namespace: String,
        on server: KubernetesServer
    ) async throws -> String {
        try await server.kubectl(
            "get",
            "virtualnode",
            name,
            "-n",
            namespace,
            "-o",
            "jsonpath={\(path)}"
        )
    }

    // MARK: Statuses

    @Test func `a status is written once, whoever leads`() async throws {
        let server = try await KubernetesCluster.shared()
        let namespace = try await server.makeNamespace()
        try await server.apply(nodeManifest("blue"), namespace: namespace)
        let id = node(namespace)
        let wanted = [id: status(.virtualNode, fields: ["virtualNodeARN": "arn:local"])]
        let state = ".status.conditions[0].status"
        var version = ""
        let first = try Replica(server)
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
            #expect(try await field(".status.virtualNodeARN", namespace, on: server) == "arn:local")
            version = try await field(".metadata.resourceVersion", namespace, on: server)
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
                wanted.merging([node(namespace, "red"): status(.virtualNode)]) { $1 }
            )
            try await poll(
                { try await field(state, of: "red", namespace, on: server) },
                until: { $0 == "True" }
            )
            #expect(try await field(".metadata.resourceVersion", namespace, on: server) == version)
        }
        let second = try Replica(server)
        try await running(second.source, second.writer) {
            second.lead()
            try await server.apply(nodeManifest("green"), namespace: namespace)
            second.writer.write(
                wanted.merging([node(namespace, "green"): status(.virtualNode)]) { $1 }
            )
            try await poll(
                { try await field(state, of: "green", namespace, on: server) },
                until: { $0 == "True" }
            )
            #expect(try await field(".metadata.resourceVersion", namespace, on: server) == version)
            let time = ".status.conditions[0].lastTransitionTime"
            #expect(try await field(time, namespace, on: server) == "2027-01-15T08:00:00Z")
        }
    }

    @Test func `nothing is written before leadership, nor after it`() async throws {
        let server = try await KubernetesCluster.shared()
        let namespace = try await server.makeNamespace()
        try await server.apply(
            nodeManifest("blue") + "\n---\n" + nodeManifest("red"),
            namespace: namespace
        )
        let (blue, red) = (node(namespace), node(namespace, "red"))
        let replica = try Replica(server)
        var worlds = ClusterWorlds(replica.source)
        try await running(replica.source, replica.writer) {
            try await worlds.next()
            replica.writer.write([blue: status(.virtualNode)])
            // What the writer would have seen meanwhile.
            try await server.apply(nodeManifest("green"), namespace: namespace)
            try await worlds.next {
                $0.virtualNodes.keys.contains(node(namespace, "green").reference)
            }
            #expect(replica.writer.counts.isEmpty)
            #expect(try await field(".status", namespace, on: server) == "")
            replica.lead()
            try await poll({ replica.written() }, until: { $0 == 1 })
            replica.leadership.lapse()
            replica.writer.write([blue: status(.virtualNode), red: status(.virtualNode)])
            try await server.kubectl("delete", "virtualnode", "green", "-n", namespace)
            try await worlds.next {
                !$0.virtualNodes.keys.contains(node(namespace, "green").reference)
            }
            #expect(replica.written() == 1)
            #expect(try await field(".status", of: "red", namespace, on: server) == "")
            replica.lead()
            try await poll({ replica.written() }, until: { $0 == 2 })
        }
    }

    @Test func `a leader that saw an old object is refused`() async throws {
        let server = try await KubernetesCluster.shared()
        let namespace = try await server.makeNamespace()
        try await server.apply(nodeManifest("blue"), namespace: namespace)
        let id = node(namespace)
        let replica = try Replica(server)
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
            #expect(try await field(".status", namespace, on: server) == "")
            // The informer comes back.
            let version = try await field(".metadata.resourceVersion", namespace, on: server)
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
        let replica = try Replica(server)
        try await running(replica.source, replica.writer) {
            replica.lead()
            replica.writer.write(
                [node(namespace): status(.virtualNode, fields: ["virtualNodeARN": "arn:local"])]
            )
            try await poll(
                { try await field(".status.virtualNodeARN", namespace, on: server) },
                until: { $0 == "arn:local" }
            )
            let condition = ".status.conditions[*]['reason','lastTransitionTime']"
            #expect(
                try await field(condition, namespace, on: server) == "Active 2021-01-01T00:00:00Z"
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
        let replica = try Replica(server)
        try await running(replica.source, replica.writer) {
            replica.lead()
            replica.writer.write([:])
            let condition = ".status.conditions[0]['type','status','reason']"
            try await poll(
                { try await field(condition, namespace, on: server) },
                until: { $0 == "VirtualNodeActive False Invalid" }
            )
            let message = try await field(".status.conditions[0].message", namespace, on: server)
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
        let replica = try Replica(server, as: kubeconfig, time: hastyTime(20))
        try await running(replica.source, replica.writer) {
            replica.lead()
            replica.writer.write([mesh: status(.mesh), node(namespace): status(.virtualNode)])
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
                try await field(".status.conditions[0].status", namespace, on: server) == "True"
            )
        }
    }

    // MARK: Events

    @Test func `events are where kubectl shows them, and are counted`() async throws {
        let server = try await KubernetesCluster.shared()
        let namespace = try await server.makeNamespace()
        try await server.apply(nodeManifest("blue"), namespace: namespace)
        try await server.apply(meshManifest(namespace))
        let mesh = ObjectID(.mesh, ObjectReference(name: namespace))
        let replica = try Replica(server)
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
            replica.writer.record([event(node(namespace), "It is lost.")])
            replica.lead()
            replica.writer.record([
                event(node(namespace), "It was refused."), event(mesh, "It was, too."),
            ])
            try await poll({ replica.written("event") }, until: { $0 == 2 })
            replica.writer.record([event(node(namespace), "It was refused.")])
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

    // MARK: Finalizers

    private let prefix = "finalizers.appmesh.k8s.aws"

    private func meshManifest(_ name: String, finalizers: [String] = []) -> String {
        """
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: Mesh
        metadata: {name: \(name), finalizers: [\(finalizers.joined(separator: ", "))]}
        spec: {namespaceSelector: {matchLabels: {mesh: \(name)}}}
        """
    }

    @Test func `App Mesh's finalizers go from what stays, and others' stay`() async throws {
        let server = try await KubernetesCluster.shared()
        let namespace = try await server.makeNamespace()
        try await server.apply(
            nodeManifest(
                "blue",
                finalizers: [
                    "\(prefix)/aws-appmesh-resources", "example.com/keep",
                    "\(prefix)/aws-cloudmap-resources",
                ]
            ),
            namespace: namespace
        )
        try await server.apply(
            meshManifest(
                namespace,
                finalizers: ["\(prefix)/mesh-members", "\(prefix)/aws-appmesh-resources"]
            )
        )
        let replica = try Replica(server)
        try await running(replica.source, replica.writer) {
            replica.lead()
            try await poll(
                { try await field(".metadata.finalizers", namespace, on: server) },
                until: { $0 == #"["example.com/keep"]"# }
            )
            try await poll(
                {
                    try await server.kubectl(
                        "get",
                        "mesh",
                        namespace,
                        "-o",
                        "jsonpath={.metadata.finalizers}"
                    )
                },
                until: \.isEmpty
            )
        }
        try await server.kubectl(
            "patch",
            "virtualnode",
            "blue",
            "-n",
            namespace,
            "--type=merge",
            "-p",
            #"{"metadata": {"finalizers": null}}"#
        )
    }

    @Test func `a Mesh is deleted after its members, and says what they are`() async throws {
        let server = try await KubernetesCluster.shared()
        let namespace = "mesh-\(UUID().uuidString.prefix(8).lowercased())"
        let members = try await server.makeNamespace(labels: ["mesh": namespace])
        try await server.apply(
            meshManifest(
                namespace,
                finalizers: ["\(prefix)/mesh-members", "\(prefix)/aws-appmesh-resources"]
            )
        )
        try await server.apply(nodeManifest("blue"), namespace: members)
        try await server.kubectl("delete", "mesh", namespace, "--wait=false")
        let replica = try Replica(server)
        var worlds = ClusterWorlds(replica.source)
        try await running(replica.source, replica.writer) {
            let first = try await worlds.next()
            // It is in force as long as it is there.
            #expect(first.meshes[ObjectReference(name: namespace)] != nil)
            replica.lead()
            try await poll(
                { try await server.kubectl("describe", "mesh", namespace) },
                until: {
                    $0.contains(
                        /Warning +PendingMembersDeletion .* objects belonging to this mesh exist, please delete them to proceed\. virtualNode: 1/
                    )
                }
            )
            try await server.kubectl("delete", "virtualnode", "blue", "-n", members)
            try await server.kubectl("wait", "--for=delete", "mesh/\(namespace)", "--timeout=60s")
        }
    }

    @Test func `a namespace with all that App Mesh left goes`() async throws {
        let server = try await KubernetesServer(.init(hasControllerManager: true))
        try await KubernetesCluster.install(on: server)
        let namespace = try await server.makeNamespace()
        let both = ["\(prefix)/aws-appmesh-resources", "\(prefix)/aws-cloudmap-resources"]
        try await server.apply(nodeManifest("blue", finalizers: both), namespace: namespace)
        try await server.apply(
            """
            apiVersion: appmesh.k8s.aws/v1beta2
            kind: VirtualGateway
            metadata:
              name: gate
              finalizers: [\(prefix)/virtualgateway-members, \(prefix)/aws-appmesh-resources]
            spec:
              namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: \(namespace)}}
              podSelector: {matchLabels: {app: gate}}
              listeners: [{portMapping: {port: 8080, protocol: http}}]
            ---
            apiVersion: appmesh.k8s.aws/v1beta2
            kind: GatewayRoute
            metadata: {name: all, finalizers: [\(prefix)/aws-appmesh-resources]}
            spec:
              httpRoute:
                match: {prefix: /}
                action: {target: {virtualService: {virtualServiceRef: {name: colors}}}}
            """,
            namespace: namespace
        )
        try await server.kubectl("delete", "namespace", namespace, "--wait=false")
        let replica = try Replica(server)
        try await running(replica.source, replica.writer) {
            replica.lead()
            try await server.kubectl(
                "wait",
                "--for=delete",
                "namespace/\(namespace)",
                "--timeout=120s"
            )
        }
    }
}
