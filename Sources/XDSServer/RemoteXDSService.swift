internal import GRPCCore
public import Logging
public import MeshIdentity
public import ServiceLifecycle

/// Serves the snapshots and secrets of a store to proxies elsewhere: ADS, HDS and ALS over TLS 1.3.
///
/// A Pod proves which one it is with the token of its service account, sent as metadata
/// `authorization: Bearer <token>`, or, where that is asked for, with a certificate of its virtual node;
/// and its `node.id` must be what is planned for it (`SnapshotStore.admit`).
public struct RemoteXDSService: Service {
    /// What a service goes by.
    public struct Configuration: Sendable {
        /// The IP address to listen on.
        public var host: String
        /// The port; 0 is one that is free.
        public var port: UInt16
        /// The audience that tokens must be for, as messages name it.
        public var audience: String
        /// Whether a certificate of a virtual node proves any proxy of that node, in place of a token.
        ///
        /// It does until the certificate ends, whatever became of the Pod that had it.
        public var takesClientCertificates: Bool
        /// The newest certificate; asked at each connection, so it returns at once.
        ///
        /// Open connections go on with the one they began with.
        public var certificate: @Sendable () -> ServingCertificate
        /// Whom a token proves, if it is for `audience`; nil when it proves nobody.
        ///
        /// It throws when nobody can be asked, and ends when its task is cancelled.
        public var review: @Sendable (_ token: String) async throws -> PodIdentity?

        /// Makes a configuration.
        public init(
            host: String,
            port: UInt16,
            audience: String,
            takesClientCertificates: Bool = false,
            certificate: @escaping @Sendable () -> ServingCertificate,
            review: @escaping @Sendable (_ token: String) async throws -> PodIdentity?
        ) {
            self.host = host
            self.port = port
            self.audience = audience
            self.takesClientCertificates = takesClientCertificates
            self.certificate = certificate
            self.review = review
        }
    }

    /// The port on which it listens.
    public let port: UInt16
    let connections: ConnectionRegistry
    /// How many connections were refused so far, as too many others had not proved yet who they are: the
    /// sign of an attack.
    public var refusedConnections: Int { connections.refusedCount }
    private let host: String
    private let descriptor: CInt
    private let store: SnapshotStore
    private let authentication: RemoteAuthentication
    private let security: SecureConnections
    private let interceptors: [any ServerInterceptor]
    private let logger: Logger

    /// Listens: a proxy that connects now is served once `run()` is called.
    ///
    /// - Parameters:
    ///   - configuration: What to go by.
    ///   - store: What is served.
    ///   - logger: Where refused streams are logged.
    /// - Throws: `cannot listen on <address> for xDS: ...`, or what NIOSSL throws when the certificate
    ///   is of no use.
    public init(_ configuration: Configuration, store: SnapshotStore, logger: Logger) throws {
        try self.init(
            configuration,
            store: store,
            logger: logger,
            reviews: TokenReviews(review: configuration.review),
            connections: ConnectionRegistry()
        )
    }

    init(
        _ configuration: Configuration,
        store: SnapshotStore,
        logger: Logger,
        reviews: TokenReviews,
        connections: ConnectionRegistry,
        interceptors: [any ServerInterceptor] = []
    ) throws {
        security = try SecureConnections(
            configuration.certificate,
            registry: connections,
            logger: logger
        )
        authentication = RemoteAuthentication(
            store,
            reviews: reviews,
            audience: configuration.audience,
            takesCertificates: configuration.takesClientCertificates,
            connections: connections
        )
        descriptor = try TCPListener.listen(host: configuration.host, port: configuration.port)
        port = TCPListener.port(of: descriptor)
        host = configuration.host
        self.connections = connections
        self.interceptors = interceptors
        self.store = store
        self.logger = logger
    }

    /// Serves, once, until graceful shutdown, which takes at most three seconds.
    public func run() async throws {
        let address = host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        let server = DiscoveryServer(
            descriptor: descriptor,
            store: store,
            authentication: authentication,
            logger: logger,
            place: ["address": "\(address)"],
            secure: { [security] in security.secure($0) },
            interceptors: interceptors
        )
        try await server.run()
    }
}
