internal import EnvoyAPI
internal import MeshModel
internal import MeshPlan
internal import Synchronization

/// One proxy as health discovery sees it: what it shall check, its stream, and what it reported.
final class HealthChannel: Sendable {
    /// The side of a channel that a stream's handler uses.
    struct Stream: ServedStream {
        let channel: HealthChannel
        let signals: StreamSlot.Signals
    }

    fileprivate struct State {
        var session = HealthSession(probes: nil)
        var slot = StreamSlot()
        /// The Envoy that connected last: what tells it from others of the proxy.
        var envoy: String?
    }

    let proxy: ProxyID
    private let state = Mutex(State())
    private let observations: ObservationBoard

    init(_ proxy: ProxyID, observations: ObservationBoard) {
        self.proxy = proxy
        self.observations = observations
    }

    /// Takes the newest probes; nil when the proxy is gone.
    func publish(_ probes: [Probe]?) {
        state.withLock { state in
            guard state.session.probes != probes else { return }
            guard let probes else {
                state.session = HealthSession(probes: nil)
                state.slot.end(.removed)
                return
            }
            state.update(proxy, observations) { $0.probesChanged(to: probes) }
        }
    }

    /// Opens a stream, in place of the one that is open, for the Envoy `envoy`.
    func open(_ envoy: String) -> Stream {
        state.withLock { state in
            let signals = state.slot.open()
            let isAnother = state.envoy.map { $0 != envoy } ?? false
            state.envoy = envoy
            state.update(proxy, observations) { $0.restart(asAnother: isAnother) }
            return Stream(channel: self, signals: signals)
        }
    }

    /// Ends the open stream.
    ///
    /// What was reported stays observed.
    func end(_ ending: StreamSlot.Ending) { state.withLock { $0.slot.end(ending) } }
}

extension HealthChannel.State {
    /// Changes the session, and tells those whom the change concerns: most reports bring no news.
    fileprivate mutating func update(
        _ proxy: ProxyID,
        _ observations: ObservationBoard,
        _ change: (inout HealthSession) -> Void
    ) {
        let health = session.health
        change(&session)
        if session.health != health { observations.update(proxy, health: session.health) }
        if session.hasSpecifier { slot.wake() }
    }
}

extension HealthChannel.Stream {
    var proxy: ProxyID { channel.proxy }

    /// Takes a report.
    func received(_ report: Envoy_Service_Health_V3_EndpointHealthResponse) {
        channel.received(report, signals)
    }

    func nextResponse() -> Envoy_Service_Health_V3_HealthCheckSpecifier? {
        channel.nextSpecifier(signals)
    }

    func end(_ ending: StreamSlot.Ending) { channel.end(signals, ending) }
}

extension HealthChannel {
    fileprivate func received(
        _ report: Envoy_Service_Health_V3_EndpointHealthResponse,
        _ signals: StreamSlot.Signals
    ) {
        state.withLock { state in
            guard state.slot.isOpen(signals) else { return }
            state.update(proxy, observations) { $0.received(report, at: .now) }
        }
    }

    fileprivate func nextSpecifier(
        _ signals: StreamSlot.Signals
    ) -> Envoy_Service_Health_V3_HealthCheckSpecifier? {
        state.withLock { state in
            guard state.slot.isOpen(signals) else { return nil }
            return state.session.nextSpecifier()
        }
    }

    fileprivate func end(_ signals: StreamSlot.Signals, _ ending: StreamSlot.Ending) {
        state.withLock { state in
            guard state.slot.isOpen(signals) else { return }
            state.slot.end(ending)
        }
    }
}
