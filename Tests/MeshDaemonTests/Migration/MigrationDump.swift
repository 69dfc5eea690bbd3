import Foundation
import MeshManifests
import MeshModel
import MeshPlan

@testable import MeshDaemon

/// A dump of a cluster beside the tests.
enum MigrationDump {
    static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .appendingPathComponent("Dumps")

    /// The path of the file `name`.
    static func path(_ name: String) -> String { folder.appendingPathComponent(name).path }

    /// What is found in `yaml`, a dump, by itself or beside a mesh `demo` of the namespace `demo`.
    static func report(
        _ yaml: String,
        options: PlanOptions = PlanOptions(isInCluster: true)
    ) -> MigrationReport {
        migrationReport(of: cluster(yaml), options: options)
    }

    /// A cluster that has what `yaml` says, and in which everything could be read.
    static func cluster(_ yaml: String) -> ClusterDocuments {
        let documents = decodeDocuments(Array(yaml.utf8), path: "dump.yaml").documents
        return ClusterDocuments(source: "dump.yaml", documents: documents)
    }

    /// A mesh with a node `blue`, whose Pods a Deployment makes, and a caller `front`.
    static let demo = """
        apiVersion: v1
        kind: Namespace
        metadata:
          name: demo
          labels: {mesh: demo, appmesh.k8s.aws/sidecarInjectorWebhook: enabled}
        ---
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: Mesh
        metadata: {name: demo, uid: mesh-1}
        spec: {awsName: demo, namespaceSelector: {matchLabels: {mesh: demo}}}
        ---
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: VirtualNode
        metadata: {name: blue, namespace: demo}
        spec:
          podSelector: {matchLabels: {app: blue}}
          listeners: [{portMapping: {port: 8080, protocol: http}}]
          serviceDiscovery: {dns: {hostname: blue.demo.svc.cluster.local}}
        ---

        """

    private static let tokenFolder = "/var/run/secrets/heddle.dev/token"

    /// A Pod of the Deployment `blue`; `more` goes on with its spec.
    static func pod(
        labels: String = "app: blue",
        annotations: String = "",
        image: String = "public.ecr.aws/appmesh/aws-appmesh-envoy:v1.34.13.3-prod",
        environment: String = "",
        hasToken: Bool = false,
        more: String = ""
    ) -> String {
        """
        apiVersion: v1
        kind: Pod
        metadata:
          name: blue-7c9d8f5b6-2x8kq
          namespace: demo
          labels: {\(labels), pod-template-hash: 7c9d8f5b6}
          annotations: {\(annotations)}
          ownerReferences:
            - {apiVersion: apps/v1, kind: ReplicaSet, name: blue-7c9d8f5b6, controller: true, uid: r}
        spec:
          containers:
            - {name: app, image: "example.com/blue:1"}
            - name: envoy
              image: \(image)
              volumeMounts: [{name: token, mountPath: \(hasToken ? tokenFolder : "/none")}]
              env: [{name: APPMESH_VIRTUAL_NODE_NAME, value: mesh/demo/virtualNode/blue_demo}\(environment)]
          \(more)
        status: {phase: Running, podIP: 10.0.0.7}
        ---

        """
    }
}
