internal import MeshModel

/// How a proxy calls a destination.
enum CallerSecurity: Hashable {
    case plaintext
    case tls(CallerTLS)
    /// It shall call over TLS and has nothing to do it with: it does not call.
    case unavailable
}

/// TLS as a caller does it.
struct CallerTLS: Hashable {
    /// What it presents when it is asked; nil is nothing.
    var certificate: SecretReference?
    /// How the server's certificate is checked; nil is not at all.
    var validation: PeerValidation?
    /// The name that it asks for; nil asks for none.
    var serverName: String?
    /// After what time a connection ends, before a certificate with which it began does; nil when its
    /// certificates are not Heddle's.
    var connectionLifetime: Duration?
    /// Whether it speaks TLS to those endpoints only that are known to take it.
    var isByEndpoint = false
}

/// A proxy's side of its calls: the node or gateway, and what its manifest says of TLS.
struct Caller<Spec: ObjectSpec> {
    var object: Object<Spec>
    var mesh: Mesh
    /// `backendDefaults.clientPolicy.tls`.
    var defaults: ClientTLS?
    /// The policies of backends with one of their own, and their fields.
    var policies: [ObjectID: (policy: ClientTLS, field: String)] = [:]
}

extension Resolution {
    /// The side of `node` in its calls.
    func caller(_ node: VirtualNode, in mesh: Mesh) -> Caller<VirtualNodeSpec> {
        var caller = Caller(object: node, mesh: mesh, defaults: node.spec.backendDefaults)
        for (index, backend) in node.spec.backends.enumerated() {
            guard let policy = backend.clientPolicy,
                case .success(let service) = find(
                    backend.virtualService,
                    among: world.virtualServices,
                    \.awsName,
                    in: mesh
                ), caller.policies[service.id] == nil
            else { continue }
            caller.policies[service.id] = (
                policy, "spec.backends[\(index)].virtualService.clientPolicy.tls"
            )
        }
        return caller
    }

    /// How `caller` calls each destination of `services`.
    ///
    /// A destination has one cluster, whichever service leads to it: where the policies of two differ, that
    /// of the first holds.
    mutating func securities<Spec>(
        of caller: Caller<Spec>,
        to services: [ResolvedService]
    ) -> [Destination: CallerSecurity] {
        var securities: [Destination: CallerSecurity] = [:]
        var services: [(service: ResolvedService, destinations: Set<Destination>)] = services.map {
            ($0, destinations(of: [$0]))
        }
        // A policy of a backend is meant, a default only holds where nothing is said.
        services =
            services.filter { caller.policies[$0.service.id] != nil }
            + services.filter { caller.policies[$0.service.id] == nil }
        for (service, destinations) in services {
            let own = caller.policies[service.id]
            for destination in destinations {
                guard case .node(let target) = destination else {
                    securities[destination] = .plaintext
                    continue
                }
                let security = security(
                    of: caller,
                    to: target,
                    own?.policy ?? caller.defaults,
                    own?.field ?? "spec.backendDefaults.clientPolicy.tls"
                )
                let known = securities[destination, default: security]
                securities[destination] = known
                guard known != security else { continue }
                report(
                    caller.object.diagnostic(
                        .warning,
                        own?.field ?? "spec.backends",
                        "\(service.id) leads to VirtualNode \(target.node) as another backend does, "
                            + "whose client policy holds for both",
                        remedy: "give both the same policy"
                    )
                )
            }
        }
        return securities
    }

    /// How `caller` calls `target` under `policy`.
    private mutating func security<Spec>(
        of caller: Caller<Spec>,
        to target: NodePort,
        _ policy: ClientTLS?,
        _ field: String
    ) -> CallerSecurity {
        let mesh = caller.mesh
        let covering = policy.flatMap { policy in
            let isCovered =
                policy.ports.isEmpty || policy.ports.contains(target.mapping.port)
            // Who would take plaintext too gets what the mesh has, and not a trust that can't fit.
            let isHeeded = policy.enforce || target.tls?.isMeshWide != true
            return isCovered && isHeeded ? policy : nil
        }
        guard target.tls != nil || covering?.enforce == true else { return .plaintext }
        var tls = CallerTLS(serverName: target.serverName)
        var isRenewed = target.tls?.source?.isSignedByMesh ?? false
        // Any node may say that it has a host name, and only one has an identity.
        let identities = (target.tls?.identities ?? []).map(PeerName.exact)
        let names =
            identities.isEmpty
            ? target.hostname.map { [PeerName.hostname($0)] } ?? [] : identities
        if let covering {
            let trustField = "\(field).validation.trust"
            guard
                let trust = secret(
                    of: covering.validation.trust,
                    caller.object,
                    trustField,
                    in: mesh
                )
            else { return .unavailable }
            let listed = covering.validation.subjectAlternativeNames?.map(PeerName.exact)
            tls.validation = PeerValidation(trust: trust, names: listed ?? names)
        } else if let target = target.tls, target.isMeshWide {
            tls.isByEndpoint = true
            tls.validation = PeerValidation(
                trust: ownTrust(of: caller.object.id, in: mesh),
                names: target.identities.map(PeerName.exact)
            )
        } else if let source = target.tls?.source,
            let trust = trust(behind: source, of: caller.object.id, in: mesh)
        {
            tls.validation = PeerValidation(trust: trust, names: names)
        }
        if covering == nil, target.tls?.hasPlainEndpoints == true { tls.isByEndpoint = true }
        if let certificate = covering?.certificate {
            let field = "\(field).certificate"
            guard let own = secret(of: certificate, caller.object, field, in: mesh) else {
                return .unavailable
            }
            tls.certificate = own.reference
            isRenewed = isRenewed || own.source?.isSignedByMesh ?? false
        } else if mesh.spec.mutualTLS != nil {
            tls.certificate = ownCertificate(of: caller.object.id, in: mesh)
            isRenewed = true
        }
        if isRenewed { tls.connectionLifetime = options.callerConnectionLifetime }
        let listed = covering?.validation.subjectAlternativeNames
        if let contradiction = contradiction(tls, listed, target, caller.object.id) {
            report(
                caller.object.diagnostic(
                    .warning,
                    policy == nil ? "spec" : field,
                    "calls of VirtualNode \(target.node) fail: \(contradiction.problem)",
                    remedy: contradiction.remedy
                )
            )
        }
        return .tls(tls)
    }

    /// Why calls of `target` can't succeed, as far as manifests tell.
    ///
    /// - Parameters:
    ///   - tls: How it is called.
    ///   - listed: The names that the caller expects; nil is the default.
    ///   - target: What is called.
    ///   - caller: Who calls.
    /// - Returns: The problem and its remedy; nil when there is none.
    private func contradiction(
        _ tls: CallerTLS,
        _ listed: [String]?,
        _ target: NodePort,
        _ caller: ObjectID
    ) -> (problem: String, remedy: String)? {
        guard let server = target.tls else {
            guard target.discovery == .workloads else { return nil }
            return (
                "its listener on port \(target.mapping.port) takes no TLS",
                "give the listener tls, or set enforce: false"
            )
        }
        if let listed, !server.isMeshWide, case .issued(let identity)? = server.source,
            !identity.names.contains(where: listed.contains)
        {
            return (
                "its name \(identity.uri) is not among subjectAlternativeNames",
                "add it, or correct the list"
            )
        }
        guard let names = server.callerNames else { return nil }
        guard let certificate = tls.certificate else {
            return (
                "it asks for a certificate, and there is none",
                "add clientPolicy.tls.certificate"
            )
        }
        guard !names.isEmpty,
            case .certificate(.issued(let identity))? = secrets[caller]?[certificate.name],
            !identity.names.contains(where: names.contains)
        else { return nil }
        return (
            "it lets in \(names.joined(separator: ", ")), and not \(identity.uri)",
            "add it to subjectAlternativeNames of the listener, or correct one of the two"
        )
    }
}

extension Identity {
    /// All names in the certificate.
    fileprivate var names: [String] { [uri] + dnsNames }
}

extension CertificateSource {
    /// Whether an authority of Heddle's own signs it.
    var isSignedByMesh: Bool {
        switch self {
        case .issued: true
        case .files, .acmPrivateCA: false
        }
    }
}

extension NodePort {
    /// The name that callers ask for by SNI: the host name, as in App Mesh; nil for an address.
    fileprivate var serverName: String? {
        hostname.flatMap { name in
            name.contains(":") || name.allSatisfy { $0.isNumber || $0 == "." } ? nil : name
        }
    }
}
