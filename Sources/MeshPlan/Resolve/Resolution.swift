internal import MeshModel

/// A world with its memberships, references and routes resolved, and what was wrong with them.
struct Resolution {
    let world: World
    let options: PlanOptions
    let membership: Membership
    /// Objects with mistakes of their own, which the world may lack for that reason.
    let invalid: Set<ObjectID>
    /// Problems of memberships and references; each belongs to the object that holds the mistake.
    private(set) var diagnostics: Set<Diagnostic> = []
    /// Who may be called what.
    var identities = Identities()
    /// The secrets of each node's and gateway's proxies, by their names in SDS.
    var secrets: [ObjectID: [String: SecretSpec]] = [:]
    /// Who made the certificates of nodes' listeners, by the listener's index.
    var certificates: [ObjectReference: [Int: CertificateSource]] = [:]
    /// Nodes that keep the TLS of their mesh for a while, though it has none any more.
    var leavingTLS: Set<ObjectID> = []
    /// What each node and gateway calls.
    var calls: [ObjectID: Calls] = [:]
    /// Who may call each node.
    var callers: [ObjectReference: Callers] = [:]
    /// What traffic policies add.
    var policies = TrafficPolicies()
    /// Every virtual router that virtual services can use.
    private(set) var routers: [ObjectReference: ResolvedRouter] = [:]
    /// Every virtual service that callers can use.
    private(set) var services: [ObjectReference: ResolvedService] = [:]
    /// The virtual node or virtual gateway of each workload that has one.
    var owners: [ObjectReference: ObjectID] = [:]
    /// The workloads of each virtual node and virtual gateway, sorted.
    var workloads: [ObjectID: [Workload]] = [:]
    /// The workloads that answer for each virtual node that has any, sorted.
    private(set) var instances: [ObjectReference: [Workload]] = [:]
    /// The gateway of each gateway route that has one.
    var gateways: [ObjectReference: VirtualGateway] = [:]
    /// The gateway routes of each gateway that has any.
    var gatewayRoutes: [ObjectReference: [GatewayRoute]] = [:]
    /// What gateways listen on beside their ingress addresses, with the Workload that has it.
    var outsideSockets: [Port: [(address: String, workload: ObjectID)]] = [:]
    private var names: [NameKey: ObjectReference] = [:]

    init(of world: World, after previous: Designations, _ options: PlanOptions) {
        self.world = world
        self.options = options
        membership = Membership(of: world, after: previous)
        invalid = Set(world.diagnostics.filter { $0.severity == .error }.compactMap(\.object))
        diagnostics = Set(membership.diagnostics)
        index(world.virtualNodes, by: \.awsName)
        index(world.virtualRouters, by: \.awsName)
        index(world.virtualServices, by: \.awsName)
        index(world.virtualGateways, by: \.awsName)
        selectWorkloads(after: previous)
        instances = instancesOfNodes()
        reportUninjectedPods()
        resolveIdentities()
        resolveListenerCertificates()
        resolvePolicies()
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
        designations.owners = owners
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
