internal import MeshModel
internal import MeshPlan

/// What is remembered of a proxy from one stream to the next.
struct ProxyMemory: Sendable {
    /// A version that the proxy refused.
    struct RefusedVersion: Sendable {
        var resource: EncodedResource
        /// Envoy's reason, one line.
        var message: String
        /// The version that the proxy said it has, when that is not known here.
        var claimedVersion: String?
        /// When it is offered again; nil for one that is not.
        var retry: RefusalRetry?
    }

    /// The last version of each resource that the proxy accepted.
    var accepted = PerType<[String: EncodedResource]>([:])
    /// What an Envoy of this proxy accepted that is being followed by another, until that one has all:
    /// versions to fall back on, of which the new Envoy has none.
    var former = PerType<[String: EncodedResource]>([:])
    /// What was sent and not accepted.
    ///
    /// On its next stream Envoy does not tell of what it took from a response of which it refused
    /// another part.
    var unanswered = PerType<Set<String>>([])
    /// The refused versions, each that of the newest snapshot.
    var refused = PerType<[String: RefusedVersion]>([:])

    /// Endpoints that a cluster needs which was added or changed, until they are acknowledged.
    ///
    /// A changed cluster warms until it gets its endpoints again, and its proxy, that is subscribed
    /// to them already, does not ask for them.
    var awaitedEndpoints: Set<String> = []
    /// Those that streams which ended were waiting for.
    var interruptedEndpoints: Set<String> = []

    /// The versions of the listeners that the proxy accepted last and has all secrets of.
    ///
    /// It accepts a listener at once, and goes on with the one before until it has them.
    var takenListeners: [String: String] = [:]

    /// The hash of `accepted` when the proxy had last answered all that it was sent; nil before.
    var acknowledgedVersion: String?

    /// Begins with another Envoy, that has nothing and may refuse other things.
    mutating func startAnew() {
        var next = ProxyMemory()
        for type in ResourceType.allCases where type != .secrets || hasRefusals {
            next.former[type] = former[type].merging(accepted[type]) { $1 }
        }
        self = next
    }

    /// The newest version of a resource that this Envoy accepted, else the one before it.
    func lastAccepted(_ type: ResourceType, _ name: String) -> EncodedResource? {
        accepted[type][name] ?? former[type][name]
    }

    /// Ends the wait for `names`.
    mutating func stopAwaiting(_ names: some Sequence<String>) {
        awaitedEndpoints.subtract(names)
        interruptedEndpoints.subtract(names)
    }

    /// Whether anything is refused.
    var hasRefusals: Bool { ResourceType.allCases.contains { !refused[$0].isEmpty } }

    /// Whether the proxy keeps an old version of a resource that may name resources of `type`, so
    /// that none of those can be removed.
    func pins(_ type: ResourceType) -> Bool {
        let dependents: [ResourceType] =
            switch type {
            case .endpoints: [.clusters, .listeners, .routes]
            case .clusters: [.listeners, .routes]
            case .routes: [.listeners]
            case .secrets: [.clusters, .listeners]
            case .listeners: []
            }
        return dependents.contains { dependent in
            refused[dependent].contains { name, refusal in
                lastAccepted(dependent, name) != nil || refusal.claimedVersion != nil
            }
        }
    }

    /// Forgets secrets that were replaced or taken away, while no stream is open.
    ///
    /// A proxy that refuses something may need what it had before.
    mutating func forgetOldSecrets(notIn secrets: [String: EncodedResource]) {
        guard !hasRefusals else { return }
        former[.secrets] = [:]
        guard !accepted[.secrets].isEmpty else { return }
        accepted[.secrets] = accepted[.secrets].filter { secrets[$0.key] == $0.value }
    }

    /// Forgets the refusals of versions that `snapshot` does not have.
    ///
    /// - Returns: whether there were any.
    mutating func forgetRefusals(notIn snapshot: Snapshot) -> Bool {
        var changed = false
        for type in ResourceType.allCases where !refused[type].isEmpty {
            let current = refused[type].filter { snapshot[type][$0.key] == $0.value.resource }
            changed = changed || current.count != refused[type].count
            refused[type] = current
        }
        return changed
    }

    /// The refusals as status shows them.
    var refusals: [Refusal] {
        ResourceType.allCases.flatMap { type in
            refused[type].values.map { refusal(of: $0) }.sorted { $0.resource < $1.resource }
        }
    }

    private func refusal(of refused: RefusedVersion) -> Refusal {
        let resource = refused.resource
        let kept = accepted[resource.type][resource.name]
        return Refusal(
            type: resource.type,
            resource: resource.name,
            version: resource.version,
            keptVersion: kept?.version ?? refused.claimedVersion,
            message: refused.message,
            objects: suspects(refused: resource, kept: kept)
        )
    }

    /// The objects that changed between two versions of a resource; all, when none did.
    ///
    /// Of these, those whose fields reach the resource as they were written, if any is of such a kind.
    private func suspects(refused: EncodedResource, kept: EncodedResource?) -> [ObjectID] {
        let changed = refused.origins.filter { kept?.origins[$0.key] != $0.value }
        let suspects = (changed.isEmpty ? refused.origins : changed).keys.sorted()
        let kinds: Set<Kind> =
            switch refused.type {
            case .routes: [.virtualRouter, .gatewayRoute]
            case .clusters: [.virtualNode]
            case .endpoints: [.workload]
            case .listeners, .secrets: [.virtualNode, .virtualGateway]
            }
        let likely = suspects.filter { kinds.contains($0.kind) }
        return likely.isEmpty ? suspects : likely
    }
}
