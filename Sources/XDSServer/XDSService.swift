internal import GRPCCore
internal import GRPCNIOTransportHTTP2Posix
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
        let authentication = Authentication(store)
        let server = GRPCServer(
            transport: .http2NIOPosix(
                listeningSocketDescriptor: Int(descriptor),
                transportSecurity: .plaintext,
                config: XDSService.configuration
            ),
            services: [
                AggregatedDiscovery(
                    store: store,
                    authentication: authentication,
                    logger: logger
                ),
                HealthDiscovery(
                    store: store,
                    authentication: authentication,
                    logger: logger
                ),
                AccessLogService(
                    store: store,
                    authentication: authentication,
                    logger: logger
                ),
            ]
        )
        try await withThrowingTaskGroup { group in
            group.addTask { try await server.serve() }
            group.addTask {
                while true {
                    try await Task.sleep(for: XDSService.retryTick)
                    store.retryRefusals(.now)
                }
            }
            group.addTask {
                _ = try await server.listeningAddress
                UnixSocket.raiseBacklog(descriptor)
                logger.info("listening for xDS", metadata: ["path": "\(socketPath)"])
                try await gracefulShutdown()
                // Streams have no end of their own, and clients that do not read would not
                // hear of one: who is still there after the grace time is cut off.
                store.endStreams()
                server.beginGracefulShutdown()
                try await Task.sleep(for: XDSService.graceTime + .milliseconds(500))
            }
            try await group.next()
            group.cancelAll()
        }
    }

    private static let retryTick = Duration.seconds(1)
    private static let graceTime = Duration.seconds(2)

    private static var configuration: HTTP2ServerTransport.Posix.Config {
        .defaults { configuration in
            configuration.connection.maxGraceTime = graceTime
            configuration.channelDebuggingCallbacks.onBindTCPListener = pauseWithoutDescriptors
            // Envoy pings every 30 s; by default that would count as an attack.
            configuration.connection.keepalive.clientBehavior = .init(
                minPingIntervalWithoutCalls: .milliseconds(500),
                allowWithoutCalls: true
            )
        }
    }
}
