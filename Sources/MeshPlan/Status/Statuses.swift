public import MeshModel

/// The status of every object: what is wrong with it, what proxies answered, and for Workloads how
/// their processes are.
func statuses(
    of resolution: Resolution,
    _ plan: Plan,
    _ observations: Observations,
    nowSeconds: Int
) -> [ObjectID: ObjectStatus] {
    let mistakes = Dictionary(
        grouping: plan.diagnostics.filter { $0.severity == .error && $0.object != nil },
        by: \.object
    )
    let observations = observations.withoutRefusalsOfOthers(than: plan)
    var refusals: [ObjectID: [(proxy: ProxyID, refusal: Refusal)]] = [:]
    for (proxy, observation) in observations.proxies.sorted(by: { $0.key < $1.key })
    where plan.proxies[proxy] != nil {
        for refusal in observation.xds.refusals {
            for object in refusal.objects {
                refusals[object, default: []].append((proxy, refusal))
            }
        }
    }
    var statuses: [ObjectID: ObjectStatus] = [:]
    let proxies = Dictionary(grouping: plan.proxies.values, by: \.owner)
    let readiness = readinesses(of: resolution.world.workloads, plan, observations)
    let gaps = Dictionary(
        grouping: plan.diagnostics.filter {
            $0.severity == .warning && $0.object?.kind == .trafficPolicy
        },
        by: \.object
    )
    for object in resolution.world.unorderedObjects {
        let id = object.id
        // Most Pods of a cluster belong to no mesh.
        if case .workload(let pod) = object, pod.isUninjected,
            resolution.owners[pod.reference] == nil
        {
            continue
        }
        var status = ObjectStatus(
            conditions: [],
            observedGeneration: object.metadata.generation
        )
        let owned = ownedProxies(
            of: id,
            proxies[id] ?? [],
            resolution,
            plan,
            observations,
            readiness
        )
        if let type = id.kind.conditionType {
            let certificates = proxies[id].flatMap {
                certificateValid($0, observations, nowSeconds: nowSeconds)
            }
            let condition =
                invalid(type, "Invalid", mistakes[id] ?? []) ?? refused(type, refusals[id] ?? [])
                ?? invalid(type, "PartlyInForce", gaps[id] ?? [])
                ?? certificates.flatMap { withoutCertificates(type, $0) }
                ?? accepted(object, type, readiness, owned)
            let others =
                [
                    certificates, endpointsAvailable(object, resolution, observations),
                    telemetryExported(object, observations),
                ].compactMap { $0 }
                + (owned?.conditions ?? []) + processNotes(object, plan, observations)
            status.conditions = Condition.merging(
                [condition] + others,
                into: observations.conditions[id] ?? [],
                nowSeconds: nowSeconds
            )
        }
        status.fields = fields(of: object, resolution, plan, observations)
            .merging(owned?.fields ?? [:]) { field, _ in field }
        statuses[id] = status
    }
    return statuses
}

/// The readiness of each workload.
private func readinesses(
    of workloads: [ObjectReference: Workload],
    _ plan: Plan,
    _ observations: Observations
) -> [ProxyID: Condition] {
    var readinesses: [ProxyID: Condition] = [:]
    for (reference, workload) in workloads {
        let id = ProxyID(reference)
        let (observation, proxy) = (observations.proxies[id], plan.proxies[id])
        readinesses[id] =
            workload.spec.pod.map { readiness(of: $0, observation) }
            ?? readiness(of: observation, proxy, id)
    }
    return readinesses
}

/// The proxies of a virtual node or a virtual gateway; nil of other objects.
private func ownedProxies(
    of id: ObjectID,
    _ proxies: [ProxyPlan],
    _ resolution: Resolution,
    _ plan: Plan,
    _ observations: Observations,
    _ readiness: [ProxyID: Condition]
) -> OwnedProxies? {
    guard id.kind == .virtualNode || id.kind == .virtualGateway else { return nil }
    let members = proxies.sorted { $0.id < $1.id }.compactMap { proxy in
        readiness[proxy.id].map {
            OwnedProxies.Member(
                plan: proxy,
                observation: observations.proxies[proxy.id],
                readiness: $0,
                sizing: plan.sizing[proxy.id]
            )
        }
    }
    let workloads = resolution.workloads[id] ?? []
    return OwnedProxies(
        owner: id,
        noun: resolution.options.instanceNoun,
        workloadCount: workloads.count,
        uninjected: workloads.filter(\.isUninjected),
        members: members
    )
}

/// What is to be noted of a workload's processes beside its readiness.
private func processNotes(
    _ object: MeshObject,
    _ plan: Plan,
    _ observations: Observations
) -> [Condition] {
    guard case .workload(let workload) = object else { return [] }
    let id = ProxyID(workload.reference)
    let (proxy, observation) = (plan.proxies[id], observations.proxies[id])
    return [limitsEnforced(proxy, observation), upToDate(proxy, observation)].compactMap { $0 }
}

/// The condition of an object with mistakes.
private func invalid(
    _ type: String,
    _ reason: String,
    _ mistakes: [Diagnostic]
) -> Condition? {
    guard !mistakes.isEmpty else { return nil }
    let sentences = mistakes.map { mistake in
        var mistake = mistake
        mistake.object = nil
        // A field stays as it is written.
        return mistake.field.isEmpty ? sentence(mistake.message) : ended(mistake.message)
    }
    return Condition(
        type: type,
        status: .false,
        reason: reason,
        message: sentences.joined(separator: " ")
    )
}

/// The condition of an object whose proxies can't do the TLS that it asks for.
private func withoutCertificates(_ type: String, _ certificates: Condition) -> Condition? {
    switch certificates.reason {
    case "CertificateMissing", "CertificateExpired":
        Condition(
            type: type,
            status: .false,
            reason: certificates.reason,
            message: certificates.message
        )
    default: nil
    }
}

/// The reason of what a proxy refused.
let refusedReason = "RefusedByProxy"

/// The condition of an object whose translation a proxy refused.
private func refused(
    _ type: String,
    _ refusals: [(proxy: ProxyID, refusal: Refusal)]
) -> Condition? {
    guard let (proxy, refusal) = refusals.first else { return nil }
    return Condition(
        type: type,
        status: .false,
        reason: refusedReason,
        message: refusalMessage(
            refusal,
            by: proxy,
            others: Set(refusals.map(\.proxy)).count - 1
        )
    )
}

/// What `proxy`, and as many others, refused, and why.
func refusalMessage(_ refusal: Refusal, by proxy: ProxyID, others: Int) -> String {
    let kept = refusal.keptVersion.map { "it keeps \($0)" } ?? "it has none"
    let also = others == 0 ? "" : ", and \(others) more"
    return sentence(
        "proxy \(proxy)\(also) refused \(refusal.type.rawValue) \(refusal.resource) "
            + "\(refusal.version): \(refusal.message); \(kept)"
    )
}

private func accepted(
    _ object: MeshObject,
    _ type: String,
    _ readiness: [ProxyID: Condition],
    _ owned: OwnedProxies?
) -> Condition {
    if case .workload(let workload) = object,
        let readiness = readiness[ProxyID(workload.reference)]
    {
        return readiness
    }
    return Condition(
        type: type,
        status: .true,
        reason: "Active",
        message: "It is valid and in force\(owned?.podSummary.map { ": \($0)" } ?? "")."
    )
}

/// Whether callers of a node that is found through Cloud Map find anything; nil for other objects.
///
/// Cloud Map itself is not asked, so that nothing answers without a Workload or Pod.
private func endpointsAvailable(
    _ object: MeshObject,
    _ resolution: Resolution,
    _ observations: Observations
) -> Condition? {
    guard case .virtualNode(let node) = object, !node.spec.listeners.isEmpty,
        case .awsCloudMap(let namespaceName, let serviceName, let attributes, _) =
            node.spec.serviceDiscovery
    else { return nil }
    let type = "EndpointsAvailable"
    let noun = resolution.options.instanceNoun
    if let workloads = resolution.instances[node.reference] {
        let names = workloads.prefix(3).map(\.reference.description).joined(separator: ", ")
        let others = workloads.count > 3 ? " and \(workloads.count - 3) more" : ""
        let pods = workloads.filter { $0.spec.pod != nil }
        func isUnready(_ pod: Workload) -> Bool {
            observations.proxies[ProxyID(pod.reference)]?.isReady == false
        }
        if pods.count == workloads.count, pods.allSatisfy(isUnready) {
            return Condition(
                type: type,
                status: .false,
                reason: "NoPodReady",
                message:
                    "None of the Pods \(names)\(others) is ready; callers are answered with 503."
            )
        }
        return Condition(
            type: type,
            status: .true,
            reason: "Workloads",
            message: "Its endpoints are the \(noun)s \(names)\(others)"
                + (pods.isEmpty ? "." : ", as far as they are ready.")
        )
    }
    let wanted = attributes.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
    let with = wanted.isEmpty ? "" : " with \(wanted.joined(separator: ", "))"
    return Condition(
        type: type,
        status: .false,
        reason: "NoWorkload",
        message: "No \(noun) is selected by its podSelector, and none is registered in "
            + "\(serviceName).\(namespaceName)\(with); add a \(noun) that it selects, let the "
            + "VirtualNode of one name this Cloud Map service, or name the endpoints by "
            + "serviceDiscovery.dns."
    )
}

extension Kind {
    /// The condition that App Mesh's controller wrote, and that users' scripts wait for.
    public var conditionType: String? {
        switch self {
        case .mesh: "MeshActive"
        case .virtualGateway: "VirtualGatewayActive"
        case .gatewayRoute: "GatewayRouteActive"
        case .virtualService: "VirtualServiceActive"
        case .virtualRouter: "VirtualRouterActive"
        case .virtualNode: "VirtualNodeActive"
        case .workload: "WorkloadReady"
        case .trafficPolicy: "TrafficPolicyActive"
        case .certificateMapping: "CertificateMappingActive"
        case .namespace, .backendGroup: nil
        }
    }
}

/// `text` with a capital and a full stop.
func sentence(_ text: String) -> String {
    text.prefix(1).uppercased() + ended(String(text.dropFirst()))
}

/// `text` with a full stop.
func ended(_ text: String) -> String {
    text.hasSuffix(".") || text.hasSuffix("?") ? text : text + "."
}

extension Observations {
    /// These without what proxies that are not connected refused of other versions than those of `plan`:
    /// whoever serves them now has offered these.
    fileprivate func withoutRefusalsOfOthers(than plan: Plan) -> Observations {
        var observations = self
        for (id, observation) in proxies
        where !observation.xds.isConnected && !observation.xds.refusals.isEmpty {
            guard let planned = plan.proxies[id], planned.pod != nil else { continue }
            observations.proxies[id]?.xds.refusals.removeAll {
                $0.type != .secrets && planned.snapshot[$0.type][$0.resource]?.version != $0.version
            }
        }
        return observations
    }
}
