/// A moment by both clocks.
struct Moment: Hashable, Sendable {
    /// Since 1970, which certificates are compared with; it may step.
    var wall: Duration
    /// Of a clock that never steps, for pauses.
    var steady: Duration
}

/// Pauses between attempts at something that fails, doubling from a second to a minute.
struct Attempts: Hashable, Sendable {
    private var failures = 0
    private var next: Duration = .zero

    /// Whether it is time for another attempt.
    func isTime(at moment: Moment) -> Bool { moment.steady >= next }

    /// An attempt failed; `spread` is from 0 to 1.
    mutating func fail(at moment: Moment, spread: Double) {
        let pause = Duration.seconds(min(60, 1 << min(failures, 6)))
        next = moment.steady + pause * (0.75 + spread / 2)
        failures += 1
    }

    /// An attempt succeeded.
    mutating func succeed() { self = Attempts() }
}
