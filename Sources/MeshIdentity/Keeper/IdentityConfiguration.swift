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
    /// `--ca-certificate` and `--ca-key`: takes the place of a root of Heddle's own.
    public var broughtAuthority: FileCertificate?

    /// Makes a configuration.
    public init(
        stateDirectory: String,
        installation: String? = nil,
        certificateLifetime: Duration = .seconds(3600),
        broughtAuthority: FileCertificate? = nil
    ) {
        self.stateDirectory = stateDirectory
        self.installation = installation ?? ProcessInfo.processInfo.hostName
        self.certificateLifetime = certificateLifetime
        self.broughtAuthority = broughtAuthority
    }
}
