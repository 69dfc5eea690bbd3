import Foundation
import Logging
import MeshTesting
import Testing

@testable import MeshTelemetry

@Suite struct TelemetryStoreTests {
    private let time = TestTime()
    private let warnings = TelemetryWarnings()

    private func store(
        _ folder: StoreFolder?,
        _ change: (inout TelemetryLimits) -> Void = { _ in }
    ) -> TelemetryStore {
        var limits = TelemetryLimits()
        change(&limits)
        return TelemetryStore(
            folder: folder?.path,
            limits: limits,
            nowSeconds: { [time] in time.seconds },
            logger: warnings.logger
        )
    }

    /// A trace of one span for each second after a while ago.
    private func spans(_ range: Range<Int>, service: String = "demo/blue") -> [Span] {
        range.map { number in
            Span(
                traceID: "0000000000000001" + digits(number),
                spanID: digits(number),
                name: "GET /\(number)",
                service: service,
                kind: .server,
                startMicroseconds: 1_795_000_000_000_000 + number * 1_000_000,
                durationMicroseconds: number,
                status: number.isMultiple(of: 10) ? 500 : 200,
                isError: number.isMultiple(of: 10),
                attributes: ["number": "\(number)"]
            )
        }
    }

    private func digits(_ number: Int) -> String {
        let text = String(number + 1, radix: 16)
        return String(repeating: "0", count: 16 - text.count) + text
    }

    // MARK: Traces

    @Test(arguments: [true, false])
    func `what is taken is there at once, as it was`(isInFile: Bool) async throws {
        var random = RandomSpans(seed: 1)
        let traces = (0..<20).map { _ in random.trace(random.number(1...30)) }
        let store = store(isInFile ? try StoreFolder() : nil)
        store.take(traces.flatMap { $0 }.shuffled(using: &random.generator))
        for trace in traces {
            let sorted = trace.sorted {
                ($0.startMicroseconds, $0.spanID) < ($1.startMicroseconds, $1.spanID)
            }
            #expect(try await store.spans(of: sorted[0].traceID) == sorted)
        }
        #expect(store.counts == .init(stored: traces.joined().count, dropped: 0))
        #expect(store.spanCount == traces.joined().count)
        #expect(store.isInFile == isInFile)
        #expect(try await store.spans(of: "none") == [])
    }

    @Test(arguments: seeds(10))
    func `summaries are those of the assembled traces, however spans come`(
        seed: UInt64
    ) async throws {
        var random = RandomSpans(seed: seed)
        let traces = (0..<10).map { _ in random.trace(random.number(1...20)) }
        var spans = traces.flatMap { $0 }
        // Some come before they are over, and once more then.
        spans += spans.filter { _ in random.generator.chance(20) }.map { span in
            var open = span
            open.durationMicroseconds = nil
            return open
        }
        let store = store(nil)
        for span in spans.shuffled(using: &random.generator) {
            store.take([span])
            if random.generator.chance(20) { _ = try await store.traces() }
        }
        let expected = traces.compactMap { Trace($0)?.summary }.sorted {
            $0.startMicroseconds > $1.startMicroseconds
        }
        #expect(try await store.traces() == expected)
    }

    @Test func `traces are found by service, time, duration and failure, newest first`()
        async throws
    {
        let store = store(try StoreFolder())
        store.take(spans(0..<40) + spans(40..<60, service: "demo/green"))
        store.take(spans(60..<70, service: "other/blue") + spans(70..<72, service: "blue"))
        func numbers(_ query: TraceQuery) async throws -> [Int] {
            try await store.traces(query).map(\.durationMicroseconds)
        }
        #expect(try await numbers(TraceQuery()) == Array((22..<72).reversed()))
        #expect(try await numbers(TraceQuery(limit: 3)) == [71, 70, 69])
        #expect(try await numbers(TraceQuery(service: "demo/green", limit: 2)) == [59, 58])
        let blue = Array((0..<40)) + Array(60..<72)
        #expect(try await numbers(TraceQuery(service: "blue", limit: 100)) == blue.reversed())
        #expect(try await numbers(TraceQuery(service: "lue")) == [])
        #expect(try await numbers(TraceQuery(service: "%")) == [])
        #expect(try await numbers(TraceQuery(errorsOnly: true)) == [70, 60, 50, 40, 30, 20, 10, 0])
        #expect(
            try await numbers(TraceQuery(service: "demo/blue", minimumDurationMicroseconds: 37))
                == [39, 38, 37]
        )
        let since = 1_795_000_000_000_000 + 68 * 1_000_000
        #expect(try await numbers(TraceQuery(sinceMicroseconds: since)) == [71, 70, 69, 68])
        #expect(
            try await numbers(
                TraceQuery(service: "blue", errorsOnly: true, sinceMicroseconds: since)
            )
                == [70]
        )
        #expect(try await numbers(TraceQuery(limit: -1)) == [])
    }

    @Test func `a span that is over takes the place of the one that was not`() async throws {
        let store = store(nil)
        var span = try #require(spans(7..<8).first)
        let over = span
        span.durationMicroseconds = nil
        span.status = nil
        store.take([span])
        #expect(try await store.traces().map(\.status) == [nil])
        store.take([over])
        store.take([span])
        #expect(try await store.spans(of: over.traceID) == [over])
        #expect(try await store.traces().map(\.status) == [200])
        #expect(store.spanCount == 1)
    }

    @Test func `an id is found by its begin`() async throws {
        let store = store(nil)
        store.take(spans(0..<40))
        let all = spans(0..<40).map(\.traceID)
        #expect(try await store.traceIDs(prefix: all[3]) == [all[3]])
        #expect(try await store.traceIDs(prefix: TraceID.xRay(all[3])) == [all[3]])
        #expect(try await store.traceIDs(prefix: "00000000000000010000000000000002") == [all[1]])
        #expect(
            try await store.traceIDs(prefix: "1-00000000-00000001", limit: 4) == Array(all[..<4])
        )
        #expect(try await store.traceIDs(prefix: "ff") == [])
        #expect(try await store.traceIDs(prefix: "%") == [])
    }

    @Test func `a call that does not say whose it is gets the service around it`() async throws {
        let store = store(nil)
        func span(_ id: String, in parent: String?, _ service: String, _ kind: Span.Kind) -> Span {
            Span(
                traceID: "1",
                spanID: id,
                parentID: parent,
                name: "x",
                service: service,
                kind: kind,
                startMicroseconds: 1_795_000_000_000_000,
                durationMicroseconds: 1
            )
        }
        store.take([
            span("front", in: nil, "demo/front", .client),
            span("blue", in: "front", "demo/blue", .server),
            span("egress", in: "blue", "demo/blue", .client),
            span("call", in: "egress", "", .client),
            span("green", in: "call", "demo/green", .server),
        ])
        let spans = try await store.spans(of: "1")
        #expect(spans.first { $0.spanID == "call" }?.service == "demo/blue")
    }

    // MARK: Limits

    @Test func `beyond the number of spans the oldest traces go`() async throws {
        let store = store(try StoreFolder()) { $0.spans = 100 }
        for begin in stride(from: 0, to: 1000, by: 50) {
            store.take(spans(begin..<(begin + 50)))
            _ = try await store.traces()
        }
        let kept = try await store.traces(TraceQuery(limit: 1000)).map(\.durationMicroseconds)
        #expect((90...100).contains(kept.count))
        #expect(kept == Array((0..<1000).reversed().prefix(kept.count)))
        #expect(store.spanCount == kept.count)
        #expect(
            try await store.traces(TraceQuery(service: "blue", limit: 1000)).count == kept.count
        )
        #expect(try await store.spans(of: spans(0..<1)[0].traceID) == [])
    }

    @Test func `traces that are too old go`() async throws {
        let store = store(try StoreFolder()) { $0.ageSeconds = 3600 }
        store.take(spans(0..<10))
        _ = try await store.traces()
        time.pass(1800)
        store.take(spans(10..<15))
        _ = try await store.traces()
        await store.tend()
        #expect(store.spanCount == 15)
        time.pass(1801)
        await store.tend()
        #expect(store.spanCount == 5)
        #expect(try await store.traces().map(\.durationMicroseconds) == [14, 13, 12, 11, 10])
        time.pass(3600)
        await store.tend()
        #expect(store.spanCount == 0)
        #expect(try await store.traces(TraceQuery(service: "blue")) == [])
    }

    @Test func `the file stays within its bytes`() async throws {
        let folder = try StoreFolder()
        let store = store(folder) { $0.fileBytes = 1 << 20 }
        for begin in stride(from: 0, to: 5000, by: 500) {
            store.take(
                spans(begin..<(begin + 500)).map { span in
                    var span = span
                    span.attributes["text"] = String(repeating: "x", count: 1000)
                    return span
                }
            )
            _ = try await store.traces()
        }
        let newest = try await store.traces(TraceQuery(limit: 1)).first
        #expect(newest?.durationMicroseconds == 4999)
        #expect((500..<2000).contains(store.spanCount))
        let size = try FileManager.default.attributesOfItem(atPath: folder.database)[.size]
        // One batch goes beyond the bound before the oldest go.
        #expect(try #require(size as? Int) < 3 << 20)
    }

    @Test func `one trace does not take the place of all`() async throws {
        let store = store(nil) { $0.spansOfTrace = 10 }
        let traceID = String(repeating: "1", count: 32)
        for batch in [0..<8, 8..<30] {
            store.take(
                spans(batch).map { span in
                    var span = span
                    span.traceID = traceID
                    return span
                }
            )
            _ = try await store.traces()
        }
        #expect(try await store.spans(of: traceID).count == 10)
        #expect(store.counts == .init(stored: 10, dropped: 20))
    }

    @Test func `what waits is bounded in number and bytes`() async throws {
        let few = store(nil) { $0.waitingSpans = 10 }
        few.take(spans(0..<30))
        #expect(few.counts.dropped == 20)
        #expect(try await few.traces().count == 10)
        let small = store(nil) { $0.waitingBytes = 10_000 }
        small.take(spans(0..<100))
        #expect((80..<100).contains(small.counts.dropped))
    }

    @Test func `spans of a time to come are dropped`() async throws {
        let store = store(nil)
        var span = try #require(spans(0..<1).first)
        span.startMicroseconds = Int(time.seconds + 90_000) * 1_000_000
        store.take([span])
        #expect(store.counts.dropped == 1)
        #expect(try await store.traces() == [])
    }

    // MARK: Audit

    private func record(
        _ caller: String,
        _ target: String = "demo/blue",
        _ verdict: AuditRecord.Verdict = .allowed,
        at seconds: Double,
        count: Int = 1,
        detail: String? = nil
    ) -> AuditRecord {
        AuditRecord(
            caller: caller,
            target: target,
            verdict: verdict,
            firstSeconds: seconds,
            lastSeconds: seconds,
            count: count,
            detail: detail
        )
    }

    @Test func `calls of the same are one record, over restarts`() async throws {
        let folder = try StoreFolder()
        let first = store(folder)
        first.record([
            record("demo/front", at: 10, count: 3), record("demo/front", at: 12, count: 2),
        ])
        first.record([record("x", "demo/blue", .denied, at: 11, detail: "GET blue /a")])
        _ = try await first.audit()
        let second = store(folder)
        second.record([record("demo/front", at: 20, count: 5)])
        second.record([record("x", "demo/blue", .denied, at: 9, detail: "GET blue /old")])
        var front = record("demo/front", at: 10, count: 10)
        front.lastSeconds = 20
        var denied = record("x", "demo/blue", .denied, at: 9, count: 2, detail: "GET blue /a")
        denied.lastSeconds = 11
        #expect(try await second.audit() == [front, denied])
    }

    @Test func `the audit is asked by service, verdict and time`() async throws {
        let store = store(nil)
        store.record([
            record("demo/front", "demo/blue", at: 1), record("demo/blue", "demo/green", at: 2),
            record("other/blue", "demo/green", .shadow, at: 3), record("a", "b", .denied, at: 4),
        ])
        func times(_ query: AuditQuery) async throws -> [Double] {
            try await store.audit(query).map(\.lastSeconds)
        }
        #expect(try await times(AuditQuery()) == [4, 3, 2, 1])
        #expect(try await times(AuditQuery(service: "blue")) == [3, 2, 1])
        #expect(try await times(AuditQuery(service: "demo/blue")) == [2, 1])
        #expect(try await times(AuditQuery(service: "lue")) == [])
        #expect(try await times(AuditQuery(verdict: .denied)) == [4])
        #expect(try await times(AuditQuery(sinceSeconds: 3, limit: 1)) == [4])
    }

    @Test func `beyond its number the records of the longest ago go`() async throws {
        let store = store(nil) { $0.auditRecords = 10 }
        for number in 0..<30 {
            store.record([record("caller \(number)", at: Double(number))])
            _ = try await store.audit()
        }
        let kept = try await store.audit().map(\.lastSeconds)
        #expect(kept == (20..<30).reversed().map(Double.init))
    }

    @Test func `what was allowed goes before what was denied`() async throws {
        let store = store(nil) { $0.auditRecords = 4 }
        store.record([record("x", "demo/blue", .denied, at: 1)])
        store.record([record("y", "demo/blue", .shadow, at: 2)])
        for number in 3..<20 {
            store.record([record("caller \(number)", at: Double(number))])
            _ = try await store.audit()
        }
        #expect(try await store.audit().map(\.lastSeconds) == [19, 18, 2, 1])
        store.record((20..<24).map { record("z \($0)", "demo/blue", .denied, at: Double($0)) })
        #expect(try await store.audit().map(\.lastSeconds) == [23, 22, 21, 20])
    }
}
