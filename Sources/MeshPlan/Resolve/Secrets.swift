internal import MeshModel

/// A secret as a resource names it.
///
/// Guarantee: the name follows from where the secret comes from, so that one name is one secret.
struct SecretReference: Hashable {
    /// The name in SDS.
    var name: String
    /// Whether an SDS server beside Heddle has it.
    var isExternal = false
}

extension Resolution {
    /// What `certificate`, which the manifest of `object` has at `field`, is called in SDS, and who
    /// made it; nil when there is no such, which is reported.
    mutating func secret<Spec: ObjectSpec>(
        of certificate: TLSCertificate,
        _ object: Object<Spec>,
        _ field: String,
        in mesh: Mesh
    ) -> (reference: SecretReference, source: CertificateSource?)? {
        switch certificate {
        case .file(let file):
            return keep(.files(file), of: object.id)
        case .sds(let name):
            let field = "\(field).sds.secretName"
            guard let external = isExternal(certificate: name, object, field, in: mesh) else {
                return nil
            }
            if external { return (SecretReference(name: name, isExternal: true), nil) }
            // Who may not be it was told so before.
            guard spiffeIDs(of: object.id, in: mesh).contains(name) else { return nil }
            let identity = identity(of: object.id, named: name, in: mesh)
            return keep(.issued(identity), of: object.id)
        case .acm(let arn):
            let field = "\(field).acm.certificateARN"
            guard let mapping = mapping(of: arn, object, field) else { return nil }
            let identity = identity(of: object.id, in: mesh)
            let source: CertificateSource
            switch mapping.spec.source {
            case .heddle: source = .issued(identity)
            case .acmPrivateCA(let authority): source = .acmPrivateCA(authority, identity)
            case .file(let chain, let key):
                guard let key else {
                    report(
                        object.diagnostic(
                            .error,
                            field,
                            "\(mapping.id) has no private key",
                            remedy: "give it file.privateKey"
                        )
                    )
                    return nil
                }
                source = .files(FileCertificate(certificateChain: chain, privateKey: key))
            }
            return keep(source, of: object.id)
        }
    }

    /// What `trust`, which the manifest of `object` has at `field`, is called in SDS; nil when there is
    /// no such, which is reported.
    mutating func secret<Spec: ObjectSpec>(
        of trust: TLSTrust,
        _ object: Object<Spec>,
        _ field: String,
        in mesh: Mesh
    ) -> SecretReference? {
        switch trust {
        case .file(let path): return keep([.file(path)], of: object.id, in: mesh)
        case .sds(let name):
            let field = "\(field).sds.secretName"
            guard let external = isExternal(trust: name, object, field, in: mesh) else {
                return nil
            }
            if external { return SecretReference(name: name, isExternal: true) }
            return ownTrust(of: object.id, in: mesh)
        case .acm(let arns):
            let sources = arns.enumerated().compactMap { index, arn -> TrustSource? in
                let field = "\(field).acm.certificateAuthorityARNs[\(index)]"
                return mapping(of: arn, object, field).map { mapping in
                    switch mapping.spec.source {
                    case .file(let chain, _): .file(chain)
                    case .heddle: .mesh(mesh.metadata.name)
                    case .acmPrivateCA(let authority): .acmPrivateCA(authority)
                    }
                }
            }
            guard sources.count == arns.count else { return nil }
            return keep(sources, of: object.id, in: mesh)
        }
    }

    /// The secrets of the proxy of `workload`, by their names in SDS.
    func secrets(of owner: ObjectID, _ workload: Workload) -> [String: SecretSpec] {
        (secrets[owner] ?? [:]).mapValues { $0.mounted(workload.spec.secretMounts) }
    }

    /// The certificate of Heddle's own for `owner`.
    mutating func ownCertificate(of owner: ObjectID, in mesh: Mesh) -> SecretReference {
        keep(.issued(identity(of: owner, in: mesh)), of: owner).reference
    }

    /// The authorities of `mesh`, as `owner` is to trust them.
    mutating func ownTrust(of owner: ObjectID, in mesh: Mesh) -> SecretReference {
        keep([.mesh(mesh.metadata.name)], of: owner, in: mesh)
    }

    /// The authorities behind `source`, of a node of `mesh`, which `owner` is to trust; nil when they
    /// are not known.
    mutating func trust(
        behind source: CertificateSource,
        of owner: ObjectID,
        in mesh: Mesh
    ) -> SecretReference? {
        switch source {
        case .issued: return ownTrust(of: owner, in: mesh)
        case .acmPrivateCA(let authority, _): return keep([.acmPrivateCA(authority)], of: owner, in: mesh)
        case .files: return nil
        }
    }

    private mutating func keep(
        _ source: CertificateSource,
        of owner: ObjectID
    ) -> (reference: SecretReference, source: CertificateSource?) {
        let name =
            switch source {
            case .issued(let identity): identity.uri
            case .files(let file): "file:\(file.certificateChain),\(file.privateKey)"
            case .acmPrivateCA(let authority, let identity): "\(authority.secretName) \(identity.uri)"
            }
        secrets[owner, default: [:]][name] = .certificate(source)
        return (SecretReference(name: name), source)
    }

    private mutating func keep(
        _ sources: [TrustSource],
        of owner: ObjectID,
        in mesh: Mesh
    ) -> SecretReference {
        let names = sources.map { source in
            switch source {
            case .mesh: mesh.trustDomainURI
            case .file(let path): "file:\(path)"
            case .acmPrivateCA(let authority): authority.secretName
            }
        }
        let name = names.joined(separator: ",")
        secrets[owner, default: [:]][name] = .trust(sources)
        return SecretReference(name: name)
    }

    /// Whether a server beside Heddle has the certificate `name`; nil when nobody has it, which is
    /// reported.
    private mutating func isExternal<Spec: ObjectSpec>(
        certificate name: String,
        _ object: Object<Spec>,
        _ field: String,
        in mesh: Mesh
    ) -> Bool? {
        let id = SPIFFEID(name)
        let domain = id.flatMap { identities.domains[$0.trustDomain] }
        if options.hasExternalSecrets, domain == nil { return true }
        if let id, !id.path.isEmpty {
            // Who may not be it was told so when names were given.
            return isServed(id.trustDomain, in: mesh) ? false : nil
        }
        let example = "spiffe://<trust domain>/<path>, such as \(mesh.spiffeID(of: object.id))"
        report(object.unknownSecret(name, field, example))
        return nil
    }

    /// Whether a server beside Heddle has the authorities `name`; nil when nobody has them, which is
    /// reported.
    private mutating func isExternal<Spec: ObjectSpec>(
        trust name: String,
        _ object: Object<Spec>,
        _ field: String,
        in mesh: Mesh
    ) -> Bool? {
        let id = SPIFFEID(name)
        let domain = id.flatMap { identities.domains[$0.trustDomain] }
        if options.hasExternalSecrets, domain == nil { return true }
        if let id, id.path.isEmpty, isServed(id.trustDomain, in: mesh) { return false }
        let example = "a trust domain of this mesh, such as \(mesh.trustDomainURI)"
        report(object.unknownSecret(name, field, example))
        return nil
    }

    private mutating func mapping<Spec: ObjectSpec>(
        of arn: String,
        _ object: Object<Spec>,
        _ field: String
    ) -> CertificateMapping? {
        if let mapping = identities.mappings[arn] { return mapping }
        report(
            object.diagnostic(
                .error,
                field,
                "nothing stands for \"\(arn)\" here",
                remedy: "add a CertificateMapping with that spec.arn"
            )
        )
        return nil
    }
}

extension ACMPrivateCA {
    /// How what is from it begins to be called.
    fileprivate var secretName: String { authorityARN + (endpoint.map { "@\($0)" } ?? "") }
}

extension Object {
    /// That nobody has the secret `name`.
    fileprivate func unknownSecret(
        _ name: String,
        _ field: String,
        _ example: String
    ) -> Diagnostic {
        diagnostic(
            .error,
            field,
            "nobody has a secret \"\(name)\"",
            remedy: "name \(example), or pass --sds-socket for a server that has it"
        )
    }
}

extension SecretSpec {
    /// The secret of a proxy that has the folders `mounts` at paths of its own.
    func mounted(_ mounts: [String: String]) -> SecretSpec {
        guard !mounts.isEmpty else { return self }
        func path(_ path: String) -> String {
            // Of nested mounts the innermost holds.
            let mount = mounts.keys.filter { path.isBelow($0) }.max { $0.count < $1.count }
            guard let mount, let folder = mounts[mount] else { return path }
            return folder + "/" + path.dropFirst(mount.count).drop { $0 == "/" }
        }
        switch self {
        case .certificate(.files(let file)):
            return .certificate(
                .files(
                    FileCertificate(
                        certificateChain: path(file.certificateChain),
                        privateKey: path(file.privateKey)
                    )
                )
            )
        case .certificate(.issued), .certificate(.acmPrivateCA): return self
        case .trust(let sources):
            return .trust(
                sources.map { source in
                    if case .file(let file) = source { .file(path(file)) } else { source }
                }
            )
        }
    }
}

extension String {
    /// Whether this path leads into `folder`.
    fileprivate func isBelow(_ folder: String) -> Bool {
        folder.hasSuffix("/") ? hasPrefix(folder) : hasPrefix(folder + "/")
    }
}
