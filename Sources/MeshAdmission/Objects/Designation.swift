internal import MeshModel

/// Why an object can't be told its mesh or gateway, as App Mesh's controller says it.
struct DesignationFailure: Error {
    /// The field that is at fault.
    var field: String
    var problem: String
    var remedy: String
}

extension World {
    /// The mesh whose `namespaceSelector` selects the namespace `name`.
    func mesh(ofNamespace name: String) throws(DesignationFailure) -> Mesh {
        let matching = meshes(selectingNamespace: name)
        guard let mesh = matching.first else {
            throw DesignationFailure(
                field: "metadata.namespace",
                problem: "failed to find matching mesh for namespace: \(name), "
                    + "expecting 1 but found 0",
                remedy: suspicion(.mesh)
                    ?? "give the Namespace the labels that a Mesh's namespaceSelector asks for"
            )
        }
        guard matching.count == 1 else {
            let names = matching.map(\.metadata.name).sorted().joined(separator: ",")
            throw DesignationFailure(
                field: "metadata.namespace",
                problem: "found multiple matching meshes for namespace: \(name), "
                    + "expecting 1 but found \(matching.count): \(names)",
                remedy: "narrow the namespaceSelector of all but one"
            )
        }
        guard !mesh.isBeingDeleted else {
            throw DesignationFailure(
                field: "metadata.namespace",
                problem: "unable to create new content in mesh \(mesh.metadata.name) because it is "
                    + "being terminated",
                remedy: "wait until it is gone, and create it anew"
            )
        }
        return mesh
    }

    /// The gateway that takes the routes of the namespace `namespace` with `labels`: the one of all
    /// namespaces whose selectors select both.
    func gateway(
        ofRoute route: ObjectReference,
        labels: [String: String],
        in mesh: Mesh
    ) throws(DesignationFailure) -> VirtualGateway {
        let matching = gateways(selectingRouteWith: labels, in: route.namespace)
        guard let gateway = matching.first else {
            throw DesignationFailure(
                field: "metadata.namespace",
                problem: "failed to find matching virtualGateway for gatewayRoute: \(route.name), "
                    + "expecting 1 but found 0",
                remedy: suspicion(.virtualGateway)
                    ?? "let a VirtualGateway's namespaceSelector and gatewayRouteSelector match it"
            )
        }
        guard matching.count == 1 else {
            let names = matching.map(\.reference.description).sorted().joined(separator: ",")
            throw DesignationFailure(
                field: "metadata.namespace",
                problem: "found multiple matching virtualGateways for gatewayRoute: \(route.name), "
                    + "expecting 1 but found \(matching.count): \(names)",
                remedy: "narrow the selectors of all but one"
            )
        }
        guard self.mesh(of: gateway.metadata, gateway.spec.meshRef)?.reference == mesh.reference
        else {
            throw DesignationFailure(
                field: "metadata.namespace",
                problem: "VirtualGateway \(quoted(gateway.reference.description)) didn't belong to "
                    + "mesh \(quoted(mesh.metadata.name))",
                remedy: "attach the route to a gateway of its own mesh"
            )
        }
        return gateway
    }

    /// The mesh of an object that is there already: what its `meshRef` designates, else, of one that no
    /// webhook has seen or whose mesh was made anew, the mesh of its namespace; nil when it has none.
    func mesh(of metadata: Metadata, _ reference: DesignatedReference?) -> Mesh? {
        if let mesh = reference.flatMap(mesh(designatedBy:)) { return mesh }
        let mesh = try? mesh(ofNamespace: metadata.namespace)
        return reference == nil || mesh?.metadata.name == reference?.name ? mesh : nil
    }

    /// What to do where an object of `kind` is missing, and one has a mistake that keeps it out of use.
    func suspicion(_ kind: Kind, namespace: String? = nil) -> String? {
        let suspect = diagnostics.lazy.filter { $0.severity == .error }.compactMap(\.object)
            .filter { $0.kind == kind && (namespace == nil || $0.namespace == namespace) }.min()
        return suspect.map { "mend \($0), which is not in use, if it is the one" }
    }
}

extension Mesh {
    /// Whether its deletion has been asked for.
    var isBeingDeleted: Bool {
        manifest.document["metadata"]?["deletionTimestamp"].map { $0 != .null } ?? false
    }
}
