/// Where and how a proxy logs requests (`logging.accessLog.file`).
public struct AccessLog: Hashable, Sendable {
    /// `format`; absent means Envoy's default text format.
    public enum Format: Hashable, Sendable {
        /// Envoy's command operators in a text, written as it is.
        case text(String)
        /// Keys and Envoy's command operators, in the order of the manifest.
        case json([JSONField])
    }

    /// One member of a JSON format.
    public struct JSONField: Hashable, Sendable {
        /// `key`.
        public var key: String
        /// `value`.
        public var value: String

        /// Makes a member.
        public init(key: String, value: String) {
            self.key = key
            self.value = value
        }
    }

    /// `path`.
    public var path: String
    /// `format`; nil means Envoy's default text format.
    public var format: Format?

    /// Makes an access log.
    public init(path: String, format: Format? = nil) {
        self.path = path
        self.format = format
    }
}
