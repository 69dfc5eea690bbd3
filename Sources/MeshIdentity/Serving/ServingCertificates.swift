public import Logging
public import MeshModel
public import ServiceLifecycle
internal import Synchronization

/// Keeps the certificate of Heddle's own servers: issues it below the root, and renews it at two thirds
/// of its life, and when the root is another.
public final class ServingCertificates: Service, Sendable {
    /// What to go by.
    public struct Configuration: Hashable, Sendable {
        /// The certificate and key of the root, read anew when they change.
        public var authority: FileCertificate
        /// The Secret that they are copies of, `namespace/name`, as messages name it.
        public var secret: String?
        /// The DNS names of the servers.
        public var dnsNames: [String]
        /// How long a certificate lasts.
        public var lifetime: Duration

        /// Makes a configuration.
        public init(
            authority: FileCertificate,
            secret: String? = nil,
            dnsNames: [String],
            lifetime: Duration = .seconds(86400)
        ) {
            self.authority = authority
            self.secret = secret
            self.dnsNames = dnsNames
            self.lifetime = lifetime
        }

        /// The names of the Service `name` in `namespace`, and of this host for who is beside it.
        public static func dnsNames(service name: String, namespace: String) -> [String] {
            [
                name, "\(name).\(namespace)", "\(name).\(namespace).svc",
                "\(name).\(namespace).svc.cluster.local", "localhost",
            ]
        }
    }

    private struct State {
        var issuer: ServingIssuer
        var readers: [Int: AsyncStream<ServingCertificate>.Continuation] = [:]
        var lastReader = 0
    }

    private let state: Mutex<State>
    private let now: @Sendable () -> Duration
    private let steadyTime: @Sendable () -> Duration
    private let sleep: @Sendable (Duration) async throws -> Void

    /// Issues the first certificate.
    ///
    /// - Parameters:
    ///   - configuration: What to go by.
    ///   - now: The time since 1970.
    ///   - clock: For pauses.
    ///   - logger: Where each new certificate is logged, and why there is none.
    /// - Throws: `IdentityError` when the root is of no use, or a name can't be in a certificate.
    public init(
        _ configuration: Configuration,
        now: @escaping @Sendable () -> Duration,
        clock: some Clock<Duration> = ContinuousClock(),
        logger: Logger
    ) throws(IdentityError) {
        state = Mutex(State(issuer: try ServingIssuer(configuration, at: now(), logger: logger)))
        self.now = now
        let begin = clock.now
        steadyTime = { begin.duration(to: clock.now) }
        sleep = { try await clock.sleep(for: $0) }
    }

    /// The newest certificate; returns at once.
    public var current: ServingCertificate { state.withLock { $0.issuer.current } }

    /// The newest certificate, at once and whenever there is another; each reader has a sequence of its
    /// own.
    public var changes: AsyncStream<ServingCertificate> {
        let (stream, reader) = AsyncStream.makeStream(
            of: ServingCertificate.self,
            bufferingPolicy: .bufferingNewest(1)
        )
        let id = state.withLock { state in
            state.lastReader += 1
            state.readers[state.lastReader] = reader
            reader.yield(state.issuer.current)
            return state.lastReader
        }
        reader.onTermination = { [weak self] _ in
            self?.state.withLock { $0.readers[id] = nil }
        }
        return stream
    }

    /// Does what is due, and tells the readers.
    public func turn() {
        let moment = Moment(wall: now(), steady: steadyTime())
        state.withLock { state in
            guard state.issuer.turn(at: moment) else { return }
            for reader in state.readers.values { reader.yield(state.issuer.current) }
        }
    }

    /// Looks after the certificate each second, until shutdown or cancellation.
    public func run() async throws {
        await cancelWhenGracefulShutdown {
            while (try? await self.sleep(.seconds(1))) != nil { self.turn() }
        }
    }
}
