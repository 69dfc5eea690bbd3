internal import MeshModel

extension Resolution {
    /// Finds the gateway of each gateway route, and checks what the route refers to.
    ///
    /// It is the one that `virtualGatewayRef` designates, as it was chosen when the route was created, else
    /// the one that selects the route now.
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
        func fail(_ field: String, _ problem: String, _ remedy: String) {
            report(route.diagnostic(.error, field, problem, remedy: remedy))
        }
        let namespace = route.metadata.namespace
        let matching = world.gateways(selectingRouteWith: route.metadata.labels, in: namespace)
        let gateway: VirtualGateway
        if let given = route.spec.virtualGatewayRef {
            let reference = given.gateway(in: namespace)
            // One that was made anew under its name, and that selects the route, is taken for it.
            let again = matching.count == 1 ? matching.first { $0.reference == reference } : nil
            guard let found = world.gateway(designatedBy: given, in: namespace) ?? again else {
                return fail(
                    "spec.virtualGatewayRef",
                    "no VirtualGateway \"\(reference)\" is there, for which it was made",
                    "apply that VirtualGateway, or make the route anew without the field"
                )
            }
            gateway = found
        } else {
            let name = route.metadata.name
            guard let found = matching.first else {
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
            gateway = found
        }
        guard self.mesh(of: gateway.id)?.reference == mesh.reference else {
            return fail(
                "metadata.namespace",
                "VirtualGateway \"\(gateway.reference)\" didn't belong to mesh "
                    + "\"\(mesh.metadata.name)\"",
                "attach it to a gateway of its own mesh"
            )
        }
        gateways[route.reference] = gateway
        gatewayRoutes[gateway.reference, default: []].append(route)
    }
}
