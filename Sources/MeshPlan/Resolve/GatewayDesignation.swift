internal import MeshModel

extension Resolution {
    /// Finds the gateway of each gateway route, and checks what the route refers to.
    ///
    /// A gateway takes the routes of the namespaces that its `namespaceSelector` selects (absent:
    /// none), if its `gatewayRouteSelector` (absent: every one) selects them.
    mutating func designateGateways() {
        for route in world.gatewayRoutes.values {
            guard let mesh = mesh(of: route.id) else { continue }
            if case .failure(let failure) = find(
                route.spec.virtualService,
                among: world.virtualServices,
                \.awsName,
                in: mesh
            ) {
                let field = "spec.\(route.spec.rule.fieldName).action.target.virtualService"
                report(
                    route.diagnostic(
                        .error,
                        "\(field).virtualService\(failure.member)",
                        failure.problem,
                        remedy: failure.remedy
                    )
                )
            }
            designate(route, in: mesh)
        }
    }

    private mutating func designate(_ route: GatewayRoute, in mesh: Mesh) {
        let labels = world.labels(ofNamespace: route.metadata.namespace)
        let matching = world.virtualGateways.values.filter { gateway in
            (gateway.spec.namespaceSelector?.matches(labels) ?? false)
                && (gateway.spec.gatewayRouteSelector?.matches(route.metadata.labels) ?? true)
        }
        func fail(_ field: String, _ problem: String, _ remedy: String) {
            report(route.diagnostic(.error, field, problem, remedy: remedy))
        }
        let name = route.metadata.name
        guard let gateway = matching.first else {
            return fail(
                "metadata.namespace",
                "failed to find matching virtualGateway for gatewayRoute: \(name), "
                    + "expecting 1 but found 0",
                "let a VirtualGateway's namespaceSelector and gatewayRouteSelector match it"
            )
        }
        guard matching.count == 1 else {
            let names = matching.map(\.reference.description).sorted().joined(separator: ",")
            return fail(
                "metadata.namespace",
                "found multiple matching virtualGateways for gatewayRoute: \(name), "
                    + "expecting 1 but found \(matching.count): \(names)",
                "narrow the selectors of all but one"
            )
        }
        guard self.mesh(of: gateway.id)?.reference == mesh.reference else {
            return fail(
                "metadata.namespace",
                "VirtualGateway \"\(gateway.reference)\" didn't belong to mesh "
                    + "\"\(mesh.metadata.name)\"",
                "attach it to a gateway of its own mesh"
            )
        }
        if let given = route.spec.virtualGatewayRef, given.name != gateway.metadata.name {
            return fail(
                "spec.virtualGatewayRef",
                "GatewayRoute create may not specify read-only field: spec.virtualGatewayRef, and "
                    + "\"\(given.name)\" is not its gateway, \"\(gateway.metadata.name)\"",
                "remove the field"
            )
        }
        gateways[route.reference] = gateway
        gatewayRoutes[gateway.reference, default: []].append(route)
    }
}
