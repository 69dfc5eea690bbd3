internal import MeshModel

/// Whether Pods get a proxy.
enum InjectionMode: Hashable {
    /// They do, and one that no virtual node or gateway selects is refused.
    case enabled
    /// They do not.
    case disabled
}

/// The label of namespaces and annotation of Pods that says so.
private let modeKey = PodAnnotations.Name.sidecarInjectorWebhook.key

/// Gives a Pod its proxy, by the rules of App Mesh's injector.
///
/// Guarantee: a Pod that has all it needs stays as it is, so it may be asked for twice.
///
/// - Parameters:
///   - request: The Pod's creation.
///   - settings: What goes into Pods.
///   - world: The virtual nodes, gateways, meshes and namespaces.
///   - bootstrap: Makes the bootstrap of a proxy.
/// - Returns: The verdict.
func injection(
    into request: AdmissionRequest,
    _ settings: InjectionSettings,
    in world: World,
    bootstrap: @escaping AdmissionController.Bootstrap
) -> AdmissionVerdict {
    var pod = Pod(request)
    let annotations = PodAnnotations(pod.annotations)
    let namespaceMode = world.labels(ofNamespace: pod.namespace)[modeKey]?.lowercased()
    let mode = annotations.mode ?? ["enabled": .enabled, "disabled": .disabled][namespaceMode]
    guard mode != .disabled, pod.isWellFormed else { return AdmissionVerdict(.allowed(patch: [])) }
    do {
        if annotations.mode == nil, world.namespaces[ObjectReference(name: pod.namespace)] == nil {
            // A namespace that was made just before: what its label says is not known yet.
            throw PodRefusal(
                problem: "nothing is known of its namespace",
                remedy: "try again in a moment",
                dependsOnWorld: true
            )
        }
        guard let owner = try owner(of: pod, isRequired: mode == .enabled, in: world) else {
            return AdmissionVerdict(.allowed(patch: []))
        }
        guard annotations.refusals.isEmpty else {
            let text = annotations.refusals.map(\.text).joined(separator: "\n")
            return AdmissionVerdict(.refused(message: "Pod \(pod.reference): \(text)"))
        }
        let warnings = try inject(owner, into: &pod, annotations, settings, bootstrap)
        return AdmissionVerdict(
            .allowed(patch: patch(from: request.object, to: pod.document)),
            warnings: annotations.warnings + warnings
        )
    } catch let refusal as PodRefusal {
        return AdmissionVerdict(
            .refused(message: "Pod \(pod.reference): \(refusal.text)"),
            dependsOnWorld: refusal.dependsOnWorld
        )
    } catch {
        return AdmissionVerdict(
            .refused(message: "Pod \(pod.reference): cannot make the proxy's bootstrap: \(error)")
        )
    }
}

/// The virtual node or gateway whose proxy a Pod has.
enum ProxyOwner {
    case node(VirtualNode, Mesh)
    case gateway(VirtualGateway, Mesh)

    /// The node id of its proxies.
    var nodeID: String {
        switch self {
        case .node(let node, let mesh): node.nodeID(in: mesh)
        case .gateway(let gateway, let mesh): gateway.nodeID(in: mesh)
        }
    }

    /// The node or gateway.
    var id: ObjectID {
        switch self {
        case .node(let node, _): node.id
        case .gateway(let gateway, _): gateway.id
        }
    }

    /// Its mesh.
    var mesh: Mesh {
        switch self {
        case .node(_, let mesh), .gateway(_, let mesh): mesh
        }
    }
}

/// What selects `pod`; nil when nothing does and nothing has to.
private func owner(
    of pod: Pod,
    isRequired: Bool,
    in world: World
) throws(PodRefusal) -> ProxyOwner? {
    let selecting = PodSelectors(of: world, in: pod.namespace)
        .owners(selecting: pod.labels, in: pod.namespace)
    let nodes = selecting.filter { $0.kind == .virtualNode }
        .compactMap { world.virtualNodes[$0.reference] }
    let gateways = selecting.filter { $0.kind == .virtualGateway }
        .compactMap { world.virtualGateways[$0.reference] }
    try refuseSeveral(nodes.map(\.id), "VirtualNodes", pod)
    try refuseSeveral(gateways.map(\.id), "VirtualGateways", pod)
    if let node = nodes.first, let gateway = gateways.first {
        throw PodRefusal(
            problem: "sidecarInject enabled for both virtualNode \(node.metadata.name) and "
                + "virtualGateway \(gateway.metadata.name) on pod \(pod.name). Please use "
                + "podSelector on one",
            remedy: "narrow the podSelector of the other"
        )
    }
    if let node = nodes.first, let mesh = world.mesh(of: node.metadata, node.spec.meshRef) {
        return .node(node, mesh)
    }
    if let gateway = gateways.first,
        let mesh = world.mesh(of: gateway.metadata, gateway.spec.meshRef)
    {
        return .gateway(gateway, mesh)
    }
    guard isRequired else { return nil }
    throw PodRefusal(
        problem: "sidecarInject enabled but no matching VirtualNode or VirtualGateway found",
        remedy: selecting.first.map { "let \($0), which selects it, belong to a mesh" }
            ?? world.suspicion(.virtualNode, namespace: pod.namespace)
            ?? world.suspicion(.virtualGateway, namespace: pod.namespace)
            ?? "give the Pod the labels that a podSelector of its namespace asks for, or the "
            + "annotation \(modeKey): disabled",
        dependsOnWorld: true
    )
}

private func refuseSeveral(_ found: [ObjectID], _ words: String, _ pod: Pod) throws(PodRefusal) {
    guard found.count > 1 else { return }
    let names = found.map(\.reference.description).sorted().joined(separator: ",")
    throw PodRefusal(
        problem: "found multiple matching \(words) for pod \(pod.reference): \(names)",
        remedy: "narrow the podSelector of all but one",
        dependsOnWorld: true
    )
}

/// Adds what `owner` gives to the Pod; returns what is noteworthy.
private func inject(
    _ owner: ProxyOwner,
    into pod: inout Pod,
    _ annotations: PodAnnotations,
    _ settings: InjectionSettings,
    _ bootstrap: @escaping AdmissionController.Bootstrap
) throws -> [String] {
    switch owner {
    case .node(let node, let mesh):
        if pod.document["spec"]?["hostNetwork"]?.bool == true {
            return ["hostNetwork is true: the Pod gets no proxy, as that would redirect its host"]
        }
        var injector = NodeInjector(pod, owner, annotations, settings, bootstrap)
        try injector.run(node, in: mesh)
        pod = injector.pod
        return injector.warnings
    case .gateway(let gateway, _):
        var injector = GatewayInjector(pod, owner, annotations, settings, bootstrap)
        try injector.run(gateway)
        pod = injector.pod
        return injector.warnings
    }
}
