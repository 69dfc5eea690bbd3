/// Lets so many things happen in a second, and some at once after a pause.
struct RateLimit: Sendable {
    private let perSecond: Double
    private let burst: Double
    private var tokens: Double
    private var last: Duration

    init(perSecond: Double, burst: Double, at now: Duration = .zero) {
        self.perSecond = perSecond
        self.burst = burst
        tokens = burst
        last = now
    }

    /// Whether one may happen at `now`; it counts if so.
    mutating func take(at now: Duration) -> Bool {
        refill(at: now)
        guard tokens >= 1 else { return false }
        tokens -= 1
        return true
    }

    /// When the next may happen.
    mutating func next(at now: Duration) -> Duration {
        refill(at: now)
        return tokens >= 1 ? now : now + .seconds((1 - tokens) / perSecond)
    }

    /// Whether nothing happened for so long that it is as new.
    func isIdle(at now: Duration) -> Bool {
        tokens + (now - last) / .seconds(1) * perSecond >= burst
    }

    private mutating func refill(at now: Duration) {
        tokens = min(burst, tokens + (now - last) / .seconds(1) * perSecond)
        last = now
    }
}
