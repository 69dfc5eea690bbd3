internal import MeshModel

/// Whom a listener lets in, of callers whose identity is proven.
struct AccessControl: Hashable {
    /// Whether others are refused, and not only counted.
    var isEnforced: Bool
    /// The SPIFFE IDs of those who may call, sorted.
    var callers: [String]
}

extension Mesh {
    /// What happens to callers that have not declared what they call.
    var accessControl: AccessControlMode {
        spec.accessControl ?? (spec.mutualTLS == .strict ? .enforce : .off)
    }
}

extension Resolution {
    /// Notes that proxies of `caller` may call what `services` lead to.
    mutating func allow(_ caller: ObjectID, _ services: [ResolvedService]) {
        for case .node(let target) in destinations(of: services) {
            callers[target.node, default: []].insert(caller)
            // With Cloud Map the proxies of other nodes may answer.
            for workload in instances[target.node] ?? [] {
                guard let owner = owners[workload.reference] else { continue }
                callers[owner.reference, default: []].insert(caller)
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
        let ids = (callers[node.reference] ?? []).flatMap { spiffeIDs(of: $0, in: mesh) }
        return AccessControl(isEnforced: isEnforced, callers: Set(ids).sorted())
    }
}
