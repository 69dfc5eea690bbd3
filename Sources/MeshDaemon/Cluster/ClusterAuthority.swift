internal import FoundationEssentials
internal import KubernetesAPI
internal import Logging
internal import MeshIdentity
internal import MeshModel
internal import ServiceLifecycle

/// The root of a cluster's installation, in a Secret that all replicas share, and a copy of it in the
/// state folder from which identities are made.
///
/// Whichever replica is first makes the Secret. A user's own, as cert-manager makes it, does as well: of
/// type `kubernetes.io/tls`, with the certificate of a CA that may sign another below it in `tls.crt`,
/// those that signed it after it, and its key in `tls.key`.
///
/// Guarantee: a Secret that is there is never changed, whatever is in it.
struct ClusterAuthority: Service {
    /// The Secret.
    let secret: ObjectKey
    /// The copy: one file with the certificate and the key.
    let files: FileCertificate

    private let client: KubernetesClient
    private let path: String
    private let now: @Sendable () -> Duration
    private let logger: Logger

    /// Reads the Secret, or makes it if it is not there, and copies it to the state folder.
    ///
    /// - Parameters:
    ///   - secret: The Secret.
    ///   - client: Asks the API.
    ///   - stateDirectory: Where the copy goes.
    ///   - now: The time since 1970.
    ///   - logger: Where it is logged what was found or made, and each change.
    /// - Throws: `IdentityError` when what is in the Secret is of no use, `KubernetesError` when it can
    ///   be neither read nor made.
    init(
        secret: ObjectKey,
        client: KubernetesClient,
        stateDirectory: String,
        now: @escaping @Sendable () -> Duration,
        logger: Logger
    ) async throws {
        self.secret = secret
        self.client = client
        path = "\(stateDirectory)/cluster-ca.pem"
        files = FileCertificate(certificateChain: path, privateKey: path)
        self.now = now
        self.logger = logger
        try await obtain().write(to: path)
    }

    /// Follows changes of the Secret until shutdown or cancellation.
    ///
    /// One that is deleted is put back from the copy: all proxies trust it.
    func run() async throws {
        let informer = Informer(
            AuthoritySecret.self,
            client: client,
            resource: .secrets,
            namespace: secret.namespace,
            fieldSelector: "metadata.name=\(secret.name)",
            logger: logger
        )
        await cancelWhenGracefulShutdown {
            await informer.run { event in
                switch event {
                case .replaced(let all):
                    if let found = all[self.secret] { take(found) } else { await putBack() }
                case .changed(let found): take(found)
                case .deleted: await putBack()
                case .failed, .recovered: break
                }
            }
        }
    }

    /// The Secret's content.
    private func obtain() async throws -> AuthorityMaterial {
        do {
            return try material(of: try await client.get(AuthoritySecret.self, .secrets, secret))
        } catch let error as KubernetesError where error.isNotFound {
            let new = try AuthorityMaterial(newRootOf: secret.description, at: now())
            return try await put(new, "root made")
        }
    }

    /// Makes the Secret of `material`, unless another replica was first; gives what is there then.
    private func put(
        _ material: AuthorityMaterial,
        _ message: Logger.Message
    ) async throws -> AuthorityMaterial {
        do {
            _ = try await client.create(
                AuthoritySecret(secret, material),
                .secrets,
                namespace: secret.namespace
            )
            logger.notice(message, metadata: ["secret": "\(secret)"])
            return material
        } catch let error as KubernetesError where error.isConflict {
            let found = try await client.get(AuthoritySecret.self, .secrets, secret)
            return try self.material(of: found)
        }
    }

    private func material(of found: AuthoritySecret) throws(IdentityError) -> AuthorityMaterial {
        try AuthorityMaterial(
            certificate: try text("tls.crt", of: found),
            privateKey: try text("tls.key", of: found),
            secret: secret.description,
            at: now()
        )
    }

    private func text(
        _ field: String,
        of found: AuthoritySecret
    ) throws(IdentityError) -> String {
        // Only the name of the field: what is in it may be a key.
        guard let encoded = found.data?[field] else {
            throw IdentityError(
                "Secret \(secret): there is no \(field); put the certificate of a CA in tls.crt and "
                    + "its key in tls.key, or delete the Secret, and Heddle makes one"
            )
        }
        guard let bytes = Data(base64Encoded: encoded),
            let text = String(validating: bytes, as: UTF8.self)
        else { throw IdentityError("Secret \(secret): \(field): it is no text; give PEM") }
        return text.hasSuffix("\n") ? text : text + "\n"
    }

    /// Copies what is in the Secret now; what is of no use leaves the copy as it is.
    private func take(_ found: AuthoritySecret) {
        do {
            let material = try material(of: found)
            guard try material != copy() else { return }
            try material.write(to: path)
            logger.notice("the root's Secret changed", metadata: ["secret": "\(secret)"])
        } catch {
            logger.error(
                "what is in the root's Secret is not taken, and the one before stays in use",
                metadata: ["secret": "\(secret)", "error": "\(error)"]
            )
        }
    }

    private func putBack() async {
        do {
            guard let copy = try copy() else { return }
            let there = try await put(copy, "the root's Secret was deleted and is put back")
            if there != copy { try there.write(to: path) }
        } catch {
            logger.error(
                "the root's Secret is gone and can't be put back",
                metadata: ["secret": "\(secret)", "error": "\(error)"]
            )
        }
    }

    private func copy() throws(IdentityError) -> AuthorityMaterial? {
        try AuthorityMaterial(contentsOf: path, secret: secret.description, at: now())
    }
}

/// A Secret of type `kubernetes.io/tls`, as far as it is read and written here.
private struct AuthoritySecret: KubernetesObject, Codable {
    var apiVersion: String?
    var kind: String?
    var metadata: ObjectMetadata
    var type: String?
    /// In base64.
    var data: [String: String]?

    init(_ key: ObjectKey, _ material: AuthorityMaterial) {
        apiVersion = KubernetesResource.secrets.apiVersion
        kind = KubernetesResource.secrets.kind
        metadata = ObjectMetadata(
            name: key.name,
            namespace: key.namespace,
            labels: ["app.kubernetes.io/managed-by": "heddle"]
        )
        type = "kubernetes.io/tls"
        data = [
            "tls.crt": Data(material.certificate.utf8).base64EncodedString(),
            "tls.key": Data(material.privateKey.utf8).base64EncodedString(),
        ]
    }
}
