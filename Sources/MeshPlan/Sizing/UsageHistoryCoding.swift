/// A history as JSON, by short names as a daemon has many.
///
/// What is not as this version writes it is refused: a history that is made up is worse than none.
extension UsageHistory: Codable {
    private static let version = 1

    private enum CodingKeys: String, CodingKey {
        case version = "v"
        case window = "w"
        case windowCount = "n"
        case coveredSeconds = "s"
        case windowPeakBytes = "p"
        case windowHasSamples = "h"
        case cpu, memory, requests
        case throttling = "throttled"
        case shortages = "short"
    }

    /// Takes a history from what `encode` wrote.
    ///
    /// - Throws: `DecodingError` when it is of another version, or no history.
    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        func corrupted(_ key: CodingKeys, _ problem: String) -> DecodingError {
            .dataCorruptedError(forKey: key, in: values, debugDescription: problem)
        }
        func integer(_ key: CodingKeys, upTo limit: Int) throws -> Int {
            let value = try values.decode(Int.self, forKey: key)
            guard (0...limit).contains(value) else { throw corrupted(key, "\(value) is not valid") }
            return value
        }
        let version = try values.decode(Int.self, forKey: .version)
        guard version == Self.version else {
            throw corrupted(.version, "version \(version) is not supported")
        }
        if values.contains(.window) {
            window = try integer(.window, upTo: Int(Self.latestSeconds) / Self.windowSeconds)
        }
        windowCount = try integer(.windowCount, upTo: Self.largestWindowCount)
        coveredSeconds = try integer(.coveredSeconds, upTo: 86_400)
        windowPeakBytes = try integer(.windowPeakBytes, upTo: Self.largestBytes)
        windowHasSamples = try values.decode(Bool.self, forKey: .windowHasSamples)
        func series(
            _ key: CodingKeys,
            _ scale: DecayingHistogram.Scale
        ) throws -> (DecayingHistogram, DailyPeaks) {
            let series = try values.decode(EncodedSeries.self, forKey: key)
            guard let decoded = series.decoded(scale, lastDay: day) else {
                throw corrupted(key, "it is not what a history has")
            }
            return decoded
        }
        (cpu, cpuPeaks) = try series(.cpu, .cpuMillicores)
        (memory, memoryPeaks) = try series(.memory, .memoryBytes)
        (requests, requestPeaks) = try series(.requests, .requestsPerSecond)
        let throttling = try values.decode([Int].self, forKey: .throttling)
        guard throttling.count == 2, (0...1 << 60).contains(throttling[0]),
            (0...throttling[0]).contains(throttling[1])
        else { throw corrupted(.throttling, "it is not a share of time") }
        (throttlingTime, throttledTime) = (throttling[0], throttling[1])
        let rows = try values.decode([[Int]].self, forKey: .shortages)
        shortages = try rows.map { row in
            guard let shortage = Shortage(row) else {
                throw corrupted(.shortages, "it is not what a history has")
            }
            return shortage
        }
        let days = shortages.map(\.day)
        guard zip(days, days.dropFirst()).allSatisfy(<), days.allSatisfy(isRecent) else {
            throw corrupted(.shortages, "its days are not in order")
        }
    }

    /// Writes the history.
    public func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(Self.version, forKey: .version)
        try values.encodeIfPresent(window, forKey: .window)
        try values.encode(windowCount, forKey: .windowCount)
        try values.encode(coveredSeconds, forKey: .coveredSeconds)
        try values.encode(windowPeakBytes, forKey: .windowPeakBytes)
        try values.encode(windowHasSamples, forKey: .windowHasSamples)
        try values.encode(EncodedSeries(cpu, cpuPeaks), forKey: .cpu)
        try values.encode(EncodedSeries(memory, memoryPeaks), forKey: .memory)
        try values.encode(EncodedSeries(requests, requestPeaks), forKey: .requests)
        try values.encode([throttlingTime, throttledTime], forKey: .throttling)
        try values.encode(shortages.map(\.row), forKey: .shortages)
    }

    /// Whether `day` is one of those that still count.
    private func isRecent(_ day: Int) -> Bool {
        (self.day - DailyPeaks.dayCount + 1...self.day).contains(day)
    }
}

/// The histogram and the peaks of one resource.
private struct EncodedSeries: Codable {
    /// The first bucket and the weights from it on.
    var start: Int
    var weights: [UInt32]
    /// Days since 1970 and the peak of each.
    var days: [Int]
    var peaks: [Int]

    enum CodingKeys: String, CodingKey {
        case start = "b"
        case weights = "w"
        case days = "d"
        case peaks = "p"
    }

    init(_ histogram: DecayingHistogram, _ peaks: DailyPeaks) {
        start = histogram.start
        weights = histogram.weights
        days = peaks.days
        self.peaks = peaks.values
    }

    func decoded(
        _ scale: DecayingHistogram.Scale,
        lastDay: Int
    ) -> (DecayingHistogram, DailyPeaks)? {
        guard let histogram = DecayingHistogram(scale, start: start, weights: weights),
            let peaks = DailyPeaks(days: days, values: peaks, lastDay: lastDay)
        else { return nil }
        return (histogram, peaks)
    }
}

extension UsageHistory.Shortage {
    fileprivate init?(_ row: [Int]) {
        guard row.count == 5, row.dropFirst().allSatisfy({ $0 >= 0 }), row[1] <= Self.largestCount,
            row[2] <= Self.largestCount, row[3] <= UsageHistory.largestBytes,
            row[4] <= UsageHistory.largestBytes * 2
        else { return nil }
        self.init(
            day: row[0],
            kills: row[1],
            sheddings: row[2],
            killLimitBytes: row[3],
            needBytes: row[4]
        )
    }

    fileprivate var row: [Int] { [day, kills, sheddings, killLimitBytes, needBytes] }
}
