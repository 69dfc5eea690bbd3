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
        self.certificate = certificate
        self.privateKey = privateKey
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
