/// Something that happened to an object, for `heddle events` and `kubectl get events`.
public struct MeshEvent: Hashable, Sendable {
    /// Whether somebody should look.
    public enum Severity: String, CaseIterable, Hashable, Sendable {
        /// It went as it should.
        case normal = "Normal"
        /// Something is wrong.
        case warning = "Warning"
    }

    /// When it happened, in seconds since 1970.
    public var timeSeconds: Double
    /// Whether somebody should look.
    public var severity: Severity
    /// One CamelCase word for programs, such as `ProxyRestarted`.
    public var reason: String
    /// A sentence for people.
    public var message: String
    /// What it happened to.
    public var object: ObjectID

    /// Makes an event.
    public init(
        timeSeconds: Double,
        severity: Severity,
        reason: String,
        message: String,
        object: ObjectID
    ) {
        self.timeSeconds = timeSeconds
        self.severity = severity
        self.reason = reason
        self.message = message
        self.object = object
    }
}
