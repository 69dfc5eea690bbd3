internal import Glibc
public import MeshModel

/// What a proxy used, as far as its recommendation needs it: a few KB, however long it ran.
///
/// It goes by what the Vertical Pod Autoscaler found to work: histograms whose samples lose half of
/// their weight each day, CPU by the time it was used for, and memory by the peak of each five
/// minutes. So a new proxy has an answer after a minute, and the highest peaks of the last eight
/// days are kept beside the histograms.
///
/// In memory it has up to 4 KB, mostly less than 1 KB; as JSON at most 8 KB, mostly about 1 KB.
///
/// Guarantee: equal samples give equal histories, in whatever order those of one window came. It
/// takes any numbers: what is not finite or negative is passed over, and what is too large counts as
/// the largest. A clock that goes back by up to an hour counts as if it stood still; one that
/// goes back by more takes the history with it.
public struct UsageHistory: Hashable, Sendable {
    /// The seconds of a window, of which the peak of memory counts.
    static let windowSeconds = 300
    static let windowsPerDay = 86_400 / windowSeconds
    /// The days after which a sample weighs half.
    static let halfLifeDays = 1.0
    /// The hours after which being held up by a CPU limit weighs half: after a higher limit it
    /// soon ends.
    static let throttlingHalfLifeHours = 2.0
    /// The weight of one window's peak of memory.
    static let windowWeight: UInt32 = 4096
    /// Times beyond the year 5138 are no times.
    static let latestSeconds = 1e11
    static let largestWindowCount = 1 << 30
    static let largestBytes = 1 << 40
    static let largestMillicores = 256_000.0
    static let largestRate = 1e6

    var cpu = DecayingHistogram(.cpuMillicores)
    var memory = DecayingHistogram(.memoryBytes)
    var requests = DecayingHistogram(.requestsPerSecond)
    /// Peaks in thousandths of a thousandth of a core, so that idle proxies have digits.
    var cpuPeaks = DailyPeaks()
    var memoryPeaks = DailyPeaks()
    var requestPeaks = DailyPeaks()
    var shortages: [Shortage] = []
    /// The time that counts for throttling, and how much of it was held up, in tenths of microseconds.
    var throttlingTime = 0
    var throttledTime = 0
    /// The windows that have samples.
    var windowCount = 0
    /// The seconds that samples cover, as far as that matters.
    var coveredSeconds = 0
    /// The present window, in windows since 1970; nil before the first sample.
    var window: Int?
    /// The peak of memory in the present window; 0 when nothing was measured in it.
    var windowPeakBytes = 0
    var windowHasSamples = false

    /// How short a proxy was of memory on one day.
    struct Shortage: Hashable, Sendable {
        static let largestCount = 1_000_000

        var day: Int
        var kills = 0
        var sheddings = 0
        /// The limit under which it was ended last; 0 when it was not.
        var killLimitBytes = 0
        /// What would have been enough, so far as one can say.
        var needBytes = 0
    }

    /// Makes a history without samples.
    public init() {}

    /// Adds a measurement.
    public mutating func add(_ usage: ProxyUsage) {
        guard advance(to: usage.timeSeconds) else { return }
        if !windowHasSamples { windowCount = min(windowCount + 1, Self.largestWindowCount) }
        windowHasSamples = true
        if usage.memoryBytes > 0 {
            let bytes = min(usage.memoryBytes, Self.largestBytes)
            windowPeakBytes = max(windowPeakBytes, bytes)
            memoryPeaks.add(bytes, day: day)
        }
        guard usage.intervalSeconds.isFinite, usage.intervalSeconds > 0 else { return }
        // A measurement after a long pause says little of the pause.
        let tenths = UInt32((min(max(usage.intervalSeconds, 0.1), 60) * 10).rounded())
        coveredSeconds = min(coveredSeconds + max(1, Int(tenths) / 10), 86_400)
        if let millicores = usable(usage.cpuMillicores, upTo: Self.largestMillicores) {
            cpu.add(millicores, weight: tenths)
            cpuPeaks.add(Int((millicores * 1000).rounded(.up)), day: day)
        }
        if let rate = usable(usage.requestsPerSecond, upTo: Self.largestRate) {
            requests.add(rate, weight: tenths)
            requestPeaks.add(Int(rate.rounded(.up)), day: day)
        }
        if let share = usable(usage.throttledShare, upTo: 1) {
            throttlingTime += Int(tenths) * 1_000_000
            throttledTime += Int((Double(tenths) * share * 1e6).rounded())
        }
    }

    /// Adds that the kernel ended the proxy for its memory limit.
    ///
    /// What it needed is not known, only that the limit was not enough; see `moreMemory(than:)`.
    ///
    /// - Parameters:
    ///   - limitBytes: The limit.
    ///   - peakBytes: The most that it had; 0 when it is not known.
    ///   - timeSeconds: When, in seconds since 1970.
    public mutating func addOutOfMemoryKill(limitBytes: Int, peakBytes: Int, timeSeconds: Double) {
        guard advance(to: timeSeconds) else { return }
        let limit = min(max(limitBytes, 0), Self.largestBytes)
        let peak = min(max(peakBytes, 0), Self.largestBytes)
        changeShortage { shortage in
            shortage.kills = min(shortage.kills + 1, Shortage.largestCount)
            shortage.killLimitBytes = limit
            shortage.needBytes = max(shortage.needBytes, moreMemory(than: max(limit, peak)))
        }
    }

    /// Adds that the proxy began to refuse work as its memory ran short.
    ///
    /// - Parameters:
    ///   - limitBytes: The limit to which it came near.
    ///   - timeSeconds: When, in seconds since 1970.
    public mutating func addShedding(limitBytes: Int, timeSeconds: Double) {
        guard advance(to: timeSeconds) else { return }
        let limit = min(max(limitBytes, 0), Self.largestBytes)
        changeShortage { shortage in
            shortage.sheddings = min(shortage.sheddings + 1, Shortage.largestCount)
            shortage.needBytes = max(shortage.needBytes, moreMemory(than: limit))
        }
    }

    /// What is known at `nowSeconds`; nil before a minute was measured and nothing went wrong.
    public func summary(nowSeconds: Double) -> UsageSummary? {
        var history = self
        guard window != nil, history.advance(to: nowSeconds) else { return nil }
        return history.summary
    }

    /// What is known, up to the present window.
    private var summary: UsageSummary? {
        guard coveredSeconds >= 60 && !memoryPeaks.days.isEmpty || !shortages.isEmpty else {
            return nil
        }
        var memory = memory
        if windowPeakBytes > 0 { memory.add(Double(windowPeakBytes), weight: Self.windowWeight) }
        return UsageSummary(
            cpuMillicores: spread(cpu, maximum: Double(cpuPeaks.maximum) / 1000),
            memoryBytes: spread(memory, maximum: Double(memoryPeaks.maximum)),
            requestsPerSecond: min(requests.percentile(95), Double(requestPeaks.maximum)),
            confidence: Double(windowCount) / Double(Self.windowsPerDay),
            outOfMemoryKills: shortages.reduce(0) { $0 + $1.kills },
            outOfMemoryLimitBytes: shortages.last { $0.kills > 0 }?.killLimitBytes,
            neededMemoryBytes: shortages.map(\.needBytes).max(),
            sheddingPeriods: shortages.reduce(0) { $0 + $1.sheddings },
            throttledShare: throttlingTime > 0
                ? Double(throttledTime) / Double(throttlingTime) : 0
        )
    }

    private func spread(
        _ histogram: DecayingHistogram,
        maximum: Double
    ) -> UsageSummary.Spread {
        UsageSummary.Spread(
            median: min(histogram.percentile(50), maximum),
            percentile90: min(histogram.percentile(90), maximum),
            percentile95: min(histogram.percentile(95), maximum),
            maximum: maximum
        )
    }
}

extension UsageHistory {
    /// The present day, in days since 1970.
    var day: Int { (window ?? 0) / Self.windowsPerDay }

    /// Goes on to the window of `seconds`; false when that is no time.
    private mutating func advance(to seconds: Double) -> Bool {
        guard seconds.isFinite, seconds >= 0, seconds < Self.latestSeconds else { return false }
        let next = Int(seconds) / Self.windowSeconds
        guard let last = window else {
            window = next
            return true
        }
        if last - next > 3600 / Self.windowSeconds { goBack(from: last, to: next) }
        guard next > last else { return true }
        if next - last >= DailyPeaks.dayCount * Self.windowsPerDay {
            // Nothing of before counts any more.
            self = UsageHistory()
            return advance(to: seconds)
        }
        decay(windows: next - last)
        window = next
        let today = day
        cpuPeaks.advance(to: today)
        memoryPeaks.advance(to: today)
        requestPeaks.advance(to: today)
        shortages.removeAll { today - $0.day >= DailyPeaks.dayCount }
        return true
    }

    private mutating func decay(windows: Int) {
        if windowPeakBytes > 0 { memory.add(Double(windowPeakBytes), weight: Self.windowWeight) }
        windowPeakBytes = 0
        windowHasSamples = false
        let days = Double(windows) / Double(Self.windowsPerDay)
        let factor = exp2(-days / Self.halfLifeDays)
        cpu.decay(by: factor)
        memory.decay(by: factor)
        requests.decay(by: factor)
        let throttling = exp2(-days * 24 / Self.throttlingHalfLifeHours)
        throttlingTime = Int(Double(throttlingTime) * throttling)
        throttledTime = Int(Double(throttledTime) * throttling)
    }

    /// Takes all that was for earlier, as the clock was ahead.
    private mutating func goBack(from last: Int, to next: Int) {
        let days = last / Self.windowsPerDay - next / Self.windowsPerDay
        cpuPeaks.shift(by: days)
        memoryPeaks.shift(by: days)
        requestPeaks.shift(by: days)
        for index in shortages.indices { shortages[index].day -= days }
        window = next
    }

    private mutating func changeShortage(_ change: (inout Shortage) -> Void) {
        if shortages.last?.day != day { shortages.append(Shortage(day: day)) }
        change(&shortages[shortages.count - 1])
    }
}

/// `value` if it is finite and not negative, and at most `limit`.
private func usable(_ value: Double, upTo limit: Double) -> Double? {
    value.isFinite && value >= 0 ? min(value, limit) : nil
}
