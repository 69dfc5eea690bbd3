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
    let gaps = Dictionary(
        grouping: plan.diagnostics.filter {
            $0.severity == .warning && $0.object?.kind == .trafficPolicy
        },
        by: \.object
    )
    for object in resolution.world.objects {
        let id = object.id
        var status = ObjectStatus(
            conditions: [],
            observedGeneration: object.metadata.generation
        )
        if let type = id.kind.conditionType {
            let certificates = proxies[id].flatMap {
                certificateValid($0, observations, nowSeconds: nowSeconds)
            }
            let condition =
                invalid(type, "Invalid", mistakes[id] ?? []) ?? refused(type, refusals[id] ?? [])
                ?? invalid(type, "PartlyInForce", gaps[id] ?? [])
                ?? certificates.flatMap { withoutCertificates(type, $0) }
                ?? accepted(object, type, plan, observations)
            let others = [certificates, endpointsAvailable(object, resolution)].compactMap { $0 }
            status.conditions = Condition.merging(
                [condition] + others,
                into: observations.conditions[id] ?? [],
                nowSeconds: nowSeconds
            )
        }
        status.fields = fields(of: object, resolution, plan, observations)
        statuses[id] = status
    }
    return statuses
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

/// The condition of an object whose translation a proxy refused.
private func refused(
    _ type: String,
    _ refusals: [(proxy: ProxyID, refusal: Refusal)]
) -> Condition? {
    guard let (proxy, refusal) = refusals.first else { return nil }
    let kept = refusal.keptVersion.map { "it keeps \($0)" } ?? "it has none"
    let others = Set(refusals.map(\.proxy)).count - 1
    let also = others == 0 ? "" : ", and \(others) more"
    return Condition(
        type: type,
        status: .false,
        reason: "RefusedByProxy",
        message: sentence(
            "proxy \(proxy)\(also) refused \(refusal.type.rawValue) \(refusal.resource) "
                + "\(refusal.version): \(refusal.message); \(kept)"
        )
    )
}

private func accepted(
    _ object: MeshObject,
    _ type: String,
    _ plan: Plan,
    _ observations: Observations
) -> Condition {
    guard case .workload(let workload) = object else {
        return Condition(
            type: type,
            status: .true,
            reason: "Active",
            message: "It is valid and in force."
        )
    }
    let id = ProxyID(workload.reference)
    return readiness(of: observations.proxies[id], plan.proxies[id])
}

/// Whether callers of a node that is found through Cloud Map find anything; nil for other objects.
///
/// Cloud Map itself is not asked, so that nothing answers without a Workload.
private func endpointsAvailable(_ object: MeshObject, _ resolution: Resolution) -> Condition? {
    guard case .virtualNode(let node) = object, !node.spec.listeners.isEmpty,
        case .awsCloudMap(let namespaceName, let serviceName, let attributes, _) =
            node.spec.serviceDiscovery
    else { return nil }
    let type = "EndpointsAvailable"
    if let workloads = resolution.instances[node.reference] {
        let names = workloads.prefix(3).map(\.reference.description).joined(separator: ", ")
        let others = workloads.count > 3 ? " and \(workloads.count - 3) more" : ""
        return Condition(
            type: type,
            status: .true,
            reason: "Workloads",
            message: "Its endpoints are the Workloads \(names)\(others)."
        )
    }
    let wanted = attributes.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
    let with = wanted.isEmpty ? "" : " with \(wanted.joined(separator: ", "))"
    return Condition(
        type: type,
        status: .false,
        reason: "NoWorkload",
        message: "No Workload is selected by its podSelector, and none is registered in "
            + "\(serviceName).\(namespaceName)\(with); add a Workload that it selects, let the "
            + "VirtualNode of one name this Cloud Map service, or name the endpoints by "
            + "serviceDiscovery.dns."
    )
}

/// Whether a workload serves: its proxy runs, is connected and configured, and its application runs
/// and passes the health checks that its own proxy does.
private func readiness(
    of observation: ProxyObservation?,
    _ proxy: ProxyPlan?
) -> Condition {
    func condition(_ status: Condition.Status, _ reason: String, _ message: String) -> Condition {
        Condition(type: "WorkloadReady", status: status, reason: reason, message: message)
    }
    guard let observation, let process = observation.process else {
        return condition(.false, "Pending", "Its proxy was not started.")
    }
    if process.phase != .running {
        let why = process.lastError.map { ": \($0)" } ?? ""
        return condition(
            .false,
            "Proxy" + process.phase.rawValue,
            sentence("its proxy is not ready\(why)")
        )
    }
    if proxy?.application != nil, observation.application == nil {
        return condition(.false, "ApplicationPending", "Its application was not started.")
    }
    if let application = observation.application, application.phase != .running {
        if application.phase == .starting, let planned = proxy?.application {
            let ports = planned.ports.map(\.description).joined(separator: ", ")
            return condition(
                .false,
                "ApplicationStarting",
                "Its application takes no connections on \(planned.address), port \(ports)."
            )
        }
        let why = application.lastError.map { ": \($0)" } ?? ""
        return condition(
            .false,
            "Application" + application.phase.rawValue,
            sentence("its application does not run\(why)")
        )
    }
    if let message = unhealthyMessage(observation.xds.health, proxy?.probes ?? []) {
        return condition(.false, "Unhealthy", sentence(message))
    }
    if !observation.xds.isConnected {
        return condition(
            .false,
            "Disconnected",
            "Its proxy is not connected and keeps its last configuration."
        )
    }
    if let refusal = observation.xds.refusals.first {
        return condition(
            .false,
            "ConfigurationRefused",
            sentence(
                "its proxy refused \(refusal.type.rawValue) \(refusal.resource): \(refusal.message)"
            )
        )
    }
    // An update on its way does not make a proxy that serves unready.
    let missing = ResourceType.allCases.filter {
        (observation.xds.sync[$0] ?? .notSent) == .notSent
    }
    if !missing.isEmpty {
        let types = missing.map(\.rawValue).joined(separator: ", ")
        return condition(.false, "Syncing", "Its proxy has not asked for its \(types).")
    }
    return condition(.true, "Ready", "Its proxy runs and has its configuration.")
}

/// Reasons of `WorkloadReady` that are a step on the way to readiness: nobody has to look.
public let transientWorkloadReasons: Set<String> = [
    "Pending", "ProxyStarting", "ProxyDraining", "ApplicationPending", "ApplicationStarting",
    "Disconnected", "Syncing",
]

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
private func ended(_ text: String) -> String {
    text.hasSuffix(".") || text.hasSuffix("?") ? text : text + "."
}
