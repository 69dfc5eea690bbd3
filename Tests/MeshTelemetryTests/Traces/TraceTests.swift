import MeshTelemetry
import MeshTesting
import Testing

@Suite struct TraceTests {
    private func span(
        _ id: String,
        in parent: String? = nil,
        from start: Int,
        for duration: Int? = 10,
        service: String = "demo/blue",
        isError: Bool = false
    ) -> Span {
        Span(
            traceID: "1",
            spanID: id,
            parentID: parent,
            name: id,
            service: service,
            startMicroseconds: start,
            durationMicroseconds: duration,
            isError: isError
        )
    }

    private func lines(_ spans: [Span]) -> [String] {
        (Trace(spans)?.rows ?? []).map { row in
            String(repeating: " ", count: row.depth)
                + "\(row.span.spanID) +\(row.offsetMicroseconds) \(row.durationMicroseconds)"
                + (row.isOrphan ? "?" : "")
        }
    }

    @Test func `spans are shown below those they are part of, by begin`() {
        let spans = [
            span("d", in: "b", from: 140), span("c", in: "a", from: 150),
            span("a", from: 100, for: 90),
            span("b", in: "a", from: 120, for: nil),
        ]
        #expect(lines(spans) == ["a +0 90", " b +20 0", "  d +40 10", " c +50 10"])
    }

    @Test func `a span whose parent is not known is shown at the left`() {
        let spans = [
            span("b", in: "x", from: 50), span("a", from: 100), span("c", in: "b", from: 60),
        ]
        #expect(lines(spans) == ["b +0 10?", " c +10 10", "a +50 10"])
    }

    @Test func `circles are opened at their first span`() {
        #expect(lines([span("a", in: "a", from: 1)]) == ["a +0 10?"])
        let circle = [
            span("c", in: "b", from: 3), span("a", in: "c", from: 1), span("b", in: "a", from: 2),
            span("d", in: "c", from: 0),
        ]
        #expect(lines(circle) == ["a +1 10?", " b +2 10", "  c +3 10", "   d +0 10"])
    }

    @Test func `a span that comes again once it is over is one`() {
        let open = span("a", from: 1, for: nil)
        let over = span("a", from: 1, for: 10)
        let again = span("a", from: 1, for: 20)
        for spans in [[open, over, again], [over, open, open], [over, again, open]] {
            #expect(lines(spans) == ["a +0 10"])
        }
    }

    @Test func `a call that does not say whose it is has the service around it`() throws {
        let trace = try #require(
            Trace([
                span("c", in: "b", from: 3, service: ""), span("b", in: "a", from: 2, service: ""),
                span("a", from: 1, service: "demo/front"), span("x", in: "y", from: 4, service: ""),
                span("y", in: "x", from: 5, service: ""),
            ])
        )
        #expect(
            trace.rows.map(\.span.service) == ["demo/front", "demo/front", "demo/front", "", ""]
        )
        #expect(trace.summary.services == ["demo/front"])
    }

    @Test func `a summary tells of the first span and of all`() throws {
        let trace = try #require(
            Trace([
                span("b", in: "a", from: 90, for: 500, service: "demo/green", isError: true),
                span("a", from: 100),
            ])
        )
        #expect(
            trace.summary
                == TraceSummary(
                    traceID: "1",
                    name: "a",
                    service: "demo/blue",
                    startMicroseconds: 90,
                    durationMicroseconds: 500,
                    spanCount: 2,
                    services: ["demo/blue", "demo/green"],
                    isError: true
                )
        )
        #expect(Trace([]) == nil)
    }

    @Test func `absurd times end nothing`() {
        let spans = [
            span("a", from: .min, for: .min), span("b", in: "a", from: .max, for: .max),
            span("c", in: "b", from: 0, for: .max),
        ]
        #expect(Trace(spans)?.rows.count == 3)
    }

    @Test(arguments: seeds(50))
    func `every span has one line, after and deeper than its parent's`(seed: UInt64) throws {
        var random = RandomSpans(seed: seed)
        let spans = random.trace(random.number(1...60))
        let trace = try #require(Trace(spans.shuffled(using: &random.generator)))
        #expect(trace.rows.map(\.span.spanID).sorted() == spans.map(\.spanID).sorted())
        var depths: [String: Int] = [:]
        for row in trace.rows {
            if row.depth > 0 {
                let parent = try #require(row.span.parentID.flatMap { depths[$0] })
                #expect(row.depth == parent + 1)
            }
            depths[row.span.spanID] = row.depth
        }
    }
}
