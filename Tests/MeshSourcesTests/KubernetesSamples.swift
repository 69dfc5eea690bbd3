import Foundation
import KubernetesAPI
import MeshModel

@testable import MeshSources

/// An object as the API server would have it.
func document(
    _ kind: Kind,
    _ name: String,
    _ spec: String = "{}",
    namespace: String = "demo",
    uid: String? = nil,
    version: String = "1",
    generation: Int = 1,
    metadata: String = "",
    status: String? = nil
) throws -> MeshDocument {
    let scope = kind.isNamespaced ? #""namespace": "\#(namespace)","# : ""
    let text = """
        {"apiVersion": "\(kind.apiVersion)", "kind": "\(kind.rawValue)",
         "metadata": {"name": "\(name)", \(scope) "uid": "\(uid ?? "uid-of-\(name)")", \(metadata)
          "resourceVersion": "\(version)", "generation": \(generation),
          "creationTimestamp": "2026-11-23T10:00:00Z"},
         "spec": \(spec), "status": \(status ?? "{}")}
        """
    return try MeshDocument(json: Array(text.utf8)[...])
}

/// `spec` of a VirtualNode that selects the Pods of `app`.
func nodeSpec(_ app: String, port: Int = 8080) -> String {
    """
    {"podSelector": {"matchLabels": {"app": "\(app)"}},
     "listeners": [{"portMapping": {"port": \(port), "protocol": "http"}}],
     "serviceDiscovery": {"dns": {"hostname": "\(app).demo"}}}
    """
}

/// A Pod as the API server would have it.
func pod(
    _ name: String,
    namespace: String = "demo",
    metadata: String = "",
    spec: String =
        #""containers": [{"name": "app"}, {"name": "envoy", "volumeMounts": [{"mountPath": "/var/run/secrets/heddle.dev/token"}]}]"#,
    status: String = #""phase": "Running", "podIP": "10.0.0.1""#
) throws -> Pod {
    let text = """
        {"metadata": {"name": "\(name)", "namespace": "\(namespace)", "uid": "uid-of-\(name)",
          "labels": {"app": "blue"}, \(metadata) "resourceVersion": "1",
          "creationTimestamp": "2026-11-23T10:00:00Z"},
         "spec": {"nodeName": "node-1", \(spec)}, "status": {\(status)}}
        """
    return try JSONDecoder().decode(Pod.self, from: Data(text.utf8))
}

/// A Kubernetes node as the API server would have it.
func kubernetesNode(_ name: String, labels: String) throws -> KubernetesNode {
    let text = #"{"metadata": {"name": "\#(name)", "labels": \#(labels)}}"#
    return try JSONDecoder().decode(KubernetesNode.self, from: Data(text.utf8))
}

extension InformerEvent {
    /// All of the objects.
    static func all(_ objects: [Object]) -> InformerEvent {
        .replaced(Dictionary(uniqueKeysWithValues: objects.map { ($0.metadata.key, $0) }))
    }
}

/// A refusal as the API server words it.
func forbidden(_ request: String, as account: String = "heddle-system:heddle") -> KubernetesError {
    let message =
        #"pods is forbidden: User "system:serviceaccount:\#(account)" cannot list resource"#
    return KubernetesError(
        .status(KubernetesError.Status(code: 403, reason: "Forbidden", message: message)),
        request: request,
        problem: message
    )
}

/// Another failure.
func failure(
    _ code: Int,
    _ request: String = "list pods",
    _ problem: String = "no"
)
    -> KubernetesError
{
    KubernetesError(
        .status(KubernetesError.Status(code: code, message: problem)),
        request: request,
        problem: problem
    )
}
