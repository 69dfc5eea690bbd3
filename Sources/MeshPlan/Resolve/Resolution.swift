internal import MeshModel

/// A world with its memberships, references and routes resolved, and what was wrong with them.
struct Resolution {
    let world: World
    let membership: Membership
    /// Objects with mistakes of their own, which the world may lack for that reason.
    private let invalid: Set<ObjectID>
    /// Problems of memberships and references; each belongs to the object that holds the mistake.
    private(set) var diagnostics: Set<Diagnostic> = []
    /// Every virtual router that virtual services can use.
    private(set) var routers: [ObjectReference: ResolvedRouter] = [:]
    /// Every virtual service that callers can use.
    private(set) var services: [ObjectReference: ResolvedService] = [:]
    /// The virtual node of each workload that has one.
    private(set) var nodes: [ObjectReference: VirtualNode] = [:]
    /// The workloads of each virtual node, sorted.
    private(set) var workloads: [ObjectReference: [Workload]] = [:]
    /// The gateway of each gateway route that has one.
    var gateways: [ObjectReference: VirtualGateway] = [:]
    private var names: [NameKey: ObjectReference] = [:]

    init(of world: World, after previous: Designations) {
        self.world = world
        membership = Membership(of: world, after: previous)
        invalid = Set(world.diagnostics.filter { $0.severity == .error }.compactMap(\.object))
        diagnostics = Set(membership.diagnostics)
        index(world.virtualNodes, by: \.awsName)
        index(world.virtualRouters, by: \.awsName)
        index(world.virtualServices, by: \.awsName)
        index(world.virtualGateways, by: \.awsName)
        index(world.gatewayRoutes, by: \.awsName)
        selectWorkloads(after: previous)
        for router in world.virtualRouters.values {
            guard let mesh = membership.meshes[router.id], isIndexed(router, \.awsName) else {
                continue
            }
            routers[router.reference] = resolve(router, in: mesh)
        }
        for service in world.virtualServices.values.sorted(by: { $0.reference < $1.reference }) {
            guard let mesh = membership.meshes[service.id], isIndexed(service, \.awsName) else {
                continue
            }
            services[service.reference] = resolve(service, in: mesh)
        }
    }

    /// What was chosen, for the next plan.
    var designations: Designations {
        var designations = Designations()
        designations.meshes = membership.designations
        designations.nodes = nodes.mapValues(\.reference)
        return designations
    }

    /// The mesh of `id`; nil when it belongs to none.
    func mesh(of id: ObjectID) -> Mesh? { membership.meshes[id] }

    mutating func report(_ diagnostic: Diagnostic) { diagnostics.insert(diagnostic) }
}

// MARK: - Names

/// `awsName`s are unique among the objects of one kind in one mesh; Envoy compares authorities
/// without regard to case.
private struct NameKey: Hashable {
    var mesh: ObjectReference
    var kind: Kind
    var name: String
}

extension Resolution {
    private mutating func index<Spec: ObjectSpec>(
        _ objects: [ObjectReference: Object<Spec>],
        by awsName: KeyPath<Spec, String>
    ) {
        for object in objects.values.sorted(by: { $0.isOlder(than: $1) }) {
            guard let mesh = membership.meshes[object.id] else { continue }
            let name = object.spec[keyPath: awsName]
            let key = NameKey(mesh: mesh.reference, kind: Spec.kind, name: name.lowercased())
            if let first = names[key] {
                report(
                    object.diagnostic(
                        .error,
                        "spec.awsName",
                        "\"\(name)\" is also the name of \(ObjectID(Spec.kind, first)) in mesh "
                            + "\"\(mesh.metadata.name)\"",
                        remedy: "give each \(Spec.kind.rawValue) of a mesh a name of its own"
                    )
                )
            } else {
                names[key] = object.reference
            }
        }
    }

    /// Whether `object` has its `awsName` for itself.
    func isIndexed<Spec: ObjectSpec>(
        _ object: Object<Spec>,
        _ awsName: KeyPath<Spec, String>
    ) -> Bool {
        guard let mesh = membership.meshes[object.id] else { return false }
        let name = object.spec[keyPath: awsName].lowercased()
        return names[NameKey(mesh: mesh.reference, kind: Spec.kind, name: name)] == object.reference
    }

    /// The object that `target` names, or why there is none.
    ///
    /// Of an ARN the last path element counts, within the mesh of the object that holds it.
    func find<Spec: ObjectSpec>(
        _ target: TargetReference,
        among objects: [ObjectReference: Object<Spec>],
        _ awsName: KeyPath<Spec, String>,
        in mesh: Mesh
    ) -> Result<Object<Spec>, ReferenceFailure> {
        let kind = Spec.kind.rawValue
        switch target {
        case .object(let reference):
            guard let object = objects[reference] else {
                if invalid.contains(ObjectID(Spec.kind, reference)) {
                    return .failure(
                        ReferenceFailure(
                            member: "Ref",
                            problem: "\(kind) \"\(reference)\" is invalid",
                            remedy: "mend its own mistakes"
                        )
                    )
                }
                let near = nearest(to: reference, among: objects.keys)
                return .failure(
                    ReferenceFailure(
                        member: "Ref",
                        problem: "no \(kind) \"\(reference)\"",
                        remedy: near.map { "did you mean \"\($0)\"?" }
                            ?? "add it or correct the reference"
                    )
                )
            }
            guard membership.meshes[object.id]?.reference == mesh.reference else {
                return .failure(
                    ReferenceFailure(
                        member: "Ref",
                        problem: "\(kind) \"\(reference)\" didn't belong to mesh "
                            + "\"\(mesh.metadata.name)\"",
                        remedy: "refer to one of this mesh"
                    )
                )
            }
            guard isIndexed(object, awsName) else {
                return .failure(
                    ReferenceFailure(
                        member: "Ref",
                        problem: "\(kind) \"\(reference)\" is not used, as its awsName "
                            + "\"\(object.spec[keyPath: awsName])\" is that of another",
                        remedy: "give each \(kind) of a mesh a name of its own"
                    )
                )
            }
            return .success(object)
        case .arn(let name, let arn):
            let key = NameKey(mesh: mesh.reference, kind: Spec.kind, name: name.lowercased())
            guard let reference = names[key], let object = objects[reference] else {
                return .failure(
                    ReferenceFailure(
                        member: "ARN",
                        problem: "no \(kind) named \"\(name)\" in mesh \"\(mesh.metadata.name)\" "
                            + "(from \"\(arn)\")",
                        remedy: "add it with that awsName or correct the ARN"
                    )
                )
            }
            return .success(object)
        }
    }
}

/// The object that `reference` was probably meant to be: one of its namespace with a name like its
/// own, else one of its very name in another namespace.
private func nearest(
    to reference: ObjectReference,
    among candidates: some Sequence<ObjectReference>
) -> ObjectReference? {
    let siblings = candidates.lazy.filter { $0.namespace == reference.namespace }.map(\.name)
    if let name = nearestName(to: reference.name, among: siblings) {
        return ObjectReference(namespace: reference.namespace, name: name)
    }
    return candidates.filter { $0.name == reference.name }.min()
}

/// Why a reference leads nowhere.
struct ReferenceFailure: Error {
    /// How the field's name goes on: `Ref` or `ARN`.
    var member: String
    var problem: String
    var remedy: String
}

// MARK: - Workloads

extension Resolution {
    /// Matches workloads with virtual nodes by the rule of App Mesh's injector.
    private mutating func selectWorkloads(after previous: Designations) {
        let nodes = Dictionary(grouping: world.virtualNodes.values, by: \.metadata.namespace)
        let gateways = Dictionary(grouping: world.virtualGateways.values, by: \.metadata.namespace)
        for workload in world.workloads.values.sorted(by: { $0.reference < $1.reference }) {
            let labels = workload.metadata.labels
            let namespace = workload.metadata.namespace
            var matching = (nodes[namespace] ?? []).filter {
                $0.spec.podSelector?.matches(labels) ?? false
            }
            var matchingGateways = (gateways[namespace] ?? []).filter {
                $0.spec.podSelector?.matches(labels) ?? false
            }
            if matching.count + matchingGateways.count > 1,
                let chosen = matching.first(where: {
                    $0.reference == previous.nodes[workload.reference]
                })
            {
                let others =
                    matching.map(\.id).filter { $0 != chosen.id } + matchingGateways.map(\.id)
                report(
                    workload.diagnostic(
                        .warning,
                        "metadata.labels",
                        "\(others.sorted().map(\.description).joined(separator: ", ")) "
                            + "selects it too; it stays with \(chosen.id)",
                        remedy: "narrow the podSelector of all but one"
                    )
                )
                (matching, matchingGateways) = ([chosen], [])
            }
            if let failure = selectionFailure(
                of: workload,
                nodes: matching,
                gateways: matchingGateways
            ) {
                report(failure)
                continue
            }
            guard let node = matching.first, membership.meshes[node.id] != nil,
                isIndexed(node, \.awsName)
            else {
                report(
                    workload.diagnostic(
                        .error,
                        "metadata.labels",
                        "VirtualNode \"\(matching[0].reference)\" selects it and is not in use",
                        remedy: "mend the VirtualNode"
                    )
                )
                continue
            }
            let ports = Set(node.spec.listeners.map(\.portMapping.port))
            for port in workload.spec.ports.keys.sorted() where !ports.contains(port) {
                report(
                    workload.diagnostic(
                        .warning,
                        "spec.ports",
                        "VirtualNode \"\(node.reference)\" has no listener on port \(port)",
                        remedy: ports.isEmpty
                            ? "remove it"
                            : "map its listener ports: "
                                + ports.sorted().map(\.description).joined(separator: ", ")
                    )
                )
            }
            self.nodes[workload.reference] = node
            workloads[node.reference, default: []].append(workload)
        }
    }

    private func selectionFailure(
        of workload: Workload,
        nodes: [VirtualNode],
        gateways: [VirtualGateway]
    ) -> Diagnostic? {
        func failure(_ problem: String, _ remedy: String) -> Diagnostic {
            workload.diagnostic(.error, "metadata.labels", problem, remedy: remedy)
        }
        if !nodes.isEmpty, !gateways.isEmpty {
            return failure(
                "both VirtualNode \"\(nodes[0].reference)\" and VirtualGateway "
                    + "\"\(gateways[0].reference)\" select it",
                "please use podSelector on one"
            )
        }
        if !gateways.isEmpty {
            return failure(
                "VirtualGateway \"\(gateways[0].reference)\" selects it, and gateways do not run here",
                "let a VirtualNode select it"
            )
        }
        if nodes.count > 1 {
            let names = nodes.map(\.metadata.name).sorted().joined(separator: ",")
            return failure(
                "found multiple matching VirtualNodes for workload \(workload.metadata.name): \(names)",
                "narrow the podSelector of all but one"
            )
        }
        let namespace = workload.metadata.namespace
        if nodes.isEmpty,
            let node = invalid.filter({ $0.kind == .virtualNode && $0.namespace == namespace })
                .min()
        {
            return failure(
                "no VirtualNode selects it, and VirtualNode \"\(node.reference)\" is invalid",
                "mend that, if it is the one"
            )
        }
        if nodes.isEmpty {
            return failure(
                "no matching VirtualNode or VirtualGateway found in namespace "
                    + "\"\(workload.metadata.namespace)\"",
                "give it the labels that a podSelector asks for"
            )
        }
        return nil
    }
}
