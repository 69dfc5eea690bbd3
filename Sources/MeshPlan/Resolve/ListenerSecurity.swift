internal import MeshModel

/// What a listener of a proxy does about TLS.
enum ListenerSecurity: Hashable {
    case plaintext
    case tls(ServerTLS)
    /// It shall speak TLS and has nothing to do it with: it takes no connection.
    case unavailable
}

extension ListenerSecurity {
    /// The secrets that the control plane has for it.
    var secretNames: [String] {
        guard case .tls(let tls) = self else { return [] }
        return [tls.certificate, tls.validation?.trust].compactMap { $0 }
            .filter { !$0.isExternal }.map(\.name)
    }
}

/// TLS as a listener does it.
struct ServerTLS: Hashable {
    /// Whether it takes plaintext too (`PERMISSIVE`).
    var takesPlaintext: Bool
    var certificate: SecretReference
    /// How the certificates of clients are checked; nil asks for none.
    var validation: PeerValidation?
    /// After what time a connection ends, before a certificate with which it began does; nil when its
    /// certificates are not Heddle's.
    var connectionLifetime: Duration?
    /// Whether a TCP application is connected to only once the handshake is done.
    var connectsAfterHandshake = true
    /// Whether what a caller may do depends on its identity, which its certificate proves.
    var isAccessControlled = false
}

/// How a peer's certificate is checked.
struct PeerValidation: Hashable {
    /// The authorities.
    var trust: SecretReference
    /// The names of which the certificate must have one; without any every name will do.
    var names: [PeerName]
}

/// A name that a certificate may have.
enum PeerName: Hashable {
    /// A name as a manifest lists it, without wildcards.
    case exact(String)
    /// The host name of the peer, for which a wildcard certificate may stand.
    case hostname(String)
}

/// What callers have to know of the TLS of a listener.
struct TargetTLS: Hashable {
    /// Who made its certificate; nil when an SDS server beside Heddle has it.
    var source: CertificateSource?
    /// The SPIFFE IDs that the proxies behind it prove; empty when they have others' certificates.
    var identities: [String]
    /// The names of which a caller's certificate must have one, any if there are none; nil asks for no
    /// certificate.
    var callerNames: [String]?
    /// Whether it comes from the mesh as a whole and not from its manifest.
    var isMeshWide: Bool
    /// Whether it takes plaintext too.
    var takesPlaintext: Bool
    /// Whether plaintext is all that some endpoints take, as they have no proxy.
    var hasPlainEndpoints = false
}

extension Resolution {
    /// What a listener of `node` does about TLS: what its manifest says, else what the mesh does.
    mutating func security(
        of listener: ListenerSpec,
        _ index: Int,
        _ node: VirtualNode,
        in mesh: Mesh
    ) -> ListenerSecurity {
        if let tls = listener.tls { return security(tls, index, node, in: mesh) }
        let leaving: MutualTLSMode? = leavingTLS.contains(node.id) ? .permissive : nil
        guard let mode = mesh.spec.mutualTLS ?? leaving else { return .plaintext }
        let validation = PeerValidation(trust: ownTrust(of: node.id, in: mesh), names: [])
        return .tls(
            ServerTLS(
                takesPlaintext: mode == .permissive,
                certificate: ownCertificate(of: node.id, in: mesh),
                validation: validation,
                connectionLifetime: options.serverConnectionLifetime,
                connectsAfterHandshake: options.connectsAfterHandshake,
                isAccessControlled: mesh.accessControl != .off
            )
        )
    }

    /// What the listeners of `node` do about TLS, by port.
    mutating func securities(of node: VirtualNode, in mesh: Mesh) -> [Port: ListenerSecurity] {
        var securities: [Port: ListenerSecurity] = [:]
        for (index, listener) in node.spec.listeners.enumerated() {
            securities[listener.portMapping.port] = security(of: listener, index, node, in: mesh)
        }
        return securities
    }

    /// What `tls`, which a listener of `object` asks for, comes to.
    mutating func security<Spec: ObjectSpec>(
        _ tls: ListenerTLS,
        _ index: Int,
        _ object: Object<Spec>,
        in mesh: Mesh
    ) -> ListenerSecurity {
        guard tls.mode != .disabled else { return .plaintext }
        let field = "spec.listeners[\(index)].tls"
        let certificate = secret(of: tls.certificate, object, "\(field).certificate", in: mesh)
        let validation = tls.validation.map { validation in
            secret(of: validation.trust, object, "\(field).validation.trust", in: mesh).map {
                PeerValidation(
                    trust: $0,
                    names: (validation.subjectAlternativeNames ?? []).map(PeerName.exact)
                )
            }
        }
        guard let certificate, validation != .some(nil) else { return .unavailable }
        let isRenewed = certificate.source?.isSignedByMesh ?? false
        return .tls(
            ServerTLS(
                takesPlaintext: tls.mode == .permissive,
                certificate: certificate.reference,
                validation: validation ?? nil,
                connectionLifetime: isRenewed ? options.serverConnectionLifetime : nil,
                connectsAfterHandshake: options.connectsAfterHandshake,
                isAccessControlled: mesh.accessControl != .off && object.id.kind == .virtualNode
                    && validation.flatMap { $0 }.map { provesIdentities($0.trust, object.id) }
                        ?? false
            )
        )
    }

    /// Whether `trust` of `owner` is in authorities of Heddle's own and no others.
    private func provesIdentities(_ trust: SecretReference, _ owner: ObjectID) -> Bool {
        guard !trust.isExternal, case .trust(let sources) = secrets[owner]?[trust.name] else {
            return false
        }
        return sources.allSatisfy { if case .mesh = $0 { true } else { false } }
    }

    /// Finds what nodes' listeners have for certificates, and reports what they have not.
    mutating func resolveListenerCertificates() {
        for node in world.virtualNodes.values.sorted(by: { $0.reference < $1.reference }) {
            guard let mesh = mesh(of: node.id) else { continue }
            for (index, listener) in node.spec.listeners.enumerated() {
                guard let tls = listener.tls, tls.mode != .disabled else { continue }
                let field = "spec.listeners[\(index)].tls.certificate"
                guard let source = secret(of: tls.certificate, node, field, in: mesh)?.source else {
                    continue
                }
                certificates[node.reference, default: [:]][index] = source
            }
        }
    }

    /// What callers have to know of the TLS of a listener of `node`; nil when it takes plaintext only.
    func targetTLS(
        of listener: ListenerSpec,
        _ index: Int,
        _ node: VirtualNode,
        _ discovery: Discovery,
        in mesh: Mesh
    ) -> TargetTLS? {
        guard let tls = listener.tls else {
            // Behind a DNS name there need not be a proxy of this mesh.
            guard let mode = mesh.spec.mutualTLS, discovery == .workloads else { return nil }
            let proven = (instances[node.reference] ?? []).compactMap { owners[$0.reference] }
            return TargetTLS(
                source: .issued(identity(of: node.id, in: mesh)),
                identities: Set(proven.map(mesh.spiffeID)).sorted(),
                callerNames: [],
                isMeshWide: true,
                takesPlaintext: mode == .permissive
            )
        }
        guard tls.mode != .disabled else { return nil }
        let source = certificates[node.reference]?[index]
        var identities: [String] = []
        if case .issued(let identity) = source { identities = [identity.uri] }
        return TargetTLS(
            source: source,
            identities: identities,
            callerNames: tls.validation.map { $0.subjectAlternativeNames ?? [] },
            isMeshWide: false,
            takesPlaintext: tls.mode == .permissive,
            hasPlainEndpoints: tls.mode == .permissive
                && (instances[node.reference] ?? []).contains { $0.spec.pod?.proxy == .absent }
        )
    }
}

extension PlanOptions {
    /// After what time servers end a connection: certificates are renewed at 55 % of their lifetime at
    /// the latest, so that each of both has 45 % left when a connection begins.
    var serverConnectionLifetime: Duration { certificateLifetime * 2 / 5 }
    /// After what time callers end a connection: before the server does, as they know what is under
    /// way on it.
    var callerConnectionLifetime: Duration { certificateLifetime * 3 / 10 }
}
