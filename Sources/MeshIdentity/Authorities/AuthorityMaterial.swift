internal import MeshModel
internal import SwiftASN1
internal import X509

/// The certificate of a CA with its key, as they are kept in a Secret.
///
/// Guarantee: it describes itself without the key.
public struct AuthorityMaterial: Hashable, Sendable, CustomStringConvertible, CustomReflectable {
    /// The certificate and those that signed it, in PEM.
    public let certificate: String
    /// Its private key, in PEM.
    public let privateKey: String

    /// Takes what somebody brings, once it is checked.
    ///
    /// - Parameters:
    ///   - certificate: A CA's certificate, and after it those that signed it, in PEM.
    ///   - privateKey: Its key.
    ///   - secret: The Secret that they are of, as messages name it.
    ///   - now: The time since 1970.
    /// - Throws: `IdentityError` when they are of no use as a root.
    public init(
        certificate: String,
        privateKey: String,
        secret: String,
        at now: Duration
    ) throws(IdentityError) {
        let files = FileCertificate(certificateChain: "", privateKey: "")
        _ = try Authority.brought(
            chain: certificate,
            key: privateKey,
            BroughtFiles(files: files, secret: secret),
            at: now
        )
        do {
            // As it is written again, so that equal ones compare as equal.
            let chain = try PEMReading.certificates(in: certificate)
            self.certificate = try chain.map { try $0.pem }.joined()
            let key = try PEMReading.privateKey(in: privateKey)
            self.privateKey = try key.serializeAsPEM().pemString + "\n"
        } catch {
            throw IdentityError("Secret \(secret): its encoding is damaged; write it anew")
        }
    }

    /// Reads what `write(to:)` wrote to `path`; nil when there is no such file.
    ///
    /// - Throws: `IdentityError` when it can't be read or is of no use as a root.
    public init?(
        contentsOf path: String,
        secret: String,
        at now: Duration
    ) throws(IdentityError) {
        guard let text = try PrivateFile.read(path) else { return nil }
        let begin = "-----BEGIN "
        // The key comes after the certificates.
        let parts = text.split(separator: begin).map { begin + $0 }
        try self.init(
            certificate: parts.filter { $0.hasPrefix(begin + "CERTIFICATE") }.joined(),
            privateKey: parts.filter { !$0.hasPrefix(begin + "CERTIFICATE") }.joined(),
            secret: secret,
            at: now
        )
    }

    /// Makes a new root, which lasts ten years.
    ///
    /// - Parameters:
    ///   - installation: What its name says it is of.
    ///   - now: The time since 1970.
    /// - Throws: `IdentityError` when none can be made.
    public init(newRootOf installation: String, at now: Duration) throws(IdentityError) {
        do {
            let root = try Authority.root(of: installation, at: now)
            certificate = root.pem
            privateKey = try root.key.map { try $0.serializeAsPEM().pemString + "\n" } ?? ""
        } catch {
            throw IdentityError("cannot make a root: \(error)")
        }
    }

    /// `authority`.
    public var description: String { "authority" }
    /// Shows nothing.
    public var customMirror: Swift.Mirror { Swift.Mirror(self, children: []) }

    /// Puts both into the file `path`, which its owner alone reads: whoever reads it finds either what
    /// was there or all of this.
    public func write(to path: String) throws(IdentityError) {
        try PrivateFile.write(certificate + privateKey, to: path)
    }
}
