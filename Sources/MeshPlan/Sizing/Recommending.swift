public import MeshModel

/// What a proxy should ask for that asks for `resources` now.
///
/// The CPU request follows what was enough nine times in ten, and memory the highest peak, each with
/// a margin that is wider as long as little is known. A limit is recommended only where there is
/// one: that of CPU only goes up, as one that is not reached costs nothing, and that of memory comes
/// down only after a day and never to where the kernel ended the proxy. Without history
/// nothing is taken away.
///
/// Guarantee: what fits is recommended unchanged; recommended memory does not fall when the peak
/// rises; and a recommendation made once more, after itself, is the same.
///
/// - Parameters:
///   - resources: What it asks for now.
///   - usage: What it used; nil when that is not known yet.
///   - configuration: What it is configured with.
///   - expectedRequestsPerSecond: How much it will be asked, as far as that is known before it is.
///   - previous: The recommendation before. What it says is left only when that is clearly over.
/// - Returns: What it should ask for, and why.
public func recommendation(
    for resources: SidecarResources,
    usage: UsageSummary?,
    configuration: ConfigurationSize,
    expectedRequestsPerSecond: Double = 0,
    after previous: SizingRecommendation? = nil
) -> SizingRecommendation {
    let needs =
        usage.map { Needs($0, configuration, expectedRequestsPerSecond) }
        ?? Needs(Forecast(configuration, requestsPerSecond: expectedRequestsPerSecond))
    let before = previous?.requested == resources ? previous?.recommended : nil
    let recommended = resources.settled(on: needs, usage, before)
    let verdict: SizingRecommendation.Verdict =
        if recommended.asksMore(than: resources) {
            .undersized
        } else if recommended != resources {
            .oversized
        } else {
            .fitting
        }
    return SizingRecommendation(
        requested: resources,
        recommended: recommended,
        verdict: verdict,
        isForecast: usage == nil,
        reasons: SizingReasons(resources, recommended, usage, configuration, needs).sentences
    )
}

/// The rules by which needs become amounts.
enum SizingRule {
    /// What is added to what was used, as the Vertical Pod Autoscaler does.
    static let margin = 1.15
    /// What is added beside it as long as nothing is known, and nothing of it after a day.
    static let marginOfIgnorance = 0.35
    /// The share of its memory limit that a proxy may use before it refuses work.
    ///
    /// Of a limit L Envoy's heap may have 0.85 L - 9 MiB, and it takes no connections from 0.80 of that
    /// on; what it uses is its heap and 9 MiB, measured.
    static let shareOfLimit = 0.68
    /// What comes all at once takes memory before Envoy looks again, so half of a limit is kept for that.
    static let limitPerPeak = 2.0
    /// A limit costs nothing until it is reached, so only one of more than this much is called too high.
    static let generosity = 2.0
    /// More than needed is too much by this share, divided by the days that were measured: the 256Mi of an
    /// idle proxy after an hour, and 40 % more than needed after a day.
    static let allowanceDays = 0.4
    /// From which share of time on a CPU limit counts as too low.
    static let throttledShare = 0.05
    /// Idle proxies need less, and nobody gains by asking for less.
    static let leastMillicores = 5
    /// An Envoy with few clusters and little traffic has 17 to 19 MB, measured.
    static let leastMemoryBytes = 24 << 20
    /// At 32 MiB an Envoy refuses work under any load, measured.
    static let leastMemoryLimitBytes = 40 << 20
    static let mostMillicores = 256_000
    static let mostMemoryBytes = 1 << 41

    /// `value` rounded up to an amount that people would write: steps of 5m, 25m and 100m.
    static func millicores(_ value: Double) -> Int {
        let amount = whole(value, leastMillicores...mostMillicores)
        return roundedUp(amount, to: amount <= 100 ? 5 : amount <= 1000 ? 25 : 100)
    }

    /// `value` rounded up to an amount that people would write: steps of 8Mi, 32Mi and 128Mi.
    static func memoryBytes(_ value: Double) -> Int {
        let amount = whole(value, leastMemoryBytes...mostMemoryBytes)
        return roundedUp(amount, to: (amount <= 128 << 20 ? 8 : amount <= 1 << 30 ? 32 : 128) << 20)
    }

    private static func whole(_ value: Double, _ range: ClosedRange<Int>) -> Int {
        guard value < Double(range.upperBound) else { return range.upperBound }
        return max(range.lowerBound, value.isFinite ? Int(value.rounded(.up)) : range.lowerBound)
    }

    private static func roundedUp(_ amount: Int, to step: Int) -> Int {
        (amount + step - 1) / step * step
    }
}

/// What one amount should be, and between which bounds it fits.
struct Need: Hashable, Sendable {
    /// What it should be.
    var target: Double
    /// Less than this is too little.
    var lower: Double
    /// More than this is too much.
    var upper: Double
}

/// What a proxy needs.
struct Needs: Hashable, Sendable {
    /// In thousandths of a core.
    var cpuRequest: Need
    /// In bytes.
    var memoryRequest: Need
    /// In bytes, where there is a limit.
    var memoryLimit: Need
    /// What memory is expected by the configuration.
    var forecast: Forecast

    /// The needs that a forecast tells of: it never calls anything too much.
    init(_ forecast: Forecast) {
        self.forecast = forecast
        let memory = Double(forecast.memoryBytes)
        memoryRequest = Need(target: memory * SizingRule.margin, lower: memory, upper: .infinity)
        memoryLimit = Need(
            target: memory * SizingRule.limitPerPeak,
            lower: memory / SizingRule.shareOfLimit,
            upper: .infinity
        )
        cpuRequest = Need(
            target: forecast.cpuMillicores * SizingRule.margin,
            lower: forecast.cpuMillicores,
            upper: .infinity
        )
    }

    /// The needs that use tells of; a forecast helps out on the first day.
    init(_ usage: UsageSummary, _ configuration: ConfigurationSize, _ expectedRate: Double) {
        let rate = max(sane(usage.requestsPerSecond), expectedRate)
        forecast = Forecast(configuration, requestsPerSecond: rate)
        let confidence = sane(usage.confidence)
        let margin =
            SizingRule.margin + SizingRule.marginOfIgnorance * (1 - min(confidence, 1))
        let allowance = 1 + SizingRule.allowanceDays / confidence
        // A limit that holds it up hides what it wanted.
        let wanted = 1 / (1 - min(sane(usage.throttledShare), 0.5))
        cpuRequest = Need(
            target: sane(usage.cpuMillicores.percentile90) * wanted * margin,
            lower: sane(usage.cpuMillicores.median) * wanted,
            upper: max(
                sane(usage.cpuMillicores.percentile95) * wanted * margin,
                Double(SizingRule.leastMillicores)
            ) * allowance
        )
        let peak = sane(usage.memoryBytes.maximum)
        let killed = usage.outOfMemoryLimitBytes.map { moreMemory(than: max(0, $0)) } ?? 0
        let enough = Double(max(usage.neededMemoryBytes ?? 0, killed))
        let expected = confidence < 1 ? Double(forecast.memoryBytes) : 0
        let request = max(
            peak * margin,
            enough,
            expected * SizingRule.margin,
            Double(SizingRule.leastMemoryBytes)
        )
        memoryRequest = Need(
            target: request,
            lower: max(peak, enough),
            upper: request * allowance
        )
        let limit = max(
            peak * max(margin / SizingRule.shareOfLimit, SizingRule.limitPerPeak),
            request,
            Double(SizingRule.leastMemoryLimitBytes)
        )
        memoryLimit = Need(
            target: limit,
            lower: max(peak / SizingRule.shareOfLimit, enough),
            upper: confidence < 1 ? .infinity : limit * SizingRule.generosity
        )
    }
}

/// `value`, or 0 when it is no amount.
private func sane(_ value: Double) -> Double { value.isFinite ? max(value, 0) : 0 }

/// What a proxy should have for which `bytes` were not enough: a fifth more, as the Vertical Pod
/// Autoscaler guesses, or else 16 MiB, about what an Envoy has of its own.
///
/// The Autoscaler's least is 100 MiB, the memory of several proxies.
func moreMemory(than bytes: Int) -> Int {
    let bytes = min(bytes, UsageHistory.largestBytes)
    return max(bytes + bytes / 5, bytes + 16 << 20)
}

extension SidecarResources {
    /// These amounts, or those that `needs` ask for where they don't fit.
    fileprivate func settled(
        on needs: Needs,
        _ usage: UsageSummary?,
        _ before: SidecarResources?
    ) -> SidecarResources {
        var result = self
        result.memoryRequestBytes = settledAmount(
            memoryRequestBytes,
            on: needs.memoryRequest,
            before: before?.memoryRequestBytes,
            rounded: SizingRule.memoryBytes
        )
        result.memoryLimitBytes = memoryLimitBytes.map { limit in
            let settled = settledAmount(
                limit,
                on: needs.memoryLimit,
                before: before?.memoryLimitBytes,
                rounded: SizingRule.memoryBytes
            )
            guard settled < result.memoryRequestBytes else { return settled }
            // The limit has to go along with the request.
            let target = SizingRule.memoryBytes(needs.memoryLimit.target)
            return max(target, result.memoryRequestBytes)
        }
        result.cpuLimitMillicores = cpuLimitMillicores.map { limit in
            settledCPULimit(limit, usage, before: before?.cpuLimitMillicores)
        }
        result.cpuRequestMillicores = settledAmount(
            cpuRequestMillicores,
            on: needs.cpuRequest,
            before: before?.cpuRequestMillicores,
            rounded: SizingRule.millicores
        )
        if let limit = result.cpuLimitMillicores {
            result.cpuRequestMillicores = min(result.cpuRequestMillicores, limit)
        }
        return result
    }

    /// Whether any amount is above that of `other`.
    fileprivate func asksMore(than other: SidecarResources) -> Bool {
        cpuRequestMillicores > other.cpuRequestMillicores
            || memoryRequestBytes > other.memoryRequestBytes
            || (cpuLimitMillicores ?? 0) > (other.cpuLimitMillicores ?? 0)
            || (memoryLimitBytes ?? 0) > (other.memoryLimitBytes ?? 0)
    }
}

/// The CPU limit `limit`, or half as much again when it holds the proxy up.
private func settledCPULimit(_ limit: Int, _ usage: UsageSummary?, before: Int?) -> Int {
    guard let usage else { return limit }
    let wasTooLow = before.map { $0 > limit } ?? false
    let share = SizingRule.throttledShare * (wasTooLow ? 0.5 : 1)
    guard sane(usage.throttledShare) >= share else { return limit }
    let raised = max(Double(limit) * 1.5, sane(usage.cpuMillicores.maximum) * 1.2)
    return max(before ?? 0, max(SizingRule.millicores(raised), limit))
}

/// `amount` if it fits `need`, or else what the need asks for.
///
/// Bounds lean 5 % to what was said before, and a number that was said is lowered only when even
/// 10 % more than needed is less, so that use that wavers does not change what is said.
private func settledAmount(
    _ amount: Int,
    on need: Need,
    before: Int?,
    rounded: (Double) -> Int
) -> Int {
    let asked = Double(amount)
    let wasLow = before.map { $0 > amount } ?? false
    let wasHigh = before.map { $0 < amount } ?? false
    let didFit = before == amount
    let target = rounded(need.target)
    let lower = need.lower * (wasLow ? 1.05 : didFit ? 0.95 : 1)
    let upper = need.upper * (wasHigh ? 0.95 : didFit ? 1.05 : 1)
    let goesUp = wasLow ? need.target > asked * 1.05 : Double(target) > asked * 1.1
    let goesDown = wasHigh ? need.target < asked * 0.95 : Double(target) < asked * 0.9
    let isLow = asked < lower && goesUp && target > amount
    let isHigh = asked > upper && goesDown && target < amount
    guard isLow || isHigh else { return amount }
    guard let before, isLow ? wasLow : wasHigh, target < before else { return target }
    return rounded(need.target * 1.1) < before ? target : before
}
