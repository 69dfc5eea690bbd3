internal import EnvoyAPI
internal import MeshModel
internal import SwiftProtobuf

extension LoadBalancing.Algorithm {
    /// Envoy's policy of that name.
    var lbPolicy: Envoy_Config_Cluster_V3_Cluster.LbPolicy {
        switch self {
        case .roundRobin: .roundRobin
        case .leastRequest: .leastRequest
        case .random: .random
        case .ringHash: .ringHash
        case .maglev: .maglev
        }
    }
}

/// By what the requests of a route stick to an endpoint: what the policies of its targets ask for,
/// each once.
func hashPolicies(
    for targets: [ResolvedTarget]
) -> [Envoy_Config_Route_V3_RouteAction.HashPolicy] {
    hashKeys(of: targets).map(hashPolicy)
}

/// Whether the connections of a client stick to an endpoint: of connections nothing else is known.
func hashesSource(of targets: [ResolvedTarget]) -> Bool {
    hashKeys(of: targets).contains(.sourceAddress)
}

private func hashKeys(of targets: [ResolvedTarget]) -> [HashKey] {
    var keys: [HashKey] = []
    for target in targets {
        guard case .node(let node) = target.destination else { continue }
        for key in node.loadBalancing?.hashOn ?? [] where !keys.contains(key) { keys.append(key) }
    }
    return keys
}

private func hashPolicy(for key: HashKey) -> Envoy_Config_Route_V3_RouteAction.HashPolicy {
    var policy = Envoy_Config_Route_V3_RouteAction.HashPolicy()
    switch key {
    case .header(let name): policy.header.headerName = name
    case .cookie(let name, let ttl):
        policy.cookie.name = name
        // With a time to live Envoy sets the cookie itself.
        if let ttl {
            policy.cookie.ttl = Google_Protobuf_Duration(ttl)
            policy.cookie.path = "/"
        }
    case .queryParameter(let name): policy.queryParameter.name = name
    case .sourceAddress: policy.connectionProperties.sourceIp = true
    }
    return policy
}
