internal import Crypto
internal import FoundationEssentials
internal import MeshModel
internal import SwiftASN1
internal import X509

/// A certificate that was made here, with its key.
struct IssuedCertificate: Sendable {
    var material: SecretMaterial
    var serial: String
    /// When it was signed, in seconds since 1970.
    var issuedSeconds: Int
    var validity: Validity
    /// The serial number of the authority that signed it.
    var signer: String
    /// What of the identity is not in it; nil when all is.
    var problem: String?
}

/// Signs the certificates of one authority.
///
/// What all of them share is encoded once.
struct LeafSigner: Sendable {
    /// Clocks of other hosts may be behind.
    static let backdatingSeconds = 120

    private let authority: Authority
    private let key: Certificate.PrivateKey
    private let lifetimeSeconds: Int
    private let shared: [Certificate.Extension]
    private let chainAbove: String

    init(_ authority: Authority, lifetime: Duration) throws {
        guard let key = authority.key else {
            preconditionFailure("a retired authority signs no more")
        }
        self.authority = authority
        self.key = key
        lifetimeSeconds = lifetime.wholeSeconds
        chainAbove = authority.pem + authority.above
        shared = [
            try Certificate.Extension(BasicConstraints.notCertificateAuthority, critical: true),
            try Certificate.Extension(KeyUsage(digitalSignature: true), critical: true),
            try Certificate.Extension(
                try ExtendedKeyUsage([.serverAuth, .clientAuth]),
                critical: false
            ),
            try Certificate.Extension(
                AuthorityKeyIdentifier(keyIdentifier: authority.keyID),
                critical: false
            ),
        ]
    }

    /// The serial number of the authority.
    var serial: String { authority.serial }

    /// Whether what it signs at `now` is of use.
    func isOfUse(at now: Duration) -> Bool { authority.validity.contains(now) }

    /// A new key with its certificate.
    func issue(_ identity: Identity, at now: Duration) throws -> IssuedCertificate {
        guard isCertificateURI(identity.uri) else {
            throw IdentityError(
                "\(identity.owner): no certificate can hold the URI \"\(identity.uri)\": it must be "
                    + "ASCII without spaces, as spiffe://mesh/namespace/name"
            )
        }
        let names = SubjectNames(of: identity)
        let key = P256.Signing.PrivateKey()
        let publicKey = Certificate.PublicKey(key.publicKey)
        let validity = Validity(
            notBeforeSeconds: max(
                now.wholeSeconds - Self.backdatingSeconds,
                authority.validity.notBeforeSeconds
            ),
            notAfterSeconds: min(
                now.wholeSeconds + lifetimeSeconds,
                authority.validity.notAfterSeconds
            )
        )
        let extensions =
            shared + [
                try Certificate.Extension(SubjectKeyIdentifier(hash: publicKey), critical: false),
                // RFC 5280, 4.2.1.6: critical, as there is no other name.
                try Certificate.Extension(names.extension, critical: true),
            ]
        let certificate = try Certificate(
            version: .v3,
            serialNumber: randomSerialNumber(),
            publicKey: publicKey,
            notValidBefore: Date(timeIntervalSince1970: Double(validity.notBeforeSeconds)),
            notValidAfter: Date(timeIntervalSince1970: Double(validity.notAfterSeconds)),
            issuer: authority.certificate.subject,
            subject: DistinguishedName(),
            signatureAlgorithm: .ecdsaWithSHA256,
            extensions: Certificate.Extensions(extensions),
            issuerPrivateKey: self.key
        )
        let serial = certificate.serial
        return IssuedCertificate(
            material: SecretMaterial(
                version: serial,
                content: .certificate(
                    chain: try certificate.pem + chainAbove,
                    privateKey: key.pemRepresentation + "\n"
                )
            ),
            serial: serial,
            issuedSeconds: now.wholeSeconds,
            validity: validity,
            signer: authority.serial,
            problem: names.problem
        )
    }
}

/// The names of an identity as a certificate holds them.
struct SubjectNames {
    let `extension`: SubjectAlternativeNames
    /// Which DNS names no certificate can hold; nil when there are none.
    let problem: String?

    init(of identity: Identity) {
        let fit = identity.dnsNames.filter(isDNSName)
        let unfit = identity.dnsNames.filter { !isDNSName($0) }
        self.extension = SubjectAlternativeNames(
            [.uniformResourceIdentifier(identity.uri)] + fit.map(GeneralName.dnsName)
        )
        guard !unfit.isEmpty else {
            problem = nil
            return
        }
        let quoted = unfit.map { "\"\($0)\"" }.joined(separator: ", ")
        problem =
            "\(identity.owner): the certificate has no DNS name \(quoted): a label has 1 to 63 letters, "
            + "digits, - or _, and a name at most 253 in all; rename it, or let callers check "
            + identity.uri
    }
}

/// Whether `uri` fits a certificate, which holds ASCII only.
func isCertificateURI(_ uri: String) -> Bool {
    !uri.isEmpty && uri.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f }
}

/// Whether a certificate can hold `name`; its first label may be a wildcard.
func isDNSName(_ name: String) -> Bool {
    guard name.utf8.count <= 253 else { return false }
    let labels = name.split(separator: ".", omittingEmptySubsequences: false)
    return labels.enumerated().allSatisfy { index, label in
        if index == 0, label == "*", labels.count > 1 { return true }
        return (1...63).contains(label.utf8.count) && !label.hasPrefix("-") && !label.hasSuffix("-")
            && label.utf8.allSatisfy(isDNSByte)
    }
}

private func isDNSByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
        true
    default: false
    }
}
