import Crypto
import Foundation
import MeshModel
import SwiftASN1
import X509

@testable import MeshIdentity

/// A CA of somebody else's, and what it signs.
struct TestAuthority {
    var certificate: Certificate
    var key: Certificate.PrivateKey

    /// A CA that signed itself, or that `issuer` signed.
    init(
        _ name: String = "brought",
        pathLength: Int? = nil,
        isAuthority: Bool = true,
        key: Certificate.PrivateKey = Certificate.PrivateKey(P256.Signing.PrivateKey()),
        begins: Duration = Trial.start - .seconds(86400),
        ends: Duration = Trial.start + .seconds(365 * 86400),
        issuer: TestAuthority? = nil
    ) throws {
        let subject = try DistinguishedName { CommonName(name) }
        self.key = key
        certificate = try Certificate(
            version: .v3,
            serialNumber: Certificate.SerialNumber(),
            publicKey: key.publicKey,
            notValidBefore: Date(timeIntervalSince1970: Double(begins.wholeSeconds)),
            notValidAfter: Date(timeIntervalSince1970: Double(ends.wholeSeconds)),
            issuer: issuer?.certificate.subject ?? subject,
            subject: subject,
            extensions: try Certificate.Extensions {
                Critical(
                    isAuthority
                        ? BasicConstraints.isCertificateAuthority(maxPathLength: pathLength)
                        : .notCertificateAuthority
                )
                Critical(KeyUsage(digitalSignature: !isAuthority, keyCertSign: isAuthority))
                SubjectKeyIdentifier(hash: key.publicKey)
                AuthorityKeyIdentifier(
                    keyIdentifier: SubjectKeyIdentifier(
                        hash: issuer?.key.publicKey ?? key.publicKey
                    ).keyIdentifier
                )
            },
            issuerPrivateKey: issuer?.key ?? key
        )
    }

    /// A certificate that it signs for somebody.
    func leaf(
        begins: Duration = Trial.start - .seconds(3600),
        ends: Duration = Trial.start + .seconds(30 * 86400)
    ) throws -> TestAuthority {
        try TestAuthority("leaf", isAuthority: false, begins: begins, ends: ends, issuer: self)
    }

    var pem: String { get throws { try certificate.pem } }

    var keyPEM: String { get throws { try key.serializeAsPEM().pemString + "\n" } }

    /// Writes `<name>.pem`, with the certificates `above` after it, and `<name>.key`.
    @discardableResult
    func write(
        to folder: TemporaryFolder,
        _ name: String = "brought",
        above: [TestAuthority] = []
    ) throws -> FileCertificate {
        let chain = try pem + above.map { try $0.pem }.joined()
        let files = FileCertificate(
            certificateChain: try folder.write("\(name).pem", chain),
            privateKey: try folder.write("\(name).key", keyPEM)
        )
        try FileManager.default.setAttributes(
            [.posixPermissions: 0o600],
            ofItemAtPath: files.privateKey
        )
        return files
    }
}
