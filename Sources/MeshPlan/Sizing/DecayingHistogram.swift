/// Where one resource was over time; what is older weighs less.
///
/// Buckets grow by 5 % each, as the Vertical Pod Autoscaler's do, and begin small enough for an idle
/// proxy. Weights are whole numbers, so that sums don't depend on the order of samples and an encoded
/// histogram is the same one when it is decoded.
struct DecayingHistogram: Hashable, Sendable {
    /// The bounds of buckets.
    struct Scale: Hashable, Sendable {
        /// The width of the first bucket.
        var first: Double
        /// What does not fit any bucket counts in the last.
        var bucketCount: Int

        /// By how much a bucket is wider than the one before.
        static let ratio = 1.05

        /// Thousandths of a core: half of one to over 256 cores.
        static let cpuMillicores = Scale(first: 0.5, bucketCount: 209)
        /// Bytes: 256 KiB to over 1 TiB.
        static let memoryBytes = Scale(first: 256 * 1024, bucketCount: 252)
        /// Requests a second: one to over a million.
        static let requestsPerSecond = Scale(first: 1, bucketCount: 223)

        /// The bucket of `value`, which is finite and not negative.
        func bucket(of value: Double) -> Int {
            var low = 0
            var high = bucketCount - 1
            // The bounds decide and not a logarithm, so that a bucket's end is in the bucket.
            while low < high {
                let middle = (low + high) / 2
                if value <= end(of: middle) { high = middle } else { low = middle + 1 }
            }
            return low
        }

        /// The highest value of `bucket`.
        func end(of bucket: Int) -> Double { Scale.ends[min(bucket, 255)] * first }

        /// The ends of buckets whose first is 1 wide.
        private static let ends: [Double] = {
            var ends: [Double] = []
            var width = 1.0
            var end = 0.0
            for _ in 0..<256 {
                end += width
                ends.append(end)
                width *= ratio
            }
            return ends
        }()
    }

    let scale: Scale
    /// The bucket of `weights`' first.
    private(set) var start = 0
    /// Without zeros at either end.
    private(set) var weights: [UInt32] = []

    init(_ scale: Scale) { self.scale = scale }

    /// A histogram with `weights` from the bucket `start` on; nil when it can't be one.
    init?(_ scale: Scale, start: Int, weights: [UInt32]) {
        guard start >= 0, weights.count <= scale.bucketCount,
            start <= scale.bucketCount - weights.count,
            weights.first != 0, weights.last != 0, !weights.isEmpty || start == 0
        else { return nil }
        self.scale = scale
        self.start = start
        self.weights = weights
    }

    var isEmpty: Bool { weights.isEmpty }

    /// Adds `value`, which is finite and not negative.
    mutating func add(_ value: Double, weight: UInt32) {
        guard weight > 0 else { return }
        let bucket = scale.bucket(of: value)
        if weights.isEmpty { start = bucket }
        if bucket < start {
            weights.insert(contentsOf: repeatElement(0, count: start - bucket), at: 0)
            start = bucket
        }
        if bucket - start >= weights.count {
            weights += repeatElement(0, count: bucket - start - weights.count + 1)
        }
        let (sum, overflow) = weights[bucket - start].addingReportingOverflow(weight)
        weights[bucket - start] = overflow ? .max : sum
    }

    /// Takes all weights times `factor`, from 0 to 1, rounded down so that each goes in the end.
    mutating func decay(by factor: Double) {
        for index in weights.indices {
            weights[index] = UInt32((Double(weights[index]) * factor).rounded(.down))
        }
        let zeros = weights.prefix { $0 == 0 }.count
        weights.removeFirst(zeros)
        start = weights.isEmpty ? 0 : start + zeros
        while weights.last == 0 { weights.removeLast() }
    }

    /// The value that `percent` of the weight is at or under, as far as buckets tell; 0 without samples.
    func percentile(_ percent: Int) -> Double {
        let total = weights.reduce(UInt64(0)) { $0 + UInt64($1) }
        guard total > 0 else { return 0 }
        var rest = total * UInt64(percent)
        for (index, weight) in weights.enumerated() {
            let part = UInt64(weight) * 100
            if part >= rest { return scale.end(of: start + index) }
            rest -= part
        }
        return scale.end(of: start + weights.count - 1)
    }
}
