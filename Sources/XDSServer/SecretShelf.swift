internal import EnvoyAPI
internal import MeshIdentity
internal import MeshModel
internal import MeshPlan

/// The secrets of one proxy.
struct ProxySecrets: Equatable, Sendable {
    /// Those that its plan names.
    var names: Set<String> = []
    /// Those of them that there are.
    var resources: [String: EncodedResource] = [:]
    /// The names that are of certificates.
    var certificates: Set<String> = []
}

/// The secrets that plans name, joined with those that there are.
///
/// Each is encoded once for every name under which plans have it, however many proxies share it.
struct SecretShelf: Sendable {
    private struct Entry {
        var holders: Set<ProxyID> = []
        /// The encoded secret by its name.
        var resources: [String: EncodedResource] = [:]
    }

    private var plans: [ProxyID: [String: SecretSpec]] = [:]
    private var materials: [SecretSpec: SecretMaterial] = [:]
    /// What plans name at present.
    private var entries: [SecretSpec: Entry] = [:]
    private var joined: [ProxyID: ProxySecrets] = [:]

    /// The secrets of `proxy`.
    subscript(proxy: ProxyID) -> ProxySecrets { joined[proxy] ?? ProxySecrets() }

    /// Takes the names of the secrets in the plan of `proxy`.
    mutating func setPlan(_ plan: [String: SecretSpec], of proxy: ProxyID) {
        let old = plans[proxy] ?? [:]
        guard plan != old else { return }
        plans[proxy] = plan.isEmpty ? nil : plan
        for spec in Set(old.values).subtracting(plan.values) {
            entries[spec]?.holders.remove(proxy)
            if entries[spec]?.holders.isEmpty == true { entries[spec] = nil }
        }
        for spec in plan.values { entries[spec, default: Entry()].holders.insert(proxy) }
        join(proxy)
    }

    /// Takes all secrets that there are, in place of those before.
    ///
    /// - Returns: the proxies whose secrets are others now.
    mutating func setMaterials(_ materials: [SecretSpec: SecretMaterial]) -> Set<ProxyID> {
        let old = self.materials
        self.materials = materials
        var changed: Set<ProxyID> = []
        for (spec, entry) in entries where old[spec]?.version != materials[spec]?.version {
            entries[spec]?.resources = [:]
            changed.formUnion(entry.holders)
        }
        for proxy in changed { join(proxy) }
        return changed
    }

    private mutating func join(_ proxy: ProxyID) {
        guard let plan = plans[proxy] else {
            joined[proxy] = nil
            return
        }
        var secrets = ProxySecrets(names: Set(plan.keys))
        for (name, spec) in plan {
            secrets.resources[name] = resource(name, spec)
            if case .certificate = spec { secrets.certificates.insert(name) }
        }
        joined[proxy] = secrets
    }

    private mutating func resource(_ name: String, _ spec: SecretSpec) -> EncodedResource? {
        if let known = entries[spec]?.resources[name] { return known }
        guard let material = materials[spec] else { return nil }
        // It fails only of 2 GiB.
        let resource = try? EncodedResource(
            secret: name,
            version: material.version,
            message: secret(name, material.content),
            origins: spec.origins
        )
        entries[spec]?.resources[name] = resource
        return resource
    }
}

/// The secret as Envoy takes it.
private func secret(
    _ name: String,
    _ content: SecretMaterial.Content
) -> Envoy_Extensions_TransportSockets_Tls_V3_Secret {
    var secret = Envoy_Extensions_TransportSockets_Tls_V3_Secret()
    secret.name = name
    switch content {
    case .certificate(let chain, let privateKey):
        secret.tlsCertificate.certificateChain.inlineString = chain
        secret.tlsCertificate.privateKey.inlineString = privateKey
    case .trust(let authorities): secret.validationContext.trustedCa.inlineString = authorities
    }
    return secret
}

extension SecretSpec {
    /// The object that a refusal of the secret concerns, as far as the secret tells.
    fileprivate var origins: [ObjectID: Int] {
        switch self {
        case .certificate(.issued(let identity)), .certificate(.acmPrivateCA(_, let identity)):
            [identity.owner: 0]
        case .certificate(.files), .trust: [:]
        }
    }
}
