public import MeshModel
public import MeshPlan
internal import Synchronization

/// The newest snapshot of each proxy, and who may receive it.
///
/// The reconciler publishes here, and the streams of an `XDSService` read. Every method may be
/// called from any thread and returns at once.
public final class SnapshotStore: Sendable {
    fileprivate struct State {
        var channels: [ProxyID: ProxyChannel] = [:]
        var published: Set<ProxyID> = []
        var proxies: [String: ProxyID] = [:]
        var tokens: [ProxyID: String] = [:]
    }

    private let state = Mutex(State())
    private let board = ObservationBoard()

    /// Makes a store without snapshots.
    public init() {}

    /// Puts `snapshots` in place of all that were published before.
    ///
    /// A proxy whose snapshot is unchanged hears nothing. A proxy that is absent is gone: its
    /// stream ends, and what it accepted and refused is forgotten.
    public func publish(_ snapshots: [ProxyID: Snapshot]) {
        state.withLock { state in
            for proxy in state.published where snapshots[proxy] == nil {
                state.channels[proxy]?.publish(nil)
                state.published.remove(proxy)
                if state.tokens[proxy] == nil { state.channels[proxy] = nil }
            }
            for (proxy, snapshot) in snapshots {
                if state.published.insert(proxy).inserted { state.ensureChannel(proxy, board) }
                state.channels[proxy]?.publish(snapshot)
            }
        }
    }

    /// Lets the bearer of `token` receive the snapshots of `proxy`, in place of the token before.
    ///
    /// A stream that is open stays open.
    public func authorize(token: String, for proxy: ProxyID) {
        state.withLock { state in
            if let old = state.tokens.updateValue(token, forKey: proxy) {
                state.proxies[old] = nil
            }
            state.proxies[token] = proxy
            state.ensureChannel(proxy, board)
        }
    }

    /// Takes the token of `proxy` back and ends its stream.
    public func revoke(_ proxy: ProxyID) {
        state.withLock { state in
            if let token = state.tokens.removeValue(forKey: proxy) { state.proxies[token] = nil }
            state.channels[proxy]?.end(.revoked)
            if !state.published.contains(proxy) {
                state.channels[proxy] = nil
                board.update(proxy, nil)
            }
        }
    }

    /// What the proxies told, whenever some of it changed: the newest state, not each change.
    ///
    /// It is for one reader. It ends only when the reader's task is cancelled.
    public var observations: some AsyncSequence<[ProxyID: XDSObservation], Never> & Sendable {
        board.newest
    }

    /// What the proxies have told so far.
    public var currentObservations: [ProxyID: XDSObservation] { board.current }

    /// Opens the stream of the proxy that `token` stands for.
    func open(token: String) -> ProxyChannel.Stream? {
        state.withLock { state in
            guard let proxy = state.proxies[token] else { return nil }
            return state.channels[proxy]?.open()
        }
    }

    /// Ends every stream, as the server stops.
    func endStreams() {
        for channel in state.withLock({ Array($0.channels.values) }) { channel.end(.shutdown) }
    }
}

extension SnapshotStore.State {
    fileprivate mutating func ensureChannel(_ proxy: ProxyID, _ board: ObservationBoard) {
        if channels[proxy] == nil { channels[proxy] = ProxyChannel(proxy, observations: board) }
    }
}
