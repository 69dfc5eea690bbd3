internal import EnvoyAPI
internal import MeshModel
internal import MeshPlan
internal import Synchronization

/// One proxy as the server sees it: its newest snapshot, its stream, and what it answered.
final class ProxyChannel: Sendable {
    /// Why a stream ended.
    enum Ending: Sendable {
        /// The client is gone, or done.
        case closed
        case replaced
        case removed
        case revoked
        case shutdown
    }

    /// The side of a channel that a stream's handler uses.
    struct Stream: Sendable {
        fileprivate let id: Int
        let channel: ProxyChannel
        /// Wakes the writer, once for all that changed since it last looked.
        let changes: AsyncStream<Void>
        /// The reason, once the stream shall end.
        let ending: AsyncStream<Ending>
    }

    fileprivate struct OpenStream {
        let id: Int
        let changed: AsyncStream<Void>.Continuation
        let end: AsyncStream<Ending>.Continuation
    }

    fileprivate struct State {
        var snapshot: Snapshot?
        var session: DeltaSession
        var stream: OpenStream?
        var lastID = 0
    }

    let proxy: ProxyID
    private let state: Mutex<State>
    private let observations: ObservationBoard

    init(_ proxy: ProxyID, observations: ObservationBoard) {
        self.proxy = proxy
        self.observations = observations
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
                state.end(.removed)
                observations.update(proxy, nil)
                return
            }
            state.session.snapshotChanged(to: snapshot)
            guard let stream = state.stream else { return }
            observations.update(proxy, state.session.observation())
            stream.changed.yield()
        }
    }

    /// Opens a stream, in place of the one that is open.
    func open() -> Stream {
        let (changes, changed) = AsyncStream.makeStream(
            of: Void.self,
            bufferingPolicy: .bufferingNewest(1)
        )
        let (ending, end) = AsyncStream.makeStream(
            of: Ending.self,
            bufferingPolicy: .bufferingOldest(1)
        )
        return state.withLock { state in
            state.end(.replaced)
            state.lastID += 1
            state.stream = OpenStream(id: state.lastID, changed: changed, end: end)
            state.session = DeltaSession(target: state.snapshot, memory: state.session.memory)
            observations.update(proxy, state.session.observation())
            return Stream(id: state.lastID, channel: self, changes: changes, ending: ending)
        }
    }

    /// Ends the open stream.
    func end(_ ending: Ending) { state.withLock { $0.end(ending) } }
}

extension ProxyChannel.State {
    fileprivate mutating func end(_ ending: ProxyChannel.Ending) {
        stream?.end.yield(ending)
        stream?.end.finish()
        stream?.changed.finish()
        stream = nil
    }
}

extension ProxyChannel.Stream {
    /// Takes a request.
    ///
    /// - Returns: false when the request's type is not served.
    func received(_ request: Envoy_Service_Discovery_V3_DeltaDiscoveryRequest) -> Bool {
        channel.received(request, id: id)
    }

    /// The response to send now; nil when there is none, or when the stream ended.
    func nextResponse() -> DeltaResponse? { channel.nextResponse(id: id) }

    /// Tells that the handler is done.
    func close() { channel.close(id: id) }
}

extension ProxyChannel {
    fileprivate func received(
        _ request: Envoy_Service_Discovery_V3_DeltaDiscoveryRequest,
        id: Int
    ) -> Bool {
        state.withLock { state in
            guard let stream = state.stream, stream.id == id else { return true }
            let isServed = state.session.received(request)
            observations.update(proxy, state.session.observation())
            stream.changed.yield()
            return isServed
        }
    }

    fileprivate func nextResponse(id: Int) -> DeltaResponse? {
        state.withLock { state in
            guard state.stream?.id == id else { return nil }
            return state.session.nextResponse()
        }
    }

    fileprivate func close(id: Int) {
        state.withLock { state in
            guard state.stream?.id == id else { return }
            state.end(.closed)
            // How far the proxy is can't be known; what it refused stays true.
            observations.update(
                proxy,
                XDSObservation(refusals: state.session.memory.refusals)
            )
        }
    }
}
