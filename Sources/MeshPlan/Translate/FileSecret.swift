internal import EnvoyAPI
internal import MeshModel

/// A secret that the proxy reads from its own files, and that has nothing secret in it.
struct FileSecret: Hashable {
    /// What it is.
    enum Content: Hashable {
        case certificate(FileCertificate)
        /// A file of authorities.
        case trust(String)
    }

    /// The name in SDS.
    var name: String
    var content: Content
}

/// The secret as Envoy takes it: over SDS, as it watches the folders of files only of such.
func secret(for file: FileSecret) -> Envoy_Extensions_TransportSockets_Tls_V3_Secret {
    var secret = Envoy_Extensions_TransportSockets_Tls_V3_Secret()
    secret.name = file.name
    switch file.content {
    case .certificate(let paths):
        secret.tlsCertificate.certificateChain.filename = paths.certificateChain
        secret.tlsCertificate.privateKey.filename = paths.privateKey
    case .trust(let path): secret.validationContext.trustedCa.filename = path
    }
    return secret
}
