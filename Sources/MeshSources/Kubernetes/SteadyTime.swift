/// A clock that is never set, as the time since some start.
public struct SteadyTime: Sendable {
    /// The time.
    public var now: @Sendable () -> Duration
    /// Waits; returns early when the task is cancelled.
    public var sleep: @Sendable (Duration) async -> Void

    /// Makes a time from its two parts.
    public init(
        now: @escaping @Sendable () -> Duration,
        sleep: @escaping @Sendable (Duration) async -> Void
    ) {
        self.now = now
        self.sleep = sleep
    }

    /// The time of the system.
    public static var system: SteadyTime {
        let start = ContinuousClock.now
        return SteadyTime(
            now: { start.duration(to: .now) },
            sleep: { try? await Task.sleep(for: $0) }
        )
    }
}
