import MeshModel
import MeshPlan
import MeshTesting
import Testing

@Suite struct GatewayDesignationTests {
    private func mistakes(gateways: [String], route: String = "target") -> [String] {
        var text = """
            apiVersion: v1
            kind: Namespace
            metadata: {name: demo, labels: {mesh: demo}}
            ---
            apiVersion: appmesh.k8s.aws/v1beta2
            kind: Mesh
            metadata: {name: demo}
            spec: {namespaceSelector: {matchLabels: {mesh: demo}}}
            ---
            apiVersion: appmesh.k8s.aws/v1beta2
            kind: VirtualService
            metadata: {name: target, namespace: demo}
            ---
            apiVersion: appmesh.k8s.aws/v1beta2
            kind: GatewayRoute
            metadata: {name: route, namespace: demo, labels: {edge: "yes"}}
            spec:
              httpRoute:
                match: {prefix: /}
                action: {target: {virtualService: {virtualServiceRef: {name: \(route)}}}}

            """
        for (number, selectors) in gateways.enumerated() {
            text += """
                ---
                apiVersion: appmesh.k8s.aws/v1beta2
                kind: VirtualGateway
                metadata: {name: edge-\(number), namespace: demo}
                spec: {\(selectors), listeners: [{portMapping: {port: 8088, protocol: http}}]}

                """
        }
        return plan(World(yaml: text), nowSeconds: 0).diagnostics
            .filter { $0.severity == .error }.map(\.message)
    }

    @Test func `a route is that of the one gateway whose selectors match`() {
        let found = mistakes(gateways: [
            "namespaceSelector: {matchLabels: {mesh: demo}}",
            "namespaceSelector: {}, gatewayRouteSelector: {matchLabels: {edge: no-route}}",
            "podSelector: {}",
        ])
        #expect(found.isEmpty)
    }

    @Test func `a route without a gateway, or with two, is told in App Mesh's words`() {
        #expect(
            mistakes(gateways: []) == [
                "GatewayRoute demo/route: metadata.namespace: failed to find matching virtualGateway "
                    + "for gatewayRoute: route, expecting 1 but found 0; let a VirtualGateway's "
                    + "namespaceSelector and gatewayRouteSelector match it"
            ]
        )
        #expect(
            mistakes(gateways: ["namespaceSelector: {}", "namespaceSelector: {}"]) == [
                "GatewayRoute demo/route: metadata.namespace: found multiple matching "
                    + "virtualGateways for gatewayRoute: route, expecting 1 but found 2: "
                    + "demo/edge-0,demo/edge-1; narrow the selectors of all but one"
            ]
        )
    }

    @Test func `a target that does not exist is the route's mistake`() {
        #expect(
            mistakes(gateways: ["namespaceSelector: {}"], route: "targt") == [
                "GatewayRoute demo/route: spec.httpRoute.action.target.virtualService."
                    + "virtualServiceRef: no VirtualService \"demo/targt\"; did you mean "
                    + "\"demo/target\"?"
            ]
        )
    }
}
