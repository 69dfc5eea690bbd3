import Synchronization

/// Which part of its requests a tapped proxy tells of, so that a busy one costs no more than asked for.
///
/// The part follows what arrives: it sinks at once and grows in steps, as the rate of a proxy that tells
/// of few requests is known badly.
struct TapShare: Hashable, Sendable {
    /// The smallest part: Envoy counts in hundredths here.
    static let minimum = 0.01
    /// By how much it grows at once.
    private static let growth = 4.0
    /// Smaller changes are not worth telling Envoy.
    private static let tolerance = 0.8...1.25

    /// How many requests a second shall arrive at most.
    var budget: Double
    /// The part, from 0 to 1.
    private(set) var value: Double

    /// Begins with the part that fits the rate that was seen before, 1 when none was.
    init(budget: Double, requestsPerSecond: Double) {
        self.budget = budget
        value = Self.part(budget, of: requestsPerSecond)
    }

    /// Takes what all requests a second are by the newest estimate.
    mutating func observe(requestsPerSecond: Double) {
        let wanted = min(Self.part(budget, of: requestsPerSecond), value * Self.growth)
        if !Self.tolerance.contains(wanted / value) || wanted == 1 { value = wanted }
    }

    private static func part(_ budget: Double, of requestsPerSecond: Double) -> Double {
        guard requestsPerSecond > budget else { return 1 }
        return max(minimum, (budget / requestsPerSecond * 100).rounded(.down) / 100)
    }

    /// The part as Envoy's runtime takes it, in percent; nothing is what the bootstrap says, none.
    static func runtimeValue(_ share: Double) -> String {
        share > 0 ? "\(max(1, min(100, Int((share * 100).rounded()))))" : ""
    }
}

/// Lets so many through a second, and as many at once.
final class RateLimit: Sendable {
    private struct State {
        var tokens: Double
        var time: ContinuousClock.Instant?
        var refused = 0
    }

    private let rate: Double
    private let state: Mutex<State>

    init(perSecond rate: Int) {
        self.rate = Double(rate)
        state = Mutex(State(tokens: Double(rate)))
    }

    /// How many were not let through.
    var refused: Int { state.withLock { $0.refused } }

    /// Whether one more may pass at `now`.
    func admits(_ now: ContinuousClock.Instant) -> Bool {
        state.withLock { state in
            if let time = state.time, now > time {
                state.tokens = min(rate, state.tokens + (now - time) / .seconds(1) * rate)
            }
            state.time = now
            guard state.tokens >= 1 else {
                state.refused += 1
                return false
            }
            state.tokens -= 1
            return true
        }
    }
}
