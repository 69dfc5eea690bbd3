import Foundation
import KubernetesAPI
import MeshModel
import MeshTesting
import ServiceLifecycle
import Testing

@testable import MeshSources

/// App Mesh's finalizers on a real API server.
@Suite(.enabled(if: kubernetesIsExpected), .timeLimit(.minutes(5)))
struct KubernetesFinalizerTests {
    private let prefix = "finalizers.appmesh.k8s.aws"

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
        let replica = try WriterReplica(server)
        try await running(replica.source, replica.writer) {
            replica.lead()
            try await poll(
                { try await nodeField(".metadata.finalizers", namespace, on: server) },
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
        let replica = try WriterReplica(server)
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
        let replica = try WriterReplica(server)
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
