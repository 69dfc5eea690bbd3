internal import GRPCCore
internal import Logging
internal import MeshModel
internal import Synchronization

/// Finds out who opens a stream, and logs who may not.
protocol Authentication: Sendable {
    /// What `open` makes of who sent `metadata`.
    ///
    /// - Throws: the error that the client hears, when it proves nobody, or `open` makes nothing of
    ///   whom it proves.
    func stream<Stream>(
        _ metadata: GRPCCore.Metadata,
        _ context: ServerContext,
        logger: Logger,
        open: @Sendable (StreamPeer) -> Stream?
    ) async throws -> Opened<Stream>
}

/// A stream that was opened.
struct Opened<Stream> {
    var stream: Stream
    /// Looks at whom the first message says it is from.
    var claim: NodeClaim?
}

extension GRPCCore.Metadata {
    /// The token of `authorization: Bearer <token>`; nil when there is not exactly one.
    var bearerToken: String? {
        let scheme = "Bearer "
        let values = Array(self[stringValues: "authorization"])
        guard values.count == 1, values[0].hasPrefix(scheme) else { return nil }
        return String(values[0].dropFirst(scheme.count))
    }
}

/// Proxies of this host: each Envoy proves itself with a token of its own, and its node id is not asked.
final class LocalAuthentication: Authentication {
    private let store: SnapshotStore
    private let log = RefusedStreams()

    init(_ store: SnapshotStore) { self.store = store }

    func stream<Stream>(
        _ metadata: GRPCCore.Metadata,
        _ context: ServerContext,
        logger: Logger,
        open: @Sendable (StreamPeer) -> Stream?
    ) async throws -> Opened<Stream> {
        guard let token = metadata.bearerToken else {
            let problem = "no token: send one as metadata \"authorization: Bearer <token>\""
            throw refused(.noToken, problem, logger)
        }
        if let stream = open(.local(token: token)) { return Opened(stream: stream) }
        guard let proxy = store.formerProxy(token: token) else {
            throw refused(.unknownToken, "the token belongs to no proxy", logger)
        }
        throw refused(.former(proxy), "the token is that of an earlier Envoy of the proxy", logger)
    }

    private func refused(
        _ peer: RefusedStreams.Peer,
        _ problem: String,
        _ logger: Logger
    ) -> RPCError {
        log.note(peer, problem, logger)
        return RPCError(code: .unauthenticated, message: problem)
    }
}

/// How often streams were refused: clients that are refused try again and again.
final class RefusedStreams: Sendable {
    /// Who was refused, as far as can be told: a Unix socket's clients have no address.
    enum Peer: Hashable, Sendable {
        case noToken
        case unknownToken
        /// An Envoy of a proxy that another one followed.
        case former(ProxyID)
        /// Elsewhere, for a reason that is the same for many.
        case remote(String)
        /// A Pod, which proved that it is.
        case pod(ProxyID, String)
    }

    private struct Entry {
        var logged: ContinuousClock.Instant
        var count = 0
    }

    /// The time between two lines on one peer.
    static let interval = Duration.seconds(60)
    /// More peers than are told apart within ten intervals; others are not logged.
    static let limit = 10_000

    private let entries = Mutex<[Peer: Entry]>([:])

    /// Logs a refusal, if there shall be a line on `peer` now.
    func note(_ peer: Peer, _ problem: String, _ logger: Logger) {
        guard let count = note(peer, at: .now) else { return }
        var metadata: Logger.Metadata = ["reason": "\(problem)"]
        if count > 1 { metadata["count"] = "\(count)" }
        var level = Logger.Level.warning
        switch peer {
        case .former(let proxy):
            // It drains, and asks until it ends.
            level = .info
            metadata["proxy"] = "\(proxy)"
        case .pod(let proxy, _): metadata["proxy"] = "\(proxy)"
        case .noToken, .unknownToken, .remote: break
        }
        logger.log(level: level, "xDS stream refused", metadata: metadata)
    }

    /// Counts a refusal.
    ///
    /// - Returns: how many there were since the last line on `peer`, if there shall be one now.
    func note(_ peer: Peer, at now: ContinuousClock.Instant) -> Int? {
        entries.withLock { entries in
            let known = entries[peer]
            let count = (known?.count ?? 0) + 1
            if let known, now < known.logged + RefusedStreams.interval {
                entries[peer]?.count = count
                return nil
            }
            entries = entries.filter { now < $0.value.logged + RefusedStreams.interval * 10 }
            guard entries.count < RefusedStreams.limit else { return nil }
            entries[peer] = Entry(logged: now)
            return count
        }
    }
}
