internal import Crypto
internal import FoundationEssentials
internal import X509

/// A certificate that signs others, with its key.
///
/// Guarantee: it describes itself by its serial number, so that no log can show the key.
struct Authority: Sendable, CustomStringConvertible, CustomReflectable {
    let certificate: Certificate
    /// nil when it signs no more.
    private(set) var key: Certificate.PrivateKey?
    /// The certificate in PEM.
    let pem: String
    /// The certificates in PEM that a proxy presents above it: those that signed it, without the one
    /// that signed itself.
    let above: String
    /// The fingerprint of the certificate that signed it.
    let issuer: String
    let serial: String
    let fingerprint: String
    let validity: Validity
    /// When Heddle made it, in seconds since 1970; nil of one that a user brought.
    let issuedSeconds: Int?

    /// Puts together what belongs together.
    init(
        _ certificate: Certificate,
        key: Certificate.PrivateKey?,
        above: String,
        issuer: String?,
        issuedSeconds: Int?
    )
        throws
    {
        self.certificate = certificate
        self.key = key
        self.above = above
        self.issuedSeconds = issuedSeconds
        pem = try certificate.pem
        serial = certificate.serial
        fingerprint = certificate.fingerprint
        self.issuer = issuer ?? fingerprint
        validity = Validity(
            notBeforeSeconds: certificate.notBeforeSeconds,
            notAfterSeconds: certificate.notAfterSeconds
        )
    }

    var description: String { "authority \(serial)" }
    var customMirror: Swift.Mirror { Swift.Mirror(self, children: ["serial": serial]) }

    /// The same as one that signs no more.
    var withoutKey: Authority {
        var copy = self
        copy.key = nil
        return copy
    }

    /// When half of its time is over, in seconds since 1970.
    var halfLifeSeconds: Int {
        validity.notBeforeSeconds + (validity.notAfterSeconds - validity.notBeforeSeconds) / 2
    }

    /// Whether it signed itself.
    var isSelfSigned: Bool { certificate.subject == certificate.issuer }

    /// What the certificates that it signs name it by.
    var keyID: ArraySlice<UInt8> {
        (try? certificate.extensions.subjectKeyIdentifier)?.keyIdentifier
            ?? SubjectKeyIdentifier(hash: certificate.publicKey).keyIdentifier
    }
}

/// How long authorities last.
enum AuthorityLifetime {
    static let rootSeconds = 10 * 365 * 86400
    static let meshSeconds = 365 * 86400
    /// Clocks of other hosts may be behind.
    static let backdatingSeconds = 3600
}

extension Authority {
    /// A new root of the installation.
    static func root(of installation: String, at now: Duration) throws -> Authority {
        let key = P256.Signing.PrivateKey()
        let name = try authorityName("root", installation, key.publicKey)
        let certificate = try authorityCertificate(
            of: key.publicKey,
            serialNumber: randomSerialNumber(),
            subject: name,
            validity: validity(AuthorityLifetime.rootSeconds, at: now),
            pathLength: 1,
            issuer: (name, Certificate.PrivateKey(key), nil)
        )
        return try Authority(
            certificate,
            key: Certificate.PrivateKey(key),
            above: "",
            issuer: nil,
            issuedSeconds: now.wholeSeconds
        )
    }

    /// A new authority below this root, for one Mesh; it ends no later than the root.
    func makeMeshAuthority(
        of mesh: String,
        in installation: String,
        at now: Duration
    ) throws -> Authority {
        var validity = Self.validity(AuthorityLifetime.meshSeconds, at: now)
        validity.notAfterSeconds = min(
            validity.notAfterSeconds,
            self.validity.notAfterSeconds
        )
        return try makeMeshAuthority(
            of: mesh,
            in: installation,
            key: P256.Signing.PrivateKey(),
            serialNumber: randomSerialNumber(),
            validity: validity,
            issuedSeconds: now.wholeSeconds
        )
    }

    /// An authority below this root, for one Mesh, with `key`.
    func makeMeshAuthority(
        of mesh: String,
        in installation: String,
        key: P256.Signing.PrivateKey,
        serialNumber: Certificate.SerialNumber,
        validity: Validity,
        issuedSeconds: Int
    ) throws -> Authority {
        guard let signingKey = self.key else { preconditionFailure("a retired root signs no more") }
        let certificate = try Self.authorityCertificate(
            of: key.publicKey,
            serialNumber: serialNumber,
            subject: Self.authorityName("mesh \(mesh)", installation, key.publicKey),
            validity: validity,
            pathLength: 0,
            issuer: (self.certificate.subject, signingKey, keyID)
        )
        return try Authority(
            certificate,
            key: Certificate.PrivateKey(key),
            above: isSelfSigned ? "" : pem + above,
            issuer: fingerprint,
            issuedSeconds: issuedSeconds
        )
    }

    private static func validity(_ seconds: Int, at now: Duration) -> Validity {
        Validity(
            notBeforeSeconds: now.wholeSeconds - AuthorityLifetime.backdatingSeconds,
            notAfterSeconds: now.wholeSeconds + seconds
        )
    }

    /// Tells what it is and where; no two have the same name.
    private static func authorityName(
        _ what: String,
        _ installation: String,
        _ key: P256.Signing.PublicKey
    ) throws -> DistinguishedName {
        let suffix = hexadecimal(SHA256.hash(data: key.x963Representation).prefix(4))
        // X.520 allows 64 characters in each.
        return try DistinguishedName {
            OrganizationName("Heddle")
            OrganizationalUnitName(String(installation.prefix(64)))
            CommonName("\(what.prefix(55)) \(suffix)")
        }
    }

    private static func authorityCertificate(
        of key: P256.Signing.PublicKey,
        serialNumber: Certificate.SerialNumber,
        subject: DistinguishedName,
        validity: Validity,
        pathLength: Int,
        issuer: (name: DistinguishedName, key: Certificate.PrivateKey, keyID: ArraySlice<UInt8>?)
    ) throws -> Certificate {
        let publicKey = Certificate.PublicKey(key)
        let ownKeyID = SubjectKeyIdentifier(hash: publicKey)
        return try Certificate(
            version: .v3,
            serialNumber: serialNumber,
            publicKey: publicKey,
            notValidBefore: Date(timeIntervalSince1970: Double(validity.notBeforeSeconds)),
            notValidAfter: Date(timeIntervalSince1970: Double(validity.notAfterSeconds)),
            issuer: issuer.name,
            subject: subject,
            extensions: Certificate.Extensions {
                Critical(BasicConstraints.isCertificateAuthority(maxPathLength: pathLength))
                Critical(KeyUsage(keyCertSign: true, cRLSign: true))
                ownKeyID
                AuthorityKeyIdentifier(keyIdentifier: issuer.keyID ?? ownKeyID.keyIdentifier)
            },
            issuerPrivateKey: issuer.key
        )
    }
}

/// 126 bits that nobody can guess, always positive and of 16 bytes.
func randomSerialNumber() -> Certificate.SerialNumber {
    var random = SystemRandomNumberGenerator()
    return serialNumber((0..<16).map { _ in UInt8.random(in: .min ... .max, using: &random) })
}

/// The number of the first 16 of `bytes`, always positive and of 16 bytes.
func serialNumber(_ bytes: [UInt8]) -> Certificate.SerialNumber {
    var bytes = Array(bytes.prefix(16))
    bytes[0] = bytes[0] & 0x7f | 0x40
    return Certificate.SerialNumber(bytes: bytes)
}
