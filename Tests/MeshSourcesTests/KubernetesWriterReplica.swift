import Foundation
import KubernetesAPI
import MeshModel
import MeshTesting
import ServiceLifecycle

@testable import MeshSources

/// A source and a writer, and who leads.
struct WriterReplica {
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

/// A Mesh whose namespaces have the label `mesh` with its name.
func meshManifest(_ name: String, finalizers: [String] = []) -> String {
    """
    apiVersion: appmesh.k8s.aws/v1beta2
    kind: Mesh
    metadata: {name: \(name), finalizers: [\(finalizers.joined(separator: ", "))]}
    spec: {namespaceSelector: {matchLabels: {mesh: \(name)}}}
    """
}

/// The VirtualNode `name`.
func nodeID(_ namespace: String, _ name: String = "blue") -> ObjectID {
    ObjectID(.virtualNode, ObjectReference(namespace: namespace, name: name))
}

/// One field of a VirtualNode as kubectl shows it.
func nodeField(
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
