internal import MeshModel
internal import MeshPlan

/// When a version is offered again that a proxy refused for a reason that is the host's and may pass, as
/// an address that another program has.
struct RefusalRetry: Equatable, Sendable {
    /// The time until the next offer, from the refusal on.
    let delay: Duration
    /// When it is due; nil until the first tick after the refusal.
    private var due: ContinuousClock.Instant?
    /// Whether it is being offered: the refusal stands until the proxy accepts.
    private(set) var isUnderWay = false

    static let firstDelay = Duration.seconds(2)
    static let longestDelay = Duration.seconds(60)

    /// The retry of what was refused with `message`, nil if the reason is in the resource.
    ///
    /// - Parameters:
    ///   - message: Envoy's reason.
    ///   - previous: The retry that was refused now.
    init?(_ message: String, after previous: RefusalRetry? = nil) {
        guard RefusalRetry.reasons.contains(where: { message.contains($0) }) else { return nil }
        delay = previous.map { min($0.delay * 2, RefusalRetry.longestDelay) } ?? Self.firstDelay
    }

    /// What Envoy says when the host, and not the resource, is in the way: of a listener's address, of
    /// a log's file, and what the system adds to either.
    private static let reasons = [
        "cannot bind", "unable to open file", "Address already in use", "Permission denied",
        "Cannot assign requested address", "No space left on device", "Too many open files",
        "Cannot allocate memory",
    ]

    /// Notes the time.
    ///
    /// - Returns: whether the offer begins now.
    mutating func begins(at now: ContinuousClock.Instant) -> Bool {
        guard !isUnderWay else { return false }
        let due = self.due ?? now + delay
        self.due = due
        isUnderWay = now >= due
        return isUnderWay
    }
}

extension DeltaSession {
    /// Has refused versions offered again whose time has come.
    ///
    /// Assumes that it is called every second or so.
    ///
    /// - Returns: whether there are any.
    mutating func retryDue(_ now: ContinuousClock.Instant) -> Bool {
        var isDue = false
        for type in ResourceType.allCases {
            for name in memory.refused[type].keys
            where memory.refused[type][name]?.retry?.begins(at: now) == true {
                subscriptions[type].unchecked.insert(name)
                isDue = true
            }
        }
        return isDue
    }

    /// Whether all that is under way of `type` is offered again: that is no news.
    mutating func onlyRetries(_ type: ResourceType) -> Bool {
        let retried = memory.refused[type].filter { $0.value.retry?.isUnderWay == true }
        guard !retried.isEmpty else { return false }
        func isRetried(_ resource: EncodedResource) -> Bool {
            retried[resource.name]?.resource == resource
        }
        let work = outstanding(type)
        let inFlight = subscriptions[type].inFlight
        return work.send.allSatisfy(isRetried) && work.remove.isEmpty && work.absent.isEmpty
            && inFlight?.resources.allSatisfy(isRetried) != false
            && inFlight?.removed.isEmpty != false
    }
}
