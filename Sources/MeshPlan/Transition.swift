internal import MeshModel

/// What changes at one proxy only once others have followed, so that no request meets a proxy that is
/// ahead or behind.
///
/// Proxies take what is new each in their time. A caller begins with TLS when its endpoint is known to
/// take it, and ends before the endpoint does; and who calls is let in until it has ended to call.
struct Transition {
    /// The proxies whose listeners have the TLS of a whole mesh.
    var offeringTLS: Set<ProxyID> = []
    /// Those of them that had none before and have not told that they took it.
    var awaitingTLS: Set<ProxyID> = []
    /// Those that had it before and keep it beside plaintext until no caller uses it.
    var leavingTLS: Set<ProxyID> = []
    /// Who may call each node.
    var callers: [ObjectReference: Set<ObjectID>] = [:]
    /// Who might before, and is let in until its proxies have ended to call.
    var leavingCallers: [ObjectReference: Set<ObjectID>] = [:]
}

extension Plan {
    /// The proxies of this plan that are not known to take TLS, as far as `observations` tell.
    func awaitingTLS(_ observations: Observations) -> Set<ProxyID> {
        let known = proxies.keys.filter { id in
            guard transition.offeringTLS.contains(id) else { return false }
            guard transition.awaitingTLS.contains(id) else { return true }
            let listener = proxies[id]?.snapshot[.listeners][IngressListener.name]
            return observations.proxies[id]?.xds.listeners[IngressListener.name]
                == listener?.version
        }
        return Set(proxies.keys).subtracting(known)
    }

    /// Whether something of the transition ends with `observations`.
    func isOver(_ observations: Observations) -> Bool {
        let isAwaited = !transition.awaitingTLS.isSubset(of: awaitingTLS(observations))
        let isLeaving = !transition.leavingTLS.isEmpty || !transition.leavingCallers.isEmpty
        return isAwaited || isLeaving && isTaken(observations)
    }

    /// Whether every proxy that is connected has answered all that this plan has for it.
    ///
    /// One that is not connected is gone or hangs, and shall keep nobody waiting.
    func isTaken(_ observations: Observations) -> Bool {
        proxies.keys.allSatisfy { id in
            guard let xds = observations.proxies[id]?.xds, xds.isConnected else { return true }
            return [.clusters, .endpoints, .listeners, .routes].allSatisfy {
                xds.sync[$0] != .pending
            }
        }
    }
}

extension Resolution {
    /// Keeps TLS beside plaintext at nodes whose callers may still use it.
    mutating func keepTLS(after previous: Plan, isTaken: Bool) {
        let leaving = previous.transition.offeringTLS
            .union(isTaken ? [] : previous.transition.leavingTLS)
        leavingTLS = Set(leaving.compactMap { owners[$0.workload] })
    }

    /// Lets in who might call before and may still do so.
    ///
    /// - Returns: Who may call each node by the manifests alone, and who is let in beside.
    mutating func keepCallers(
        after previous: Plan,
        isTaken: Bool
    ) -> (callers: [ObjectReference: Set<ObjectID>], leaving: [ObjectReference: Set<ObjectID>]) {
        let now = callers.mapValues(\.ids)
        var leaving: [ObjectReference: Set<ObjectID>] = [:]
        for (node, before) in previous.transition.callers {
            let left = previous.transition.leavingCallers[node] ?? []
            let gone = before.union(isTaken ? [] : left).subtracting(now[node] ?? [])
                .filter { workloads[$0] != nil }
            guard !gone.isEmpty else { continue }
            leaving[node] = gone
            callers[node, default: Callers()].ids.formUnion(gone)
        }
        return (now, leaving)
    }
}
