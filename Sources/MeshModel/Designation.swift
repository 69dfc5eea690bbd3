extension World {
    /// The mesh that `reference` designates: one of that name, unless it is known to be another object.
    public func mesh(designatedBy reference: DesignatedReference) -> Mesh? {
        let mesh = meshes[ObjectReference(name: reference.name)]
        return mesh.flatMap { reference.hasUID(of: $0.metadata) ? $0 : nil }
    }

    /// The gateway that `reference`, of an object in `namespace`, designates: one of that name, unless it is
    /// known to be another object.
    public func gateway(
        designatedBy reference: DesignatedReference,
        in namespace: String
    ) -> VirtualGateway? {
        let gateway = virtualGateways[reference.gateway(in: namespace)]
        return gateway.flatMap { reference.hasUID(of: $0.metadata) ? $0 : nil }
    }

    /// The meshes whose `namespaceSelector` selects the namespace `name`.
    public func meshes(selectingNamespace name: String) -> [Mesh] {
        let labels = labels(ofNamespace: name)
        return meshes.values.filter { $0.spec.namespaceSelector?.matches(labels) ?? false }
    }

    /// The gateways that select a route with `labels` in `namespace`.
    ///
    /// A gateway takes the routes of the namespaces that its `namespaceSelector` selects (absent:
    /// none), if its `gatewayRouteSelector` (absent: every one) selects them.
    public func gateways(
        selectingRouteWith labels: [String: String],
        in namespace: String
    ) -> [VirtualGateway] {
        let namespaceLabels = self.labels(ofNamespace: namespace)
        return virtualGateways.values.filter { gateway in
            (gateway.spec.namespaceSelector?.matches(namespaceLabels) ?? false)
                && (gateway.spec.gatewayRouteSelector?.matches(labels) ?? true)
        }
    }
}

extension DesignatedReference {
    /// The gateway that is named by an object in `namespace`.
    public func gateway(in namespace: String) -> ObjectReference {
        ObjectReference(namespace: self.namespace ?? namespace, name: name)
    }

    /// Whether this may mean the object with `metadata`, which has a uid only in a cluster.
    fileprivate func hasUID(of metadata: Metadata) -> Bool {
        uid.isEmpty || metadata.uid.isEmpty || uid == metadata.uid
    }
}
