internal import MeshModel

/// Whom a listener lets in, of callers whose identity is proven.
struct AccessControl: Hashable {
    /// Whether others are refused, and not only counted.
    var isEnforced: Bool
    /// Those who may call, sorted by SPIFFE ID.
    var callers: [AllowedCaller]
}

/// Who may call.
struct AllowedCaller: Hashable {
    /// The SPIFFE ID.
    var spiffeID: String
    /// The DNS names that its certificate has beside it.
    var dnsNames: [String]
}

/// Who may call a node.
struct Callers {
    /// The nodes and gateways.
    var ids: Set<ObjectID> = []
    /// The objects that say so, with their generations.
    var origins: [ObjectID: Int] = [:]
}

extension Mesh {
    /// What happens to callers that have not declared what they call.
    var accessControl: AccessControlMode {
        spec.accessControl ?? (spec.mutualTLS == .strict ? .enforce : .off)
    }
}

extension Resolution {
    /// Notes that proxies of `caller` may call what `services` lead to.
    ///
    /// - Parameters:
    ///   - caller: The node or gateway.
    ///   - services: What it calls.
    ///   - origins: The objects that say so, the caller among them.
    mutating func allow(
        _ caller: ObjectID,
        _ services: [ResolvedService],
        _ origins: [ObjectID: Int]
    ) {
        for service in services {
            for case .node(let target) in destinations(of: [service]) {
                // With Cloud Map the proxies of other nodes may answer.
                let proven = (instances[target.node] ?? []).compactMap { owners[$0.reference] }
                for node in Set(proven.map(\.reference)).union([target.node]) {
                    callers[node, default: Callers()].ids.insert(caller)
                    callers[node]?.origins.merge(origins) { own, _ in own }
                    callers[node]?.origins.merge(service.origins) { own, _ in own }
                }
            }
        }
    }

    /// Whom the listeners of `node` let in; nil is everybody.
    func accessControl(of node: VirtualNode, in mesh: Mesh) -> AccessControl? {
        let isEnforced: Bool
        switch mesh.accessControl {
        case .off: return nil
        case .shadow: isEnforced = false
        case .enforce: isEnforced = true
        }
        var allowed: [String: Set<String>] = [:]
        for caller in callers[node.reference]?.ids ?? [] {
            let names = identity(of: caller, in: mesh).dnsNames
            for id in spiffeIDs(of: caller, in: mesh) {
                allowed[id, default: []].formUnion(names)
            }
        }
        return AccessControl(
            isEnforced: isEnforced,
            callers: allowed.sorted { $0.key < $1.key }.map {
                AllowedCaller(spiffeID: $0.key, dnsNames: $0.value.sorted())
            }
        )
    }
}
