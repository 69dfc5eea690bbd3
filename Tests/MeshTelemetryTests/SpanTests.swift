import MeshTelemetry
import Testing

@Suite struct SpanTests {
    @Test func `a query asks for the newest fifty traces unless it says more`() {
        #expect(TraceQuery().limit == 50)
    }
}
