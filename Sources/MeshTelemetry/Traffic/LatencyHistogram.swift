/// How many requests took how long, in the ranges in which Envoy counts them.
///
/// Envoy counts whole milliseconds, cut off, with two digits: so ranges are 1 ms wide up to 100 ms, then
/// 10 ms up to 1 s, and so on, and none is wider than a tenth of its lower end from 10 ms on. The middle
/// of a range is at most 5 % wrong there, and 0.5 ms below.
public struct LatencyHistogram: Hashable, Sendable {
    /// A range that is not empty.
    struct Bin: Hashable, Sendable {
        var index: Int
        var count: Int
    }

    /// Growing by index, none with a count of 0.
    private(set) var bins: [Bin] = []

    /// Makes a histogram of nothing.
    public init() {}

    init(bins: [Bin]) { self.bins = bins }

    /// How many requests.
    public var count: Int { bins.reduce(0) { $0 &+ $1.count } }

    /// The last range, of about three years.
    static let lastIndex = 100 + 9 * 90 - 1

    /// The range of a number of milliseconds; what is longer than all belongs to the last.
    static func index(milliseconds: Int) -> Int {
        guard milliseconds >= 100 else { return max(0, milliseconds) }
        var (mantissa, index) = (milliseconds, 10)
        while mantissa >= 100 {
            mantissa /= 10
            index += 90
        }
        return min(index + mantissa - 10, lastIndex)
    }

    /// The ends of a range, in milliseconds.
    static func ends(of index: Int) -> (lower: Double, upper: Double) {
        guard index >= 100 else { return (Double(index), Double(index + 1)) }
        var width = 1.0
        for _ in 0..<((index - 10) / 90) { width *= 10 }
        let lower = Double((index - 10) % 90 + 10) * width
        return (lower, lower + width)
    }

    /// The middle of a range, in milliseconds.
    static func middle(of index: Int) -> Double {
        let (lower, upper) = ends(of: index)
        return (lower + upper) / 2
    }

    /// Adds what another counted.
    mutating func add(_ other: LatencyHistogram) {
        guard !other.bins.isEmpty else { return }
        if bins.isEmpty {
            self = other
        } else {
            merge(other) { $0 &+ $1 }
        }
    }

    /// What was counted since `previous`; all of it when that is not the same counting any more.
    func since(_ previous: LatencyHistogram) -> LatencyHistogram {
        guard !previous.bins.isEmpty else { return self }
        var result = self
        result.merge(previous) { $0 &- $1 }
        return result.bins.contains { $0.count < 0 } ? self : result
    }

    private mutating func merge(_ other: LatencyHistogram, _ combine: (Int, Int) -> Int) {
        var result: [Bin] = []
        result.reserveCapacity(bins.count + other.bins.count)
        var (left, right) = (0, 0)
        while left < bins.count || right < other.bins.count {
            let own = left < bins.count ? bins[left].index : .max
            let others = right < other.bins.count ? other.bins[right].index : .max
            let index = min(own, others)
            let count = combine(
                own == index ? bins[left].count : 0,
                others == index ? other.bins[right].count : 0
            )
            if own == index { left += 1 }
            if others == index { right += 1 }
            if count != 0 { result.append(Bin(index: index, count: count)) }
        }
        bins = result
    }

    /// The number of milliseconds in which the share `quantile` of requests was answered; nil without
    /// requests.
    func milliseconds(quantile: Double) -> Double? {
        let rank = Double(count) * quantile
        var before = 0.0
        for bin in bins {
            let after = before + Double(bin.count)
            if rank <= after {
                // Requests are spread over their range: the only one of a range is in its middle.
                let (lower, upper) = Self.ends(of: bin.index)
                let part = max(0, rank - before - 0.5) / Double(bin.count)
                return lower + (upper - lower) * part
            }
            before = after
        }
        return nil
    }

    /// The quantiles that are shown; nil without requests.
    var quantiles: Traffic.Quantiles? {
        guard let p50 = milliseconds(quantile: 0.5), let p95 = milliseconds(quantile: 0.95),
            let p99 = milliseconds(quantile: 0.99)
        else { return nil }
        return Traffic.Quantiles(p50: p50, p95: p95, p99: p99)
    }

    /// What an exporter of metrics gets.
    var latencies: [TrafficInterval.Latency] {
        bins.map { bin in
            TrafficInterval.Latency(
                milliseconds: Self.middle(of: bin.index),
                count: bin.count
            )
        }
    }
}
