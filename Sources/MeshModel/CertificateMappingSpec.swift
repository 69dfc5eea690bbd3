/// `spec` of a CertificateMapping: what stands here for a certificate or an authority of ACM.
///
/// Outside AWS nothing can export the certificate behind an ARN, so that a manifest's `certificateARN`
/// and `certificateAuthorityARNs` say whom to ask only together with one of these.
public struct CertificateMappingSpec: ObjectSpec {
    /// CertificateMapping.
    public static var kind: Kind { .certificateMapping }

    /// What stands for the ARN.
    public enum Source: Hashable, Sendable {
        /// `file`; without a key it stands for an authority. Paths are absolute.
        case file(certificateChain: String, privateKey: String?)
        /// `heddle`: the mesh's own authority, or an identity that it signs.
        case heddle
        /// `acmPrivateCA`.
        case acmPrivateCA(ACMPrivateCA)
    }

    /// The ARN as manifests have it; each is that of one mapping at most.
    public var arn: String
    /// What stands for it.
    public var source: Source

    /// Makes a mapping.
    public init(arn: String, source: Source) {
        self.arn = arn
        self.source = source
    }
}

extension CertificateMappingSpec.Source: CustomStringConvertible {
    /// `Heddle`, the authority, or the file.
    public var description: String {
        switch self {
        case .heddle: "Heddle"
        case .file(let chain, _): chain
        case .acmPrivateCA(let authority): authority.authorityARN
        }
    }
}
