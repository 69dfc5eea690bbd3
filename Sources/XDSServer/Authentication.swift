internal import GRPCCore
internal import Logging
internal import MeshModel
internal import Synchronization

/// Who may open a stream, and the log of who may not.
final class Authentication: Sendable {
    private let store: SnapshotStore
    private let log = RefusedStreams()

    init(_ store: SnapshotStore) { self.store = store }

    /// What `open` makes of the token in `metadata`.
    ///
    /// - Throws: the error that the client hears, when it sends no token or `open` makes nothing of
    ///   it.
    func stream<Stream>(
        _ metadata: GRPCCore.Metadata,
        logger: Logger,
        open: (_ token: String) -> Stream?
    ) throws -> Stream {
        let scheme = "Bearer "
        let values = Array(metadata[stringValues: "authorization"])
        guard values.count == 1, values[0].hasPrefix(scheme) else {
            let problem = "no token: send one as metadata \"authorization: Bearer <token>\""
            throw refused(.noToken, problem, logger)
        }
        let token = String(values[0].dropFirst(scheme.count))
        if let stream = open(token) { return stream }
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
        if let count = log.note(peer, at: .now) {
            var metadata: Logger.Metadata = ["reason": "\(problem)"]
            if count > 1 { metadata["count"] = "\(count)" }
            var level = Logger.Level.warning
            if case .former(let proxy) = peer {
                // It drains, and asks until it ends.
                level = .info
                metadata["proxy"] = "\(proxy)"
            }
            logger.log(level: level, "xDS stream refused", metadata: metadata)
        }
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
    }

    private struct Entry {
        var logged: ContinuousClock.Instant
        var count = 0
    }

    /// The time between two lines on one peer.
    static let interval = Duration.seconds(60)

    private let entries = Mutex<[Peer: Entry]>([:])

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
            entries[peer] = Entry(logged: now)
            return count
        }
    }
}
