internal import GRPCCore
internal import GRPCNIOTransportHTTP2Posix
internal import Logging
internal import NIOCore
internal import ServiceLifecycle

/// Serves ADS, HDS and ALS on a socket until graceful shutdown.
struct DiscoveryServer {
    /// It listens.
    var descriptor: CInt
    var store: SnapshotStore
    var authentication: any Authentication
    var logger: Logger
    /// What is logged once it serves, with where.
    var place: Logger.Metadata
    /// What comes between the connections and gRPC; nil is nothing.
    var secure: (@Sendable (any Channel) -> EventLoopFuture<Void>)?
    /// Who sees each stream as it is asked for.
    var interceptors: [any ServerInterceptor] = []

    private static let retryTick = Duration.seconds(1)
    private static let graceTime = Duration.seconds(2)
    private static let methodsOfShortMessages: Set<String> = [
        "/\(HealthDiscovery.stream.fullyQualifiedMethod)",
        "/\(AccessLogService.stream.fullyQualifiedMethod)",
    ]

    /// Serves, once; its end takes at most three seconds.
    func run() async throws {
        let server = GRPCServer(
            transport: .http2NIOPosix(
                listeningSocketDescriptor: Int(descriptor),
                transportSecurity: .plaintext,
                config: configuration
            ),
            services: [
                AggregatedDiscovery(store: store, authentication: authentication, logger: logger),
                HealthDiscovery(store: store, authentication: authentication, logger: logger),
                AccessLogService(store: store, authentication: authentication, logger: logger),
            ],
            interceptors: interceptors
        )
        try await withThrowingTaskGroup { group in
            group.addTask { try await server.serve() }
            group.addTask {
                while true {
                    try await Task.sleep(for: DiscoveryServer.retryTick)
                    store.retryRefusals(.now)
                }
            }
            group.addTask {
                _ = try await server.listeningAddress
                UnixSocket.raiseBacklog(descriptor)
                logger.info("listening for xDS", metadata: place)
                try await gracefulShutdown()
                // Streams have no end of their own, and clients that do not read would not
                // hear of one: who is still there after the grace time is cut off.
                store.endStreams()
                server.beginGracefulShutdown()
                try await Task.sleep(for: DiscoveryServer.graceTime + .milliseconds(500))
            }
            try await group.next()
            group.cancelAll()
        }
    }

    private var configuration: HTTP2ServerTransport.Posix.Config {
        .defaults { configuration in
            configuration.connection.maxGraceTime = DiscoveryServer.graceTime
            configuration.channelDebuggingCallbacks.onBindTCPListener = pauseWithoutDescriptors
            configuration.channelDebuggingCallbacks.onAcceptHTTP2Stream = { stream in
                stream.eventLoop.makeCompletedFuture {
                    let limit = MessageLimit(DiscoveryServer.methodsOfShortMessages)
                    try stream.pipeline.syncOperations.addHandler(limit, position: .first)
                }
            }
            // Envoy pings every 15 or 30 s; by default that would count as an attack.
            configuration.connection.keepalive.clientBehavior = .init(
                minPingIntervalWithoutCalls: .milliseconds(500),
                allowWithoutCalls: true
            )
            guard let secure else { return }
            configuration.channelDebuggingCallbacks.onAcceptTCPConnection = secure
            // A host that is gone says nothing.
            configuration.connection.keepalive.time = .seconds(30)
            configuration.connection.keepalive.timeout = .seconds(10)
            configuration.connection.maxIdleTime = .seconds(60)
            configuration.http2.maxConcurrentStreams = 512
        }
    }
}
