public import MeshModel

/// A step in the delivery of resources to a proxy, for who counts them.
public enum DiscoveryEvent: Hashable, Sendable {
    /// A response was sent.
    case sent(ResourceType)
    /// It was accepted (ACK), so long after it was sent.
    ///
    /// Envoy answers clusters once they are warm, so that it contains what their endpoints and
    /// secrets took.
    case accepted(ResourceType, after: Duration)
    /// It was refused (NACK), in part or as a whole.
    case refused(ResourceType)
}

/// What one stream was sent and has not answered, as far as time goes.
struct SentResponses: Sendable {
    private var sent = PerType<(nonce: String, time: ContinuousClock.Instant)?>(nil)

    /// Notes that `response` is sent.
    mutating func sent(_ response: DeltaResponse, _ now: ContinuousClock.Instant) -> DiscoveryEvent
    {
        sent[response.type] = (response.nonce, now)
        return .sent(response.type)
    }

    /// Notes a request; nil when it answers nothing that waits for it.
    mutating func answered(
        _ type: ResourceType?,
        nonce: String,
        isRefused: Bool,
        _ now: ContinuousClock.Instant
    ) -> DiscoveryEvent? {
        guard let type, let response = sent[type], response.nonce == nonce else { return nil }
        sent[type] = nil
        return isRefused ? .refused(type) : .accepted(type, after: now - response.time)
    }
}
