import Foundation
import HTTPClient
import MeshTesting
import Testing

/// Manifests as people have them, applied with kubectl to a cluster of its own: what they become, what
/// kubectl shows of it, and the requests that get through.
@Suite(.serialized, .enabled(if: clusterIsExpected), .timeLimit(.minutes(10)))
struct ExampleTests {
    // MARK: The gateway of the examples

    @Test func `the example of a gateway leads requests from outside to Pods by their paths`()
        async throws
    {
        try await ClusterMesh.run { cluster in
            try await runGateway(in: cluster)
            for (type, object) in [
                ("MeshActive", "mesh/shop"), ("VirtualGatewayActive", "virtualgateway/edge"),
                ("GatewayRouteActive", "gatewayroute/catalog"),
                ("GatewayRouteActive", "gatewayroute/cart"),
                ("VirtualServiceActive", "virtualservice/catalog"),
                ("VirtualNodeActive", "virtualnode/catalog"),
                ("VirtualNodeActive", "virtualnode/cart"),
                ("TrafficPolicyActive", "trafficpolicy/edge"),
                ("TrafficPolicyActive", "trafficpolicy/cart"),
            ] {
                try await cluster.condition(type, of: object, in: "shop")
            }
            for object in ["virtualgateway/edge", "virtualnode/catalog"] {
                try await cluster.condition("ConfigAccepted", of: object, in: "shop")
                try await cluster.condition("ProxiesReady", of: object, in: "shop")
            }
            try await expectColumns(in: cluster)
            try await expectRequests(in: cluster)
            try await expectMistakeIsTold(in: cluster)
        }
    }

    /// The gateway's own Pod and those of its services, which run the program of the example.
    private func runGateway(in cluster: ClusterMesh) async throws {
        for file in ["mesh.yaml", "policies.yaml"] {
            let path = repositoryFile("Manifests/examples/gateway/\(file)")
            try await cluster.apply(try String(contentsOfFile: path, encoding: .utf8))
        }
        let program = repositoryFile("Manifests/examples/gateway/service.py")
        for (name, app) in [("catalog-1", "catalog"), ("catalog-2", "catalog"), ("cart", "cart")] {
            try await cluster.apply(
                """
                apiVersion: v1
                kind: Pod
                metadata: {name: \(name), namespace: shop, labels: {app: \(app)}}
                spec:
                  serviceAccountName: default
                  containers:
                  - name: app
                    image: example.com/service
                    command: [python3, \(program)]
                    env: [{name: NAME, value: \(name)}, {name: PORT, value: "8080"}]
                    readinessProbe: {exec: {command: [curl, -sf, "http://127.0.0.1:8080/"]}}
                """
            )
        }
        try await cluster.apply(
            """
            apiVersion: v1
            kind: Pod
            metadata: {name: edge, namespace: shop, labels: {app: edge}}
            spec:
              serviceAccountName: default
              containers: [{name: envoy, image: example.com/envoy, ports: [{containerPort: 8080}]}]
            ---
            apiVersion: v1
            kind: Pod
            metadata: {name: outside, namespace: default}
            spec: {containers: [{name: curl, image: example.com/curl, command: [sleep, infinity]}]}
            """
        )
        for pod in ["catalog-1", "catalog-2", "cart", "edge"] {
            try await cluster.waitUntilReady(pod: pod, in: "shop")
        }
        try await cluster.waitUntilReady(pod: "outside", in: "default")
    }

    /// App Mesh's columns, and with `-o wide` Heddle's.
    private func expectColumns(in cluster: ClusterMesh) async throws {
        func words(_ line: Substring) -> [String] { line.split(separator: " ").map(String.init) }
        for (kind, name, rest) in [
            ("virtualnodes", "catalog", ["True", "Active", "2", "2"]),
            ("virtualgateways", "edge", ["True", "Active", "1", "1"]),
            ("gatewayroutes", "cart", ["True", "Active"]),
            ("virtualservices", "cart", ["True", "Active"]),
        ] {
            let table = try await cluster.server.kubectl("get", kind, "-n", "shop", "-o", "wide")
            let lines = table.split(separator: "\n").map(words)
            let header = ["NAME", "ARN", "AGE", "ACTIVE", "REASON"]
            #expect(lines.first == header + (rest.count > 2 ? ["PROXIES", "READY"] : []))
            let row = try #require(lines.first { $0.first == name })
            #expect(row.dropFirst().first?.hasPrefix("arn:aws:appmesh:local:") == true)
            #expect(Array(row.dropFirst(3)) == rest, "\(kind)")
        }
    }

    private func expectRequests(in cluster: ClusterMesh) async throws {
        var catalogs: Set<String> = []
        try await poll(
            {
                catalogs.insert(try await answer(to: "/catalog/shoes", in: cluster))
                return catalogs
            },
            until: { $0.count >= 2 }
        )
        #expect(
            catalogs == [
                "catalog-1 was asked for /shoes\n200", "catalog-2 was asked for /shoes\n200",
            ]
        )
        #expect(try await answer(to: "/cart", in: cluster) == "cart was asked for /\n200")
        #expect(try await answer(to: "/orders", in: cluster) == "404")
        let whole = try await answer(to: "/cart", "--include", in: cluster)
        #expect(whole.contains("x-served-by: heddle"))
        try await cluster.server.kubectl(
            ["patch", "trafficpolicy", "edge", "-n", "shop", "--type=merge"]
                + ["-p", #"{"spec": {"rateLimit": {"requests": 1}}}"#]
        )
        try await poll(
            { try await answer(to: "/cart", in: cluster) },
            until: { $0.hasSuffix("429") }
        )
        try await cluster.server.kubectl(
            ["patch", "trafficpolicy", "edge", "-n", "shop", "--type=merge"]
                + ["-p", #"{"spec": {"rateLimit": {"requests": 1000}}}"#]
        )
        try await poll(
            { try await answer(to: "/cart", in: cluster) },
            until: { $0.hasSuffix("200") }
        )
    }

    /// A route to nothing is told of by its condition and an Event, and answers 503: what it took
    /// goes nowhere else.
    private func expectMistakeIsTold(in cluster: ClusterMesh) async throws {
        let path = "/spec/httpRoute/action/target/virtualService/virtualServiceRef/name"
        func lead(to service: String) async throws {
            try await cluster.server.kubectl(
                ["patch", "gatewayroute", "cart", "-n", "shop", "--type=json", "-p"]
                    + [#"[{"op": "replace", "path": "\#(path)", "value": "\#(service)"}]"#]
            )
        }
        try await lead(to: "cat")
        let message = try await cluster.condition(
            "GatewayRouteActive",
            of: "gatewayroute/cart",
            in: "shop",
            is: "False"
        )
        #expect(
            message.hasPrefix(
                "spec.httpRoute.action.target.virtualService.virtualServiceRef: "
                    + #"no VirtualService "shop/cat"; "#
            )
        )
        try await poll(
            { try await cluster.server.kubectl("describe", "gatewayroute", "cart", "-n", "shop") },
            until: { $0.contains("Warning  ReconcileError") && $0.contains("heddle  \(message)") }
        )
        try await poll(
            { try await answer(to: "/cart", in: cluster) },
            until: { $0.hasSuffix("503") }
        )
        #expect(try await answer(to: "/catalog", in: cluster).hasSuffix("200"))
        try await lead(to: "cart")
        try await cluster.condition("GatewayRouteActive", of: "gatewayroute/cart", in: "shop")
        try await poll(
            { try await answer(to: "/cart", in: cluster) },
            until: { $0.hasSuffix("200") }
        )
    }

    /// What the gateway answers to a Pod outside of the mesh, and the status on a line of its own.
    private func answer(
        to path: String,
        _ options: String...,
        in cluster: ClusterMesh
    ) async throws -> String {
        let address = try await cluster.address(of: "edge", in: "shop")
        return try await cluster.exec(
            ["curl", "-s", "--max-time", "10", "-w", "%{http_code}"] + options
                + ["http://\(address):8080\(path)"],
            in: "outside",
            "default"
        )
    }

    // MARK: Certificates in Secrets

    @Test func `a certificate that a Pod lacks is told of, and one in a Secret of its own is used`()
        async throws
    {
        try await ClusterMesh.run { cluster in
            try await makeSecrets(in: cluster)
            try await cluster.apply(Self.certificates)
            try await cluster.runPod(
                "blue",
                in: "tls",
                labels: ["app": "blue"],
                annotations: ["appmesh.k8s.aws/secretMounts": "blue:/certs"]
            )
            // front's authority is not where the manifest says.
            try await cluster.runPod(
                "front-1",
                in: "tls",
                labels: ["app": "front"],
                annotations: ["appmesh.k8s.aws/secretMounts": "front:/elsewhere"]
            )
            let message = try await cluster.condition(
                "VirtualNodeActive",
                of: "virtualnode/front",
                in: "tls",
                is: "False"
            )
            #expect(message.contains("Proxy tls/front-1 refused secrets file:/certs/ca.pem"))
            #expect(message.contains("in a Pod by the annotation appmesh.k8s.aws/secretMounts"))
            try await cluster.server.kubectl(
                "delete",
                "pod",
                "front-1",
                "-n",
                "tls",
                "--grace-period=1",
                "--wait=false"
            )
            try await cluster.runPod(
                "front-2",
                in: "tls",
                labels: ["app": "front"],
                annotations: ["appmesh.k8s.aws/secretMounts": "front:/certs"]
            )
            try await poll(
                {
                    let called = "http://blue.tls.svc.cluster.local:8080/"
                    return try await cluster.call(called, from: "front-2", in: "tls").text
                },
                until: { $0 == "blue" }
            )
            try await cluster.condition("VirtualNodeActive", of: "virtualnode/front", in: "tls")
            // In plaintext nobody gets in.
            let address = try await cluster.address(of: "blue", in: "tls")
            let plain = HTTPRequest("GET", "http://\(address):8080/", timeout: .seconds(5))
            let status = try? await cluster.client.response(to: plain).status
            #expect(status == nil)
        }
    }

    private func makeSecrets(in cluster: ClusterMesh) async throws {
        let folder = cluster.server.folder.path
        let authority = try await TestAuthority("authority", in: folder)
        let certificate = try await authority.issue("blue", for: ["blue.tls.svc.cluster.local"])
        for arguments in [
            ["create", "namespace", "tls"],
            ["create", "secret", "generic", "front", "-n", "tls"]
                + ["--from-file=ca.pem=\(authority.certificate)"],
            ["create", "secret", "generic", "blue", "-n", "tls"]
                + ["--from-file=chain.pem=\(certificate.chain)"]
                + ["--from-file=key.pem=\(certificate.key)"],
        ] {
            try await cluster.server.kubectl(arguments)
        }
    }

    private static let certificates = """
        apiVersion: v1
        kind: Namespace
        metadata: {name: tls, labels: {mesh: tls, appmesh.k8s.aws/sidecarInjectorWebhook: enabled}}
        ---
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: Mesh
        metadata: {name: tls}
        spec: {namespaceSelector: {matchLabels: {mesh: tls}}}
        ---
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: VirtualNode
        metadata: {name: front, namespace: tls}
        spec:
          podSelector: {matchLabels: {app: front}}
          listeners: [{portMapping: {port: 8080, protocol: http}}]
          serviceDiscovery: {dns: {hostname: front.tls.svc.cluster.local}}
          backends: [{virtualService: {virtualServiceRef: {name: blue}}}]
          backendDefaults:
            clientPolicy:
              tls: {enforce: true, validation: {trust: {file: {certificateChain: /certs/ca.pem}}}}
        ---
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: VirtualNode
        metadata: {name: blue, namespace: tls}
        spec:
          podSelector: {matchLabels: {app: blue}}
          listeners:
          - portMapping: {port: 8080, protocol: http}
            tls:
              mode: STRICT
              certificate: {file: {certificateChain: /certs/chain.pem, privateKey: /certs/key.pem}}
          serviceDiscovery: {dns: {hostname: blue.tls.svc.cluster.local}}
        ---
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: VirtualService
        metadata: {name: blue, namespace: tls}
        spec:
          awsName: blue.tls.svc.cluster.local
          provider: {virtualNode: {virtualNodeRef: {name: blue}}}
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: blue, namespace: tls}
        spec: {ports: [{port: 8080}]}
        """
}
