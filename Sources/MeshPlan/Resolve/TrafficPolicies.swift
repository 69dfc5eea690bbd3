internal import MeshModel

/// What a TrafficPolicy's target names: an object, or one route of a virtual router.
struct PolicyScope: Hashable {
    var object: ObjectID
    /// The route's name; nil is all of the object.
    var route: String?
}

/// A limit with the name by which all routes that share it draw on it.
struct SharedRateLimit: Hashable {
    var name: String
    var limit: RateLimit
}

/// The traffic policies of a world by what they apply to.
struct TrafficPolicies {
    /// What one policy adds to a scope, or several that do not contradict each other.
    private(set) var features: [PolicyScope: TrafficFeatures] = [:]
    /// The policies behind the features, with their generations.
    private(set) var origins: [PolicyScope: [ObjectID: Int]] = [:]
    private var owners: [FeatureOwner: ObjectID] = [:]

    private struct FeatureOwner: Hashable {
        var scope: PolicyScope
        var feature: TrafficFeature
    }

    /// Adds what `policy` says about `scope`; a feature that an older policy sets there stays.
    ///
    /// - Returns: The features that were there, with the policies that set them.
    fileprivate mutating func insert(
        _ policy: TrafficPolicy,
        _ scope: PolicyScope
    ) -> [(feature: TrafficFeature, owner: ObjectID)] {
        var conflicts: [(feature: TrafficFeature, owner: ObjectID)] = []
        for feature in policy.spec.features.present {
            let key = FeatureOwner(scope: scope, feature: feature)
            if let owner = owners[key] {
                conflicts.append((feature, owner))
            } else {
                owners[key] = policy.id
            }
        }
        features[scope] = (features[scope] ?? TrafficFeatures()).filled(by: policy.spec.features)
        origins[scope, default: [:]][policy.id] = policy.metadata.generation
        return conflicts
    }

    /// What applies to all of `object`, but for the rate limit.
    func features(of object: ObjectID) -> TrafficFeatures {
        withoutLimit(PolicyScope(object: object))
    }

    /// What applies to one route of `router`, but for the rate limit: its own features before those of
    /// the router.
    func features(of router: ObjectID, route: String) -> TrafficFeatures {
        withoutLimit(PolicyScope(object: router, route: route)).filled(by: features(of: router))
    }

    /// The limit that all requests of `object`, or of one route of it, share.
    func rateLimit(of object: ObjectID, route: String? = nil) -> SharedRateLimit? {
        let scope = PolicyScope(object: object, route: route)
        return features[scope]?.rateLimit.map { SharedRateLimit(name: scope.words, limit: $0) }
    }

    private func withoutLimit(_ scope: PolicyScope) -> TrafficFeatures {
        var features = features[scope] ?? TrafficFeatures()
        features.rateLimit = nil
        return features
    }

    /// The policies behind what applies to `object` and its routes.
    func origins(of object: ObjectID, routes: [String] = []) -> [ObjectID: Int] {
        ([nil] + routes).reduce(into: [:]) { result, route in
            let scope = PolicyScope(object: object, route: route)
            result.merge(origins[scope] ?? [:]) { first, _ in first }
        }
    }
}

extension Resolution {
    /// Finds what each traffic policy applies to, older policies first.
    mutating func resolvePolicies() {
        let policies = world.trafficPolicies.values.sorted { $0.isOlder(than: $1) }
        for policy in policies {
            checkMirror(of: policy)
            for (index, target) in policy.spec.targets.enumerated() {
                let reference = ObjectReference(
                    namespace: policy.metadata.namespace,
                    name: target.name
                )
                let id = ObjectID(target.kind, reference)
                let field = "spec.targetRefs[\(index)]"
                guard exists(id, for: policy, field) else { continue }
                guard let routes = target.routes else {
                    insert(policy, PolicyScope(object: id))
                    continue
                }
                let names = world.virtualRouters[reference]?.spec.routes.map(\.name) ?? []
                for (place, route) in routes.enumerated() {
                    if names.contains(route) {
                        insert(policy, PolicyScope(object: id, route: route))
                        continue
                    }
                    report(
                        policy.diagnostic(
                            .error,
                            "\(field).routes[\(place)]",
                            "\(id) has no route \"\(route)\"",
                            remedy: nearestName(to: route, among: names).map {
                                "did you mean \"\($0)\"?"
                            } ?? "its routes are \(names.joined(separator: ", "))"
                        )
                    )
                }
            }
        }
    }

    /// Warns of policies for requests whose targets take connections only.
    mutating func checkProtocolsOfPolicies() {
        for policy in world.trafficPolicies.values {
            let features = policy.spec.features.present.filter { feature in
                switch feature {
                case .timeout: policy.spec.features.timeout?.perRequest != nil
                case .loadBalancing: policy.spec.features.loadBalancing?.readsRequests ?? false
                default: true
                }
            }
            guard !features.isEmpty else { continue }
            for (index, target) in policy.spec.targets.enumerated() {
                let reference = ObjectReference(
                    namespace: policy.metadata.namespace,
                    name: target.name
                )
                checkWorkloads(of: policy, target, at: index)
                guard takesConnectionsOnly(target.kind, reference) else { continue }
                let names = features.map(\.rawValue).joined(separator: ", ")
                report(
                    policy.diagnostic(
                        .warning,
                        "spec.targetRefs[\(index)]",
                        "\(ObjectID(target.kind, reference)) speaks TCP only, where \(names) "
                            + "\(features.count == 1 ? "has" : "have") no effect",
                        remedy: "target one that speaks HTTP"
                    )
                )
            }
        }
    }

    /// Warns of features that only a node's or gateway's own proxies can have, where there are none.
    private mutating func checkWorkloads(
        of policy: TrafficPolicy,
        _ target: PolicyTarget,
        at index: Int
    ) {
        let id = ObjectID(
            target.kind,
            ObjectReference(namespace: policy.metadata.namespace, name: target.name)
        )
        let features = policy.spec.features.present.filter { $0 != .loadBalancing }
        guard target.kind == .virtualNode || target.kind == .virtualGateway, !features.isEmpty,
            mesh(of: id) != nil, workloads[id] == nil
        else { return }
        let names = features.map(\.rawValue).joined(separator: ", ")
        report(
            policy.diagnostic(
                .warning,
                "spec.targetRefs[\(index)]",
                "no Workload of \(id) runs here, whose proxy would do \(names)",
                remedy: target.kind == .virtualNode
                    ? "add one, or target the VirtualService by which it is called" : "add one"
            )
        )
    }

    private func takesConnectionsOnly(_ kind: Kind, _ reference: ObjectReference) -> Bool {
        let protocols: [ListenerProtocol]
        switch kind {
        case .virtualNode:
            protocols =
                world.virtualNodes[reference]?.spec.listeners.map(\.portMapping.protocol) ?? []
        case .virtualGateway:
            protocols =
                world.virtualGateways[reference]?.spec.listeners.map(\.portMapping.protocol) ?? []
        case .virtualRouter:
            protocols = world.virtualRouters[reference]?.spec.listeners.map(\.protocol) ?? []
        case .virtualService:
            guard let ports = services[reference]?.ports, !ports.isEmpty else { return false }
            return ports.keys.allSatisfy { services[reference]?.httpRoutes(on: $0) == nil }
        case .gatewayRoute: return world.gatewayRoutes[reference]?.spec.rule.isTCP ?? false
        case .mesh, .namespace, .backendGroup, .trafficPolicy, .workload, .certificateMapping:
            return false
        }
        return !protocols.isEmpty && protocols.allSatisfy { $0 == .tcp }
    }

    private mutating func insert(_ policy: TrafficPolicy, _ scope: PolicyScope) {
        for (feature, owner) in policies.insert(policy, scope) {
            report(
                policy.diagnostic(
                    .warning,
                    "spec.\(feature.rawValue)",
                    "\(owner) sets it for \(scope.words) too, and is older",
                    remedy: "set it in one of the two"
                )
            )
        }
    }

    private mutating func checkMirror(of policy: TrafficPolicy) {
        guard let mirror = policy.spec.features.mirror,
            let target = policy.spec.targets.first,
            let mesh = mesh(
                of: ObjectID(
                    target.kind,
                    ObjectReference(namespace: policy.metadata.namespace, name: target.name)
                )
            )
        else { return }
        switch find(mirror.virtualNode, among: world.virtualNodes, \.awsName, in: mesh) {
        case .failure(let failure):
            report(
                policy.diagnostic(
                    .error,
                    "spec.mirror.virtualNode\(failure.member)",
                    failure.problem,
                    remedy: failure.remedy
                )
            )
        case .success(let node) where destination(of: mirror, in: mesh) == nil:
            let ports = node.spec.listeners.filter { $0.portMapping.protocol != .tcp }
                .map(\.portMapping.port.description)
            report(
                policy.diagnostic(
                    .error,
                    "spec.mirror.port",
                    "it names no HTTP listener of \(node.id)",
                    remedy: ports.isEmpty
                        ? "give the node one" : "set it to one of \(ports.joined(separator: ", "))"
                )
            )
        case .success: break
        }
    }

    /// The listener that takes the copies of requests; nil when there is none, and none are made.
    func destination(of mirror: Mirror, in mesh: Mesh) -> NodePort? {
        guard
            case .success(let node) = find(
                mirror.virtualNode,
                among: world.virtualNodes,
                \.awsName,
                in: mesh
            )
        else { return nil }
        let nodePorts = nodePorts(of: node, in: mesh).filter { $0.mapping.protocol != .tcp }
        if let port = mirror.port { return nodePorts.first { $0.mapping.port == port } }
        return nodePorts.count == 1 ? nodePorts[0] : nil
    }

    private mutating func exists(
        _ id: ObjectID,
        for policy: TrafficPolicy,
        _ field: String
    ) -> Bool {
        guard mesh(of: id) == nil else { return true }
        let siblings = world.objects(of: id.kind)
        let near = nearestName(
            to: id.name,
            among: siblings.filter { $0.namespace == id.namespace }.map(\.name)
        )
        let isThere = siblings.contains(id.reference)
        report(
            policy.diagnostic(
                .error,
                "\(field).name",
                isThere ? "\(id) is not in use" : "no \(id.kind.rawValue) \"\(id.reference)\"",
                remedy: isThere
                    ? "mend its own mistakes"
                    : near.map { "did you mean \"\($0)\"?" }
                        ?? "a policy targets objects of its own namespace: add it or correct the name"
            )
        )
        return false
    }
}

extension PolicyScope {
    fileprivate var words: String {
        route.map { "route \"\($0)\" of \(object)" } ?? object.description
    }
}

extension LoadBalancing {
    /// Whether endpoints are chosen by something that only requests have.
    fileprivate var readsRequests: Bool { !hashOn.isEmpty && !hashOn.contains(.sourceAddress) }
}

extension World {
    /// The names of all objects of one of the kinds that policies may target.
    fileprivate func objects(of kind: Kind) -> [ObjectReference] {
        switch kind {
        case .virtualService: Array(virtualServices.keys)
        case .virtualRouter: Array(virtualRouters.keys)
        case .virtualNode: Array(virtualNodes.keys)
        case .virtualGateway: Array(virtualGateways.keys)
        case .gatewayRoute: Array(gatewayRoutes.keys)
        case .mesh, .namespace, .backendGroup, .trafficPolicy, .workload, .certificateMapping: []
        }
    }
}

extension TrafficFeatures {
    /// The features that are set.
    fileprivate var present: [TrafficFeature] {
        TrafficFeature.allCases.filter { feature in
            switch feature {
            case .rateLimit: rateLimit != nil
            case .requestHeaders: requestHeaders != nil
            case .responseHeaders: responseHeaders != nil
            case .cors: cors != nil
            case .fault: fault != nil
            case .mirror: mirror != nil
            case .retryPolicy: retryPolicy != nil
            case .retryBackOff: retryBackOff != nil
            case .retryOtherTargets: retryOtherTargets != nil
            case .timeout: timeout != nil
            case .loadBalancing: loadBalancing != nil
            }
        }
    }

    /// These features, and those of `other` where they are silent.
    func filled(by other: TrafficFeatures) -> TrafficFeatures {
        TrafficFeatures(
            rateLimit: rateLimit ?? other.rateLimit,
            requestHeaders: requestHeaders ?? other.requestHeaders,
            responseHeaders: responseHeaders ?? other.responseHeaders,
            cors: cors ?? other.cors,
            fault: fault ?? other.fault,
            mirror: mirror ?? other.mirror,
            retryPolicy: retryPolicy ?? other.retryPolicy,
            retryBackOff: retryBackOff ?? other.retryBackOff,
            retryOtherTargets: retryOtherTargets ?? other.retryOtherTargets,
            timeout: timeout ?? other.timeout,
            loadBalancing: loadBalancing ?? other.loadBalancing
        )
    }
}

extension Timeouts {
    /// These times, and those of `other` where they are silent.
    func filled(by other: Timeouts?) -> Timeouts {
        Timeouts(perRequest: perRequest ?? other?.perRequest, idle: idle ?? other?.idle)
    }
}
