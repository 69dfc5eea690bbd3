internal import EnvoyAPI
internal import Logging
internal import MeshModel
internal import MeshPlan
internal import Synchronization

/// One proxy as the server sees it: its newest snapshot, its stream, and what it answered.
final class ProxyChannel: Sendable {
    /// The side of a channel that a stream's handler uses.
    struct Stream: ServedStream {
        let channel: ProxyChannel
        let signals: StreamSlot.Signals
        /// Hears of secrets that the proxy shall not have.
        var logger: Logger?
    }

    fileprivate struct State {
        /// The plan's own, without secrets but those that are files in the proxy's Pod.
        var snapshot: Snapshot?
        var secrets = ProxySecrets()
        var session: DeltaSession
        var slot = StreamSlot()
        /// Whether a proxy has connected, and may go on with what it has while it is not connected.
        var hasConnected = false
        /// The Envoy that connected last: what tells it from others of the proxy.
        var envoy: String?
        /// What the open stream was sent and has not answered.
        var sent = SentResponses()
    }

    let proxy: ProxyID
    let health: HealthChannel
    let accessLog: AccessLogChannel
    private let state: Mutex<State>
    private let observations: ObservationBoard
    private let report: @Sendable (DiscoveryEvent) -> Void

    init(
        _ proxy: ProxyID,
        observations: ObservationBoard,
        logs: AccessLogSinks,
        report: @escaping @Sendable (DiscoveryEvent) -> Void
    ) {
        self.proxy = proxy
        self.report = report
        accessLog = AccessLogChannel(proxy, logs)
        self.observations = observations
        health = HealthChannel(proxy, observations: observations)
        state = Mutex(State(snapshot: nil, session: DeltaSession(target: nil)))
    }

    /// Takes the newest snapshot and secrets; no snapshot when the proxy is gone.
    func publish(_ snapshot: Snapshot?, secrets: ProxySecrets = ProxySecrets()) {
        state.withLock { state in
            let isUnchanged = state.snapshot == snapshot && state.secrets == secrets
            state.snapshot = snapshot
            state.secrets = secrets
            guard !isUnchanged else {
                if let target = state.target { state.session.refreshOrigins(from: target) }
                return
            }
            guard snapshot != nil else {
                state.session = DeltaSession(target: nil)
                state.slot.end(.removed)
                state.hasConnected = false
                observations.update(proxy, nil)
                return
            }
            targetChanged(&state)
        }
    }

    /// Takes the newest secrets.
    func publish(_ secrets: ProxySecrets) {
        state.withLock { state in
            guard state.secrets != secrets else { return }
            state.secrets = secrets
            targetChanged(&state)
        }
    }

    private func targetChanged(_ state: inout State) {
        guard let target = state.target else { return }
        state.session.certificates = state.certificateNames
        state.session.snapshotChanged(to: target, plannedSecrets: state.secretNames)
        guard state.slot.isOpen else {
            state.session.forgetSecretsOfStream()
            return
        }
        observe(state.session.observation())
        state.slot.wake()
    }

    /// Whether the proxy acknowledged the newest of the secrets it asked for; one that has not connected
    /// yet has nothing older.
    var hasNewestSecrets: Bool {
        state.withLock { state in
            state.slot.isOpen ? state.session.hasNewestSecrets() : !state.hasConnected
        }
    }

    /// Opens a stream, in place of the one that is open, for the Envoy `envoy`.
    ///
    /// What the one before accepted, another does not have.
    func open(_ envoy: String) -> Stream {
        state.withLock { state in
            let signals = state.slot.open()
            state.hasConnected = true
            var memory = state.session.memory
            if let old = state.envoy, old != envoy { memory.startAnew() }
            state.envoy = envoy
            state.session = DeltaSession(
                target: state.target,
                plannedSecrets: state.secretNames,
                memory: memory
            )
            state.session.certificates = state.certificateNames
            state.sent = SentResponses()
            observe(state.session.observation())
            return Stream(channel: self, signals: signals)
        }
    }

    /// Notes that an Envoy that an earlier control plane started may go on with what that one sent.
    func adopt() { state.withLock { $0.hasConnected = true } }

    /// What the proxy accepted last and has in force, if nothing is under way.
    var lastGood: Snapshot? { state.withLock { $0.session.memory.lastGood } }

    /// Has versions offered again that were refused for a reason that may have passed by `now`.
    func retryRefusals(_ now: ContinuousClock.Instant) {
        state.withLock { state in
            guard state.slot.isOpen, state.session.memory.hasRefusals else { return }
            if state.session.retryDue(now) { state.slot.wake() }
        }
    }

    /// Ends the open stream.
    func end(_ ending: StreamSlot.Ending) { state.withLock { $0.slot.end(ending) } }

    /// Ends the open stream of a proxy that is no longer trusted.
    func revoke(_ ending: StreamSlot.Ending = .revoked) {
        state.withLock { state in
            state.slot.end(ending)
            state.hasConnected = false
            state.session.forgetAllSecrets()
        }
    }

    private func observe(_ observation: XDSObservation) {
        var observation = observation
        // A secret that many share is nobody's own.
        for index in observation.refusals.indices
        where observation.refusals[index].objects.isEmpty {
            observation.refusals[index].objects = [ObjectID(.workload, proxy.workload)]
        }
        observations.update(proxy, observation)
    }
}

extension ProxyChannel.State {
    /// What the proxy shall have, with the secrets that there are.
    fileprivate var target: Snapshot? {
        guard var target = snapshot else { return nil }
        target[.secrets].merge(secrets.resources) { planned, _ in planned }
        return target
    }

    /// The names of all secrets that the plan has.
    fileprivate var secretNames: Set<String> {
        secrets.names.union(snapshot?[.secrets].keys ?? [:].keys)
    }

    /// The names of those that are certificates.
    fileprivate var certificateNames: Set<String> {
        let files = (snapshot?[.secrets] ?? [:]).values.filter(\.isCertificate)
        return secrets.certificates.union(files.map(\.name))
    }
}

extension ProxyChannel.Stream {
    var proxy: ProxyID { channel.proxy }

    /// Takes a request.
    ///
    /// - Returns: false when the request's type is not served.
    func received(_ request: Envoy_Service_Discovery_V3_DeltaDiscoveryRequest) -> Bool {
        channel.received(request, signals)
    }

    func nextResponse() -> DeltaResponse? {
        let (response, refusedSecrets) = channel.nextResponse(signals)
        for secret in refusedSecrets {
            logger?.warning(
                "secret refused",
                metadata: ["secret": "\(LogText(secret))"]
            )
        }
        return response
    }

    func end(_ ending: StreamSlot.Ending) { channel.end(signals, ending) }
}

extension ProxyChannel {
    fileprivate func received(
        _ request: Envoy_Service_Discovery_V3_DeltaDiscoveryRequest,
        _ signals: StreamSlot.Signals
    ) -> Bool {
        state.withLock { state in
            guard state.slot.isOpen(signals) else { return true }
            let answer = state.sent.answered(
                ResourceType(typeURL: request.typeURL),
                nonce: request.responseNonce,
                isRefused: request.hasErrorDetail,
                .now
            )
            if let answer { report(answer) }
            let isServed = state.session.received(request)
            observe(state.session.observation())
            state.slot.wake()
            return isServed
        }
    }

    fileprivate func nextResponse(
        _ signals: StreamSlot.Signals
    ) -> (response: DeltaResponse?, refusedSecrets: [String]) {
        state.withLock { state in
            guard state.slot.isOpen(signals) else { return (nil, []) }
            let acknowledged = state.session.memory.acknowledgedVersion
            let response = state.session.nextResponse()
            if let response { report(state.sent.sent(response, .now)) }
            if state.session.memory.acknowledgedVersion != acknowledged {
                observe(state.session.observation())
            }
            return (response, state.session.secretAudit.takeNews())
        }
    }

    fileprivate func end(_ signals: StreamSlot.Signals, _ ending: StreamSlot.Ending) {
        state.withLock { state in
            guard state.slot.isOpen(signals) else { return }
            state.slot.end(ending)
            state.session.forgetSecretsOfStream()
            // How far the proxy is can't be known; what it took and refused stays true.
            observe(
                XDSObservation(
                    refusals: state.session.memory.refusals,
                    listeners: state.session.memory.takenListeners,
                    acknowledgedVersion: state.session.memory.acknowledgedVersion
                )
            )
        }
    }
}
