internal import Crypto
internal import FoundationEssentials
internal import MeshModel
internal import SwiftASN1
internal import X509

/// Certificates in a text, the key of a leaf, and when they are of use.
enum PEMReading {
    /// The certificates in `text`, of which there is at least one.
    static func certificates(in text: String) throws(FileFailure) -> [Certificate] {
        let documents = try documents(in: text)
        let encoded = documents.filter { $0.discriminator == "CERTIFICATE" }
        guard !encoded.isEmpty else {
            let others = Set(documents.map(\.discriminator)).sorted().joined(separator: ", ")
            throw FileFailure(
                text: others.isEmpty
                    ? "there is no PEM in it; give certificates between lines -----BEGIN "
                        + "CERTIFICATE----- and -----END CERTIFICATE-----"
                    : "there is no certificate in it, only \(others); give CERTIFICATE"
            )
        }
        var certificates: [Certificate] = []
        for (index, document) in encoded.enumerated() {
            do {
                certificates.append(try Certificate(pemDocument: document))
            } catch {
                throw FileFailure(
                    text:
                        "certificate \(index + 1) of \(encoded.count) in it is damaged, or its key is "
                        + "not EC, RSA or Ed25519; write the file anew"
                )
            }
        }
        return certificates
    }

    /// The private key in `text`.
    static func privateKey(in text: String) throws(FileFailure) -> Certificate.PrivateKey {
        guard !text.contains("ENCRYPTED") else {
            throw FileFailure(
                text: "the key is encrypted; take the passphrase off (openssl pkey -in FILE "
                    + "-out FILE.new) and protect the file by its permissions"
            )
        }
        let documents = try documents(in: text)
        let keys = documents.filter { $0.discriminator.hasSuffix("PRIVATE KEY") }
        guard let key = keys.first else {
            let others = Set(documents.map(\.discriminator)).sorted().joined(separator: ", ")
            throw FileFailure(
                text: others.isEmpty
                    ? "there is no PEM in it; give a key between lines -----BEGIN PRIVATE KEY----- "
                        + "and -----END PRIVATE KEY-----"
                    : "there is no key in it, only \(others); give PRIVATE KEY"
            )
        }
        // The cause may tell of the bytes.
        guard let parsed = try? Certificate.PrivateKey(pemDocument: key) else {
            throw FileFailure(
                text:
                    "the key is damaged or of an unknown kind; give an EC (P-256, P-384 or P-521), "
                    + "RSA or Ed25519 key"
            )
        }
        return parsed
    }

    /// Why `chain` is no chain from a leaf on; nil when each certificate has signed the one before.
    static func problem(ofOrder chain: [Certificate]) -> String? {
        for (index, (lower, upper)) in zip(chain, chain.dropFirst()).enumerated() {
            guard lower.issuer == upper.subject, lower.isSigned(by: upper) else {
                return "certificate \(index + 2) in it did not sign certificate \(index + 1); put "
                    + "the leaf first and after each certificate the one that signed it"
            }
        }
        return nil
    }

    private static func documents(in text: String) throws(FileFailure) -> [PEMDocument] {
        do {
            return try PEMDocument.parseMultiple(pemString: text)
        } catch {
            throw FileFailure(text: "its PEM is damaged; write the file anew")
        }
    }
}

extension Certificate {
    /// In PEM, with a line break at the end.
    var pem: String {
        get throws { try serializeAsPEM().pemString + "\n" }
    }

    /// The serial number, hexadecimal.
    var serial: String { hexadecimal(serialNumber.bytes) }

    /// Begins, in seconds since 1970.
    var notBeforeSeconds: Int { Int(notValidBefore.timeIntervalSince1970) }
    /// Ends, in seconds since 1970.
    var notAfterSeconds: Int { Int(notValidAfter.timeIntervalSince1970) }

    /// Of the whole certificate, hexadecimal.
    var fingerprint: String {
        var serializer = DER.Serializer()
        guard (try? serializer.serialize(self)) != nil else { return serial }
        return hexadecimal(SHA256.hash(data: serializer.serializedBytes))
    }

    /// Whether `upper` signed it; where the signature is of an unknown kind, the names of keys tell.
    fileprivate func isSigned(by upper: Certificate) -> Bool {
        if upper.publicKey.isValidSignature(signature, for: self) { return true }
        guard let named = (try? extensions.authorityKeyIdentifier)?.keyIdentifier,
            let own = (try? upper.extensions.subjectKeyIdentifier)?.keyIdentifier
        else { return false }
        return named == own
    }

    /// Whether it may sign certificates.
    var isAuthority: Bool { pathLength != nil }

    /// How many authorities may stand below it, `.max` for any number; nil when it is no authority.
    var pathLength: Int? {
        guard case .isCertificateAuthority(let length) = try? extensions.basicConstraints else {
            return nil
        }
        return length ?? .max
    }
}

/// `bytes` in hexadecimal digits.
func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
    var text = ""
    for byte in bytes {
        if byte < 16 { text += "0" }
        text += String(byte, radix: 16)
    }
    return text
}

/// Tells one text of public certificates from another.
func shortHash(_ text: String) -> String {
    hexadecimal(SHA256.hash(data: Array(text.utf8)).prefix(8))
}
