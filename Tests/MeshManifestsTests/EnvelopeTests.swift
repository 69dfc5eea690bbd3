import MeshManifests
import MeshModel
import Testing

/// What surrounds a spec: apiVersion, kind, metadata, lists.
@Suite struct EnvelopeTests {
    static let mesh = "apiVersion: appmesh.k8s.aws/v1beta2\nkind: Mesh\n"

    static let wrongEnvelopes: [(text: String, message: String)] = [
        ("{}", "apiVersion: missing; add it, such as appmesh.k8s.aws/v1beta2"),
        ("{}", "kind: missing; add it, such as VirtualNode"),
        ("{}", "metadata.name: missing; give the object a name"),
        (mesh, "metadata: missing; add it"),
        ("\(mesh)metadata: {}", "metadata.name: missing; give a string"),
        (
            "\(mesh)metadata: {name: 5}",
            "metadata.name: expected a string, found the number 5; quote it"
        ),
        ("\(mesh)metadata: [a]", "metadata: expected a mapping, found a list; put fields under it"),
        (
            "\(mesh)metadata: {name: Blue}",
            "Mesh Blue: metadata.name: \"Blue\" is not a valid name; use lower-case letters, digits and \"-\", beginning and ending with a letter or digit"
        ),
        (
            "\(mesh)metadata: {name: a, labels: {a.b/c: true}}",
            "Mesh a: metadata.labels[\"a.b/c\"]: expected a string, found true; quote it"
        ),
        (
            "\(mesh)metadata: {name: a, lables: {}}",
            "Mesh a: metadata.lables: unknown field \"lables\" is ignored; did you mean \"labels\"?"
        ),
        (
            "\(mesh)metadata: {name: a, namespace: b}",
            "Mesh a: metadata.namespace: a Mesh has no namespace; \"b\" is ignored; remove it"
        ),
        (
            "apiVersion: appmesh.k8s.aws/v1\nkind: Mesh\nmetadata: {name: a}",
            "Mesh a: apiVersion: version \"appmesh.k8s.aws/v1\" is not supported; use appmesh.k8s.aws/v1beta2"
        ),
        (
            "apiVersion: heddle.dev/v1\nkind: Workload\nmetadata: {name: a}",
            "Workload default/a: apiVersion: version \"heddle.dev/v1\" is not supported; use heddle.dev/v1alpha1"
        ),
        (
            "apiVersion: heddle.dev/v1alpha1\nkind: Mesh\nmetadata: {name: a}",
            "Mesh a: kind: heddle.dev/v1alpha1 has no kind \"Mesh\"; use Workload, TrafficPolicy or CertificateMapping"
        ),
        (
            "apiVersion: v1\nkind: VirtualNode\nmetadata: {name: a}",
            "VirtualNode default/a: apiVersion: \"v1\" has no kind \"VirtualNode\"; use appmesh.k8s.aws/v1beta2"
        ),
        (
            "apiVersion: apmesh.k8s.aws/v1beta2\nkind: Mesh\nmetadata: {name: a}",
            "Mesh a: apiVersion: \"apmesh.k8s.aws/v1beta2\" has no kind \"Mesh\"; use appmesh.k8s.aws/v1beta2"
        ),
        (
            "apiVersion: v1\nkind: List\nitems: {}",
            "items: expected a list, found a mapping; give a list"
        ),
        (
            "apiVersion: v1\nkind: List\nitems: []\nitems: []",
            "items: duplicate key \"items\"; keep one"
        ),
    ]

    @Test(arguments: wrongEnvelopes)
    func `a wrong envelope is named`(text: String, message: String) {
        #expect(decode(text).diagnostics.map(\.message).contains(message), "\(reports(text))")
    }

    @Test func `the first version's fields are named with their successors`() {
        let text = """
            apiVersion: appmesh.k8s.aws/v1beta1
            kind: VirtualNode
            metadata: {name: a, namespace: demo}
            spec:
              meshName: m
              serviceDiscovery: {dns: {hostName: h}}
              listeners: [{timeout: {http: {}}}]
            """
        let expected =
            "demo.yaml:1: error: VirtualNode demo/a: apiVersion: version "
            + "\"appmesh.k8s.aws/v1beta1\" is not supported; write appmesh.k8s.aws/v1beta2: "
            + "spec.meshName is gone; the mesh's namespaceSelector decides; "
            + "spec.serviceDiscovery.dns.hostName is now hostname"
        #expect(reports(text) == [expected])
        let service = """
            apiVersion: appmesh.k8s.aws/v1beta1
            kind: VirtualService
            metadata: {name: a}
            spec: {routes: [{name: r, http: {retryPolicy: {perRetryTimeoutMillis: 5}}}]}
            """
        let remedy = decode(service).diagnostics.first?.remedy
        #expect(
            remedy
                == "write appmesh.k8s.aws/v1beta2: spec.routes belongs to a VirtualRouter; "
                + "spec.routes[0].http is now httpRoute; "
                + "spec.routes[0].http.retryPolicy.perRetryTimeoutMillis is now perRetryTimeout "
                + "with unit and value"
        )
    }

    @Test func `a list is expanded and other kinds are counted`() {
        let text = """
            {"apiVersion": "v1", "kind": "List", "items": [
              {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}},
              {"apiVersion": "v1", "kind": "Service", "spec": {"ports": [8, {}]}},
              {"apiVersion": "v1", "kind": "Service"},
              {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService"},
              {"apiVersion": "appmesh.k8s.aws/v1beta2", "kind": "Mesh", "metadata": {"name": "a"},
               "spec": {"egressFilter": {"type": "ALLOW"}}},
              {"apiVersion": "appmesh.k8s.aws/v1beta2", "kind": "VirtualService",
               "metadata": {"name": "s", "namespace": "demo", "creationTimestamp": null}}
            ]}
            """
        let file = decode(text)
        #expect(file.ignored == ["Deployment": 1, "Service": 2, "VirtualService": 1])
        #expect(file.objects.map(\.id.description) == ["VirtualService demo/s"])
        let expected =
            "demo.yaml:7: error: Mesh a: spec.egressFilter.type: unknown value \"ALLOW\"; "
            + "use ALLOW_ALL or DROP_ALL"
        #expect(file.diagnostics.map(\.description) == [expected])
    }

    @Test func `what a cluster writes into metadata is kept`() throws {
        let text = """
            apiVersion: appmesh.k8s.aws/v1beta2
            kind: Mesh
            metadata:
              name: a.b-1
              uid: 5c8a
              generation: 3
              resourceVersion: "77"
              creationTimestamp: "2026-07-14T09:30:05Z"
              labels: {app: x}
              annotations: {appmesh.k8s.aws/mesh: y}
              finalizers: [finalizers.appmesh.k8s.aws/mesh-members]
              managedFields: [{manager: kubectl}]
              ownerReferences: []
            """
        let file = decode(text)
        #expect(file.diagnostics.isEmpty, "\(file.diagnostics)")
        let object = try #require(file.objects.first)
        let expected = Metadata(
            name: "a.b-1",
            uid: "5c8a",
            generation: 3,
            resourceVersion: "77",
            creationTimestampSeconds: 1_784_021_405,
            labels: ["app": "x"],
            annotations: ["appmesh.k8s.aws/mesh": "y"]
        )
        #expect(object.metadata == expected)
        let metadata = object.manifest.document["metadata"]
        #expect(metadata?["managedFields"] == nil)
        #expect(metadata?["finalizers"] == ["finalizers.appmesh.k8s.aws/mesh-members"])
        #expect(object.manifest.lines["metadata.labels.app"] == 9)
    }

    @Test func `every field of meshes gateways services and groups is decoded`() throws {
        let text =
            manifest(
                "Mesh",
                "m",
                """
                awsName: mesh
                namespaceSelector: {matchLabels: {mesh: m}}
                egressFilter: {type: ALLOW_ALL}
                meshOwner: "123456789012"
                meshServiceDiscovery: {ipPreference: IPv6_ONLY}
                """
            ) + "---\n"
            + manifest(
                "VirtualGateway",
                "g",
                """
                namespaceSelector: {matchLabels: {gateway: g}}
                podSelector: {}
                gatewayRouteSelector: {matchExpressions: [{key: k, operator: Exists}]}
                listeners:
                  - portMapping: {port: 8088, protocol: http2}
                    healthCheck: {protocol: http, unhealthyThreshold: 2, timeoutMillis: 2000, intervalMillis: 5000}
                    connectionPool: {http2: {maxRequests: 3}}
                backendDefaults: {clientPolicy: {tls: {validation: {trust: {sds: {secretName: s}}}}}}
                logging: {accessLog: {file: {path: /dev/stdout, format: {text: "%BYTES_SENT%"}}}}
                meshRef: {name: m, uid: "1"}
                """
            ) + "---\n"
            + manifest(
                "VirtualService",
                "s",
                "provider: {virtualRouter: {virtualRouterRef: {name: r, namespace: other}}}"
            ) + "---\n"
            + manifest("BackendGroup", "b", "virtualservices: [{name: s}, {name: t, namespace: o}]")
        let file = decode(text)
        #expect(file.diagnostics.isEmpty, "\(file.diagnostics)")
        var world = World()
        for object in file.objects { world.insert(object) }
        let mesh = MeshSpec(
            awsName: "mesh",
            namespaceSelector: LabelSelector(matchLabels: ["mesh": "m"]),
            egressFilter: .allowAll,
            meshOwner: "123456789012",
            ipPreference: .ipv6Only
        )
        #expect(world.meshes.values.map(\.spec) == [mesh])
        let listener = ListenerSpec(
            portMapping: PortMapping(port: try #require(Port(8088)), protocol: .http2),
            healthCheck: HealthCheck(
                unhealthyThreshold: 2,
                interval: .seconds(5),
                timeout: .seconds(2),
                protocol: .http
            ),
            connectionPool: .http2(maxRequests: 3)
        )
        let gateway = VirtualGatewaySpec(
            awsName: "g_demo",
            namespaceSelector: LabelSelector(matchLabels: ["gateway": "g"]),
            podSelector: LabelSelector(),
            gatewayRouteSelector: LabelSelector(
                matchExpressions: [.init(key: "k", operator: .exists)]
            ),
            listeners: [listener],
            backendDefaults: ClientTLS(validation: TLSValidation(trust: .sds(secretName: "s"))),
            accessLog: AccessLog(path: "/dev/stdout", format: .text("%BYTES_SENT%")),
            meshRef: DesignatedReference(name: "m", uid: "1")
        )
        #expect(world.virtualGateways.values.map(\.spec) == [gateway])
        let router = ObjectReference(namespace: "other", name: "r")
        let service = VirtualServiceSpec(
            awsName: "s.demo",
            provider: .virtualRouter(.object(router))
        )
        #expect(world.virtualServices.values.map(\.spec) == [service])
        let group = BackendGroupSpec(
            virtualServices: [
                ObjectReference(namespace: "demo", name: "s"),
                ObjectReference(namespace: "o", name: "t"),
            ]
        )
        #expect(world.backendGroups.values.map(\.spec) == [group])
    }

    @Test func `a gateway listens for tcp`() throws {
        let text = manifest(
            "VirtualGateway",
            "g",
            """
            listeners:
              - portMapping: {port: 6379, protocol: tcp}
                healthCheck: {protocol: tcp, unhealthyThreshold: 2, timeoutMillis: 2000, intervalMillis: 5000}
            """
        )
        let file = decode(text)
        #expect(file.diagnostics.isEmpty, "\(file.diagnostics)")
        guard case .virtualGateway(let gateway) = try #require(file.objects.first) else {
            Issue.record("no gateway")
            return
        }
        let listener = ListenerSpec(
            portMapping: PortMapping(port: try #require(Port(6379)), protocol: .tcp),
            healthCheck: HealthCheck(
                unhealthyThreshold: 2,
                interval: .seconds(5),
                timeout: .seconds(2),
                protocol: .tcp
            )
        )
        #expect(gateway.spec.listeners == [listener])
    }

    @Test func `a health check of another port is a warning`() {
        let text = manifest(
            "VirtualGateway",
            "g",
            """
            listeners:
              - portMapping: {port: 8088, protocol: http}
                healthCheck:
                  {protocol: http, port: 81, unhealthyThreshold: 2, timeoutMillis: 2000, intervalMillis: 5000}
            """
        )
        let file = decode(text)
        #expect(file.objects.count == 1)
        let expected =
            "demo.yaml:8: warning: VirtualGateway demo/g: spec.listeners[0].healthCheck.port: health "
            + "checks go to port 81, and the listener has port 8088; App Mesh asks for the "
            + "listener's port; use 8088 or remove it"
        #expect(file.diagnostics.map(\.description) == [expected])
    }

    @Test func `a document of the API decodes like one of a file`() {
        let document: JSONValue = [
            "apiVersion": "appmesh.k8s.aws/v1beta2", "kind": "VirtualService",
            "metadata": ["name": "s", "namespace": "demo"],
            "spec": ["provider": ["virtualNode": ["virtualNodeRef": ["name": "n"]]], "mesh": 1],
        ]
        let result = decodeObject(document)
        #expect(result.object?.id.description == "VirtualService demo/s")
        #expect(result.object?.manifest.document["spec"]?["awsName"] == "s.demo")
        #expect(
            result.diagnostics.map(\.description) == [
                "warning: VirtualService demo/s: spec.mesh: unknown field \"mesh\" is ignored; "
                    + "known are awsName, meshRef and provider"
            ]
        )
        var deep: JSONValue = 1
        for _ in 0..<1000 { deep = [deep] }
        #expect(
            decodeObject(["a": deep]).diagnostics.map(\.problem) == ["nested deeper than 64 levels"]
        )
        let service = decodeObject([
            "apiVersion": "v1", "kind": "Service", "metadata": ["name": "a"],
        ])
        #expect(service.object == nil)
        #expect(service.diagnostics.first?.problem == "kind \"Service\" is not part of a mesh")
    }

    @Test(arguments: [
        ("8080", "the number 8080"), ("0x10", "the number 0x10"), ("-1.5e3", "the number -1.5e3"),
        (".5", "the number .5"), ("true", "true"), ("[a]", "a list"), ("{a: b}", "a mapping"),
        ("1e999", nil), ("yes", nil), ("off", nil), ("1.2.3", nil), ("2026-01-01", nil),
        ("nan", nil), ("0x", nil), ("!!str 80", nil), ("'80'", nil), ("1-2", nil),
    ])
    func `a plain scalar is what Kubernetes takes it for`(yaml: String, mistake: String?) {
        let reports = decode(manifest("VirtualNode", "a", "awsName: \(yaml)")).diagnostics
        #expect(
            reports.map(\.problem) == (mistake.map { ["expected a string, found \($0)"] } ?? [])
        )
    }
}
