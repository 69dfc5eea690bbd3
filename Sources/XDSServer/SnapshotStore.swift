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
        /// The tokens that were replaced last, of Envoys that may still drain.
        var formerTokens: [ProxyID: [String]] = [:]
        var formerProxies: [String: ProxyID] = [:]
        /// Those that prove themselves otherwise than by a token of Heddle's.
        var remotes: [ProxyID: RemoteProxy] = [:]
        var remoteNodeIDs: Set<String> = []
        /// Whether it is known who they are.
        var hasAdmitted = false
        var secrets = SecretShelf()
    }

    private let state = Mutex(State())
    private let board = ObservationBoard()
    private let logs: AccessLogSinks
    private let report: @Sendable (DiscoveryEvent) -> Void

    /// Makes a store without snapshots.
    ///
    /// - Parameters:
    ///   - report: Told of each step of each proxy, while others wait: it shall return at once, and call
    ///     nothing of the store.
    ///   - audit: Told of each request or connection that a proxy refused, or would have; it is called
    ///     from any thread and shall return at once.
    public init(
        report: @escaping @Sendable (DiscoveryEvent) -> Void = { _ in },
        audit: @escaping @Sendable (DeniedCall) -> Void = { _ in }
    ) {
        self.report = report
        logs = AccessLogSinks(audit: audit)
    }

    /// What proxies tell while they are tapped.
    public var requests: RequestFeed { logs.feed }

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
                logs.denials.forget(proxy)
                state.channels[proxy]?.publish(nil)
                state.published.remove(proxy)
                state.forgetIfUnused(proxy, board)
            }
            for (proxy, snapshot) in snapshots {
                if state.published.insert(proxy).inserted {
                    state.ensureChannel(proxy, board, logs, report)
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
    /// Each Envoy has a token of its own. The open streams of the one before stay open until the new
    /// one's are, and those that it opens later are refused. What it accepted counts no more then.
    ///
    /// A proxy may connect before its snapshot is published: it keeps what it has, and is observed as
    /// connected, with the listeners that it says it has.
    ///
    /// - Parameters:
    ///   - token: What the Envoy proves itself with.
    ///   - proxy: The proxy.
    ///   - isAdopted: Whether an earlier control plane started the Envoy, so that it may have older
    ///     secrets than the newest before it connects.
    public func authorize(token: String, for proxy: ProxyID, isAdopted: Bool = false) {
        state.withLock { state in
            if let old = state.tokens.updateValue(token, forKey: proxy), old != token {
                state.proxies[old] = nil
                state.addFormer(old, of: proxy)
            }
            state.proxies[token] = proxy
            state.formerProxies[token] = nil
            state.ensureChannel(proxy, board, logs, report)
            if isAdopted { state.channels[proxy]?.adopt() }
        }
    }

    /// Takes the token of `proxy` back and ends its streams.
    public func revoke(_ proxy: ProxyID) {
        state.withLock { state in
            if let token = state.tokens.removeValue(forKey: proxy) { state.proxies[token] = nil }
            for token in state.formerTokens.removeValue(forKey: proxy) ?? [] {
                state.formerProxies[token] = nil
            }
            state.endStreams(of: proxy, .revoked)
            state.forgetIfUnused(proxy, board)
        }
    }

    /// Lets the proxies elsewhere receive their snapshots that prove to be one of `proxies`, in place of
    /// all that were admitted before.
    ///
    /// The streams of a proxy that is absent end, and those of one whose Pod is another now, or whose Pod
    /// another node selects: so each plan's own are to be given, before its snapshots. A new stream of the
    /// same proxy takes the place of the one before.
    public func admit(_ proxies: [ProxyID: RemoteProxy]) {
        state.withLock { state in
            state.hasAdmitted = true
            guard state.remotes != proxies else { return }
            let old = state.remotes
            state.remotes = proxies
            state.remoteNodeIDs = Set(proxies.values.map(\.nodeID))
            for (proxy, before) in old
            where proxies[proxy]?.podUID != before.podUID || proxies[proxy]?.nodeID != before.nodeID
            {
                state.endStreams(of: proxy, .removed)
                state.forgetIfUnused(proxy, board)
            }
            for proxy in proxies.keys where old[proxy] == nil {
                state.ensureChannel(proxy, board, logs, report)
            }
        }
    }

    /// All that `proxy` accepted last and has in force, its secrets included; where it refuses a version,
    /// the one that it keeps.
    ///
    /// It is nil before the proxy accepted anything, and while some of a change is accepted and some is
    /// not. It is another when the `acknowledgedVersion` of the proxy's observation is.
    ///
    /// Private keys are in the entries of its secrets: it must reach no log, and no file that others
    /// can read.
    public func lastGood(of proxy: ProxyID) -> Snapshot? {
        state.withLock { $0.channels[proxy] }?.lastGood
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
    public var denials: [ProxyID: [AccessDenial: Int]] { logs.denials.current }

    /// Opens the ADS stream of the proxy that `peer` is; nil when it is none, or no longer.
    func open(_ peer: StreamPeer) -> ProxyChannel.Stream? {
        state.withLock { $0.channel(of: peer)?.open(peer.envoy) }
    }

    /// Opens the HDS stream of the proxy that `peer` is.
    func openHealth(_ peer: StreamPeer) -> HealthChannel.Stream? {
        state.withLock { $0.channel(of: peer)?.health.open(peer.envoy) }
    }

    /// Opens an ALS stream of the proxy that `peer` is.
    func openAccessLog(_ peer: StreamPeer) -> AccessLogChannel.Stream? {
        state.withLock { $0.channel(of: peer)?.accessLog.open() }
    }

    /// Whether anybody was admitted, or that nobody is: before the first plan it is not known.
    var hasAdmitted: Bool { state.withLock { $0.hasAdmitted } }

    /// What `proxy` has to prove; nil when no such proxy elsewhere is planned.
    func remoteProxy(_ proxy: ProxyID) -> RemoteProxy? { state.withLock { $0.remotes[proxy] } }

    /// Whether any proxy elsewhere is planned whose Envoy may call itself `nodeID`.
    func isPlanned(nodeID: String) -> Bool {
        state.withLock { state in
            if state.remoteNodeIDs.contains(nodeID) { return true }
            guard nodeID.hasPrefix("arn:") else { return false }
            let name = nodeID.split(separator: ":", maxSplits: 5).last.map(String.init) ?? ""
            return state.remoteNodeIDs.contains(name)
        }
    }

    /// The proxy of which `token` was replaced by another.
    func formerProxy(token: String) -> ProxyID? { state.withLock { $0.formerProxies[token] } }

    /// Has versions offered again that were refused for a reason that may have passed by `now`, as an
    /// address that another program had.
    ///
    /// Assumes that it is called every second or so.
    func retryRefusals(_ now: ContinuousClock.Instant) {
        for channel in state.withLock({ Array($0.channels.values) }) { channel.retryRefusals(now) }
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
    fileprivate func channel(of peer: StreamPeer) -> ProxyChannel? {
        switch peer {
        case .local(let token): proxies[token].flatMap { channels[$0] }
        // It may have been planned otherwise since it proved itself.
        case .remote(let peer): remotes[peer.proxy] == peer.admitted ? channels[peer.proxy] : nil
        }
    }

    /// Whether somebody may connect as `proxy`.
    fileprivate func isAuthorized(_ proxy: ProxyID) -> Bool {
        tokens[proxy] != nil || remotes[proxy] != nil
    }

    /// Ends the streams of a proxy that may not go on.
    fileprivate func endStreams(of proxy: ProxyID, _ ending: StreamSlot.Ending) {
        channels[proxy]?.health.end(ending)
        channels[proxy]?.accessLog.end(ending)
        channels[proxy]?.revoke(ending)
    }

    /// Forgets a proxy that nobody may connect as and that has no snapshot.
    fileprivate mutating func forgetIfUnused(_ proxy: ProxyID, _ board: ObservationBoard) {
        guard !published.contains(proxy), !isAuthorized(proxy) else { return }
        channels[proxy] = nil
        board.update(proxy, nil)
    }

    fileprivate mutating func addFormer(_ token: String, of proxy: ProxyID) {
        formerProxies[token] = proxy
        formerTokens[proxy, default: []].append(token)
        guard let tokens = formerTokens[proxy], tokens.count > 4 else { return }
        formerProxies[formerTokens[proxy]?.removeFirst() ?? ""] = nil
    }

    fileprivate mutating func ensureChannel(
        _ proxy: ProxyID,
        _ board: ObservationBoard,
        _ logs: AccessLogSinks,
        _ report: @escaping @Sendable (DiscoveryEvent) -> Void
    ) {
        guard channels[proxy] == nil else { return }
        channels[proxy] = ProxyChannel(
            proxy,
            observations: board,
            logs: logs,
            report: report
        )
    }
}
