/// What Envoy counts of one cluster, or of what a proxy is asked.
struct TrafficCounters: Hashable, Sendable {
    /// What is counted; the raw value is its place.
    enum Counter: Int, CaseIterable {
        case requests
        case successes
        case redirections
        case clientErrors
        case serverErrors
        case grpcRequests
        case retries
        case timeouts
        case connections
        case connectFailures
        case sentBytes
        case receivedBytes
        case ejections
        case noneHealthy
        /// The first that may fall, as it is of now.
        case activeConnections
        case ejectedHosts
    }

    private static let isGauge: SIMDMask<SIMD16<Int.SIMDMaskScalar>> = {
        var mask = SIMDMask<SIMD16<Int.SIMDMaskScalar>>(repeating: false)
        for counter in [Counter.activeConnections, .ejectedHosts] { mask[counter.rawValue] = true }
        return mask
    }()

    private var values = SIMD16<Int>()
    /// How long requests took.
    var latency = LatencyHistogram()
    /// Whether a connection was ever protected by TLS.
    var hasSecureConnections = false

    subscript(counter: Counter) -> Int {
        get { values[counter.rawValue] }
        set { values[counter.rawValue] = newValue }
    }

    /// Whether nothing was counted.
    var isEmpty: Bool { values == SIMD16() && latency.bins.isEmpty }

    /// Adds what another counted, and what is of now too.
    mutating func add(_ other: TrafficCounters) {
        values = values &+ other.values
        latency.add(other.latency)
        if other.hasSecureConnections { hasSecureConnections = true }
    }

    /// What was counted since `previous`; what is of now is left out.
    ///
    /// A counter that fell began anew. Connections are those tried without those that failed, a little
    /// later: as they may fall by that, they do not count until they are more than ever.
    func since(_ previous: TrafficCounters) -> TrafficCounters {
        var result = self
        let difference = values &- previous.values
        result.values = difference.replacing(with: values, where: values .< previous.values)
        result.values.replace(with: 0, where: Self.isGauge)
        if self[.connections] < previous[.connections] { result[.connections] = 0 }
        result.latency = latency.since(previous.latency)
        return result
    }

    /// What `since` shall compare the next with, after this and `previous`.
    func baseline(after previous: TrafficCounters) -> TrafficCounters {
        var result = self
        result[.connections] = max(self[.connections], previous[.connections])
        return result
    }

    /// Only what is of now.
    var gauges: TrafficCounters {
        var result = TrafficCounters()
        result.values = values.replacing(with: 0, where: .!Self.isGauge)
        result.hasSecureConnections = hasSecureConnections
        return result
    }
}
