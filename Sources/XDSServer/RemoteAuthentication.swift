internal import GRPCCore
internal import GRPCNIOTransportHTTP2Posix
internal import Logging
internal import MeshModel
internal import MeshPlan
internal import X509

/// Proxies elsewhere: a Pod proves itself with the token of its service account, or, where that is asked
/// for, with a certificate of its virtual node.
///
/// The gRPC codes are those that App Mesh's service gave for the same mistakes.
final class RemoteAuthentication: Authentication {
    private let store: SnapshotStore
    private let reviews: TokenReviews
    private let audience: String
    private let takesCertificates: Bool
    private let connections: ConnectionRegistry
    private let log = RefusedStreams()

    init(
        _ store: SnapshotStore,
        reviews: TokenReviews,
        audience: String,
        takesCertificates: Bool,
        connections: ConnectionRegistry
    ) {
        self.store = store
        self.reviews = reviews
        self.audience = audience
        self.takesCertificates = takesCertificates
        self.connections = connections
    }

    func stream<Stream>(
        _ metadata: GRPCCore.Metadata,
        _ context: ServerContext,
        logger: Logger,
        open: @Sendable (StreamPeer) -> Stream?
    ) async throws -> Opened<Stream> {
        let peer: RemotePeer
        do throws(Refusal) {
            peer = try await self.peer(metadata, context)
        } catch {
            log.note(error.peer, error.problem, logger)
            throw RPCError(code: error.code, message: error.problem)
        }
        guard let stream = open(.remote(peer)) else {
            throw RPCError(
                code: .unavailable,
                message: "what is planned of \(peer.proxy) changes at this moment; try again"
            )
        }
        connections.authenticated(context.remotePeer)
        return Opened(stream: stream, claim: NodeClaim(peer, store, log))
    }

    /// Why somebody may not open a stream.
    private struct Refusal: Error {
        var code: RPCError.Code
        var peer: RefusedStreams.Peer
        var problem: String
    }

    private func peer(
        _ metadata: GRPCCore.Metadata,
        _ context: ServerContext
    ) async throws(Refusal) -> RemotePeer {
        let envoy = Array(metadata[stringValues: envoyHeader]).first ?? ""
        let certificate = (context.transportSpecific as? HTTP2ServerTransport.Posix.Context)?
            .peerCertificate
        let (proxy, admitted): (ProxyID, RemoteProxy)
        if metadata.contains(where: { $0.key == "authorization" }) {
            (proxy, admitted) = try await proved(byToken: metadata.bearerToken)
        } else if let certificate, takesCertificates {
            (proxy, admitted) = try proved(by: certificate, metadata)
        } else {
            throw Refusal(
                code: .unauthenticated,
                peer: .noToken,
                problem: """
                    no token: send one as metadata "authorization: Bearer <token>", of the Pod's \
                    service account for the audience \
                    "\(audience)"\(takesCertificates ? ", or a client certificate" : "")
                    """
            )
        }
        return RemotePeer(proxy: proxy, admitted: admitted, envoy: String(envoy.prefix(128)))
    }
}

// MARK: - Tokens

extension RemoteAuthentication {
    private func proved(
        byToken token: String?
    ) async throws(Refusal) -> (ProxyID, RemoteProxy) {
        let identity: PodIdentity?
        do throws(TokenReviews.Unavailable) {
            identity = if let token { try await reviews.identity(of: token) } else { nil }
        } catch {
            throw Refusal(
                code: .unavailable,
                peer: .remote("unavailable"),
                problem: "the Kubernetes API can't be asked whom the token proves: \(error)"
            )
        }
        guard let identity else {
            throw Refusal(
                code: .unauthenticated,
                peer: .unknownToken,
                problem: """
                    the token proves nobody: it has ended, or is of another cluster, or not for the \
                    audience "\(audience)"; mount one by a projected volume with that audience
                    """
            )
        }
        guard let name = identity.podName, let uid = identity.podUID else {
            let account = "\(identity.namespace)/\(identity.serviceAccount)"
            throw Refusal(
                code: .unauthenticated,
                peer: .remote("unbound \(account)"),
                problem: """
                    the token of service account \(account) is bound to no Pod; mount one by a \
                    projected volume, as those that "kubectl create token" and Secrets give prove no Pod
                    """
            )
        }
        return try planned(ObjectReference(namespace: identity.namespace, name: name), uid)
    }

    private func planned(
        _ pod: ObjectReference,
        _ uid: String
    ) throws(Refusal) -> (ProxyID, RemoteProxy) {
        let proxy = ProxyID(pod)
        guard store.hasAdmitted else {
            throw Refusal(
                code: .unavailable,
                peer: .remote("begins"),
                problem: "Heddle has begun and does not know the cluster's proxies yet; try again"
            )
        }
        guard let admitted = store.remoteProxy(proxy) else {
            throw Refusal(
                code: .permissionDenied,
                peer: .pod(proxy, "not planned"),
                problem: """
                    Pod \(proxy) is no proxy of a mesh: no VirtualNode or VirtualGateway of its \
                    namespace selects it, or it has no container with Envoy
                    """
            )
        }
        guard admitted.podUID == uid else {
            throw Refusal(
                code: .permissionDenied,
                peer: .pod(proxy, "uid"),
                problem: """
                    the token is of the Pod \(proxy) with the uid \(uid), and the one that is planned \
                    has another: one of the two is gone
                    """
            )
        }
        return (proxy, admitted)
    }
}

// MARK: - Client certificates

extension RemoteAuthentication {
    /// The metadata by which a client with a certificate says which proxy of its virtual node it is.
    static let proxyHeader = "heddle-proxy"

    /// Who has `certificate`, which was verified in the handshake.
    private func proved(
        by certificate: Certificate,
        _ metadata: GRPCCore.Metadata
    ) throws(Refusal) -> (ProxyID, RemoteProxy) {
        let id = try spiffeID(of: certificate)
        let names = Array(metadata[stringValues: RemoteAuthentication.proxyHeader])
        let parts = names.first?.split(separator: "/", omittingEmptySubsequences: false) ?? []
        guard names.count == 1, parts.count == 2, parts.allSatisfy({ (1...253).contains($0.count) })
        else {
            throw Refusal(
                code: .invalidArgument,
                peer: .remote("certificate names no proxy"),
                problem: """
                    a client with a certificate says which proxy it is: send metadata \
                    "\(RemoteAuthentication.proxyHeader): <namespace>/<Pod>"
                    """
            )
        }
        let proxy = ProxyID(
            ObjectReference(namespace: String(parts[0]), name: String(parts[1]))
        )
        guard let admitted = store.remoteProxy(proxy), admitted.spiffeID == id else {
            throw Refusal(
                code: .permissionDenied,
                peer: .remote("certificate of another"),
                problem: """
                    the client certificate is of "\(LogText(id))", and no proxy \
                    "\(LogText(proxy.description))" of that virtual node or gateway is planned
                    """
            )
        }
        return (proxy, admitted)
    }

    private func spiffeID(of certificate: Certificate) throws(Refusal) -> String {
        let names = (try? certificate.extensions.subjectAlternativeNames).flatMap(\.self)
        let ids = (names ?? SubjectAlternativeNames([])).compactMap { name -> String? in
            guard case .uniformResourceIdentifier(let uri) = name else { return nil }
            return uri
        }
        // The SPIFFE specification allows one only.
        guard ids.count == 1, ids[0].hasPrefix("spiffe://") else {
            throw Refusal(
                code: .unauthenticated,
                peer: .remote("certificate without SPIFFE ID"),
                problem: """
                    the client certificate has no SPIFFE ID; give one of the proxy's virtual node, or \
                    send a token as metadata "authorization: Bearer <token>"
                    """
            )
        }
        return ids[0]
    }
}
