import Foundation
import MeshTesting

/// The server of the tests that define custom resources and install the chart: others have webhooks and
/// definitions of their own on the shared one.
enum ClusterServer {
    /// The server with Heddle's definitions.
    static func withDefinitions() async throws -> KubernetesServer { try await defined.value }

    private static let defined = Task {
        let server = try await KubernetesServer()
        let folder = packageFolder.appending(path: "Manifests/crds").path
        try await server.kubectl("apply", "-f", folder)
        try await server.kubectl("wait", "--for=condition=Established", "crd", "--all")
        return server
    }
}
