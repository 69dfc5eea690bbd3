public import MeshModel
public import MeshPlan

/// Every certificate, trust and authority that proxies use, and how each is.
///
/// The names are those of API objects: unique within the namespace, and without a slash.
public struct CertificateReport: Hashable, Sendable {
    /// One certificate, trust or authority.
    struct Entry: Hashable, Sendable {
        /// Whose it is.
        enum Owner: Hashable, Sendable {
            /// A virtual node or virtual gateway.
            case object(ObjectID)
            /// The authority of a Mesh, by `metadata.name`.
            case mesh(String)
            /// The root.
            case root
        }

        var owner: Owner
        /// Unique among entries of the namespace.
        var name: String
        /// `metadata.name` of the Mesh; nil when there is none.
        var mesh: String?
        /// What a proxy has; nil of an authority.
        var secret: SecretSpec?
        /// What an authority does; nil of what a proxy has.
        var phase: AuthorityObservation.Phase?
        var observation: SecretObservation
        /// The proxies that hold it or trust it.
        var proxies: [ProxyID]

        /// The owner's namespace, empty of authorities.
        var namespace: String {
            switch owner {
            case .object(let id): id.namespace
            case .mesh, .root: ""
            }
        }
    }

    /// The entries: authorities first, then by namespace and owner.
    var entries: [Entry] = []

    /// Makes a report of nothing.
    public init() {}

    /// What the proxies of `plan` have, as `observations` tell.
    ///
    /// Trust in nothing but meshes' authorities is left out: they are listed themselves.
    public init(_ plan: Plan, _ observations: IdentityObservations) {
        entries =
            Self.authorities(plan, observations)
            + Self.secrets(plan, observations.secrets)
    }

    private static func authorities(
        _ plan: Plan,
        _ observations: IdentityObservations
    ) -> [Entry] {
        let phases = AuthorityObservation.Phase.allCases
        let order: (AuthorityObservation.Phase) -> Int = { phase in
            phase == .signing ? -1 : phases.firstIndex(of: phase) ?? 0
        }
        let sorted = observations.authorities.sorted {
            ($0.mesh ?? "", order($0.phase), $0.serial)
                < ($1.mesh ?? "", order($1.phase), $1.serial)
        }
        var users: [String?: Set<ProxyID>] = [:]
        for (id, proxy) in plan.proxies {
            for mesh in Set(proxy.secrets.values.flatMap(\.meshes)) {
                users[mesh, default: []].insert(id)
                users[nil, default: []].insert(id)
            }
        }
        var named: Set<String> = []
        return sorted.map { authority in
            let name = authority.mesh.map { "mesh.\($0)" } ?? "root"
            let isFirst = named.insert(name).inserted
            return Entry(
                owner: authority.mesh.map(Entry.Owner.mesh) ?? .root,
                name: isFirst ? name : "\(name).\(authority.serial.lowercased())",
                mesh: authority.mesh,
                phase: authority.phase,
                observation: SecretObservation(
                    serial: authority.serial,
                    issuedSeconds: authority.issuedSeconds,
                    notBeforeSeconds: authority.notBeforeSeconds,
                    notAfterSeconds: authority.notAfterSeconds,
                    problem: authority.problem
                ),
                proxies: users[authority.mesh, default: []].sorted()
            )
        }
    }

    private static func secrets(
        _ plan: Plan,
        _ observations: [SecretSpec: SecretObservation]
    ) -> [Entry] {
        var proxies: [ObjectID: [SecretSpec: [ProxyID]]] = [:]
        for (id, proxy) in plan.proxies.sorted(by: { $0.key < $1.key }) {
            for secret in Set(proxy.secrets.values) {
                proxies[proxy.owner, default: [:]][secret, default: []].append(id)
            }
        }
        var named: Set<ObjectReference> = []
        let owners = proxies.sorted {
            ($0.key.reference, $0.key.kind) < ($1.key.reference, $1.key.kind)
        }
        return owners.flatMap { owner, secrets in
            let sorted = secrets.sorted { $0.key.sortKey < $1.key.sortKey }
            return sorted.compactMap { secret, proxies -> Entry? in
                let observation = observations[secret] ?? SecretObservation()
                guard !secret.isOfMeshesOnly || observation.problem != nil else { return nil }
                let isFirst = named.insert(owner.reference).inserted
                let key = "\(owner.kind.rawValue) \(secret.sortKey)"
                return Entry(
                    owner: .object(owner),
                    name: isFirst ? owner.name : "\(owner.name).\(shortHash(key))",
                    mesh: plan.mesh(of: owner)?.name,
                    secret: secret,
                    observation: observation,
                    proxies: proxies
                )
            }
        }
    }

    /// What `request` is about, for a name that the API shows or that of a node or gateway.
    ///
    /// - Parameters:
    ///   - namespace: nil for authorities.
    ///   - name: nil for all certificates.
    /// - Returns: At least one request.
    /// - Throws: `APIFailure` when there is no such entry or nobody can replace it.
    func rotations(namespace: String?, name: String?) throws(APIFailure) -> [RotationRequest] {
        guard let name else { return [.certificates(of: nil)] }
        let found = entries.filter { entry in
            switch entry.owner {
            case .object(let id):
                entry.namespace == namespace && (entry.name == name || id.name == name)
            case .mesh, .root: namespace == nil && entry.name == name
            }
        }
        guard let first = found.first else { throw .noCertificate(name) }
        var requests: [RotationRequest] = []
        for entry in found {
            switch entry.owner {
            case .root: requests.append(.root)
            case .mesh(let mesh): requests.append(.meshAuthority(mesh))
            case .object(let id):
                let request = RotationRequest.certificates(of: id)
                if entry.secret?.isIssued == true, !requests.contains(request) {
                    requests.append(request)
                }
            }
        }
        guard requests.isEmpty else { return requests }
        throw .badRequest(
            "\(first.source) of \(first.title) is not Heddle's to replace; replace its files, and "
                + "Heddle reads them anew"
        )
    }
}

extension CertificateReport.Entry {
    /// Where it comes from, in one word.
    var source: String {
        switch secret {
        case nil: "authority"
        case .certificate(.issued): "issued"
        case .certificate(.files): "file"
        case .certificate(.acmPrivateCA): "acm"
        case .trust: "trust"
        }
    }

    /// What people call it: `demo/blue`, `mesh/colors`, `root`.
    var title: String {
        switch owner {
        case .object(let id): id.reference.description
        case .mesh(let name): "mesh/\(name)"
        case .root: "root"
        }
    }

    /// The SPIFFE ID of an issued certificate, the file of others.
    var identity: String {
        switch secret {
        case nil: title
        case .certificate(.issued(let identity)), .certificate(.acmPrivateCA(_, let identity)):
            identity.uri
        case .certificate(.files(let files)): files.certificateChain
        case .trust(let sources): sources.map(\.text).joined(separator: ",")
        }
    }

    /// The API object but for its state, which depends on the time.
    var document: JSONValue {
        var metadata: JSONValue = ["name": .string(name)]
        if !namespace.isEmpty { metadata["namespace"] = .string(namespace) }
        let beginSeconds = observation.issuedSeconds ?? observation.notBeforeSeconds
        metadata["creationTimestamp"] = time(beginSeconds) ?? .null
        return [
            "apiVersion": .string(Certificates.apiVersion), "kind": .string(Certificates.kind),
            "metadata": metadata, "spec": specification, "status": status,
        ]
    }

    private var specification: JSONValue {
        var document: JSONValue = ["source": .string(source), "identity": .string(identity)]
        document["mesh"] = mesh.map(JSONValue.string)
        if case .object(let id) = owner {
            document["owner"] = ["kind": .string(id.kind.rawValue), "name": .string(id.name)]
        }
        switch secret {
        case .certificate(.issued(let identity)):
            document["dnsNames"] = .array(identity.dnsNames.map(JSONValue.string))
        case .certificate(.acmPrivateCA(let authority, let identity)):
            document["dnsNames"] = .array(identity.dnsNames.map(JSONValue.string))
            document["certificateAuthorityARN"] = .string(authority.authorityARN)
        case .certificate(.files(let files)):
            document["certificateChain"] = .string(files.certificateChain)
        case .trust, nil: break
        }
        return document
    }

    private var status: JSONValue {
        var document: JSONValue = ["proxies": .array(proxies.map { .string("\($0)") })]
        document["phase"] = phase.map { .string($0.rawValue) }
        document["serial"] = observation.serial.map(JSONValue.string)
        document["issued"] = time(observation.issuedSeconds)
        document["notBefore"] = time(observation.notBeforeSeconds)
        document["notAfter"] = time(observation.notAfterSeconds)
        document["lastRotation"] = time(observation.rotatedSeconds)
        document["problem"] = observation.problem.map(JSONValue.string)
        return document
    }

    private func time(_ seconds: Int?) -> JSONValue? {
        seconds.map { .string(timestamp(secondsSince1970: $0)) }
    }
}

extension SecretSpec {
    /// Whether Heddle makes the key, and so can make another.
    fileprivate var isIssued: Bool {
        switch self {
        case .certificate(.issued), .certificate(.acmPrivateCA): true
        case .certificate(.files), .trust: false
        }
    }

    /// Whether it is trust in authorities of meshes and in nothing else.
    fileprivate var isOfMeshesOnly: Bool {
        guard case .trust(let sources) = self else { return false }
        return sources.allSatisfy {
            if case .mesh = $0 { true } else { false }
        }
    }

    /// The meshes whose authority issued it or is trusted.
    fileprivate var meshes: [String] {
        switch self {
        case .certificate(.issued(let identity)): [identity.mesh]
        case .certificate(.files), .certificate(.acmPrivateCA): []
        case .trust(let sources):
            sources.compactMap { if case .mesh(let name) = $0 { name } else { nil } }
        }
    }

    /// Orders what one owner has: what Heddle issues first, trust last.
    fileprivate var sortKey: String {
        switch self {
        case .certificate(.issued(let identity)):
            "1 \(identity.uri) \(identity.mesh) \(identity.dnsNames)"
        case .certificate(.acmPrivateCA(let authority, let identity)):
            "2 \(identity.uri) \(authority.authorityARN) \(authority.endpoint ?? "") "
                + "\(identity.dnsNames)"
        case .certificate(.files(let files)): "3 \(files.certificateChain) \(files.privateKey)"
        case .trust(let sources): "4 " + sources.map(\.text).joined(separator: " ")
        }
    }
}

extension TrustSource {
    fileprivate var text: String {
        switch self {
        case .mesh(let name): "mesh/\(name)"
        case .file(let path): path
        case .acmPrivateCA(let authority): authority.authorityARN
        }
    }
}

/// Eight hexadecimal digits that follow from `text` (FNV-1a).
private func shortHash(_ text: String) -> String {
    let hash = text.utf8.reduce(UInt32(0x811c_9dc5)) { ($0 ^ UInt32($1)) &* 0x0100_0193 }
    let digits = String(hash, radix: 16)
    return String(repeating: "0", count: 8 - digits.utf8.count) + digits
}
