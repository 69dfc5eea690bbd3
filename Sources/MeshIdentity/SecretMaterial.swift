/// A secret itself.
///
/// Guarantee: it describes itself without what it holds, so that no log and no message can show a key.
public struct SecretMaterial: Hashable, Sendable, CustomStringConvertible, CustomReflectable {
    /// What a secret holds, in PEM; it describes itself by its kind.
    public enum Content: Hashable, Sendable, CustomStringConvertible, CustomReflectable {
        /// The chain from the leaf on, and the leaf's private key.
        case certificate(chain: String, privateKey: String)
        /// Authorities, in any order.
        case trust(String)

        /// `certificate` or `trust`.
        public var description: String {
            switch self {
            case .certificate: "certificate"
            case .trust: "trust"
            }
        }
        /// Shows nothing.
        public var customMirror: Swift.Mirror { Swift.Mirror(self, children: []) }
    }

    /// Changes when and only when the content does; made from serial numbers and certificates, and
    /// never from keys.
    public let version: String
    /// What it holds.
    public let content: Content

    /// Makes a secret.
    public init(version: String, content: Content) {
        self.version = version
        self.content = content
    }

    /// `secret <version>`.
    public var description: String { "secret \(version)" }
    /// Shows the version only.
    public var customMirror: Swift.Mirror { Swift.Mirror(self, children: ["version": version]) }
}
