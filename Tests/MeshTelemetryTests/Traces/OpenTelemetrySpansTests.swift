import EnvoyAPI
import Foundation
import MeshTelemetry
import MeshTesting
import SwiftProtobuf
import Testing

@Suite struct OpenTelemetrySpansTests {
    /// A request with one span, as Envoy 1.40 has it.
    private func request(
        _ change: (inout Opentelemetry_Proto_Trace_V1_Span) -> Void = { _ in }
    ) throws -> OpenTelemetrySpans.Request {
        var request = try OpenTelemetrySpans.Request(
            jsonString: """
                {"resourceSpans": [{
                  "resource": {"attributes": [
                    {"key": "service.name", "value": {"stringValue": "demo/blue"}},
                    {"key": "telemetry.sdk.language", "value": {"stringValue": "cpp"}}]},
                  "scopeSpans": [{"scope": {"name": "envoy"}, "spans": [{
                    "name": "ingress", "kind": "SPAN_KIND_SERVER",
                    "startTimeUnixNano": "1795439730840174900",
                    "endTimeUnixNano": "1795439730843127000",
                    "status": {"code": "STATUS_CODE_ERROR"},
                    "attributes": [
                      {"key": "http.url", "value": {"stringValue": "http://blue:80/a?secret=1"}},
                      {"key": "http.method", "value": {"stringValue": "GET"}},
                      {"key": "component", "value": {"stringValue": "proxy"}},
                      {"key": "downstream_cluster", "value": {"stringValue": "-"}},
                      {"key": "http.status_code", "value": {"stringValue": "503"}}]}]}]}]}
                """
        )
        var span = request.resourceSpans[0].scopeSpans[0].spans[0]
        span.traceID = Data(repeating: 0x1a, count: 16)
        span.spanID = Data(repeating: 0x2b, count: 8)
        span.parentSpanID = Data(repeating: 0x3c, count: 8)
        change(&span)
        request.resourceSpans[0].scopeSpans[0].spans[0] = span
        return request
    }

    @Test func `a span of Envoy's is one of its proxy`() throws {
        let received = OpenTelemetrySpans.received(try request())
        #expect(
            received.spans == [
                Span(
                    traceID: String(repeating: "1a", count: 16),
                    spanID: String(repeating: "2b", count: 8),
                    parentID: String(repeating: "3c", count: 8),
                    name: "GET /a",
                    service: "demo/blue",
                    kind: .server,
                    startMicroseconds: 1_795_439_730_840_174,
                    durationMicroseconds: 2953,
                    status: 503,
                    isError: true,
                    attributes: [
                        "http.url": "http://blue:80/a", "http.method": "GET",
                        "component": "proxy", "downstream_cluster": "-", "http.status_code": "503",
                    ]
                )
            ]
        )
        #expect(received.rejected == 0)
    }

    @Test func `each wrong span is refused by itself, with the first reason`() throws {
        let broken: [(inout Opentelemetry_Proto_Trace_V1_Span) -> Void] = [
            { $0.traceID = Data(count: 16) },
            { $0.traceID = Data([1]) },
            { $0.spanID = Data(count: 8) },
            { $0.spanID = Data() },
            { $0.parentSpanID = Data([1, 2]) },
            { $0.startTimeUnixNano = 0 },
            { $0.startTimeUnixNano = .max },
            { $0.endTimeUnixNano = .max },
        ]
        var all = try request()
        let right = all.resourceSpans[0].scopeSpans[0].spans[0]
        let wrong = try broken.map { try request($0).resourceSpans[0].scopeSpans[0].spans[0] }
        all.resourceSpans[0].scopeSpans[0].spans = wrong + [right]
        let received = OpenTelemetrySpans.received(all)
        #expect(received.spans.count == 1)
        #expect(received.rejected == broken.count)
        #expect(received.reason?.description == "trace_id is not 16 bytes, or zero")
    }

    @Test func `a span without an end is not over, and one that ends early takes no time`() throws {
        let open = OpenTelemetrySpans.received(try request { $0.endTimeUnixNano = 0 })
        #expect(open.spans.map(\.durationMicroseconds) == [nil])
        let early = OpenTelemetrySpans.received(try request { $0.endTimeUnixNano = 2_000_000_000 })
        #expect(early.spans.map(\.durationMicroseconds) == [0])
    }

    @Test(arguments: seeds(20))
    func `spans that go to a collector come back as they were`(seed: UInt64) throws {
        var random = RandomSpans(seed: seed)
        let spans = (0..<5).flatMap { _ in random.trace(20) }.map { span in
            var span = span
            span.attributes["http.status_code"] = span.status.map(String.init)
            return span
        }
        let bytes: [UInt8] = try OpenTelemetrySpans.request(of: spans).serializedBytes()
        let back = OpenTelemetrySpans.received(try .init(serializedBytes: bytes))
        #expect(Set(back.spans) == Set(spans))
        #expect(back.rejected == 0)
    }

    @Test(arguments: seeds(20))
    func `whatever comes, spans are right or refused`(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let whole: [UInt8] = try request().serializedBytes()
        for _ in 0..<300 {
            var bytes = whole
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                let place = Int.random(in: 0..<bytes.count, using: &generator)
                bytes[place] = UInt8.random(in: 0...255, using: &generator)
            }
            guard let request = try? OpenTelemetrySpans.Request(serializedBytes: bytes) else {
                continue
            }
            for span in OpenTelemetrySpans.received(request).spans {
                #expect(TraceID.normalized(span.traceID) == span.traceID)
                #expect(span.startMicroseconds > 0)
                #expect(span.name.utf8.count <= 250)
            }
        }
    }
}
