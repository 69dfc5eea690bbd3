import MeshModel
import MeshPlan
import MeshTesting
import Testing

/// Objects that say to which mesh and gateway they belong, as those of a cluster do.
@Suite struct DesignationTests {
    private static func mesh(_ name: String, _ selector: String, uid: String) -> String {
        """
        ---
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: Mesh
        metadata: {name: \(name), uid: \(uid)}
        spec: {namespaceSelector: \(selector)}

        """
    }

    private static func gateway(_ name: String, _ selector: String) -> String {
        """
        ---
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: VirtualGateway
        metadata: {name: \(name), namespace: demo, uid: \(name)-uid}
        spec:
          namespaceSelector: \(selector)
          meshRef: {name: demo, uid: demo-uid}
          podSelector: {matchLabels: {app: \(name)}}
          listeners: [{portMapping: {port: 8088, protocol: http}}]
        ---
        apiVersion: heddle.dev/v1alpha1
        kind: Workload
        metadata: {name: \(name), namespace: demo, labels: {app: \(name)}}

        """
    }

    private static let members = """
        apiVersion: v1
        kind: Namespace
        metadata: {name: demo, labels: {mesh: demo}}
        ---
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: VirtualNode
        metadata: {name: blue, namespace: demo}
        spec:
          meshRef: {name: demo, uid: demo-uid}
          podSelector: {matchLabels: {app: blue}}
          listeners: [{portMapping: {port: 8080, protocol: http}}]
          serviceDiscovery: {dns: {hostname: blue.demo}}
        ---
        apiVersion: heddle.dev/v1alpha1
        kind: Workload
        metadata: {name: blue, namespace: demo, labels: {app: blue}}
        ---
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: VirtualService
        metadata: {name: blue, namespace: demo}
        spec:
          meshRef: {name: demo, uid: demo-uid}
          provider: {virtualNode: {virtualNodeRef: {name: blue}}}
        ---
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: GatewayRoute
        metadata: {name: blue, namespace: demo}
        spec:
          meshRef: {name: demo, uid: demo-uid}
          virtualGatewayRef: {name: edge, namespace: demo, uid: edge-uid}
          httpRoute:
            match: {prefix: /}
            action: {target: {virtualService: {virtualServiceRef: {name: blue}}}}

        """

    private static let own = mesh("demo", "{matchLabels: {mesh: demo}}", uid: "demo-uid")
    private static let edge = gateway("edge", "{matchLabels: {mesh: demo}}")

    private func result(_ objects: String...) -> Plan {
        plan(World(yaml: Self.members + objects.joined()), nowSeconds: 0)
    }

    private func mistakes(_ plan: Plan) -> [String] {
        plan.diagnostics.filter { $0.severity == .error }.map(\.message)
    }

    private func nodeID(_ name: String, _ plan: Plan) -> String? {
        plan.proxies[ProxyID(ObjectReference(namespace: "demo", name: name))]?.nodeID
    }

    /// Whether the gateway `name` routes to the node.
    private func routes(_ name: String, _ plan: Plan) -> Bool {
        let proxy = plan.proxies[ProxyID(ObjectReference(namespace: "demo", name: name))]
        return proxy?.snapshot[.clusters]["cds_egress_demo_blue_demo_http_8080"] != nil
    }

    @Test func `a second mesh that selects the namespace takes nothing over`() {
        let plan = result(Self.own, Self.edge, Self.mesh("all", "{}", uid: "all-uid"))
        #expect(mistakes(plan) == [])
        #expect(nodeID("blue", plan) == "mesh/demo/virtualNode/blue_demo")
        #expect(routes("edge", plan))
        #expect(plan.mesh(of: ObjectID(.virtualNode, reference("blue")))?.name == "demo")
    }

    @Test func `labels that change move nothing`() {
        let relabelled = result(
            Self.mesh("demo", "{matchLabels: {mesh: other}}", uid: "demo-uid"),
            Self.gateway("edge", "{matchLabels: {mesh: other}}"),
            Self.mesh("all", "{}", uid: "all-uid")
        )
        #expect(mistakes(relabelled) == [])
        #expect(nodeID("blue", relabelled) == "mesh/demo/virtualNode/blue_demo")
        #expect(routes("edge", relabelled))
    }

    @Test func `a second gateway that selects a route takes none over`() {
        let plan = result(Self.own, Self.edge, Self.gateway("side", "{}"))
        #expect(mistakes(plan) == [])
        #expect(routes("edge", plan))
        #expect(!routes("side", plan))
    }

    @Test func `what was made anew under its name is meant if it selects the object`() {
        let again = Self.mesh("demo", "{matchLabels: {mesh: demo}}", uid: "new-uid")
        let side = Self.edge.replacing("uid: edge-uid", with: "uid: new-uid")
        let plan = result(again, side)
        #expect(mistakes(plan) == [])
        #expect(routes("edge", plan))

        let elsewhere = Self.mesh("demo", "{matchLabels: {mesh: other}}", uid: "new-uid")
        let all = Self.mesh("all", "{}", uid: "all-uid")
        let lost = result(elsewhere, side, all)
        #expect(nodeID("blue", lost) == nil)
        #expect(
            mistakes(lost).contains(
                "VirtualNode demo/blue: spec.meshRef: no Mesh \"demo\" is in use, for which it was "
                    + "made; apply that Mesh, or make the object anew without the field"
            )
        )
    }

    @Test func `a mesh or gateway that is gone is missed by name`() {
        #expect(
            mistakes(result(Self.own)) == [
                "GatewayRoute demo/blue: spec.virtualGatewayRef: no VirtualGateway \"demo/edge\" is "
                    + "there, for which it was made; apply that VirtualGateway, or make the route "
                    + "anew without the field"
            ]
        )
        let all = Self.mesh("all", "{}", uid: "all-uid")
        let missing = mistakes(result(all)).filter { $0.contains("no Mesh \"demo\" is in use") }
        #expect(missing.count == 3)
    }

    private func reference(_ name: String) -> ObjectReference {
        ObjectReference(namespace: "demo", name: name)
    }
}
