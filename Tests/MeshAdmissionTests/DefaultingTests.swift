import MeshAdmission
import MeshModel
import MeshTesting
import Testing

@Suite struct DefaultingTests {
    private static let names: [(Kind, String?)] = [
        (.mesh, "blue"), (.virtualNode, "blue_demo"), (.virtualRouter, "blue_demo"),
        (.virtualGateway, "blue_demo"), (.gatewayRoute, "blue_demo"),
        (.virtualService, "blue.demo"),
        (.backendGroup, nil),
    ]

    @Test(arguments: names)
    func `an object without awsName gets App Mesh's`(kind: Kind, name: String?) throws {
        for spec: JSONValue? in [nil, [:], ["awsName": ""], ["awsName": .null]] {
            let outcome = try mutate(kind, object(kind, spec))
            let expected = name ?? spec?["awsName"]?.string
            #expect(outcome.object["spec"]?["awsName"]?.string == expected)
        }
        let kept = try mutate(kind, object(kind, ["awsName": "mine"]))
        #expect(kept.object["spec"]?["awsName"] == "mine")
    }

    @Test(arguments: names.map(\.0).filter { $0 != .mesh })
    func `an object of a namespace gets the mesh that selects it`(kind: Kind) throws {
        let outcome = try mutate(kind, object(kind, [:]))
        #expect(outcome.object["spec"]?["meshRef"] == ["name": "demo", "uid": "mesh-uid"])
        let route = outcome.object["spec"]?["virtualGatewayRef"]
        let gateway: JSONValue = ["namespace": "demo", "name": "ingress", "uid": "ingress-uid"]
        #expect(route == (kind == .gatewayRoute ? gateway : nil))
        let again = try mutate(kind, outcome.object)
        #expect(again.operationCount == 0, "a second call changes nothing")
        #expect(again.refusal == nil)
    }

    @Test func `a name that the server has yet to make is no part of awsName`() throws {
        var node = object(.virtualNode, [:])
        node["metadata"]?["name"] = nil
        node["metadata"]?["generateName"] = "blue-"
        let outcome = try mutate(.virtualNode, node)
        #expect(outcome.refusal == nil)
        #expect(outcome.object["spec"]?["awsName"] == nil)
        #expect(outcome.object["spec"]?["meshRef"]?["name"] == "demo")
    }

    @Test func `a spec that the schema will refuse is let through`() throws {
        #expect(try mutate(.virtualNode, object(.virtualNode, "wrong")).operationCount == 0)
    }

    private static let preferences: [(InjectionSettings.IPFamily, String?, String?)] = [
        (.unknown, nil, nil), (.unknown, "IPv6_ONLY", "IPv6_ONLY"), (.ipv4, nil, nil),
        (.ipv4, "IPv6_ONLY", "IPv4_ONLY"), (.ipv6, nil, "IPv6_ONLY"),
        (.ipv6, "IPv4_ONLY", "IPv6_ONLY"),
    ]

    @Test(arguments: preferences)
    func `a mesh's ipPreference follows the cluster's family`(
        family: InjectionSettings.IPFamily,
        given: String?,
        expected: String?
    ) throws {
        var spec: JSONValue = [:]
        if let given { spec["meshServiceDiscovery"] = ["ipPreference": .string(given)] }
        let mesh = object(.mesh, spec)
        for old in [JSONValue.null, mesh] {
            let outcome = try mutate(.mesh, mesh, old: old, settings { $0.ipFamily = family })
            let preference = outcome.object["spec"]?["meshServiceDiscovery"]?["ipPreference"]
            #expect(preference?.string == expected)
        }
    }

    @Test func `an update that leaves out what was filled in gets it back`() throws {
        let old = object(
            .gatewayRoute,
            [
                "awsName": "kept", "meshRef": ["name": "demo", "uid": "old-uid"],
                "virtualGatewayRef": ["name": "gone", "namespace": "demo", "uid": "u"],
            ]
        )
        let outcome = try mutate(.gatewayRoute, object(.gatewayRoute, ["priority": 3]), old: old)
        var expected = old["spec"]
        expected?["priority"] = 3
        #expect(outcome.object["spec"] == expected)
    }

    @Test func `an update of an object from before the webhook gives it its references`() throws {
        let node = object(.virtualNode, [:])
        let outcome = try mutate(.virtualNode, node, old: node)
        #expect(outcome.object["spec"]?["meshRef"]?["uid"] == "mesh-uid")
        let lost = try mutate(.virtualNode, node, old: node, namespace: "nowhere")
        #expect(lost.refusal == nil, "what can't be told does not hinder an update")
        #expect(lost.object["spec"]?["meshRef"] == nil)
    }

    @Test func `an object that is being deleted stays as it is`() throws {
        let node = object(
            .virtualNode,
            [:],
            metadata: ["deletionTimestamp": "2026-01-02T03:04:05Z"]
        )
        #expect(try mutate(.virtualNode, node, old: node).operationCount == 0)
    }
}

@Suite struct DesignationTests {
    @Test(arguments: [
        ("nowhere", "failed to find matching mesh for namespace: nowhere, expecting 1 but found 0"),
        (
            "both",
            "found multiple matching meshes for namespace: both, expecting 1 but found 2: demo,second"
        ),
        ("ending", "unable to create new content in mesh ending because it is being terminated"),
    ])
    func `an object without just one usable mesh is refused`(
        namespace: String,
        message: String
    ) throws {
        for kind in [Kind.virtualNode, .backendGroup] {
            let outcome = try mutate(kind, object(kind, [:]), namespace: namespace)
            let refusal = try #require(outcome.refusal)
            #expect(refusal.contains(message))
            #expect(refusal.hasPrefix("\(kind.rawValue) \(namespace)/blue: "))
            #expect(outcome.verdict.dependsOnWorld, "the mesh may arrive just after")
        }
    }

    @Test func `a mesh with a mistake is named where a mesh is missing`() throws {
        let world = World(
            yaml: """
                apiVersion: appmesh.k8s.aws/v1beta2
                kind: Mesh
                metadata: {name: broken}
                spec: {namespaceSelector: 3}
                """
        )
        let review = review("VirtualNode", object(.virtualNode, [:]))
        let outcome = try send(review, path("mutate", .virtualNode), world: world)
        #expect(try #require(outcome.refusal).contains("mend Mesh broken, which is not in use"))
    }

    @Test func `a route of no gateway, or of several, is refused`() throws {
        let lost = object(.gatewayRoute, [:], metadata: ["labels": ["unattached": "true"]])
        #expect(
            try #require(try mutate(.gatewayRoute, lost).refusal).contains(
                "failed to find matching virtualGateway for gatewayRoute: blue, "
                    + "expecting 1 but found 0"
            )
        )
        let second = """

            ---
            apiVersion: appmesh.k8s.aws/v1beta2
            kind: VirtualGateway
            metadata: {name: other, namespace: quiet}
            spec: {namespaceSelector: {}, listeners: [{portMapping: {port: 80, protocol: http}}]}
            """
        let review = review("GatewayRoute", object(.gatewayRoute, [:]))
        let outcome = try send(
            review,
            path("mutate", .gatewayRoute),
            world: World(yaml: clusterYAML + second)
        )
        #expect(
            try #require(outcome.refusal).contains(
                "found multiple matching virtualGateways for gatewayRoute: blue, "
                    + "expecting 1 but found 2: demo/ingress,quiet/other"
            )
        )
    }

    @Test func `a gateway of another mesh is refused`() throws {
        let moved = clusterYAML.replacing(
            "meshRef: {name: demo, uid: mesh-uid}\n  namespaceSelector",
            with: "meshRef: {name: second, uid: second-uid}\n  namespaceSelector"
        )
        #expect(moved != clusterYAML)
        let outcome = try send(
            review("GatewayRoute", object(.gatewayRoute, [:])),
            path("mutate", .gatewayRoute),
            world: World(yaml: moved)
        )
        #expect(
            try #require(outcome.refusal).contains(
                #"VirtualGateway "demo/ingress" didn't belong to mesh "demo""#
            )
        )
    }

    @Test(arguments: [
        Kind.virtualNode, .virtualService, .virtualRouter, .virtualGateway, .backendGroup,
    ])
    func `a meshRef that was given must mean the mesh of the namespace`(kind: Kind) throws {
        let wrong = object(kind, ["meshRef": ["name": "second", "uid": "second-uid"]])
        let refusal = try #require(try mutate(kind, wrong).refusal)
        #expect(
            refusal.contains(
                "\(kind.rawValue) create may not specify read-only field: spec.meshRef"
            )
        )
        let dumped = object(kind, ["meshRef": ["name": "demo", "uid": "of-another-cluster"]])
        let outcome = try mutate(kind, dumped)
        #expect(outcome.refusal == nil)
        #expect(outcome.object["spec"]?["meshRef"] == ["name": "demo", "uid": "mesh-uid"])
        #expect(outcome.verdict.warnings.count == 1)
    }

    @Test func `a virtualGatewayRef that was given must mean the route's gateway`() throws {
        let wrong = object(.gatewayRoute, ["virtualGatewayRef": ["name": "other", "uid": "u"]])
        #expect(
            try #require(try mutate(.gatewayRoute, wrong).refusal).contains(
                "GatewayRoute create may not specify read-only field: spec.virtualGatewayRef"
            )
        )
        let dumped = object(.gatewayRoute, ["virtualGatewayRef": ["name": "ingress", "uid": "u"]])
        let outcome = try mutate(.gatewayRoute, dumped)
        #expect(outcome.object["spec"]?["virtualGatewayRef"]?["uid"] == "ingress-uid")
        #expect(outcome.object["spec"]?["virtualGatewayRef"]?["namespace"] == "demo")
    }

    @Test func `a dump applied over what is there keeps the references of this cluster`() throws {
        let old = object(
            .virtualNode,
            ["awsName": "n", "meshRef": ["name": "demo", "uid": "here"]]
        )
        let new = object(
            .virtualNode,
            ["awsName": "n", "meshRef": ["name": "demo", "uid": "there"]]
        )
        let outcome = try mutate(.virtualNode, new, old: old)
        #expect(outcome.object == old)
        #expect(try validate(.virtualNode, outcome.object, old: old).refusal == nil)
    }
}
