import FoundationEssentials
import MeshModel
import MeshTesting
import Testing

@testable import MeshPlan

/// A day in November 2023, at midnight.
let midnight = 1_700_006_400.0

/// A measurement `seconds` after midnight.
func usage(
    at seconds: Double,
    cpu: Double = 4,
    mebibytes: Double = 20,
    rate: Double = 0,
    throttled: Double = 0,
    interval: Double = 5
) -> ProxyUsage {
    ProxyUsage(
        timeSeconds: midnight + seconds,
        intervalSeconds: interval,
        cpuMillicores: cpu,
        memoryBytes: Int(mebibytes * 1_048_576),
        requestsPerSecond: rate,
        throttledShare: throttled
    )
}

/// A history of measurements each five minutes for `days`.
func history(days: Double, cpu: Double = 4, mebibytes: Double = 20) -> UsageHistory {
    var history = UsageHistory()
    for step in 0..<Int(days * 288) {
        history.add(
            usage(at: Double(step) * 300, cpu: cpu, mebibytes: mebibytes, interval: 60)
        )
    }
    return history
}

@Suite struct UsageHistoryTests {
    @Test func `a proxy has a summary after a minute`() throws {
        var history = UsageHistory()
        for step in 0..<11 {
            history.add(usage(at: Double(step) * 5))
            #expect(history.summary(nowSeconds: midnight + Double(step) * 5) == nil)
        }
        history.add(usage(at: 55, cpu: 9, mebibytes: 31))
        let summary = try #require(history.summary(nowSeconds: midnight + 55))
        #expect(summary.memoryBytes.maximum == 31 * 1_048_576)
        #expect(summary.cpuMillicores.maximum == 9)
        #expect(summary.cpuMillicores.median < 5)
        #expect(summary.confidence < 0.01)
    }

    @Test func `percentiles are at most a bucket above the truth`() throws {
        var history = UsageHistory()
        for step in 0..<288 {
            history.add(usage(at: Double(step) * 300, cpu: Double(step % 100), mebibytes: 24))
        }
        let summary = try #require(history.summary(nowSeconds: midnight + 287 * 300))
        #expect((90...96).contains(summary.cpuMillicores.percentile90))
        #expect((95...99).contains(summary.cpuMillicores.percentile95))
        #expect(summary.cpuMillicores.maximum == 99)
        #expect(summary.memoryBytes.median == 24 * 1_048_576)
        #expect(summary.confidence == 1)
    }

    @Test func `a peak of memory is kept for a week and then forgotten`() throws {
        var history = history(days: 1)
        history.add(usage(at: 86_000, mebibytes: 90))
        for day in 1...9 {
            history.add(usage(at: Double(day) * 86_400, mebibytes: 20))
            let now = midnight + Double(day) * 86_400
            let summary = try #require(history.summary(nowSeconds: now))
            let expected = day < 8 ? 90 : 20
            #expect(summary.memoryBytes.maximum == Double(expected * 1_048_576), "day \(day)")
        }
    }

    @Test func `what is older weighs less`() throws {
        var history = history(days: 2, cpu: 100)
        for step in 0..<576 {
            history.add(usage(at: 2 * 86_400 + Double(step) * 300, cpu: 10, interval: 60))
        }
        let summary = try #require(history.summary(nowSeconds: midnight + 4 * 86_400 - 300))
        // After two days a quarter of their weight is left: a fifth of all.
        #expect(summary.cpuMillicores.median < 11)
        #expect(summary.cpuMillicores.percentile90 > 99)
        for step in 0..<1152 {
            history.add(usage(at: 4 * 86_400 + Double(step) * 300, cpu: 10, interval: 60))
        }
        let later = try #require(history.summary(nowSeconds: midnight + 8 * 86_400 - 300))
        #expect(later.cpuMillicores.percentile90 < 11)
    }

    @Test(arguments: seeds(20))
    func `the order within a window does not matter`(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        var history = history(days: 0.5)
        let samples = (0..<60).map { step in
            usage(
                at: 43_200 + Double(step) * 5,
                cpu: .random(in: 0...3000, using: &generator),
                mebibytes: .random(in: 1...500, using: &generator),
                rate: .random(in: 0...5000, using: &generator),
                throttled: .random(in: 0...1, using: &generator),
                interval: .random(in: 0.1...10, using: &generator)
            )
        }
        var shuffled = history
        for sample in samples { history.add(sample) }
        for sample in samples.shuffled(using: &generator) { shuffled.add(sample) }
        #expect(history == shuffled)
        let now = midnight + 43_499
        #expect(history.summary(nowSeconds: now) == shuffled.summary(nowSeconds: now))
    }

    @Test(arguments: seeds(15))
    func `any measurements leave a history that can be summed up and encoded`(
        seed: UInt64
    ) throws {
        var generator = SeededGenerator(seed: seed)
        let odd: [Double] = [
            .nan, .infinity, -.infinity, -1, 0, .leastNonzeroMagnitude, 1e300, 5, 60, 1e9, 1e11,
        ]
        var history = UsageHistory()
        var time = midnight
        for _ in 0..<500 {
            time += Double.random(in: -7200...40_000, using: &generator)
            let at = generator.chance(10) ? generator.pick(odd) : time
            history.add(
                ProxyUsage(
                    timeSeconds: at,
                    intervalSeconds: generator.pick(odd),
                    cpuMillicores: generator.pick(odd),
                    memoryBytes: generator.pick([.min, -1, 0, 1, 1 << 24, 1 << 45, .max]),
                    requestsPerSecond: generator.pick(odd),
                    throttledShare: generator.pick(odd)
                )
            )
            if generator.chance(5) {
                history.addOutOfMemoryKill(
                    limitBytes: generator.pick([.min, 0, 1 << 25, .max]),
                    peakBytes: generator.pick([.min, 0, 1 << 25, .max]),
                    timeSeconds: generator.pick(odd + [time])
                )
                history.addShedding(limitBytes: .max, timeSeconds: time)
            }
            guard let summary = history.summary(nowSeconds: time) else { continue }
            for spread in [summary.cpuMillicores, summary.memoryBytes] {
                #expect(spread.median <= spread.percentile90)
                #expect(spread.percentile90 <= spread.percentile95)
                #expect(spread.percentile95 <= spread.maximum)
                #expect(spread.median >= 0 && spread.maximum.isFinite)
            }
            #expect((0...1).contains(summary.throttledShare))
        }
        #expect(try decoded(encoded(history)) == history)
    }

    @Test func `a clock that was ahead takes the history back with it`() throws {
        var history = history(days: 1, mebibytes: 30)
        let ahead = usage(at: 3 * 86_400, mebibytes: 40)
        history.add(ahead)
        history.add(usage(at: 86_400, mebibytes: 20))
        let summary = try #require(history.summary(nowSeconds: midnight + 86_400))
        #expect(summary.memoryBytes.maximum == 40 * 1_048_576)
        // And goes on forgetting from there.
        history.add(usage(at: 7 * 86_400, mebibytes: 20))
        history.add(usage(at: 10 * 86_400, mebibytes: 20))
        let later = try #require(history.summary(nowSeconds: midnight + 10 * 86_400))
        #expect(later.memoryBytes.maximum == 20 * 1_048_576)
    }

    @Test func `after a pause of over a week a history begins anew`() {
        var history = history(days: 3)
        history.add(usage(at: 12 * 86_400))
        #expect(history.summary(nowSeconds: midnight + 12 * 86_400) == nil)
    }

    @Test func `kills and shedding are told for a week`() throws {
        var history = history(days: 1)
        let limit = 32 << 20
        history.addOutOfMemoryKill(
            limitBytes: limit,
            peakBytes: 0,
            timeSeconds: midnight + 86_300
        )
        history.addOutOfMemoryKill(
            limitBytes: limit,
            peakBytes: limit,
            timeSeconds: midnight + 86_500
        )
        history.addShedding(limitBytes: 100 << 20, timeSeconds: midnight + 86_600)
        let summary = try #require(history.summary(nowSeconds: midnight + 86_700))
        #expect(summary.outOfMemoryKills == 2)
        #expect(summary.outOfMemoryLimitBytes == limit)
        #expect(summary.sheddingPeriods == 1)
        #expect(summary.neededMemoryBytes == 120 << 20)
        for day in 2...9 { history.add(usage(at: Double(day) * 86_400)) }
        let later = try #require(history.summary(nowSeconds: midnight + 9 * 86_400))
        #expect(later.outOfMemoryKills == 0)
        #expect(later.neededMemoryBytes == nil)
    }

    @Test func `being held up by a limit is soon forgotten once it ends`() throws {
        var history = UsageHistory()
        for step in 0..<12 {
            history.add(usage(at: Double(step) * 300, throttled: 0.4, interval: 60))
        }
        let during = try #require(history.summary(nowSeconds: midnight + 3600))
        #expect((0.39...0.41).contains(during.throttledShare))
        for step in 12..<120 {
            history.add(usage(at: Double(step) * 300, throttled: 0, interval: 60))
        }
        let after = try #require(history.summary(nowSeconds: midnight + 36_000))
        #expect(after.throttledShare < 0.02)
    }
}

@Suite struct UsageHistoryCodingTests {
    @Test func `a history has a few kilobytes`() throws {
        var generator = SeededGenerator(seed: 1)
        var busy = UsageHistory()
        for step in 0..<(8 * 288) {
            busy.add(
                usage(
                    at: Double(step) * 300,
                    cpu: exp2Random(17, &generator),
                    mebibytes: exp2Random(19, &generator),
                    rate: exp2Random(19, &generator),
                    interval: 60
                )
            )
        }
        #expect(try encoded(busy).count < 8192)
        #expect(try encoded(history(days: 8)).count < 1024)
        let weights =
            busy.cpu.weights.count + busy.memory.weights.count + busy.requests.weights.count
        #expect(weights * 4 < 3072)
    }

    private func exp2Random(_ bits: Int, _ generator: inout SeededGenerator) -> Double {
        Double(1 << Int.random(in: 0..<bits, using: &generator))
            * Double.random(in: 1...2, using: &generator)
    }

    @Test(arguments: [
        "", "[]", "{}", "null", #"{"v":2}"#, #"{"v":1}"#, #"{"v":"1"}"#,
    ])
    func `what is no history is refused`(text: String) {
        #expect(throws: DecodingError.self) { try decoded(Data(text.utf8)) }
    }

    @Test(arguments: [
        (#""v":1"#, #""v":2"#),
        (#""n":288"#, #""n":-1"#),
        (#""n":288"#, #""n":9e99"#),
        (#""p":20971520"#, #""p":-5"#),
        (#""b":"#, #""b":99"#),
        (#""b":"#, #""b":-"#),
        (#""w":["#, #""w":[0,"#),
        (#""w":["#, #""w":[-7,"#),
        (#""w":["#, #""w":[4294967296,"#),
        (#""d":[19676"#, #""d":[1,19676"#),
        (#""d":[19676"#, #""d":[99999"#),
        (#""short":[]"#, #""short":[[1,2]]"#),
        (#""short":[]"#, #""short":[[19676,1,1,-1,1]]"#),
        (#""throttled":["#, #""throttled":[-"#),
        (#",0],"v""#, #",99999999999999999],"v""#),
    ])
    func `a history that was tampered with is refused`(original: String, changed: String) throws {
        let text = String(decoding: try encoded(history(days: 1)), as: UTF8.self)
        #expect(try decoded(Data(text.utf8)) == history(days: 1))
        // The first of each, which is CPU's.
        let range = try #require(text.firstRange(of: original), "\(text)")
        var tampered = text
        tampered.replaceSubrange(range, with: changed)
        #expect(throws: DecodingError.self) { try decoded(Data(tampered.utf8)) }
    }

    @Test(arguments: seeds(3))
    func `no encoding crashes`(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let original = Array(try encoded(history(days: 1)))
        let letters = Array("0123456789-{}[],:\"eE.vwnsphbd".utf8)
        for _ in 0..<2000 {
            var bytes = original
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                let index = Int.random(in: 0..<bytes.count, using: &generator)
                if generator.chance(50) {
                    bytes[index] = generator.pick(letters)
                } else {
                    bytes.insert(generator.pick(letters), at: index)
                }
            }
            guard var history = try? decoded(Data(bytes)) else { continue }
            history.add(usage(at: 90_000))
            _ = history.summary(nowSeconds: midnight + 90_000)
            history.add(usage(at: -900_000))
            #expect(try decoded(encoded(history)) == history)
        }
    }
}

func encoded(_ history: UsageHistory) throws -> Data {
    let encoder = JSONEncoder()
    encoder.outputFormatting = .sortedKeys
    return try encoder.encode(history)
}

func decoded(_ data: Data) throws -> UsageHistory {
    try JSONDecoder().decode(UsageHistory.self, from: data)
}
