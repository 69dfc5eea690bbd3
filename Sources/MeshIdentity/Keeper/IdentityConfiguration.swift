internal import FoundationEssentials
public import MeshModel

/// What an `IdentityKeeper` goes by.
public struct IdentityConfiguration: Hashable, Sendable {
    /// The shortest lifetime of a certificate.
    public static let shortestLifetime = Duration.seconds(10)

    /// The folder of what outlives the daemon; keys are in `ca` and `acm` below it.
    public var stateDirectory: String
    /// What the root's name says it is of; by default the host's name.
    public var installation: String
    /// `--certificate-lifetime`: of the certificates that Heddle issues.
    public var certificateLifetime: Duration
    /// `--ca-certificate` and `--ca-key`, or a copy of `sharedSecret`: takes the place of a root of
    /// Heddle's own.
    public var broughtAuthority: FileCertificate?
    /// The Secret, `namespace/name`, that the brought authority is of; nil when it is of files.
    ///
    /// Other replicas have it too: what each signs, the proxies of all accept.
    public var sharedSecret: String?

    /// What names and keys of authorities are made with; the same for all that share a root.
    var authorityName: String { sharedSecret ?? installation }

    /// Where the brought authority is, and how messages call it.
    var brought: BroughtFiles? {
        broughtAuthority.map { BroughtFiles(files: $0, secret: sharedSecret) }
    }

    /// Makes a configuration.
    public init(
        stateDirectory: String,
        installation: String? = nil,
        certificateLifetime: Duration = .seconds(3600),
        broughtAuthority: FileCertificate? = nil,
        sharedSecret: String? = nil
    ) {
        self.stateDirectory = stateDirectory
        self.installation = installation ?? ProcessInfo.processInfo.hostName
        self.certificateLifetime = certificateLifetime
        self.broughtAuthority = broughtAuthority
        self.sharedSecret = sharedSecret
    }
}
