/// How long to wait before a process that ended by itself starts again.
enum Backoff {
    /// A process that ran for so long has recovered, and starts again at once.
    static let resetAfter = Duration.seconds(60)

    /// None after the first failure; then 0.1 s, doubling; from the tenth on a minute at least.
    ///
    /// Up to a quarter is added by chance, so that many do not start at one moment.
    static func pause(
        failures: Int,
        using generator: inout some RandomNumberGenerator
    ) -> Duration {
        guard failures > 1 else { return .zero }
        let base = failures < 10 ? 0.1 * Double(1 << (failures - 2)) : 60
        return .seconds(base * Double.random(in: 1...1.25, using: &generator))
    }
}
