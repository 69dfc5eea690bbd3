import Foundation
import KubernetesAPI
import Logging
import MeshTesting
import Synchronization
import Testing

@testable import MeshDaemon

/// `heddle migrate check` of a real cluster, as App Mesh's controller left it.
///
/// Its webhooks refuse what other tests write, so it has a server of its own.
@Suite(.enabled(if: kubernetesIsExpected), .serialized, .timeLimit(.minutes(5)))
struct MigrateTests {
    @Test func `a live cluster gives a report`() async throws {
        let server = try await appMesh()
        let printed = try await check(server.kubeconfig)
        #expect(printed.status == .badNews)
        let report = try JSONDecoder().decode(
            MigrationReport.self,
            from: Data(printed.output.utf8)
        )
        #expect(report.serverVersion?.hasPrefix("v1.20") == true)
        #expect(report.gaps == [])
        let found = Set(report.findings.map { "\($0.effect.rawValue) \($0.check.rawValue)" })
        let expected: Set = [
            "blocks controller", "blocks certificate-unmapped", "blocks legacy-version",
            "blocks custom-resources", "changes webhooks", "changes aws-envoy",
            "changes kubernetes", "works finalizers", "works injection",
        ]
        #expect(expected.subtracting(found) == [])
        let blue = MigrationObject(kind: "Deployment", namespace: "shop", name: "blue")
        #expect(report.objects.first { $0.object == blue }?.pods == 2)
        let definition = report.findings.first { $0.check == .customResources }
        #expect(definition?.object?.name == "virtualservices.appmesh.k8s.aws")
    }

    @Test func `Heddle's own definitions have every field that Heddle has`() async throws {
        let server = try await appMesh()
        let cluster = try await documents(server.kubeconfig)
        let found = migrationReport(of: cluster).findings.filter {
            $0.check == .customResources && $0.effect == .changes
        }
        #expect(found == [])
        #expect(cluster.all("CustomResourceDefinition", in: "apiextensions.k8s.io").count >= 3)
    }

    @Test func `pages make the same list`() async throws {
        let server = try await appMesh()
        let whole = try await documents(server.kubeconfig)
        let paged = try await documents(server.kubeconfig, pageSize: 1)
        #expect(paged.documents.map(\.migrationObject) == whole.documents.map(\.migrationObject))
    }

    @Test func `what the caller may not list is said, and nothing is made of it`() async throws {
        let server = try await appMesh()
        let group = "appmesh.k8s.aws"
        let reader = try await server.createServiceAccount(
            "default",
            "migrator-\(UUID().uuidString.prefix(8).lowercased())",
            rules: [
                .init(group, ["meshes", "virtualnodes", "backendgroups"], ["list"]),
                .init("", ["namespaces"], ["list"]),
            ]
        )
        let printed = try await check(reader)
        #expect(printed.status == .badNews)
        let report = try JSONDecoder().decode(
            MigrationReport.self,
            from: Data(printed.output.utf8)
        )
        let gaps = report.gaps.map(\.resource)
        #expect(gaps.contains("pods"))
        #expect(gaps.contains("virtualservices.appmesh.k8s.aws"))
        #expect(!gaps.contains("virtualnodes.appmesh.k8s.aws"))
        #expect(!gaps.contains("namespaces"))
        #expect(report.findings.contains { $0.check == .certificateUnmapped })
        #expect(!report.findings.contains { $0.problem.contains("no VirtualService") })
        #expect(!report.findings.contains { $0.problem.contains("selects no Pod") })
    }

    @Test func `credentials that can't be had are a mistake of usage`() async throws {
        let failure = await #expect(throws: ClientFailure.self) {
            try await check("/nowhere/kubeconfig")
        }
        #expect(failure?.status == .usage)
        #expect(failure?.description.contains("/nowhere/kubeconfig") == true)
    }

    // MARK: The cluster

    private func check(
        _ kubeconfig: String
    ) async throws -> (status: MeshDaemon.ExitStatus, output: String) {
        let output = Mutex("")
        let console = Console(
            nowSeconds: { 0 },
            print: { text in output.withLock { $0 += text } },
            note: { _ in }
        )
        var command = MigrateCheckCommand()
        command.kubeconfig = kubeconfig
        command.format = .json
        let status = try await command.run(console)
        return (status, output.withLock { $0 })
    }

    private func documents(
        _ kubeconfig: String,
        pageSize: Int = 500
    ) async throws -> ClusterDocuments {
        let client = KubernetesClient(
            try KubernetesConfiguration.kubeconfig(path: kubeconfig),
            logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
        )
        return try await ClusterDocuments.reading(
            client,
            source: "test",
            nowSeconds: 0,
            pageSize: pageSize
        )
    }

    private func appMesh() async throws -> KubernetesServer { try await Self.server.value }

    private static let server = Task {
        let server = try await KubernetesServer()
        let definitions = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("Manifests/crds")
        for kind in ["meshes", "virtualnodes", "backendgroups"] {
            let file = definitions.appendingPathComponent("appmesh.k8s.aws_\(kind).yaml").path
            try await server.kubectl("apply", "-f", file)
        }
        try await server.apply(legacyDefinition)
        try await server.kubectl(
            "wait",
            "--for=condition=established",
            "crd",
            "--all",
            "--timeout=60s"
        )
        try await server.apply(objects)
        for name in ["blue-7c9d8f5b6-2x8kq", "blue-7c9d8f5b6-m4vzt"] {
            try await server.apply(pod(name))
        }
        try await server.apply(webhooks)
        return server
    }

    /// As controllers before version 1 had it.
    private static let legacyDefinition = """
        apiVersion: apiextensions.k8s.io/v1
        kind: CustomResourceDefinition
        metadata: {name: virtualservices.appmesh.k8s.aws}
        spec:
          group: appmesh.k8s.aws
          scope: Namespaced
          names: {kind: VirtualService, listKind: VirtualServiceList, plural: virtualservices, singular: virtualservice}
          versions:
            - name: v1beta1
              served: true
              storage: true
              schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
        """

    private static let objects = """
        apiVersion: v1
        kind: Namespace
        metadata: {name: shop, labels: {mesh: shop, appmesh.k8s.aws/sidecarInjectorWebhook: enabled}}
        ---
        apiVersion: v1
        kind: Namespace
        metadata: {name: appmesh-system}
        ---
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: Mesh
        metadata: {name: shop, finalizers: [finalizers.appmesh.k8s.aws/mesh-members]}
        spec: {namespaceSelector: {matchLabels: {mesh: shop}}}
        ---
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: VirtualNode
        metadata: {name: blue, namespace: shop}
        spec:
          podSelector: {matchLabels: {app: blue}}
          backends: [{virtualService: {virtualServiceRef: {name: cart}}}]
          listeners:
            - portMapping: {port: 8080, protocol: http}
              tls:
                mode: STRICT
                certificate: {acm: {certificateARN: "arn:aws:acm:eu-west-1:123456789012:certificate/1"}}
          serviceDiscovery: {dns: {hostname: blue.shop.svc.cluster.local}}
        ---
        apiVersion: appmesh.k8s.aws/v1beta1
        kind: VirtualService
        metadata: {name: cart, namespace: shop}
        spec: {meshName: shop}
        ---
        apiVersion: apps/v1
        kind: Deployment
        metadata: {name: appmesh-controller, namespace: appmesh-system}
        spec:
          selector: {matchLabels: {app: appmesh-controller}}
          template:
            metadata: {labels: {app: appmesh-controller}}
            spec: {containers: [{name: controller, image: "public.ecr.aws/appmesh/appmesh-controller:v1.13.1"}]}
        """

    private static func pod(_ name: String) -> String {
        """
        apiVersion: v1
        kind: Pod
        metadata:
          name: \(name)
          namespace: shop
          labels: {app: blue, pod-template-hash: 7c9d8f5b6}
          ownerReferences:
            - {apiVersion: apps/v1, kind: ReplicaSet, name: blue-7c9d8f5b6, controller: true, uid: r}
        spec:
          containers:
            - {name: app, image: "example.com/blue:1"}
            - {name: envoy, image: "public.ecr.aws/appmesh/aws-appmesh-envoy:v1.34.13.3-prod"}
        """
    }

    private static let webhooks = """
        apiVersion: admissionregistration.k8s.io/v1
        kind: MutatingWebhookConfiguration
        metadata: {name: appmesh-controller-mutating-webhook-configuration}
        webhooks:
          - name: mmesh.appmesh.k8s.aws
            admissionReviewVersions: [v1]
            sideEffects: None
            failurePolicy: Fail
            clientConfig:
              service:
                name: appmesh-controller-webhook-service
                namespace: appmesh-system
                path: /mutate-appmesh-k8s-aws-v1beta2-mesh
            rules:
              - {apiGroups: [appmesh.k8s.aws], apiVersions: [v1beta2], operations: [CREATE, UPDATE], resources: [meshes]}
        """
}
