internal import EnvoyAPI
internal import MeshModel
internal import MeshPlan
internal import SwiftProtobuf

/// The delta xDS protocol of one stream, without I/O.
///
/// It queues nothing: requests and snapshots change what is known, and `nextResponse()` tells what
/// to send now. So a client that does not read costs what it has subscribed to and no more, and
/// whatever happens meanwhile is merged. At most one response of each type waits for its answer.
///
/// See <https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#incremental-xds>.
struct DeltaSession: Sendable {
    /// What the proxy shall have; nil until it is known.
    ///
    /// Its secrets, unlike a plan's snapshot, are in it.
    private(set) var target: Snapshot?
    /// The secrets that its plan names; those that are not in `target` come later.
    private(set) var plannedSecrets: Set<String>
    /// Those of them that are certificates.
    var certificates: Set<String> = []
    /// What outlives the stream.
    var memory: ProxyMemory
    var subscriptions = PerType(Subscription())
    /// Whether the proxy told of resources that it has: it is no new one.
    private var isResumed = false
    /// Whether it told of listeners.
    private var hadListeners = false
    private var responseCount = 0
    /// Whether the proxy or what it shall have changed since it had last answered all.
    var hasUnnotedAnswers = true
    /// What was asked for and is of no concern to the proxy.
    var secretAudit = SecretAudit()

    init(
        target: Snapshot?,
        plannedSecrets: Set<String> = [],
        memory: ProxyMemory = ProxyMemory()
    ) {
        self.target = target
        self.plannedSecrets = plannedSecrets
        self.memory = memory
        self.memory.interruptedEndpoints.formUnion(memory.awaitedEndpoints)
        self.memory.awaitedEndpoints = []
    }
}

// MARK: - Events

extension DeltaSession {
    /// Takes a request: a subscription, an answer to a response, or both.
    ///
    /// - Returns: false when nothing of the request's type is served; it is ignored.
    @discardableResult
    mutating func received(_ request: Envoy_Service_Discovery_V3_DeltaDiscoveryRequest) -> Bool {
        guard let type = ResourceType(typeURL: request.typeURL) else { return false }
        hasUnnotedAnswers = true
        if let inFlight = subscriptions[type].inFlight, inFlight.nonce == request.responseNonce {
            subscriptions[type].inFlight = nil
            if request.hasErrorDetail {
                refused(type, inFlight, message: request.errorDetail.message)
            } else {
                accepted(type, inFlight.resources)
                removed(type, inFlight.removed)
            }
        }
        let isFirst = !subscriptions[type].isOpen
        if isFirst { open(type, request) }
        subscriptions[type].change(
            subscribe: request.resourceNamesSubscribe,
            unsubscribe: request.resourceNamesUnsubscribe,
            isFirst: isFirst
        )
        if isFirst {
            if type == .listeners { noteTakenListeners() }
            recognizeClaims(type)
            checkAll(type)
        }
        if type == .secrets { secretsRequested(request) }
        if type == .endpoints {
            memory.stopAwaiting(request.resourceNamesUnsubscribe)
            if isFirst {
                let again = memory.interruptedEndpoints.union(memory.awaitedEndpoints)
                    .intersection(request.resourceNamesSubscribe)
                subscriptions[.endpoints].demanded.formUnion(again)
                // Envoy asks for clusters first, unless some of them warm: their endpoints were on
                // the way when the stream before broke.
                if !subscriptions[.clusters].isOpen {
                    subscriptions[.endpoints].demanded.formUnion(request.resourceNamesSubscribe)
                }
            }
        }
        noteTakenListeners()
        return true
    }

    /// Takes the newest snapshot, in place of the one before, wherever its delivery was.
    ///
    /// - Parameters:
    ///   - snapshot: The snapshot, with the secrets that there are.
    ///   - plannedSecrets: The names of these and of those that come later.
    mutating func snapshotChanged(to snapshot: Snapshot, plannedSecrets: Set<String> = []) {
        let previous = target
        target = snapshot
        hasUnnotedAnswers = true
        let differences = self.plannedSecrets.symmetricDifference(plannedSecrets)
        self.plannedSecrets = plannedSecrets
        subscriptions[.secrets].unchecked.formUnion(differences)
        if previous == nil { auditSecrets(subscriptions[.secrets].names) }
        for type in ResourceType.allCases {
            subscriptions[type].isUnsettled = true
            recognizeClaims(type)
            guard let previous else {
                checkAll(type)
                continue
            }
            checkDifferences(type, from: previous[type], to: snapshot[type])
        }
        if memory.forgetRefusals(notIn: snapshot) {
            for type in ResourceType.allCases { checkAll(type) }
        }
        noteTakenListeners()
    }

    /// Takes a snapshot with equal resources, whose objects may be of newer generations.
    mutating func refreshOrigins(from snapshot: Snapshot) {
        target = snapshot
        for type in ResourceType.allCases {
            subscriptions[type].isUnsettled = true
            settle(type)
        }
    }

    private mutating func open(
        _ type: ResourceType,
        _ request: Envoy_Service_Discovery_V3_DeltaDiscoveryRequest
    ) {
        subscriptions[type].isOpen = true
        subscriptions[type].claimed = request.initialResourceVersions
        isResumed = isResumed || !request.initialResourceVersions.isEmpty
        if type == .listeners { hadListeners = !request.initialResourceVersions.isEmpty }
        // Only these two types have a wildcard that is not spelled "*".
        if type == .clusters || type == .listeners {
            subscriptions[type].isWildcard = request.resourceNamesSubscribe.isEmpty
        }
    }

    /// Finds the resources whose versions the proxy says it has.
    private mutating func recognizeClaims(_ type: ResourceType) {
        guard let target else { return }
        for (name, version) in subscriptions[type].claimed {
            let known = [
                target[type][name], memory.accepted[type][name], memory.former[type][name],
            ]
            let same = known.compactMap(\.self).first { $0.version == version }
            guard let resource = same else { continue }
            subscriptions[type].hold(resource)
            memory.accepted[type][name] = resource
        }
    }

    private mutating func checkAll(_ type: ResourceType) {
        let subscription = subscriptions[type]
        subscriptions[type].unchecked.formUnion(subscription.names)
        guard subscription.isWildcard else { return }
        subscriptions[type].unchecked.formUnion(subscription.held.keys)
        subscriptions[type].unchecked.formUnion(subscription.claimed.keys)
        subscriptions[type].unchecked.formUnion(memory.accepted[type].keys)
        subscriptions[type].unchecked.formUnion(memory.former[type].keys)
        subscriptions[type].unchecked.formUnion(memory.unanswered[type])
        if let target { subscriptions[type].unchecked.formUnion(target[type].keys) }
    }

    private mutating func checkDifferences(
        _ type: ResourceType,
        from old: [String: EncodedResource],
        to new: [String: EncodedResource]
    ) {
        // Dictionaries that share their storage are compared at once.
        guard old != new else { return }
        for (name, resource) in new where old[name] != resource {
            subscriptions[type].unchecked.insert(name)
        }
        for name in old.keys where new[name] == nil { subscriptions[type].unchecked.insert(name) }
    }
}

// MARK: - Answers

extension DeltaSession {
    private mutating func accepted(_ type: ResourceType, _ resources: [EncodedResource]) {
        for resource in resources where type != .secrets || subscriptions[type].wants(resource.name)
        {
            subscriptions[type].hold(resource)
            memory.accepted[type][resource.name] = resource
            memory.unanswered[type].remove(resource.name)
            if type == .endpoints { stopAwaiting(resource.name) }
            if memory.refused[type][resource.name]?.resource == resource {
                memory.refused[type][resource.name] = nil
                for type in ResourceType.allCases { checkAll(type) }
            }
        }
    }

    /// Has the endpoints of `clusters`, that are being sent, follow.
    ///
    /// They cannot wait until the clusters are acknowledged: Envoy answers only once all clusters
    /// are warm, and they warm with their endpoints.
    private mutating func awaitEndpoints(of clusters: [EncodedResource]) {
        for endpoints in clusters.compactMap(\.endpointsName) {
            memory.awaitedEndpoints.insert(endpoints)
            guard subscriptions[.endpoints].wants(endpoints) else { continue }
            subscriptions[.endpoints].demanded.insert(endpoints)
            subscriptions[.endpoints].unchecked.insert(endpoints)
        }
    }

    /// Stops waiting for the endpoints of `clusters`, which were refused, unless `others` take them.
    private mutating func forgetEndpoints(
        of clusters: [EncodedResource],
        others: [EncodedResource] = []
    ) {
        let needed = Set(others.compactMap(\.endpointsName))
        let names = Set(clusters.compactMap(\.endpointsName)).subtracting(needed)
        memory.awaitedEndpoints.subtract(names)
    }

    /// Ends the wait for `endpoints`, unless a cluster that was sent since waits for them again.
    private mutating func stopAwaiting(_ endpoints: String) {
        guard !subscriptions[.endpoints].demanded.contains(endpoints) else { return }
        memory.stopAwaiting([endpoints])
    }

    private mutating func removed(_ type: ResourceType, _ names: [String]) {
        for name in names {
            subscriptions[type].drop(name)
            memory.accepted[type][name] = nil
            memory.unanswered[type].remove(name)
            if type == .endpoints { stopAwaiting(name) }
        }
    }

    private mutating func refused(
        _ type: ResourceType,
        _ response: Subscription.InFlight,
        message: String
    ) {
        let names = response.resources.map(\.name)
        let text = RefusalText(message, type: type, names: names)
        switch (text.reasons.isEmpty, names.count) {
        case (false, _):
            // Envoy removes first, then adds what is good.
            removed(type, response.removed)
            let others = response.resources.filter { text.reasons[$0.name] == nil }
            forgetEndpoints(of: response.resources, others: text.isComplete ? others : [])
            if text.isComplete { accepted(type, others) } else { suspect(type, others) }
            for resource in response.resources {
                if let reason = text.reasons[resource.name] { refuse(resource, reason) }
            }
        case (true, 0): removed(type, response.removed)
        case (true, 1):
            forgetEndpoints(of: response.resources)
            refuse(response.resources[0], text.wholeReason)
            sendAgain(type, response.removed)
        case (true, _):
            forgetEndpoints(of: response.resources)
            suspect(type, response.resources)
            sendAgain(type, response.removed)
        }
    }

    /// Answers `names` again, as they were in a response that was refused for another reason.
    private mutating func sendAgain(_ type: ResourceType, _ names: [String]) {
        subscriptions[type].demanded.formUnion(names)
        subscriptions[type].unchecked.formUnion(names)
    }

    /// Sends `resources` again in two halves: so `n` bad ones among many are found in about
    /// `n * log2(many)` round trips, and the good ones arrive with them.
    private mutating func suspect(_ type: ResourceType, _ resources: [EncodedResource]) {
        let names = resources.map(\.name).sorted()
        let halves = [names.prefix(names.count / 2), names.dropFirst(names.count / 2)]
        subscriptions[type].suspects.insert(
            contentsOf: halves.filter { !$0.isEmpty }.map(Array.init),
            at: 0
        )
        sendAgain(type, names)
    }

    private mutating func refuse(_ resource: EncodedResource, _ message: String) {
        let type = resource.type
        let name = resource.name
        if type == .endpoints { stopAwaiting(name) }
        if memory.accepted[type][name] == resource, subscriptions[type].held[name] != resource {
            // A new Envoy does not take what the one before it took.
            memory.accepted[type][name] = nil
        }
        if memory.former[type][name] == resource { memory.former[type][name] = nil }
        if target?[type][name] == resource {
            memory.refused[type][name] = .init(
                resource: resource,
                message: message,
                claimedVersion: subscriptions[type].claimed[name],
                retry: RefusalRetry(message, after: memory.refused[type][name]?.retry)
            )
        }
        for type in ResourceType.allCases { checkAll(type) }
    }
}

// MARK: - What to send

extension DeltaSession {
    /// What a proxy shall have of one name.
    enum Wish: Equatable {
        case have(EncodedResource)
        /// Whatever it has, as nothing better is known.
        case keep
        case nothing
    }

    /// What the proxy shall have of `name`.
    ///
    /// In place of a version that it refused, that is the one it accepted before. What such an old
    /// version may name stays as well.
    func desired(_ type: ResourceType, _ name: String) -> Wish {
        let resource = target?[type][name]
        let refusal = memory.refused[type][name]
        let isRefused = resource.map { refusal?.resource == $0 } ?? false
        if let resource, !isRefused || refusal?.retry?.isUnderWay == true {
            return .have(resource)
        }
        guard isRefused || comesLater(type, name) || memory.pins(type) else { return .nothing }
        return memory.lastAccepted(type, name).map(Wish.have) ?? .keep
    }

    /// Whether the proxy has yet to tell what it has of `type`.
    private func isExpected(_ type: ResourceType) -> Bool {
        let isKnown =
            target?[type].isEmpty == false || !memory.accepted[type].isEmpty
            || !memory.unanswered[type].isEmpty
        guard isKnown, !subscriptions[type].isOpen else { return false }
        return switch type {
        case .clusters, .endpoints: isResumed
        case .listeners: true
        case .secrets: false
        case .routes: hadListeners || isResumed && !memory.accepted[.listeners].isEmpty
        }
    }

    /// Whether a cluster waits for endpoints that exist.
    var isAwaitingEndpoints: Bool {
        memory.awaitedEndpoints.contains { name in
            if case .have = desired(.endpoints, name) { true } else { false }
        }
    }

    /// The next response, if one can be sent now.
    ///
    /// Make before break: clusters, then their endpoints, then listeners and routes, then removals
    /// of routes, of clusters and of endpoints. The order is that of "Eventual consistency
    /// considerations" in the protocol. Secrets come before all, as clusters and listeners warm until
    /// they have theirs.
    mutating func nextResponse() -> DeltaResponse? {
        guard target != nil else { return nil }
        var work = PerType(Outstanding())
        var idle = PerType(false)
        for type in ResourceType.allCases {
            work[type] = outstanding(type)
            idle[type] = subscriptions[type].inFlight == nil
        }
        func hasArrived(_ type: ResourceType) -> Bool { idle[type] && work[type].send.isEmpty }
        func isSettled(_ type: ResourceType) -> Bool { idle[type] && work[type].isEmpty }
        // While a cluster waits for a secret that is not there, Envoy does not answer.
        let hasClusters =
            hasArrived(.clusters)
            || lacksSecrets && work[.clusters].send.allSatisfy { isInFlight($0) }
        let hasBasis =
            hasClusters && hasArrived(.endpoints) && !isAwaitingEndpoints
            && !isExpected(.clusters)
        let hasMoved =
            hasBasis && isSettled(.listeners) && hasArrived(.routes) && !isExpected(.listeners)
            && !isExpected(.routes)
        let early = endpointsOfPendingClusters(work[.clusters])
        work[.endpoints].send.removeAll { early.contains($0.name) }
        work[.endpoints].absent.removeAll { early.contains($0) }
        if !isSettled(.clusters) || !isSettled(.listeners) { work[.secrets].remove = [] }
        if !hasMoved { work[.clusters].remove = [] }
        if !hasMoved || !isSettled(.clusters) { work[.endpoints].remove = [] }
        if !isSettled(.listeners) { work[.routes].remove = [] }
        if !hasBasis {
            work[.listeners] = Outstanding()
            work[.routes] = Outstanding()
        }
        let order: [ResourceType] = [.secrets, .clusters, .endpoints, .listeners, .routes]
        for type in order where idle[type] {
            if let response = respond(type, work[type]) { return response }
        }
        noteAcknowledged()
        return nil
    }

    private mutating func respond(_ type: ResourceType, _ work: Outstanding) -> DeltaResponse? {
        guard !work.isEmpty else {
            settle(type)
            return nil
        }
        responseCount += 1
        var resources = nextSuspects(type, among: work.send) ?? work.send
        if type == .secrets { resources = firstSecret(resources) }
        let response = DeltaResponse(
            type: type,
            nonce: String(responseCount),
            resources: resources.sorted { $0.name < $1.name },
            removed: (work.remove + work.absent).sorted()
        )
        subscriptions[type].inFlight = .init(
            nonce: response.nonce,
            resources: response.resources,
            removed: response.removed
        )
        if type == .clusters { awaitEndpoints(of: response.resources) }
        memory.unanswered[type].formUnion(response.resources.map(\.name))
        subscriptions[type].demanded.subtract(response.resources.map(\.name))
        subscriptions[type].demanded.subtract(response.removed)
        return response
    }

    /// Endpoints whose cluster was not sent yet, so that they follow it; not those that a cluster
    /// already waits for.
    private func endpointsOfPendingClusters(_ clusters: Outstanding) -> Set<String> {
        Set(clusters.send.compactMap(\.endpointsName))
            .subtracting(subscriptions[.endpoints].demanded)
    }

    /// The resources of the next group of suspects; nil when there is none.
    private mutating func nextSuspects(
        _ type: ResourceType,
        among resources: [EncodedResource]
    ) -> [EncodedResource]? {
        while !resources.isEmpty, let names = subscriptions[type].suspects.first.map(Set.init) {
            subscriptions[type].suspects.removeFirst()
            let group = resources.filter { names.contains($0.name) }
            if !group.isEmpty { return group }
        }
        return nil
    }

    /// Once the proxy has what it shall have, shares the snapshot's storage instead of holding a
    /// copy, and its resources, whose origins are newer.
    private mutating func settle(_ type: ResourceType) {
        // A proxy need not ask for all of its secrets.
        guard let target, type != .secrets, subscriptions[type].isUnsettled,
            subscriptions[type].unchecked.isEmpty,
            subscriptions[type].isOpen, subscriptions[type].inFlight == nil,
            subscriptions[type].held.count == target[type].count, !memory.hasRefusals
        else { return }
        subscriptions[type].isUnsettled = false
        subscriptions[type].held = target[type]
        memory.accepted[type] = target[type]
    }
}
