import FoundationEssentials
import HTTPTypes
import Hummingbird
import HummingbirdCore
import HummingbirdTLS
public import Logging
public import MeshAdmission
import MeshTelemetry
import NIOCore
import NIOSSL
public import ServiceLifecycle

/// Serves the admission webhooks over HTTPS.
///
/// Each connection gets the certificate that there is at its beginning, so that one is replaced without
/// a restart.
public struct WebhookServer: Service {
    /// The oldest version of TLS that is spoken; named as Kubernetes names them.
    public enum TLSVersion: String, Sendable, CaseIterable {
        case tls12 = "VersionTLS12"
        case tls13 = "VersionTLS13"
    }

    private let address: HostAndPort
    private let minimumVersion: TLSVersion
    private let certificate: @Sendable () -> WebhookCertificate?
    private let handler: WebhookHandler
    private let logger: Logger
    private let onListening: @Sendable (_ port: Int?) async -> Void

    /// Makes the server.
    ///
    /// - Parameters:
    ///   - address: Where to listen.
    ///   - minimumVersion: The oldest version of TLS.
    ///   - controller: Decides.
    ///   - certificate: What to serve with now; nil while there is none.
    ///   - world: The objects that there are; none while they are being read.
    ///   - patience: How long to wait for objects that were applied just before, without which an
    ///     object would be refused.
    ///   - logger: Where to report to.
    ///   - onListening: Called once it listens, with its port.
    public init(
        address: HostAndPort,
        minimumVersion: TLSVersion = .tls12,
        controller: AdmissionController,
        certificate: @escaping @Sendable () -> WebhookCertificate?,
        world: NewestWorld,
        patience: Duration = .seconds(2),
        logger: Logger,
        onListening: @escaping @Sendable (_ port: Int?) async -> Void = { _ in }
    ) {
        self.address = address
        self.minimumVersion = minimumVersion
        self.certificate = certificate
        self.logger = logger
        self.onListening = onListening
        handler = WebhookHandler(
            controller: controller,
            world: world,
            patience: patience,
            logger: logger
        )
    }

    /// Serves until a graceful shutdown.
    ///
    /// - Throws: `DaemonError` when the address can't be had or the certificate is none.
    public func run() async throws {
        guard let first = try await firstCertificate() else { return }
        do {
            try await serve(try tlsConfiguration(beginningWith: first))
        } catch let error as IOError {
            throw DaemonError(
                "cannot listen on \(address) for webhooks: \(error); stop the other process or pass "
                    + "another address"
            )
        }
    }

    /// The first certificate that there is; nil when the server is shut down before.
    private func firstCertificate() async throws -> WebhookCertificate? {
        while true {
            if let certificate = certificate() { return certificate }
            do {
                try await cancelWhenGracefulShutdown {
                    try await Task.sleep(for: .milliseconds(100))
                }
            } catch is CancellationError { return nil }
        }
    }

    private func serve(_ configuration: TLSConfiguration) async throws {
        let handler = handler
        // Hummingbird reports each listener at level info; the composition reports ours.
        var quiet = logger
        quiet.logLevel = max(logger.logLevel, .notice)
        let application = Application(
            responder: CallbackResponder<BasicRequestContext> { request, _ in
                var response = await handler.respond(to: request)
                // The server of Kubernetes would keep the connection, and each that leads to a replica
                // which stands still would cost an admission its whole time. A new one is led to a
                // replica that is ready.
                response.headers[.connection] = "close"
                return response
            },
            server: try .tls(
                .http1(configuration: .init(idleTimeout: .seconds(30))),
                tlsConfiguration: configuration
            ),
            configuration: ApplicationConfiguration(
                address: .hostname(address.host, port: address.port),
                availableConnectionsDelegate: MaximumAvailableConnections(512, logger: quiet)
            ),
            onServerRunning: { channel in await onListening(channel.localAddress?.port) },
            logger: quiet
        )
        try await application.run()
    }

    private func tlsConfiguration(
        beginningWith first: WebhookCertificate
    ) throws -> TLSConfiguration {
        let keeper: ParsedCertificate
        do {
            keeper = try ParsedCertificate(first)
        } catch {
            throw DaemonError(
                "cannot serve webhooks: the certificate can't be read: \(error); give a chain and its "
                    + "key in PEM"
            )
        }
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: keeper.chain,
            privateKey: keeper.key
        )
        configuration.minimumTLSVersion = minimumVersion == .tls12 ? .tlsv12 : .tlsv13
        let (certificate, logger) = (certificate, logger)
        configuration.sslContextCallback = { _, promise in
            guard let current = certificate(), current != first else {
                return promise.succeed(.noChanges)
            }
            do {
                let parsed = try ParsedCertificate(current)
                var changes = NIOSSLContextConfigurationOverride()
                changes.certificateChain = parsed.chain
                changes.privateKey = parsed.key
                promise.succeed(changes)
            } catch {
                logger.error("webhook certificate can't be read", metadata: ["error": "\(error)"])
                promise.fail(error)
            }
        }
        return configuration
    }
}

/// What a webhook server proves itself with.
public struct WebhookCertificate: Hashable, Sendable {
    /// The certificate and those between it and the root, in PEM.
    public var chain: String
    /// The key, in PEM.
    public var privateKey: String

    /// Makes a certificate.
    public init(chain: String, privateKey: String) {
        self.chain = chain
        self.privateKey = privateKey
    }
}

/// A certificate as the TLS library takes it.
private struct ParsedCertificate {
    let chain: [NIOSSLCertificateSource]
    let key: NIOSSLPrivateKeySource

    init(_ certificate: WebhookCertificate) throws {
        chain = try NIOSSLCertificate.fromPEMBytes(Array(certificate.chain.utf8))
            .map { .certificate($0) }
        key = .privateKey(
            try NIOSSLPrivateKey(bytes: Array(certificate.privateKey.utf8), format: .pem)
        )
    }
}
