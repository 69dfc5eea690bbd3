internal import FoundationEssentials

/// Time and chance of exports, which tests make their own.
public struct ExportTime: Sendable {
    /// Seconds since 1970.
    public var wallSeconds: @Sendable () -> Double
    /// How long it is since some moment before all exports.
    public var now: @Sendable () -> Duration
    /// Waits; ends early when the task is cancelled.
    public var sleep: @Sendable (Duration) async -> Void
    /// A number from 0 to 1.
    public var random: @Sendable () -> Double

    /// Makes time of parts.
    public init(
        wallSeconds: @escaping @Sendable () -> Double,
        now: @escaping @Sendable () -> Duration,
        sleep: @escaping @Sendable (Duration) async -> Void,
        random: @escaping @Sendable () -> Double
    ) {
        self.wallSeconds = wallSeconds
        self.now = now
        self.sleep = sleep
        self.random = random
    }

    /// The clocks of this host.
    public static var system: ExportTime {
        let start = ContinuousClock.now
        return ExportTime(
            wallSeconds: { Date().timeIntervalSince1970 },
            now: { ContinuousClock.now - start },
            sleep: { try? await Task.sleep(for: $0) },
            random: { Double.random(in: 0...1) }
        )
    }
}
