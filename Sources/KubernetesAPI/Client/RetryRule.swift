/// When a request that failed is made again.
struct RetryRule: Sendable {
    /// How an attempt failed.
    enum Failure: Sendable {
        /// The server answered so.
        case status(KubernetesError.Status)
        /// No connection came about, so the server knows of nothing.
        case notConnected
        /// The connection broke, or the answer did not come whole.
        case broken
        /// Its time was over, or there is no use in another attempt.
        case final
    }

    /// The longest pause but one that the server asks for.
    var longestPause = Duration.seconds(5)
    /// The first pause, which doubles.
    var firstPause = Duration.milliseconds(200)

    /// How long to wait before attempt number `attempt`, which is 1 for the second; nil ends it.
    ///
    /// What may have been done is not done again unless it `isRepeatable`. A pause that the server asks
    /// for is kept, as far as `remaining` allows. `chance`, from 0 to 1, spreads those who wait.
    func pause(
        after failure: Failure,
        attempt: Int,
        isRepeatable: Bool,
        remaining: Duration,
        chance: Double
    ) -> Duration? {
        // More doublings than these are longer than any limit.
        let doubled = firstPause * (1 << min(max(attempt - 1, 0), 16))
        var pause = min(doubled, longestPause) * (0.5 + chance / 2)
        switch failure {
        case .final: return nil
        case .notConnected: break
        case .broken: guard isRepeatable else { return nil }
        case .status(let status):
            guard status.code == 429 || isRepeatable && [500, 502, 503, 504].contains(status.code)
            else { return nil }
            // A number from outside: more than a day is no pause.
            if let seconds = status.retryAfterSeconds, (1...86_400).contains(seconds) {
                pause = .seconds(seconds) + pause
            } else if let seconds = status.retryAfterSeconds, seconds > 86_400 {
                return nil
            }
        }
        return pause < remaining ? pause : nil
    }
}
