public import MeshIdentity
public import MeshModel
public import MeshPlan
internal import Synchronization

/// The newest snapshot of each proxy, its secrets and what it shall check, and who may receive them.
///
/// The reconciler and the identity publish here, and the streams of an `XDSService` read. Every method may be
/// called from any thread and returns at once.
public final class SnapshotStore: Sendable {
    fileprivate struct State {
        var channels: [ProxyID: ProxyChannel] = [:]
        var published: Set<ProxyID> = []
        var proxies: [String: ProxyID] = [:]
        var tokens: [ProxyID: String] = [:]
        var secrets = SecretShelf()
    }

    private let state = Mutex(State())
    private let board = ObservationBoard()
    private let denialCounts = DenialCounts()

    /// Makes a store without snapshots.
    public init() {}

    /// Puts `snapshots`, the `probes` that proxies do for all callers, and the names of their `secrets`
    /// in place of all that were published before.
    ///
    /// A proxy whose snapshot is unchanged hears nothing. A proxy that is absent is gone: its
    /// streams end, and what it accepted, refused and reported is forgotten. One that is absent of
    /// `probes` checks nothing.
    ///
    /// A proxy receives the secrets that its plan names and no others. One that is not there yet
    /// follows when `publish(secrets:)` brings it.
    ///
    /// - Parameters:
    ///   - snapshots: The snapshot of each proxy, without secrets.
    ///   - probes: What each proxy checks.
    ///   - secrets: Where each secret of a proxy comes from, by its name in SDS.
    public func publish(
        _ snapshots: [ProxyID: Snapshot],
        probes: [ProxyID: [Probe]] = [:],
        secrets: [ProxyID: [String: SecretSpec]] = [:]
    ) {
        state.withLock { state in
            for proxy in state.published where snapshots[proxy] == nil {
                state.channels[proxy]?.health.publish(nil)
                state.secrets.setPlan([:], of: proxy)
                state.channels[proxy]?.accessLog.end(.removed)
                denialCounts.forget(proxy)
                state.channels[proxy]?.publish(nil)
                state.published.remove(proxy)
                if state.tokens[proxy] == nil { state.channels[proxy] = nil }
            }
            for (proxy, snapshot) in snapshots {
                if state.published.insert(proxy).inserted {
                    state.ensureChannel(proxy, board, denialCounts)
                }
                state.secrets.setPlan(secrets[proxy] ?? [:], of: proxy)
                state.channels[proxy]?.publish(snapshot, secrets: state.secrets[proxy])
                state.channels[proxy]?.health.publish(probes[proxy] ?? [])
            }
        }
    }

    /// Puts `secrets`, all that there are, in place of those that were published before.
    ///
    /// Only proxies whose plans name a secret that is another now hear of it. A secret that is absent
    /// stays with the proxies that have it.
    public func publish(secrets: [SecretSpec: SecretMaterial]) {
        state.withLock { state in
            for proxy in state.secrets.setMaterials(secrets) {
                state.channels[proxy]?.publish(state.secrets[proxy])
            }
        }
    }

    /// Whether every proxy has acknowledged the newest version of each secret that it asked for.
    ///
    /// One that was connected and is not may go on with older ones, and counts until it is revoked.
    /// A secret that is not there, or that no longer is, counts as acknowledged; one that is refused
    /// does not. When this becomes true, `observations` tells of a change.
    public var areSecretsDistributed: Bool {
        state.withLock { $0.channels.values.allSatisfy(\.hasNewestSecrets) }
    }

    /// Lets the bearer of `token` receive the snapshots of `proxy`, in place of the token before.
    ///
    /// Streams that are open stay open.
    public func authorize(token: String, for proxy: ProxyID) {
        state.withLock { state in
            if let old = state.tokens.updateValue(token, forKey: proxy) {
                state.proxies[old] = nil
            }
            state.proxies[token] = proxy
            state.ensureChannel(proxy, board, denialCounts)
        }
    }

    /// Takes the token of `proxy` back and ends its streams.
    public func revoke(_ proxy: ProxyID) {
        state.withLock { state in
            if let token = state.tokens.removeValue(forKey: proxy) { state.proxies[token] = nil }
            state.channels[proxy]?.health.end(.revoked)
            state.channels[proxy]?.accessLog.end(.revoked)
            state.channels[proxy]?.revoke()
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

    /// How often each proxy has refused, or would have, whom: since the daemon started, or the proxy was
    /// planned.
    ///
    /// At most a thousand callers of a proxy are told apart; the rest is counted as `other`.
    public var denials: [ProxyID: [AccessDenial: Int]] { denialCounts.current }

    /// Opens the ADS stream of the proxy that `token` stands for.
    func open(token: String) -> ProxyChannel.Stream? {
        state.withLock { $0.channel(of: token)?.open() }
    }

    /// Opens the HDS stream of the proxy that `token` stands for.
    func openHealth(token: String) -> HealthChannel.Stream? {
        state.withLock { $0.channel(of: token)?.health.open() }
    }

    /// Opens an ALS stream of the proxy that `token` stands for.
    func openAccessLog(token: String) -> AccessLogChannel.Stream? {
        state.withLock { $0.channel(of: token)?.accessLog.open() }
    }

    /// Ends every stream, as the server stops.
    func endStreams() {
        for channel in state.withLock({ Array($0.channels.values) }) {
            channel.health.end(.shutdown)
            channel.accessLog.end(.shutdown)
            channel.end(.shutdown)
        }
    }
}

extension SnapshotStore.State {
    fileprivate func channel(of token: String) -> ProxyChannel? {
        proxies[token].flatMap { channels[$0] }
    }

    fileprivate mutating func ensureChannel(
        _ proxy: ProxyID,
        _ board: ObservationBoard,
        _ denials: DenialCounts
    ) {
        guard channels[proxy] == nil else { return }
        channels[proxy] = ProxyChannel(proxy, observations: board, denials: denials)
    }
}
