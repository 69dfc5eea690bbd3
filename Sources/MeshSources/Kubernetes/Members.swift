internal import MeshModel

/// How many objects of a kind belong to a Mesh or a VirtualGateway.
struct MemberCount: Hashable, Sendable {
    /// As App Mesh writes it: `virtualService`.
    var kind: String
    var count: Int
}

extension World {
    /// The objects that keep the Mesh or VirtualGateway `id` from being deleted, of each kind that has
    /// some; empty for other objects.
    ///
    /// An object belongs to what its `meshRef` or `virtualGatewayRef` names, as App Mesh's webhooks wrote
    /// it; one without to what selects it.
    func members(of id: ObjectID) -> [MemberCount] {
        switch id.kind {
        case .mesh:
            guard let mesh = meshes[id.reference] else { return [] }
            return counts([
                ("virtualService", count(virtualServices, \.meshRef, of: mesh)),
                ("virtualRouter", count(virtualRouters, \.meshRef, of: mesh)),
                ("virtualNode", count(virtualNodes, \.meshRef, of: mesh)),
                ("virtualGateway", count(virtualGateways, \.meshRef, of: mesh)),
                ("gatewayRoute", count(gatewayRoutes, \.meshRef, of: mesh)),
            ])
        case .virtualGateway:
            guard let gateway = virtualGateways[id.reference] else { return [] }
            return counts([
                ("gatewayRoute", gatewayRoutes.values.count { isMember($0, of: gateway) })
            ])
        case .namespace, .virtualNode, .virtualService, .virtualRouter, .gatewayRoute,
            .backendGroup,
            .workload, .trafficPolicy, .certificateMapping:
            return []
        }
    }

    private func counts(_ all: [(String, Int)]) -> [MemberCount] {
        all.filter { $0.1 > 0 }.map { MemberCount(kind: $0.0, count: $0.1) }
    }

    private func count<Spec: ObjectSpec>(
        _ objects: [ObjectReference: Object<Spec>],
        _ meshRef: KeyPath<Spec, DesignatedReference?>,
        of mesh: Mesh
    ) -> Int {
        objects.values.count { object in
            if let reference = object.spec[keyPath: meshRef] {
                return reference.name == mesh.metadata.name && reference.uid == mesh.metadata.uid
            }
            return mesh.spec.namespaceSelector?.matches(
                labels(ofNamespace: object.metadata.namespace)
            ) ?? false
        }
    }

    private func isMember(_ route: GatewayRoute, of gateway: VirtualGateway) -> Bool {
        if let reference = route.spec.virtualGatewayRef {
            return reference.name == gateway.metadata.name
                && (reference.namespace ?? route.metadata.namespace) == gateway.metadata.namespace
                && reference.uid == gateway.metadata.uid
        }
        let labels = labels(ofNamespace: route.metadata.namespace)
        return gateway.spec.namespaceSelector?.matches(labels) ?? false
            && gateway.spec.gatewayRouteSelector?.matches(route.metadata.labels) ?? true
    }
}
