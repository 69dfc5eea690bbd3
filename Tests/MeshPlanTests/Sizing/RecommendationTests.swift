import MeshModel
import MeshPlan
import MeshTesting
import Testing

private let mebibyte = 1 << 20

/// What a proxy used, by the numbers that matter.
private func summary(
    cpu: Double = 3,
    mebibytes: Double = 31,
    p95: Double? = nil,
    days: Double = 3,
    kills: Int = 0,
    killLimit: Int? = nil,
    sheddings: Int = 0,
    throttled: Double = 0
) -> UsageSummary {
    let memory = mebibytes * Double(mebibyte)
    let usual = (p95 ?? mebibytes) * Double(mebibyte)
    return UsageSummary(
        cpuMillicores: .init(
            median: cpu * 0.8,
            percentile90: cpu,
            percentile95: cpu * 1.1,
            maximum: cpu * 4
        ),
        memoryBytes: .init(
            median: usual * 0.9,
            percentile90: usual,
            percentile95: usual,
            maximum: memory
        ),
        confidence: days,
        outOfMemoryKills: kills,
        outOfMemoryLimitBytes: killLimit,
        sheddingPeriods: sheddings,
        throttledShare: throttled
    )
}

private func resources(
    cpu: Int = 250,
    mebibytes: Int = 256,
    cpuLimit: Int? = nil,
    limit: Int? = nil
) -> SidecarResources {
    SidecarResources(
        cpuRequestMillicores: cpu,
        memoryRequestBytes: mebibytes * mebibyte,
        cpuLimitMillicores: cpuLimit,
        memoryLimitBytes: limit.map { $0 * mebibyte }
    )
}

private func configuration(clusters: Int = 14, routes: Int = 6) -> ConfigurationSize {
    var size = ConfigurationSize()
    size.clusters = clusters
    size.virtualHosts = routes
    size.routes = routes
    size.listeners = 2
    return size
}

private func recommend(
    _ resources: SidecarResources,
    _ usage: UsageSummary?,
    rate: Double = 0,
    after previous: SizingRecommendation? = nil
) -> SizingRecommendation {
    recommendation(
        for: resources,
        usage: usage,
        configuration: configuration(),
        expectedRequestsPerSecond: rate,
        after: previous
    )
}

@Suite struct RecommendationTests {
    @Test func `a proxy with App Mesh's advice is asked to give most of it back`() {
        let result = recommend(resources(), summary(p95: 27))
        #expect(result.recommended == resources(cpu: 5, mebibytes: 40))
        #expect(result.verdict == .oversized)
        #expect(!result.isForecast)
        #expect(
            result.reasons == [
                "used 31Mi at the most in 3 days (p95 27Mi); 256Mi is asked for: 216Mi could be given "
                    + "back",
                "needed no more than 3m of CPU nine tenths of the time (12m at the most); 250m is asked "
                    + "for: 245m could be given back",
            ]
        )
    }

    @Test func `what fits is left alone`() {
        let asked = resources(cpu: 5, mebibytes: 40, limit: 64)
        let result = recommend(asked, summary())
        #expect(result.recommended == asked)
        #expect(result.verdict == .fitting)
        #expect(
            result.reasons == [
                "needed no more than 3m of CPU nine tenths of the time (12m at the most); 5m is asked "
                    + "for",
                "used 31Mi at the most in 3 days (p95 31Mi); 40Mi is asked for",
            ]
        )
    }

    @Test func `what was applied fits`() {
        for peak in stride(from: 10.0, to: 900, by: 7) {
            for days in [1.0, 3, 30] {
                let usage = summary(cpu: peak / 2, mebibytes: peak, days: days)
                let asked = resources(cpuLimit: 2000, limit: 512)
                let first = recommend(asked, usage)
                let second = recommend(first.recommended, usage)
                #expect(second.verdict == .fitting, "\(peak) \(days) \(first) \(second)")
            }
        }
    }

    @Test func `a proxy that was killed gets more than it was killed at`() {
        let usage = summary(mebibytes: 31, kills: 2, killLimit: 32 * mebibyte)
        let result = recommend(resources(cpu: 5, mebibytes: 32, limit: 32), usage)
        #expect(result.verdict == .undersized)
        #expect(result.recommended.memoryLimitBytes == 64 * mebibyte)
        #expect(result.recommended.memoryRequestBytes == 48 * mebibyte)
        #expect(result.reasons.first == "was killed twice for memory under its limit of 32Mi")
        #expect(
            result.reasons.last
                == "its memory limit of 32Mi leaves too little room and should be 64Mi"
        )
    }

    @Test func `a proxy that refused work for memory says so`() {
        var usage = summary(mebibytes: 60, sheddings: 3)
        usage.neededMemoryBytes = 80 * mebibyte
        let result = recommend(resources(cpu: 5, mebibytes: 64, limit: 64), usage)
        #expect(result.recommended.memoryLimitBytes == 120 * mebibyte)
        #expect(result.reasons.first == "refused work 3 times as its memory ran short")
    }

    @Test func `a CPU limit that holds a proxy up is raised`() {
        let usage = summary(cpu: 90, throttled: 0.123)
        let result = recommend(resources(cpu: 100, mebibytes: 40, cpuLimit: 100), usage)
        #expect(result.verdict == .undersized)
        #expect(result.recommended.cpuLimitMillicores == 450)
        #expect(
            result.reasons.first
                == "its CPU limit of 100m held it up 12 % of the time lately and should be 450m"
        )
        let quiet = recommend(resources(cpu: 100, cpuLimit: 100), summary(cpu: 90))
        #expect(quiet.recommended.cpuLimitMillicores == 100)
    }

    @Test func `limits are recommended only where there are some`() {
        let result = recommend(
            resources(),
            summary(kills: 1, killLimit: 64 * mebibyte, throttled: 0.5)
        )
        #expect(result.recommended.memoryLimitBytes == nil)
        #expect(result.recommended.cpuLimitMillicores == nil)
    }

    @Test func `a memory limit comes down only after a day`() {
        let asked = resources(mebibytes: 40, limit: 512)
        #expect(recommend(asked, summary(days: 0.9)).recommended.memoryLimitBytes == 512 * mebibyte)
        let result = recommend(asked, summary(days: 1.1))
        #expect(result.recommended.memoryLimitBytes == 64 * mebibyte)
        #expect(result.reasons.last == "its memory limit of 512Mi could be 64Mi")
    }

    @Test func `without history nothing is taken away and what is expected is told`() {
        let result = recommend(resources(), nil)
        #expect(result.recommended == resources())
        #expect(result.verdict == .fitting)
        #expect(result.isForecast)
        #expect(
            result.reasons == [
                "no history yet: 14 clusters and 6 routes are expected to take 17Mi"
            ]
        )
    }

    @Test func `a forecast asks for more where too little is asked for`() {
        let result = recommend(resources(cpu: 10, mebibytes: 16), nil, rate: 1000)
        #expect(result.verdict == .undersized)
        #expect(result.recommended.memoryRequestBytes == 32 * mebibyte)
        #expect(result.recommended.cpuRequestMillicores == 150)
        #expect(
            result.reasons == [
                "no history yet: 14 clusters and 6 routes are expected to take 22Mi; 16Mi is asked for "
                    + "and should be 32Mi"
            ]
        )
    }

    @Test func `a short history says so and leaves room`() {
        let result = recommend(resources(), summary(days: 0.2))
        #expect(result.recommended.memoryRequestBytes == 48 * mebibyte)
        #expect(
            result.reasons.last
                == "measured for 4 hours only, and other hours may need more: 14 clusters and 6 routes "
                + "are expected to take 17Mi"
        )
        // A few minutes are too little to call 40Mi too much.
        let minutes = recommend(resources(mebibytes: 40), summary(mebibytes: 12, days: 0.005))
        #expect(minutes.recommended.memoryRequestBytes == 40 * mebibyte)
    }
}

@Suite struct RecommendationPropertyTests {
    private func random(_ generator: inout SeededGenerator) -> (SidecarResources, UsageSummary) {
        let cpu = Int.random(in: 1...2000, using: &generator)
        let memory = Int.random(in: 8...800, using: &generator)
        let asked = resources(
            cpu: cpu,
            mebibytes: memory,
            cpuLimit: generator.chance(50) ? cpu * Int.random(in: 1...4, using: &generator) : nil,
            limit: generator.chance(50) ? memory * Int.random(in: 1...4, using: &generator) : nil
        )
        let isKilled = generator.chance(20)
        let usage = summary(
            cpu: .random(in: 0...1500, using: &generator),
            mebibytes: .random(in: 1...700, using: &generator),
            days: .random(in: 0...9, using: &generator),
            kills: isKilled ? 1 : 0,
            killLimit: isKilled ? Int.random(in: 8...400, using: &generator) * mebibyte : nil,
            throttled: generator.chance(30) ? .random(in: 0...1, using: &generator) : 0
        )
        return (asked, usage)
    }

    @Test(arguments: seeds(300))
    func `recommendations keep their promises`(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let (asked, usage) = random(&generator)
        let result = recommend(asked, usage)
        let new = result.recommended
        // Nothing goes below its floor, unless it is there already.
        #expect(new.cpuRequestMillicores >= min(5, asked.cpuRequestMillicores))
        #expect(new.memoryRequestBytes >= min(24 * mebibyte, asked.memoryRequestBytes))
        #expect((new.cpuLimitMillicores == nil) == (asked.cpuLimitMillicores == nil))
        #expect((new.memoryLimitBytes == nil) == (asked.memoryLimitBytes == nil))
        if let limit = new.memoryLimitBytes {
            #expect(limit >= new.memoryRequestBytes)
            #expect(limit > usage.outOfMemoryLimitBytes ?? 0)
            #expect(Double(limit) > usage.memoryBytes.maximum)
        }
        if let limit = new.cpuLimitMillicores { #expect(limit >= new.cpuRequestMillicores) }
        #expect((result.verdict == .fitting) == (new == asked))
        // Once more, after itself, it says the same.
        #expect(recommend(asked, usage, after: result) == result)
    }

    @Test(arguments: seeds(300))
    func `a higher peak never means less memory`(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let (asked, usage) = random(&generator)
        var last = SidecarResources(memoryRequestBytes: 0, memoryLimitBytes: 0)
        for peak in stride(from: 1.0, to: 1000, by: 13) {
            var usage = usage
            usage.memoryBytes.maximum = peak * Double(mebibyte)
            let new = recommend(asked, usage).recommended
            #expect(new.memoryRequestBytes >= last.memoryRequestBytes, "peak \(peak)")
            #expect(new.memoryLimitBytes ?? 0 >= last.memoryLimitBytes ?? 0, "peak \(peak)")
            last = new
        }
    }

    @Test(arguments: seeds(100))
    func `use that wavers by 3 % does not change what is said`(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let (asked, usage) = random(&generator)
        var result = recommend(asked, usage)
        var changes = 0
        for _ in 0..<50 {
            var usage = usage
            usage.cpuMillicores.percentile90 *= .random(in: 0.97...1.03, using: &generator)
            usage.cpuMillicores.percentile95 *= .random(in: 0.97...1.03, using: &generator)
            usage.cpuMillicores.median *= .random(in: 0.97...1.03, using: &generator)
            usage.memoryBytes.maximum *= .random(in: 0.97...1.03, using: &generator)
            let next = recommend(asked, usage, after: result)
            if next.recommended != result.recommended { changes += 1 }
            result = next
        }
        // Each amount may rise to its highest once, in steps of no less than a rounding.
        #expect(changes <= 6, "\(asked) \(usage)")
    }

    @Test(arguments: [Double.nan, .infinity, -.infinity, -1, 1e300])
    func `no number crashes it`(value: Double) {
        let spread = UsageSummary.Spread(
            median: value,
            percentile90: value,
            percentile95: value,
            maximum: value
        )
        let usage = UsageSummary(
            cpuMillicores: spread,
            memoryBytes: spread,
            requestsPerSecond: value,
            confidence: value,
            outOfMemoryKills: .max,
            outOfMemoryLimitBytes: .max,
            neededMemoryBytes: .max,
            throttledShare: value
        )
        let asked = SidecarResources(
            cpuRequestMillicores: 1,
            memoryRequestBytes: 1,
            cpuLimitMillicores: 1,
            memoryLimitBytes: 1
        )
        let result = recommend(asked, usage, rate: value)
        #expect(result.recommended.memoryLimitBytes ?? 0 >= result.recommended.memoryRequestBytes)
    }
}
