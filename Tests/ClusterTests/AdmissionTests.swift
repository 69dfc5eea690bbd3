import Foundation
import MeshModel
import MeshTesting
import Testing

/// The webhooks, asked by a real API server.
@Suite(.enabled(if: kubernetesIsExpected), .timeLimit(.minutes(10)), .serialized)
struct AdmissionTests {
    @Test func `objects that are applied at once get their names and references`() async throws {
        let cluster = try await AdmissionCluster.shared()
        let name = "at-once-\(UUID().uuidString.prefix(6).lowercased())"
        // Each needs those before it, which the webhooks have to have seen by then.
        try await cluster.server.apply(
            """
            apiVersion: v1
            kind: Namespace
            metadata: {name: \(name), labels: {mesh: \(name)}}
            ---
            apiVersion: appmesh.k8s.aws/v1beta2
            kind: Mesh
            metadata: {name: \(name)}
            spec: {namespaceSelector: {matchLabels: {mesh: \(name)}}}
            ---
            apiVersion: appmesh.k8s.aws/v1beta2
            kind: VirtualGateway
            metadata: {name: ingress, namespace: \(name)}
            spec:
              namespaceSelector: {matchLabels: {mesh: \(name)}}
              listeners: [{portMapping: {port: 8088, protocol: http}}]
            ---
            apiVersion: appmesh.k8s.aws/v1beta2
            kind: GatewayRoute
            metadata: {name: all, namespace: \(name)}
            spec:
              httpRoute:
                match: {prefix: /}
                action: {target: {virtualService: {virtualServiceRef: {name: blue}}}}
            ---
            apiVersion: appmesh.k8s.aws/v1beta2
            kind: VirtualService
            metadata: {name: blue, namespace: \(name)}
            """
        )
        let mesh = try await cluster.get("mesh", name)
        #expect(mesh["spec"]?["awsName"]?.string == name)
        let reference: JSONValue = [
            "name": .string(name), "uid": try #require(mesh["metadata"]?["uid"]),
        ]
        let service = try await cluster.get("virtualservice", "blue", in: name)
        #expect(service["spec"] == ["awsName": .string("blue.\(name)"), "meshRef": reference])
        let route = try await cluster.get("gatewayroute", "all", in: name)
        let gateway = try await cluster.get("virtualgateway", "ingress", in: name)
        #expect(route["spec"]?["meshRef"] == reference)
        #expect(
            route["spec"]?["virtualGatewayRef"] == [
                "namespace": .string(name), "name": "ingress",
                "uid": try #require(gateway["metadata"]?["uid"]),
            ]
        )
        // What the manifests do not say stays, and a dump of it can be applied again.
        let dump = try await cluster.server.kubectl(
            "get",
            "gatewayroutes,virtualservices",
            "-n",
            name,
            "-o",
            "yaml"
        )
        try await cluster.server.apply(dump)
        #expect(try await cluster.get("gatewayroute", "all", in: name)["spec"] == route["spec"])
        try await cluster.server.kubectl("delete", "virtualservice", "blue", "-n", name)
        try await cluster.server.kubectl("delete", "gatewayroute", "all", "-n", name)
        let restored = try await cluster.server.apply(dump.replacing("uid: ", with: "uid: x"))
        #expect(restored.contains("gatewayroute.appmesh.k8s.aws/all created"))
        #expect(
            try await cluster.get("gatewayroute", "all", in: name)["spec"]?["meshRef"] == reference
        )
    }

    @Test func `the examples are accepted`() async throws {
        let cluster = try await AdmissionCluster.shared()
        let examples = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "Manifests/examples")
        for file in ["canary/mesh.yaml", "gateway/mesh.yaml", "gateway/policies.yaml"] {
            let path = examples.appending(path: file).path
            let output = try await cluster.server.kubectl("apply", "-f", path)
            #expect(!output.contains("Warning"))
        }
        let nodes = try await cluster.server.kubectl("get", "virtualnodes", "-A", "-o", "json")
        let items = try JSONDecoder().decode(JSONValue.self, from: Data(nodes.utf8))["items"]?.array
        for item in items ?? [] {
            #expect(item["spec"]?["awsName"]?.string?.isEmpty == false)
            #expect(item["spec"]?["meshRef"]?["uid"]?.string?.isEmpty == false)
        }
        #expect(items?.isEmpty == false)
    }

    @Test func `kubectl shows why an object is refused`() async throws {
        let cluster = try await AdmissionCluster.shared()
        let namespace = try await namespaceOfMesh(cluster)
        let refused = [
            (
                "spec: {listeners: []}",
                "ServiceDiscovery missing for VirtualNode-blue. ServiceDiscovery must be specified "
                    + "when a listener is specified."
            ),
            (
                "spec: {meshRef: {name: other, uid: u}}",
                "VirtualNode create may not specify read-only field: spec.meshRef"
            ),
        ]
        for (spec, message) in refused {
            let failure = await #expect(throws: KubectlFailure.self) {
                try await cluster.server.apply(node("blue", spec), namespace: namespace)
            }
            let output = try #require(failure?.output)
            #expect(output.contains("denied the request: VirtualNode \(namespace)/blue: "))
            #expect(output.contains(message))
        }
        try await cluster.server.apply(node("blue", "spec: {}"), namespace: namespace)
        let changed = await #expect(throws: KubectlFailure.self) {
            try await cluster.server.apply(node("blue", "spec: {awsName: b}"), namespace: namespace)
        }
        #expect(
            changed?.output.contains("VirtualNode update may not change these fields: spec.awsName")
                == true
        )
    }

    @Test func `a replace of the manifest keeps what the webhook filled in`() async throws {
        let cluster = try await AdmissionCluster.shared()
        let namespace = try await namespaceOfMesh(cluster)
        try await cluster.server.apply(node("blue", "spec: {}"), namespace: namespace)
        let before = try await cluster.get("virtualnode", "blue", in: namespace)["spec"]
        let file = cluster.server.folder.appending(path: "replace.yaml").path
        try node("blue", "spec: {podSelector: {}}").write(
            toFile: file,
            atomically: true,
            encoding: .utf8
        )
        try await cluster.server.kubectl("replace", "-f", file, "-n", namespace)
        var expected = before
        expected?["podSelector"] = [:]
        #expect(try await cluster.get("virtualnode", "blue", in: namespace)["spec"] == expected)
    }

    @Test func `what App Mesh's API refused later is a warning of kubectl's`() async throws {
        let cluster = try await AdmissionCluster.shared()
        let namespace = try await namespaceOfMesh(cluster)
        let file = cluster.server.folder.appending(path: "warned.yaml").path
        let spec =
            "spec: {serviceDiscovery: {dns: {hostname: a}, awsCloudMap: {namespaceName: a, serviceName: b}}}"
        try node("warned", spec).write(toFile: file, atomically: true, encoding: .utf8)
        let failure = await #expect(throws: KubectlFailure.self) {
            try await cluster.server.kubectl(
                "apply",
                "-f",
                file,
                "-n",
                namespace,
                "--warnings-as-errors"
            )
        }
        #expect(
            failure?.output.contains("dns and awsCloudMap are given, and only one is allowed")
                == true
        )
        #expect(try await cluster.get("virtualnode", "warned", in: namespace)["spec"] != nil)
    }

    @Test func `a Pod gets its proxy`() async throws {
        let cluster = try await AdmissionCluster.shared()
        let namespace = try await namespaceOfMesh(cluster, injection: "enabled")
        try await cluster.server.apply(
            node(
                "blue",
                """
                spec:
                  podSelector: {matchLabels: {app: blue}}
                  listeners: [{portMapping: {port: 8080, protocol: http}}]
                  serviceDiscovery: {dns: {hostname: blue}}
                """
            ),
            namespace: namespace
        )
        try await cluster.server.createPod(
            namespace,
            "blue-1",
            labels: ["app": "blue"],
            annotations: ["appmesh.k8s.aws/secretMounts": "blue-tls:/keys"]
        )
        let spec = try #require(try await cluster.get("pod", "blue-1", in: namespace)["spec"])
        let envoy = try #require(spec["containers"]?.array?.first { $0["name"] == "envoy" })
        #expect(envoy["image"] == "envoyproxy/envoy:v1.40.0")
        let mounts = envoy["volumeMounts"]?.array?.compactMap { $0["mountPath"]?.string } ?? []
        #expect(mounts.contains("/var/run/secrets/heddle.dev/token"))
        #expect(mounts.contains("/keys"))
        #expect(
            envoy["args"]?.array?.dropFirst().first?.string?.contains(
                "/virtualNode/blue_\(namespace)"
            ) == true
        )
        let redirect = try #require(spec["initContainers"]?.array?.first)
        #expect(redirect["name"] == "proxyinit")
        #expect(spec["securityContext"]?["fsGroup"] == 1337)
    }

    @Test func `a Pod that nothing selects is refused`() async throws {
        let cluster = try await AdmissionCluster.shared()
        let namespace = try await namespaceOfMesh(cluster, injection: "enabled")
        let failure = await #expect(throws: (any Error).self) {
            try await cluster.server.createPod(namespace, "green-1", labels: ["app": "green"])
        }
        #expect(
            "\(failure.map { "\($0)" } ?? "")".contains(
                "sidecarInject enabled but no matching VirtualNode or VirtualGateway found"
            )
        )
        let quiet = try await namespaceOfMesh(cluster, injection: "disabled")
        try await cluster.server.createPod(quiet, "green-1", labels: ["app": "green"])
        let containers = try await cluster.get("pod", "green-1", in: quiet)["spec"]?["containers"]
        #expect(containers?.array?.count == 1)
    }

    @Test func `roots that somebody takes away come back, by the replica that leads`()
        async throws
    {
        let cluster = try await AdmissionCluster.shared()
        let before = try await cluster.bundles()
        let remove = #"[{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}]"#
        cluster.lead(false)
        defer { cluster.lead(true) }
        try await cluster.server.kubectl(
            "patch",
            "mutatingwebhookconfiguration",
            "heddle",
            "--type=json",
            "-p",
            remove
        )
        #expect(try await cluster.bundles().contains { $0 == nil }, "another replica leads")
        cluster.lead(true)
        #expect(try await poll(cluster.bundles) { !$0.contains { $0 == nil } } == before)
        try await cluster.server.kubectl(
            "delete",
            "validatingwebhookconfiguration",
            "heddle"
        )
        try await cluster.configureWebhooks()
        _ = try await poll(cluster.bundles) { $0 == before }
    }

    @Test func `another certificate serves without a restart`() async throws {
        let cluster = try await AdmissionCluster.shared()
        let before = try await cluster.bundles()
        let serial = try await cluster.serve(as: "other-\(UUID().uuidString)")
        #expect(try await cluster.servedSerial() == serial)
        _ = try await poll(cluster.bundles) { bundles in !bundles.contains { before.contains($0) } }
        let namespace = try await namespaceOfMesh(cluster)
        try await cluster.server.apply(node("blue", "spec: {}"), namespace: namespace)
        let spec = try await cluster.get("virtualnode", "blue", in: namespace)["spec"]
        #expect(spec?["awsName"]?.string == "blue_\(namespace)")
    }

    // MARK: Parts

    /// A namespace with a mesh of its own.
    private func namespaceOfMesh(
        _ cluster: AdmissionCluster,
        injection: String? = nil
    ) async throws -> String {
        let name = "mesh-\(UUID().uuidString.prefix(6).lowercased())"
        let label = injection.map { ", appmesh.k8s.aws/sidecarInjectorWebhook: \($0)" } ?? ""
        try await cluster.server.apply(
            """
            apiVersion: v1
            kind: Namespace
            metadata: {name: \(name), labels: {mesh: \(name)\(label)}}
            ---
            apiVersion: appmesh.k8s.aws/v1beta2
            kind: Mesh
            metadata: {name: \(name)}
            spec: {namespaceSelector: {matchLabels: {mesh: \(name)}}}
            """
        )
        return name
    }

    private func node(_ name: String, _ spec: String) -> String {
        """
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: VirtualNode
        metadata: {name: \(name)}
        \(spec)
        """
    }
}
