public import Logging
public import ServiceLifecycle

/// Has one of several replicas lead, by a Lease.
///
/// Guarantee: of two that run, whatever pauses they suffer, `leadershipEnd` of at most one lies ahead,
/// as far as their clocks run at one speed.
public final class LeaderElection: Service, Sendable {
    /// Makes an election by the Lease `key`, in which this replica is `identity`.
    ///
    /// - Parameters:
    ///   - client: Asks the API.
    ///   - key: The Lease; it is made if it is not there.
    ///   - identity: This replica, and no other that ever ran.
    ///   - duration: For how long the Lease holds once renewed.
    ///   - renewDeadline: After how long without a renewal this replica leads no more; shorter.
    ///   - retryPeriod: The time between attempts.
    ///   - clock: For pauses and `leadershipEnd`.
    ///   - logger: Where each change is logged.
    public init(
        client: KubernetesClient,
        key: ObjectKey,
        identity: String,
        duration: Duration = .seconds(15),
        renewDeadline: Duration = .seconds(10),
        retryPeriod: Duration = .seconds(2),
        logger: Logger
    ) {
        preconditionFailure("vocabulary")
    }

    /// Until when this replica leads unless the Lease is renewed before; nil when it does not lead.
    ///
    /// Whoever writes as leader asks before each write, and gives up a write at that instant.
    public var leadershipEnd: ContinuousClock.Instant? { preconditionFailure("vocabulary") }

    /// Whether this replica leads, whenever that changes; for one reader.
    public var changes: AsyncStream<Bool> { preconditionFailure("vocabulary") }

    /// Runs until shutdown or cancellation, and gives the Lease back then.
    public func run() async throws { preconditionFailure("vocabulary") }
}
