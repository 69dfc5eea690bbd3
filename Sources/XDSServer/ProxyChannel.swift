internal import EnvoyAPI
internal import MeshModel
internal import MeshPlan
internal import Synchronization

/// One proxy as the server sees it: its newest snapshot, its stream, and what it answered.
final class ProxyChannel: Sendable {
    /// The side of a channel that a stream's handler uses.
    struct Stream: ServedStream {
        let channel: ProxyChannel
        let signals: StreamSlot.Signals
    }

    private struct State {
        var snapshot: Snapshot?
        var session: DeltaSession
        var slot = StreamSlot()
    }

    let proxy: ProxyID
    let health: HealthChannel
    private let state: Mutex<State>
    private let observations: ObservationBoard

    init(_ proxy: ProxyID, observations: ObservationBoard) {
        self.proxy = proxy
        self.observations = observations
        health = HealthChannel(proxy, observations: observations)
        state = Mutex(State(snapshot: nil, session: DeltaSession(target: nil)))
    }

    /// Takes the newest snapshot; nil when the proxy is gone.
    func publish(_ snapshot: Snapshot?) {
        state.withLock { state in
            let isUnchanged = state.snapshot == snapshot
            state.snapshot = snapshot
            guard !isUnchanged else {
                if let snapshot { state.session.refreshOrigins(from: snapshot) }
                return
            }
            guard let snapshot else {
                state.session = DeltaSession(target: nil)
                state.slot.end(.removed)
                observations.update(proxy, nil)
                return
            }
            state.session.snapshotChanged(to: snapshot)
            guard state.slot.isOpen else { return }
            observations.update(proxy, state.session.observation())
            state.slot.wake()
        }
    }

    /// Opens a stream, in place of the one that is open.
    func open() -> Stream {
        state.withLock { state in
            let signals = state.slot.open()
            state.session = DeltaSession(target: state.snapshot, memory: state.session.memory)
            observations.update(proxy, state.session.observation())
            return Stream(channel: self, signals: signals)
        }
    }

    /// Ends the open stream.
    func end(_ ending: StreamSlot.Ending) { state.withLock { $0.slot.end(ending) } }
}

extension ProxyChannel.Stream {
    var proxy: ProxyID { channel.proxy }

    /// Takes a request.
    ///
    /// - Returns: false when the request's type is not served.
    func received(_ request: Envoy_Service_Discovery_V3_DeltaDiscoveryRequest) -> Bool {
        channel.received(request, signals)
    }

    func nextResponse() -> DeltaResponse? { channel.nextResponse(signals) }

    func close() { channel.close(signals) }
}

extension ProxyChannel {
    fileprivate func received(
        _ request: Envoy_Service_Discovery_V3_DeltaDiscoveryRequest,
        _ signals: StreamSlot.Signals
    ) -> Bool {
        state.withLock { state in
            guard state.slot.isOpen(signals) else { return true }
            let isServed = state.session.received(request)
            observations.update(proxy, state.session.observation())
            state.slot.wake()
            return isServed
        }
    }

    fileprivate func nextResponse(_ signals: StreamSlot.Signals) -> DeltaResponse? {
        state.withLock { state in
            guard state.slot.isOpen(signals) else { return nil }
            return state.session.nextResponse()
        }
    }

    fileprivate func close(_ signals: StreamSlot.Signals) {
        state.withLock { state in
            guard state.slot.isOpen(signals) else { return }
            state.slot.end(.closed)
            // How far the proxy is can't be known; what it refused stays true.
            observations.update(
                proxy,
                XDSObservation(refusals: state.session.memory.refusals)
            )
        }
    }
}
