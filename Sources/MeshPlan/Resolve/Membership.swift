internal import MeshModel

/// Which mesh each object belongs to: the one that its `meshRef` designates, as it was chosen when the object
/// was created, else the one that selects its namespace now.
struct Membership {
    /// The mesh of each namespaced App Mesh object that has one.
    private(set) var meshes: [ObjectID: Mesh] = [:]
    /// Why others have none.
    private(set) var diagnostics: [Diagnostic] = []
    private var meshesByNamespace: [String: Result<Mesh, DesignationFailure>] = [:]
    private let previous: Designations

    /// The mesh of each namespace that has one and objects without `meshRef`.
    var designations: [String: ObjectReference] {
        meshesByNamespace.compactMapValues { try? $0.get().reference }
    }

    init(of world: World, after previous: Designations) {
        self.previous = previous
        let meshes = world.meshes.values.sorted { $0.isOlder(than: $1) }
        var names: [String: Mesh] = [:]
        var usable: [Mesh] = []
        for mesh in meshes {
            if let first = names[mesh.spec.awsName] {
                diagnostics.append(
                    mesh.diagnostic(
                        .error,
                        "spec.awsName",
                        "\"\(mesh.spec.awsName)\" is also the name of \(first.id)",
                        remedy: "give each mesh a name of its own"
                    )
                )
            } else {
                names[mesh.spec.awsName] = mesh
                usable.append(mesh)
            }
        }
        assign(world.virtualNodes, \.meshRef, in: world, among: usable)
        assign(world.virtualServices, \.meshRef, in: world, among: usable)
        assign(world.virtualRouters, \.meshRef, in: world, among: usable)
        assign(world.virtualGateways, \.meshRef, in: world, among: usable)
        assign(world.gatewayRoutes, \.meshRef, in: world, among: usable)
        assign(world.backendGroups, \.meshRef, in: world, among: usable)
    }

    private mutating func assign<Spec: ObjectSpec>(
        _ objects: [ObjectReference: Object<Spec>],
        _ meshRef: KeyPath<Spec, DesignatedReference?>,
        in world: World,
        among meshes: [Mesh]
    ) {
        for object in objects.values {
            let namespace = object.metadata.namespace
            if let given = object.spec[keyPath: meshRef] {
                if let mesh = mesh(designatedBy: given, for: namespace, in: world, among: meshes) {
                    self.meshes[object.id] = mesh
                } else {
                    diagnostics.append(
                        object.diagnostic(
                            .error,
                            "spec.meshRef",
                            "no Mesh \"\(given.name)\" is in use, for which it was made",
                            remedy: "apply that Mesh, or make the object anew without the field"
                        )
                    )
                }
                continue
            }
            switch mesh(ofNamespace: namespace, in: world, among: meshes) {
            case .failure(let failure):
                diagnostics.append(
                    object.diagnostic(
                        .error,
                        "metadata.namespace",
                        failure.problem,
                        remedy: failure.remedy
                    )
                )
            case .success(let mesh): self.meshes[object.id] = mesh
            }
        }
    }

    /// The mesh that `reference` designates.
    ///
    /// One that was made anew under its name, and that selects the namespace, is taken for it.
    private mutating func mesh(
        designatedBy reference: DesignatedReference,
        for namespace: String,
        in world: World,
        among meshes: [Mesh]
    ) -> Mesh? {
        if let mesh = world.mesh(designatedBy: reference) {
            return meshes.first { $0.reference == mesh.reference }
        }
        guard meshes.contains(where: { $0.metadata.name == reference.name }),
            let mesh = try? mesh(ofNamespace: namespace, in: world, among: meshes).get()
        else { return nil }
        return mesh.metadata.name == reference.name ? mesh : nil
    }

    private mutating func mesh(
        ofNamespace namespace: String,
        in world: World,
        among meshes: [Mesh]
    ) -> Result<Mesh, DesignationFailure> {
        if let known = meshesByNamespace[namespace] { return known }
        let declared = world.namespaces[ObjectReference(name: namespace)]
        let labels = world.labels(ofNamespace: namespace)
        let matching = meshes.filter { $0.spec.namespaceSelector?.matches(labels) ?? false }
        let result: Result<Mesh, DesignationFailure>
        if matching.count == 1 {
            result = .success(matching[0])
        } else if let chosen = matching.first(where: {
            $0.reference == previous.meshes[namespace]
        }) {
            result = .success(chosen)
            for other in matching where other.reference != chosen.reference {
                diagnostics.append(
                    other.diagnostic(
                        .error,
                        "spec.namespaceSelector",
                        "it selects the namespace \"\(namespace)\" too, which stays in \(chosen.id)",
                        remedy: "narrow the selector of one of the two"
                    )
                )
            }
        } else if matching.isEmpty {
            result = .failure(
                DesignationFailure(
                    problem: "failed to find matching mesh for namespace: \(namespace), "
                        + "expecting 1 but found 0",
                    remedy: declared == nil
                        ? "add the Namespace \"\(namespace)\" with the labels that a Mesh's "
                            + "namespaceSelector asks for"
                        : "give the Namespace \"\(namespace)\" the labels that a Mesh's "
                            + "namespaceSelector asks for"
                )
            )
        } else {
            let names = matching.map(\.metadata.name).joined(separator: ",")
            result = .failure(
                DesignationFailure(
                    problem: "found multiple matching meshes for namespace: \(namespace), "
                        + "expecting 1 but found \(matching.count): \(names)",
                    remedy: "narrow the namespaceSelector of all but one"
                )
            )
        }
        meshesByNamespace[namespace] = result
        return result
    }
}

/// Why no mesh could be chosen for a namespace.
private struct DesignationFailure: Error {
    var problem: String
    var remedy: String
}

extension Object {
    /// Whether the object was there first: of two that want the same thing, the older one has it.
    func isOlder(than other: Object) -> Bool {
        (metadata.creationTimestampSeconds, reference)
            < (other.metadata.creationTimestampSeconds, other.reference)
    }
}
