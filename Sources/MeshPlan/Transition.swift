public import MeshModel

/// What changes at one proxy only once others have followed, so that no request meets a proxy that is
/// ahead or behind.
///
/// Proxies take what is new each in their time. A caller begins with TLS when its endpoint is known to
/// take it, and ends before the endpoint does; and who calls is let in until it has ended to call.
struct Transition: Hashable, Codable, Sendable {
    /// The proxies whose listeners have the TLS of a whole mesh.
    var offeringTLS: Set<ProxyID> = []
    /// Those of them that had none before and have not told that they took it, by when it was offered,
    /// in seconds since 1970.
    var awaitingTLS: [ProxyID: Int] = [:]
    /// Those that had it before and keep it beside plaintext until no caller uses it.
    var leavingTLS: Set<ProxyID> = []
    /// Who may call each node.
    var callers: [ObjectReference: Set<ObjectID>] = [:]
    /// Who might before, and is let in until its proxies have ended to call.
    var leavingCallers: [ObjectReference: Set<ObjectID>] = [:]
    /// When all proxies had answered, in seconds since 1970; nil while one has not.
    var takenSeconds: Int?

    /// Whether something is kept for proxies that may still be behind.
    var isLeaving: Bool { !leavingTLS.isEmpty || !leavingCallers.isEmpty }

    /// For how long it is kept after all have answered: Envoy's main thread does that, and its workers
    /// and what is on its way follow.
    static let graceSeconds = 2

    /// After how long a proxy counts as having answered that another replica serves, whose observations
    /// are not known here: replicas plan the same within moments, and a proxy leaves one that hangs.
    static let presumedSeconds = 30
}

extension Plan {
    /// The proxies of this plan that are not known to take TLS, as far as `observations` tell.
    func awaitingTLS(_ observations: Observations, nowSeconds: Int) -> Set<ProxyID> {
        let known = proxies.keys.filter { id in
            guard transition.offeringTLS.contains(id) else { return false }
            guard let offeredSeconds = transition.awaitingTLS[id] else { return true }
            let listener = proxies[id]?.snapshot[.listeners][IngressListener.name]
            let version = observations.proxies[id]?.xds.listeners[IngressListener.name]
            return version == listener?.version
                || isElsewhere(id, observations)
                    && nowSeconds >= offeredSeconds + Transition.presumedSeconds
        }
        return Set(proxies.keys).subtracting(known)
    }

    /// Whether `id` is of a Pod that serves, and connected to another replica if to any.
    private func isElsewhere(_ id: ProxyID, _ observations: Observations) -> Bool {
        guard proxies[id]?.pod != nil, let observation = observations.proxies[id] else {
            return false
        }
        return !observation.xds.isConnected && observation.process?.phase == .running
    }

    /// Whether the transition goes on with `observations`.
    func goesOn(_ observations: Observations, nowSeconds: Int) -> Bool {
        let awaiting = awaitingTLS(observations, nowSeconds: nowSeconds)
        guard transition.awaitingTLS.keys.allSatisfy(awaiting.contains) else { return true }
        guard transition.isLeaving else { return false }
        let taken = takenSeconds(observations, nowSeconds: nowSeconds)
        return taken != transition.takenSeconds
            || isOver(taken, observations, nowSeconds: nowSeconds)
    }

    /// When all proxies had answered, as far as `observations` tell; nil while one has not.
    func takenSeconds(_ observations: Observations, nowSeconds: Int) -> Int? {
        isTaken(observations) ? transition.takenSeconds ?? nowSeconds : nil
    }

    /// Whether nothing needs to be kept any longer for proxies that have answered at `takenSeconds`.
    func isOver(_ takenSeconds: Int?, _ observations: Observations, nowSeconds: Int) -> Bool {
        guard let takenSeconds, takenSeconds == transition.takenSeconds else { return false }
        let isPresumed = proxies.keys.contains { isElsewhere($0, observations) }
        return nowSeconds >= takenSeconds
            + (isPresumed ? Transition.presumedSeconds : Transition.graceSeconds)
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

extension Plan {
    /// From when on a plan shall be made though nothing changed, in seconds since 1970, as something of
    /// this one ends after a time; nil when nothing does.
    public func dueSeconds(_ observations: Observations) -> Int? {
        if transition.isLeaving { return 0 }
        return transition.awaitingTLS.filter { isElsewhere($0.key, observations) }.values.min()
            .map { $0 + Transition.presumedSeconds }
    }

    /// Whether `proxies` may be told of by another replica, which tells this one nothing.
    public func areElsewhere(_ proxies: Set<ProxyID>, _ observations: Observations) -> Bool {
        proxies.contains { isElsewhere($0, observations) }
    }

    /// The proxies of `previous` that let callers in by this plan which they refuse by that one: they
    /// have to know before the callers do.
    public func admitting(after previous: Plan) -> Set<ProxyID> {
        let nodes = transition.callers.filter { node, callers in
            let before = previous.transition.callers[node] ?? []
            return !callers.subtracting(before)
                .subtracting(previous.transition.leavingCallers[node] ?? []).isEmpty
        }
        let ids = proxies.values.filter { proxy in
            nodes[proxy.owner.reference] != nil && proxy.owner.kind == .virtualNode
                && previous.proxies[proxy.id] != nil
                && previous.proxies[proxy.id]?.snapshot != proxy.snapshot
        }
        return Set(ids.map(\.id))
    }
}

extension Resolution {
    /// Keeps TLS beside plaintext at nodes whose callers may still use it.
    mutating func keepTLS(after previous: Plan, isOver: Bool) {
        let leaving = previous.transition.offeringTLS
            .union(isOver ? [] : previous.transition.leavingTLS)
        leavingTLS = Set(leaving.compactMap { owners[$0.workload] })
    }

    /// Lets in who might call before and may still do so.
    ///
    /// - Returns: Who may call each node by the manifests alone, and who is let in beside.
    mutating func keepCallers(
        after previous: Plan,
        isOver: Bool
    ) -> (callers: [ObjectReference: Set<ObjectID>], leaving: [ObjectReference: Set<ObjectID>]) {
        let now = callers.mapValues(\.ids)
        var leaving: [ObjectReference: Set<ObjectID>] = [:]
        let before = previous.transition.callers
        for node in Set(before.keys).union(previous.transition.leavingCallers.keys) {
            let left = isOver ? [] : previous.transition.leavingCallers[node] ?? []
            let gone = (before[node] ?? []).union(left).subtracting(now[node] ?? [])
                .filter { workloads[$0] != nil }
            guard !gone.isEmpty else { continue }
            leaving[node] = gone
            callers[node, default: Callers()].ids.formUnion(gone)
        }
        return (now, leaving)
    }
}
