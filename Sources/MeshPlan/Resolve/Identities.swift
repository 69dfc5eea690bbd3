internal import MeshModel

/// Who may be called what.
struct Identities {
    /// The Mesh, by `metadata.name`, that has each trust domain for its own.
    var domains: [String: String] = [:]
    /// Trust domains of no Mesh in which the manifests of a Mesh name identities, by `metadata.name`.
    var borrowedDomains: [String: Set<String>] = [:]
    /// The namespace of the objects that have each SPIFFE ID which a manifest names.
    var namespaces: [String: String] = [:]
    /// The SPIFFE IDs that manifests give to each node or gateway beside its own.
    var named: [ObjectID: Set<String>] = [:]
    /// What stands for each ARN of ACM.
    var mappings: [String: CertificateMapping] = [:]
}

extension Mesh {
    /// The trust domain of the mesh's identities.
    var trustDomain: String { spec.trustDomain ?? metadata.name }
    /// How the mesh's authorities are called in SDS.
    var trustDomainURI: String { "spiffe://\(trustDomain)" }

    /// The SPIFFE ID that a node or gateway of the mesh has of itself.
    func spiffeID(of owner: ObjectID) -> String {
        let kind = owner.kind == .virtualGateway ? "gateway/" : ""
        return "\(trustDomainURI)/\(owner.namespace)/\(kind)\(owner.name)"
    }
}

extension Resolution {
    /// Gives trust domains, SPIFFE IDs and ARNs to their owners: where two want one, the older object
    /// has it.
    mutating func resolveIdentities() {
        for mesh in world.meshes.values.sorted(by: { $0.isOlder(than: $1) }) {
            let domain = mesh.trustDomain
            guard let first = identities.domains[domain] else {
                identities.domains[domain] = mesh.metadata.name
                continue
            }
            report(
                mesh.diagnostic(
                    .error,
                    "metadata.annotations",
                    "trust domain \"\(domain)\" is that of Mesh \(first)",
                    remedy: "give each Mesh a heddle.dev/trust-domain of its own"
                )
            )
        }
        for mapping in world.certificateMappings.values.sorted(by: { $0.isOlder(than: $1) }) {
            guard let first = identities.mappings[mapping.spec.arn] else {
                identities.mappings[mapping.spec.arn] = mapping
                continue
            }
            report(
                mapping.diagnostic(
                    .error,
                    "spec.arn",
                    "\"\(mapping.spec.arn)\" is also that of \(first.id)",
                    remedy: "keep one of them"
                )
            )
        }
        claimNames()
    }

    /// Gives each SPIFFE ID that a manifest names as its certificate to the namespace that had it
    /// first; where two had it at the same time, to none of them, as a restart makes all of one age.
    private mutating func claimNames() {
        var claims = world.virtualNodes.values.flatMap { node in
            node.claims(
                node.spec.listeners,
                [("spec.backendDefaults", node.spec.backendDefaults)]
                    + node.spec.backends.enumerated().map { index, backend in
                        ("spec.backends[\(index)].virtualService", backend.clientPolicy)
                    }
            )
        }
        claims += world.virtualGateways.values.flatMap { gateway in
            gateway.claims(
                gateway.spec.listeners,
                [("spec.backendDefaults", gateway.spec.backendDefaults)]
            )
        }
        claims.sort()
        var first: [String: Claim] = [:]
        var contested: Set<String> = []
        for claim in claims where first[claim.name] == nil { first[claim.name] = claim }
        for claim in claims {
            guard let holder = first[claim.name] else { continue }
            if claim.creationTimestampSeconds == holder.creationTimestampSeconds,
                claim.owner.namespace != holder.owner.namespace
            {
                contested.insert(claim.name)
            }
            identities.namespaces[claim.name] = holder.owner.namespace
        }
        for claim in claims {
            guard let mesh = mesh(of: claim.owner), let id = SPIFFEID(claim.name), !id.path.isEmpty,
                let problem = self.claim(
                    claim.name,
                    id,
                    by: claim.owner,
                    in: mesh,
                    isContested: contested.contains(claim.name)
                )
            else { continue }
            report(
                Diagnostic(
                    .error,
                    object: claim.owner,
                    field: claim.field,
                    problem: problem,
                    remedy: "name an identity of its own, such as "
                        + mesh.spiffeID(of: claim.owner),
                    location: claim.location
                )
            )
        }
    }

    /// Why `owner` can't be `name`; nil when it is from now on.
    private mutating func claim(
        _ name: String,
        _ id: SPIFFEID,
        by owner: ObjectID,
        in mesh: Mesh,
        isContested: Bool
    ) -> String? {
        if let other = identities.domains[id.trustDomain], other != mesh.metadata.name {
            return "\"\(name)\" is of the trust domain of Mesh \(other)"
        }
        if identities.domains[id.trustDomain] == nil {
            // An SDS server beside Heddle answers for it.
            if options.hasExternalSecrets { return nil }
            identities.borrowedDomains[mesh.metadata.name, default: []].insert(id.trustDomain)
        }
        if let other = mesh.owner(ofOwnName: name), other != owner {
            return "\"\(name)\" is kept for \(other)"
        }
        let namespace = identities.namespaces[name, default: owner.namespace]
        if isContested { return "\"\(name)\" is asked for in several namespaces, which are as old" }
        guard namespace == owner.namespace else {
            return "\"\(name)\" is an identity of namespace \"\(namespace)\""
        }
        identities.named[owner, default: []].insert(name)
        return nil
    }

    /// Whether Heddle answers for `domain` in `mesh`.
    func isServed(_ domain: String, in mesh: Mesh) -> Bool {
        identities.domains[domain] == mesh.metadata.name
            || identities.borrowedDomains[mesh.metadata.name]?.contains(domain) == true
    }

    /// The SPIFFE IDs by which `owner` may be known, sorted.
    func spiffeIDs(of owner: ObjectID, in mesh: Mesh) -> [String] {
        (identities.named[owner] ?? []).union([mesh.spiffeID(of: owner)]).sorted()
    }

    /// Who `owner` is: what it is called by itself, or `name`.
    func identity(of owner: ObjectID, named name: String? = nil, in mesh: Mesh) -> Identity {
        Identity(
            mesh: mesh.metadata.name,
            owner: owner,
            uri: name ?? mesh.spiffeID(of: owner),
            dnsNames: dnsNames(of: owner)
        )
    }

    /// The names by which callers know `owner`: of a node that of its service discovery, of a gateway
    /// those that its routes match.
    private func dnsNames(of owner: ObjectID) -> [String] {
        if owner.kind == .virtualNode {
            let hostname = world.virtualNodes[owner.reference]?.spec.serviceDiscovery?.hostname
            return hostname.map { [$0] } ?? []
        }
        let names = (gatewayRoutes[owner.reference] ?? []).compactMap { route -> String? in
            switch route.spec.rule.hostname {
            case .exact(let name): name
            case .suffix(let suffix): suffix.hasPrefix(".") ? "*\(suffix)" : nil
            case nil: nil
            }
        }
        return Set(names).sorted()
    }
}

extension Mesh {
    /// The node or gateway that would be called `name` by itself, if there is one.
    fileprivate func owner(ofOwnName name: String) -> ObjectID? {
        let prefix = trustDomainURI + "/"
        guard name.hasPrefix(prefix) else { return nil }
        let parts = name.dropFirst(prefix.count).split(separator: "/").map(String.init)
        switch (parts.count, parts.dropFirst().first) {
        case (2, _):
            return ObjectID(
                .virtualNode,
                ObjectReference(namespace: parts[0], name: parts[1])
            )
        case (3, "gateway"):
            return ObjectID(
                .virtualGateway,
                ObjectReference(namespace: parts[0], name: parts[2])
            )
        default: return nil
        }
    }
}

/// A certificate that a manifest takes from SDS.
private struct Claim: Comparable {
    var owner: ObjectID
    var creationTimestampSeconds: Int
    var field: String
    var name: String
    var location: SourceLocation?

    /// Orders by the age of the owner.
    static func < (left: Claim, right: Claim) -> Bool {
        (left.creationTimestampSeconds, left.owner, left.field)
            < (right.creationTimestampSeconds, right.owner, right.field)
    }
}

extension Object {
    /// The certificates that listeners and client policies take from SDS.
    fileprivate func claims(
        _ listeners: [ListenerSpec],
        _ policies: [(field: String, policy: ClientTLS?)]
    ) -> [Claim] {
        let certificates =
            listeners.enumerated().map { index, listener in
                ("spec.listeners[\(index)].tls", listener.tls?.certificate)
            }
            + policies.map { ("\($0.field).clientPolicy.tls", $0.policy?.certificate) }
        return certificates.compactMap { field, certificate in
            guard case .sds(let name) = certificate else { return nil }
            let field = "\(field).certificate.sds.secretName"
            return Claim(
                owner: id,
                creationTimestampSeconds: metadata.creationTimestampSeconds,
                field: field,
                name: name,
                location: manifest.location(of: field)
            )
        }
    }
}
