internal import Logging
internal import MeshIdentity
internal import NIOCore
internal import NIOSSL
internal import NIOTLS
internal import SwiftASN1
internal import Synchronization
internal import X509

/// Puts TLS 1.3 in front of gRPC on each connection that is accepted.
///
/// gRPC's own TLS takes 1.2 as well, and asks either every client for a certificate or none.
final class SecureConnections: Sendable {
    private struct Current {
        var version: String
        var context: NIOSSLContext
        var clients: ClientCertificates
    }

    private let certificate: @Sendable () -> ServingCertificate
    private let registry: ConnectionRegistry
    private let logger: Logger
    private let current: Mutex<Current>
    /// The version of a certificate that was of no use, so that it is logged once.
    private let useless = Mutex<String?>(nil)

    /// Begins with the newest certificate.
    ///
    /// - Throws: what NIOSSL throws when it is of no use.
    init(
        _ certificate: @escaping @Sendable () -> ServingCertificate,
        registry: ConnectionRegistry,
        logger: Logger
    ) throws {
        self.certificate = certificate
        self.registry = registry
        self.logger = logger
        current = Mutex(try SecureConnections.make(certificate()))
    }

    /// Secures a connection that gRPC has set up; on its event loop.
    func secure(_ channel: any Channel) -> EventLoopFuture<Void> {
        let peer = channel.peerName
        let isTaken = registry.opened(peer, from: channel.remoteAddress?.ipAddress ?? "") {
            // Once the client has heard why.
            channel.eventLoop.scheduleTask(in: .milliseconds(200)) { channel.close(promise: nil) }
        }
        guard isTaken else {
            return channel.eventLoop.makeCompletedFuture {
                try channel.pipeline.syncOperations.addHandler(Refusal(), position: .first)
            }
        }
        let (context, clients) = newest()
        return channel.eventLoop.makeCompletedFuture {
            let tls = NIOSSLServerHandler(context: context) { chain, promise in
                promise.completeWithTask { await clients.verify(chain) }
            }
            let gate = ConnectionGate(peer, registry, channel.eventLoop)
            try channel.pipeline.syncOperations.addHandlers([tls, gate], position: .first)
        }
    }

    /// The context of the newest certificate, made once for it; the one before, if that is of no use.
    private func newest() -> (NIOSSLContext, ClientCertificates) {
        let newest = certificate()
        return current.withLock { current in
            if current.version != newest.version {
                do {
                    current = try SecureConnections.make(newest)
                } catch {
                    tellUseless(newest.version, error)
                }
            }
            return (current.context, current.clients)
        }
    }

    private func tellUseless(_ version: String, _ error: any Error) {
        let isNews = useless.withLock { useless in
            defer { useless = version }
            return useless != version
        }
        guard isNews else { return }
        logger.error(
            "the new serving certificate is of no use, and the one before stays",
            metadata: ["certificate": "\(version)", "error": "\(error)"]
        )
    }

    private static func make(_ certificate: ServingCertificate) throws -> Current {
        let chain = try NIOSSLCertificate.fromPEMBytes(Array(certificate.chain.utf8))
        let key = try NIOSSLPrivateKey(bytes: Array(certificate.privateKey.utf8), format: .pem)
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) },
            privateKey: .privateKey(key)
        )
        configuration.minimumTLSVersion = .tlsv13
        configuration.applicationProtocols = ["h2"]
        configuration.certificateVerification = .optionalVerification
        return Current(
            version: certificate.version,
            context: try NIOSSLContext(configuration: configuration),
            clients: try ClientCertificates(authorities: certificate.authorities)
        )
    }
}

/// Verifies what clients present.
private struct ClientCertificates: Sendable {
    private let anchors: CertificateStore

    /// Trusts `authorities`, in PEM; they need not have signed themselves.
    init(authorities: String) throws {
        let documents = try PEMDocument.parseMultiple(pemString: authorities)
        anchors = CertificateStore(try documents.map { try Certificate(pemDocument: $0) })
    }

    func verify(_ presented: [NIOSSLCertificate]) async -> NIOSSLVerificationResultWithMetadata {
        let chain = presented.prefix(8).compactMap {
            (try? $0.toDERBytes()).flatMap { try? Certificate(derEncoded: $0) }
        }
        guard let leaf = chain.first, presented.count <= 8, chain.count == presented.count else {
            return .failed
        }
        var verifier = Verifier(rootCertificates: anchors) {
            RFC5280Policy()
            ForClients()
        }
        let result = await verifier.validate(
            leaf: leaf,
            intermediates: CertificateStore(chain.dropFirst())
        )
        switch result {
        case .validCertificate: return .certificateVerified(VerificationMetadata(nil))
        case .couldNotValidate: return .failed
        }
    }
}

/// A certificate by which a client may prove itself.
private struct ForClients: VerifierPolicy {
    // Who it is, a stream asks: the names are critical where there is no subject.
    let verifyingCriticalExtensions: [ASN1ObjectIdentifier] = [
        .X509ExtensionID.subjectAlternativeName, .X509ExtensionID.extendedKeyUsage,
    ]

    mutating func chainMeetsPolicyRequirements(
        chain: UnverifiedCertificateChain
    ) -> PolicyEvaluationResult {
        // Without this extension a certificate is for everything.
        if let usage = try? chain.leaf.extensions.extendedKeyUsage, !usage.contains(.clientAuth) {
            return .failsToMeetPolicy(reason: "it is not for clients")
        }
        return .meetsPolicy
    }
}

/// Ends a connection as soon as it is there.
private final class Refusal: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    func channelActive(context: ChannelHandlerContext) { context.close(promise: nil) }
    func channelRead(context: ChannelHandlerContext, data: NIOAny) {}
}

/// Ends a connection whose handshake takes too long, that speaks another protocol, or that then proves
/// nothing.
private final class ConnectionGate: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let peer: String
    private let registry: ConnectionRegistry
    private let eventLoop: any EventLoop
    private var deadline: Scheduled<Void>?

    init(_ peer: String, _ registry: ConnectionRegistry, _ eventLoop: any EventLoop) {
        self.peer = peer
        self.registry = registry
        self.eventLoop = eventLoop
    }

    func handlerAdded(context: ChannelHandlerContext) {
        endUnlessProven(context.channel, in: registry.limits.handshake)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .handshakeCompleted(let negotiated) = event as? TLSUserEvent {
            guard negotiated == "h2" else { return context.close(promise: nil) }
            endUnlessProven(context.channel, in: registry.limits.proof)
        }
        context.fireUserInboundEventTriggered(event)
    }

    func channelInactive(context: ChannelHandlerContext) {
        over()
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) { over() }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // A client that is no Envoy, or trusts another authority: gRPC has nothing to say to it.
        guard error is NIOSSLError || error is BoringSSLError else {
            return context.fireErrorCaught(error)
        }
        context.close(promise: nil)
    }

    private func over() {
        deadline?.cancel()
        deadline = nil
        registry.closed(peer)
    }

    private func endUnlessProven(_ channel: any Channel, in time: Duration) {
        deadline?.cancel()
        deadline = eventLoop.scheduleTask(in: TimeAmount(time)) { [peer, registry] in
            if registry.isUnproven(peer) { channel.close(promise: nil) }
        }
    }
}

extension Channel {
    /// The connection as gRPC calls it in `ServerContext.remotePeer`.
    fileprivate var peerName: String {
        switch remoteAddress {
        case .v4(let address): "ipv4:\(address.host):\(remoteAddress?.port ?? 0)"
        case .v6(let address): "ipv6:[\(address.host)]:\(remoteAddress?.port ?? 0)"
        case .unixDomainSocket, nil: "\(ObjectIdentifier(self))"
        }
    }
}
