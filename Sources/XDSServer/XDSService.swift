public import Logging
public import ServiceLifecycle

/// Serves the snapshots and secrets of a store to the proxies of this host, delta ADS over a Unix
/// socket, has them check their applications, HDS over the same, and takes their log of denials, ALS.
///
/// A proxy proves who it is with the token that the store knows it by, sent as metadata
/// `authorization: Bearer <token>`. Its node id is not asked.
public struct XDSService: Service {
    private let socketPath: String
    private let descriptor: CInt
    private let store: SnapshotStore
    private let logger: Logger

    /// Listens on `socketPath`: a proxy that connects now is served once `run()` is called.
    ///
    /// The socket has mode 0600, in a folder that is made with mode 0700 if it does not exist. It
    /// replaces the socket of a process that ended.
    ///
    /// - Throws: `cannot listen on <path> for xDS: ...`.
    public init(socketPath: String, store: SnapshotStore, logger: Logger) throws {
        descriptor = try UnixSocket.listen(path: socketPath)
        self.socketPath = socketPath
        self.store = store
        self.logger = logger
    }

    /// Serves, once, until graceful shutdown, which takes at most three seconds.
    public func run() async throws {
        let server = DiscoveryServer(
            descriptor: descriptor,
            store: store,
            authentication: LocalAuthentication(store),
            logger: logger,
            place: ["path": "\(socketPath)"]
        )
        try await server.run()
    }
}
