/// The certificate by which Heddle's own servers are known, and whom to trust to know them.
///
/// Guarantee: it describes itself without the key.
public struct ServingCertificate: Hashable, Sendable, CustomStringConvertible, CustomReflectable {
    /// Changes when and only when something of it does.
    public let version: String
    /// The chain from the leaf on, in PEM.
    public let chain: String
    /// The leaf's private key, in PEM.
    public let privateKey: String
    /// The authorities of which one has signed it, and the next will be signed by one; in PEM.
    ///
    /// They go into `caBundle` and bootstraps.
    public let authorities: String
    /// The leaf's serial number.
    public let serial: String
    /// When the leaf ends, in seconds since 1970.
    public let notAfterSeconds: Int

    /// Makes a certificate.
    public init(
        chain: String,
        privateKey: String,
        authorities: String,
        serial: String,
        notAfterSeconds: Int
    ) {
        version = "\(serial) \(shortHash(authorities))"
        self.chain = chain
        self.privateKey = privateKey
        self.authorities = authorities
        self.serial = serial
        self.notAfterSeconds = notAfterSeconds
    }

    /// `certificate <serial>`.
    public var description: String { "certificate \(serial)" }
    /// Shows the serial number only.
    public var customMirror: Swift.Mirror { Swift.Mirror(self, children: ["serial": serial]) }
}
