internal import MeshModel
internal import MeshPlan

extension DeltaSession {
    /// What the stream tells of the proxy.
    mutating func observation() -> XDSObservation {
        var sync: [ResourceType: XDSObservation.Sync] = [:]
        for type in ResourceType.allCases { sync[type] = self.sync(type) }
        return XDSObservation(
            isConnected: true,
            sync: sync,
            refusals: memory.refusals,
            listeners: memory.takenListeners,
            acknowledgedVersion: memory.acknowledgedVersion
        )
    }

    mutating func sync(_ type: ResourceType) -> XDSObservation.Sync {
        guard let target else { return .notSent }
        guard subscriptions[type].isOpen else {
            if type == .secrets { return mayHaveSecrets ? .pending : .synced }
            return target[type].isEmpty ? .synced : .notSent
        }
        let isWaiting =
            type == .endpoints && isAwaitingEndpoints || type == .secrets && lacksSecrets
        if isWaiting { return .pending }
        if isUnderWay(type) { return onlyRetries(type) ? .refused : .pending }
        return memory.refused[type].isEmpty ? .synced : .refused
    }

    private mutating func isUnderWay(_ type: ResourceType) -> Bool {
        subscriptions[type].inFlight != nil || !outstanding(type).isEmpty
    }

    /// Whether the proxy acknowledged the newest version of each secret that it asked for and that
    /// there is.
    mutating func hasNewestSecrets() -> Bool {
        guard target != nil else { return false }
        guard subscriptions[.secrets].isOpen else { return !mayHaveSecrets }
        return !isUnderWay(.secrets) && memory.refused[.secrets].isEmpty
    }

    /// Whether the proxy may have secrets that it has yet to tell of: an Envoy that comes back names
    /// all that it has before it answers anything.
    private var mayHaveSecrets: Bool {
        mutating get {
            !plannedSecrets.isEmpty
                && [ResourceType.clusters, .listeners].contains {
                    !subscriptions[$0].isOpen || isUnderWay($0)
                }
        }
    }
}
