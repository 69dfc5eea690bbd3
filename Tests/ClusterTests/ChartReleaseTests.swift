import Foundation
import HTTPClient
import MeshDaemon
import MeshModel
import MeshTesting
import Testing

/// What becomes of a cluster when the chart is installed, changed and uninstalled, at a real API server.
@Suite(.enabled(if: Helm.isExpected && kubernetesIsExpected), .timeLimit(.minutes(5)))
struct ChartReleaseTests {
    @Test func `uninstalling leaves nothing but definitions, and the objects in them`() async throws
    {
        let server = try await KubernetesServer()
        let cluster = ["--kubeconfig", server.kubeconfig]
        try await server.kubectl("create", "namespace", "heddle-system")
        let before = try await server.everything()
        let notes = try await Helm.chart(
            "install",
            values: [ChartValues.ofAppMesh, ChartValues.image],
            cluster[0],
            cluster[1]
        )
        #expect(notes.contains("Heddle \(heddleVersion) runs in the namespace heddle-system"))
        #expect(
            notes.contains(
                "registry.example.com/heddle:\(heddleVersion) for Heddle, envoyproxy/envoy:v1.40.0 for proxies"
            )
        )
        for name in [
            "accountId", "cloudMapDNS", "tlsMinVersion", "rbac.pspEnabled", "sidecar.image",
        ] {
            #expect(notes.contains("- \(name): "), "\(name)")
        }
        #expect(notes.contains("WARNING: replicaCount is 1"))
        #expect(!notes.contains("kubectl apply --server-side"))
        let installed = try await server.everything().subtracting(before)
        #expect(installed.contains("Deployment heddle-system heddle"))
        #expect(installed.contains("PodDisruptionBudget heddle-system heddle"))
        #expect(installed.contains("CustomResourceDefinition <none> meshes.appmesh.k8s.aws"))

        // As Heddle writes it.
        try await server.setAuthority("ZmFrZQ==")
        let upgraded = try await Helm.chart(
            "upgrade",
            values: [
                ChartValues.image,
                """
                replicaCount: 5
                webhooks: {objects: {failurePolicy: Ignore}}
                tracing: {enabled: true, provider: datadog, address: "ref:status.hostIP"}
                """,
            ],
            cluster[0],
            cluster[1]
        )
        #expect(upgraded.contains("- tracing.address: ref:status.hostIP differs from Pod to Pod"))
        #expect(!upgraded.contains("- accountId") && !upgraded.contains("replicaCount is 1"))
        let deployment = try await server.object("apps/v1", "deployments", "heddle")
        #expect(deployment["spec"]?["replicas"] == 5)
        for path in ["mutating", "validating"] {
            let webhooks = try await server.webhooks(path)
            #expect(
                webhooks.allSatisfy { $0["clientConfig"]?["caBundle"] == "ZmFrZQ==" },
                "\(path)"
            )
            #expect(webhooks.contains { $0["failurePolicy"] == "Ignore" }, "\(path)")
        }

        try await server.apply(
            """
            apiVersion: appmesh.k8s.aws/v1beta2
            kind: Mesh
            metadata: {name: shop}
            """
        )
        try await Helm.chart("uninstall", cluster[0], cluster[1])
        let left = try await server.everything().subtracting(before)
        let definitions = try CustomResourceTable().kinds.map { kind in
            "CustomResourceDefinition <none> \(kind.plural)." + kind.apiVersion.prefix { $0 != "/" }
        }
        // An APIService is the server's own record of a definition's group.
        #expect(
            left.filter { !$0.hasPrefix("APIService ") } == Set(definitions + ["Mesh <none> shop"])
        )
    }

    @Test func `definitions of App Mesh's that are there already are told of`() async throws {
        let server = try await KubernetesServer()
        let file = packageFolder.appending(
            path: "Manifests/crds/appmesh.k8s.aws_virtualnodes.yaml"
        )
        let own = try String(contentsOf: file, encoding: .utf8)
        try await server.apply(own.replacing("sidecarCount", with: "count"))
        let notes = try await Helm.chart(
            "install",
            "--create-namespace",
            "--kubeconfig",
            server.kubeconfig
        )
        #expect(notes.contains("WARNING: the cluster has App Mesh's own definitions"))
        #expect(
            notes.contains("kubectl apply --server-side --force-conflicts -f Charts/heddle/crds/")
        )
    }

    @Test func `the manifests for kubectl install the same`() async throws {
        let server = try await KubernetesServer()
        // The server is older than the manifests' PodDisruptionBudget.
        let path = packageFolder.appending(path: "Manifests/install.yaml")
        let text = try String(contentsOf: path, encoding: .utf8)
            .replacing("apiVersion: policy/v1\n", with: "apiVersion: policy/v1beta1\n")
        try await server.apply(text, "--server-side")
        try await server.apply(text, "--server-side")
        // Its head says how to put one's own image in both places.
        let lines = text.split(separator: "\n").filter { !$0.hasPrefix("#") }
        #expect(lines.count { $0.contains("registry.example.com/heddle") } == 2)
        let deployment = try await server.object("apps/v1", "deployments", "heddle")
        #expect(deployment["spec"]?["replicas"] == 2)
    }
}

extension KubernetesServer {
    /// All objects of all kinds: `Deployment heddle-system heddle`.
    fileprivate func everything() async throws -> Set<String> {
        let kinds = try await kubectl("api-resources", "--verbs=list", "-o", "name")
            .split(separator: "\n").joined(separator: ",")
        let columns = "KIND:.kind,NAMESPACE:.metadata.namespace,NAME:.metadata.name"
        let rows = try await kubectl(
            ["get", kinds, "-A", "--no-headers", "-o", "custom-columns=\(columns)"]
        )
        return Set(
            rows.split(separator: "\n").map { $0.split(separator: " ").joined(separator: " ") }
                .filter { !$0.hasPrefix("Event ") }
        )
    }

    /// An object of `heddle-system`.
    fileprivate func object(
        _ api: String,
        _ plural: String,
        _ name: String
    ) async throws -> JSONValue {
        let path = "/apis/\(api)/namespaces/heddle-system/\(plural)/\(name)"
        return try JSONValue(text: try await request("GET", path))
    }

    /// The webhooks of the `mutating` or `validating` configuration.
    fileprivate func webhooks(_ kind: String) async throws -> [JSONValue] {
        let answer = try await request("GET", webhookPath(kind))
        return try #require(try JSONValue(text: answer)["webhooks"]?.array)
    }

    private func webhookPath(_ kind: String) -> String {
        "/apis/admissionregistration.k8s.io/v1/\(kind)webhookconfigurations/heddle"
    }

    /// Sets the caBundle of all webhooks.
    fileprivate func setAuthority(_ bundle: String) async throws {
        for kind in ["mutating", "validating"] {
            let patch = try await webhooks(kind).indices.map { index -> JSONValue in
                [
                    "op": "add", "path": .string("/webhooks/\(index)/clientConfig/caBundle"),
                    "value": .string(bundle),
                ]
            }
            try await request(
                "PATCH",
                webhookPath(kind),
                try JSONValue.array(patch).text,
                type: "application/json-patch+json"
            )
        }
    }
}
