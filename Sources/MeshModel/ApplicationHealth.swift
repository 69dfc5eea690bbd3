/// What a proxy's own health checks tell of one port of its application.
///
/// A port without such a value is not checked, or nothing is known of it.
public enum ApplicationHealth: Hashable, Sendable {
    /// How a check failed.
    public enum Failure: Hashable, Sendable {
        /// There was no answer in time.
        case timeout
        /// The answer had this HTTP status.
        case status(Int)
        /// Envoy does not say: no connection, or an answer that was not understood.
        case unknown
    }

    case healthy
    /// The last check's failure.
    case unhealthy(Failure)
}
