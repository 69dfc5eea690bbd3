/// Whom a certificate that Heddle issues stands for.
public struct Identity: Hashable, Codable, Sendable {
    /// `metadata.name` of the Mesh whose authority signs.
    public var mesh: String
    /// The virtual node or virtual gateway whose proxies hold the certificate.
    public var owner: ObjectID
    /// The SPIFFE ID, the certificate's one URI: `spiffe://<trust domain>/<namespace>/<virtual node>`
    /// or the one that a manifest asks for by `sds.secretName`.
    public var uri: String
    /// The DNS names that callers check by default, sorted.
    public var dnsNames: [String]

    /// Makes an identity.
    public init(mesh: String, owner: ObjectID, uri: String, dnsNames: [String] = []) {
        self.mesh = mesh
        self.owner = owner
        self.uri = uri
        self.dnsNames = dnsNames
    }
}

/// An authority of AWS Certificate Manager Private CA, or a server that speaks its protocol.
public struct ACMPrivateCA: Hashable, Codable, Sendable {
    /// `arn:aws:acm-pca:<region>:<account>:certificate-authority/<id>`.
    public var authorityARN: String
    /// `https://host[:port]`; nil is AWS' own of the region.
    public var endpoint: String?

    /// Makes an authority.
    public init(authorityARN: String, endpoint: String? = nil) {
        self.authorityARN = authorityARN
        self.endpoint = endpoint
    }
}

/// Where a certificate with its key comes from.
public enum CertificateSource: Hashable, Codable, Sendable {
    /// Heddle issues it.
    case issued(Identity)
    /// Files, by absolute paths.
    case files(FileCertificate)
    /// Heddle makes the key, and the authority issues.
    case acmPrivateCA(ACMPrivateCA, Identity)
}

/// Where authorities that are trusted come from.
public enum TrustSource: Hashable, Codable, Sendable {
    /// The authorities of a Mesh, by its `metadata.name`.
    case mesh(String)
    /// A file of certificates, by its absolute path.
    case file(String)
    /// The chain of the authority.
    case acmPrivateCA(ACMPrivateCA)
}

/// A secret of a proxy as a plan names it: where it comes from, and never what it is.
public enum SecretSpec: Hashable, Codable, Sendable {
    case certificate(CertificateSource)
    /// The union of one or more.
    case trust([TrustSource])
}

/// What is known of a secret.
public struct SecretObservation: Hashable, Sendable {
    /// The serial number of the certificate, hexadecimal; nil of trust and while there is none.
    public var serial: String?
    /// When Heddle made the certificate or had it made, in seconds since 1970; nil of files and trust.
    ///
    /// A certificate begins earlier, for the clocks of others.
    public var issuedSeconds: Int?
    /// When the certificate begins, in seconds since 1970; of trust that of the authority which ends
    /// last.
    public var notBeforeSeconds: Int?
    /// When the certificate ends, in seconds since 1970; of trust that of the authority which ends
    /// last.
    public var notAfterSeconds: Int?
    /// When this version took the place of another, in seconds since 1970; nil before that.
    public var rotatedSeconds: Int?
    /// Why the newest could not be had, one line with its remedy; nil when all is well.
    ///
    /// The last good one stays in use.
    public var problem: String?

    /// Makes an observation; without arguments that of a secret that is not there yet.
    public init(
        serial: String? = nil,
        issuedSeconds: Int? = nil,
        notBeforeSeconds: Int? = nil,
        notAfterSeconds: Int? = nil,
        rotatedSeconds: Int? = nil,
        problem: String? = nil
    ) {
        self.serial = serial
        self.issuedSeconds = issuedSeconds
        self.notBeforeSeconds = notBeforeSeconds
        self.notAfterSeconds = notAfterSeconds
        self.rotatedSeconds = rotatedSeconds
        self.problem = problem
    }
}

/// What is known of an authority of Heddle's own.
public struct AuthorityObservation: Hashable, Sendable {
    /// What an authority does at present.
    public enum Phase: String, CaseIterable, Hashable, Sendable {
        /// It is trusted, and signs once all proxies have heard of it.
        case announced = "Announced"
        /// It signs.
        case signing = "Signing"
        /// It signs no more, and is trusted until what it has signed has ended.
        case retiring = "Retiring"
    }

    /// The Mesh, by `metadata.name`; nil is the root.
    public var mesh: String?
    /// The serial number, hexadecimal.
    public var serial: String
    /// What it does at present.
    public var phase: Phase
    /// When Heddle made it, in seconds since 1970; nil of one that a user brought.
    ///
    /// It begins earlier, for the clocks of others.
    public var issuedSeconds: Int?
    /// When it begins, in seconds since 1970.
    public var notBeforeSeconds: Int
    /// When it ends, in seconds since 1970.
    public var notAfterSeconds: Int
    /// Why something about it went wrong, one line with its remedy; nil when all is well.
    public var problem: String?

    /// Makes an observation.
    public init(
        mesh: String?,
        serial: String,
        phase: Phase,
        issuedSeconds: Int? = nil,
        notBeforeSeconds: Int,
        notAfterSeconds: Int,
        problem: String? = nil
    ) {
        self.mesh = mesh
        self.serial = serial
        self.phase = phase
        self.issuedSeconds = issuedSeconds
        self.notBeforeSeconds = notBeforeSeconds
        self.notAfterSeconds = notAfterSeconds
        self.problem = problem
    }
}

/// What is known of all secrets and authorities.
public struct IdentityObservations: Hashable, Sendable {
    /// Secrets that the plan asks for; one without an entry was not looked at yet.
    public var secrets: [SecretSpec: SecretObservation]
    /// The root and the authorities of meshes, those that retire included.
    public var authorities: [AuthorityObservation]

    /// Makes observations; without arguments of nothing.
    public init(
        secrets: [SecretSpec: SecretObservation] = [:],
        authorities: [AuthorityObservation] = []
    ) {
        self.secrets = secrets
        self.authorities = authorities
    }
}

/// What shall be replaced now, before its time.
public enum RotationRequest: Hashable, Sendable {
    /// Every certificate that Heddle issues or has issued, or only that of one virtual node or
    /// gateway.
    case certificates(of: ObjectID?)
    /// The authority of a Mesh, by `metadata.name`, and then all that it signed.
    case meshAuthority(String)
    /// The root, and then every authority below it.
    case root
}

extension CertificateSource: CustomStringConvertible {
    /// `spiffe://demo/demo/blue, issued by Mesh demo`, or the files or the authority that it is from.
    public var description: String {
        switch self {
        case .issued(let identity): "\(identity.uri), issued by Mesh \(identity.mesh)"
        case .files(let file): "\(file.certificateChain) with \(file.privateKey)"
        case .acmPrivateCA(let authority, let identity):
            "\(identity.uri), issued by \(authority.authorityARN)"
        }
    }
}

extension TrustSource: CustomStringConvertible {
    /// `Mesh demo`, or the file or the authority.
    public var description: String {
        switch self {
        case .mesh(let name): "Mesh \(name)"
        case .file(let path): path
        case .acmPrivateCA(let authority): authority.authorityARN
        }
    }
}

extension SecretSpec: CustomStringConvertible {
    /// `certificate ...` or `trust in ...`.
    public var description: String {
        switch self {
        case .certificate(let source): "certificate \(source)"
        case .trust(let sources):
            "trust in \(sources.map(\.description).joined(separator: ", "))"
        }
    }
}
