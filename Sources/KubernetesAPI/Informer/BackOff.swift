/// How long to wait after failures in a row: longer each time, and never the same for two who wait.
public struct BackOff: Sendable {
    /// The longest wait but one that the server asks for.
    static let longest = Duration.seconds(30)
    /// What a server may ask for; beyond it is a mistake, and ends with this.
    static let longestAsked = Duration.seconds(300)
    private static let first = Duration.milliseconds(500)

    private var failures = 0
    private var generator: any RandomNumberGenerator & Sendable

    /// Makes one that begins with the shortest wait.
    public init(
        _ generator: any RandomNumberGenerator & Sendable = SystemRandomNumberGenerator()
    ) {
        self.generator = generator
    }

    /// The wait after one more failure, and at least what the server asks for.
    public mutating func next(askedSeconds: Int? = nil) -> Duration {
        let longest = min(Self.first * (1 << min(failures, 10)), Self.longest)
        failures += 1
        let wait = longest * Double.random(in: 0.5...1, using: &generator)
        guard let askedSeconds, askedSeconds > 0 else { return wait }
        return min(.seconds(min(askedSeconds, 86_400)), Self.longestAsked) + wait
    }

    /// Begins anew after a success.
    public mutating func reset() { failures = 0 }
}
