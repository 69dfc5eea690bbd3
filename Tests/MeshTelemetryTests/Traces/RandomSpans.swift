import MeshTelemetry
import MeshTesting

/// Spans made at random, from a seed.
struct RandomSpans {
    var generator: SeededGenerator
    /// Begins are in the second after this.
    let baseMicroseconds = 1_795_439_730_000_000

    init(seed: UInt64) { generator = SeededGenerator(seed: seed) }

    mutating func digits(_ count: Int) -> String {
        String((0..<count).map { _ in generator.pick(Array("123456789abcdef")) })
    }

    mutating func number(_ range: ClosedRange<Int>) -> Int {
        Int.random(in: range, using: &generator)
    }

    /// A span of a proxy, as it comes from its own decoding.
    mutating func span(traceID: String, spanID: String? = nil, parentID: String? = nil) -> Span {
        let status = generator.pick([nil, 200, 204, 404, 429, 500, 503])
        let service = generator.pick(["demo/front", "demo/blue", "demo/green", "other/blue"])
        let kind: Span.Kind = generator.pick([.server, .client])
        let isOver = generator.chance(90)
        return Span(
            traceID: traceID,
            spanID: spanID ?? digits(16),
            parentID: parentID,
            name: "GET /\(digits(3))",
            service: service,
            kind: kind,
            startMicroseconds: baseMicroseconds + number(0...999_999),
            durationMicroseconds: isOver ? number(0...500_000) : nil,
            status: status,
            isError: status.map { $0 >= 500 } ?? false,
            attributes: [
                "component": "proxy", "downstream_cluster": "-", "response_flags": "-",
                "upstream_cluster": "cds_egress_demo_\(digits(4))_http_8080",
            ]
        )
    }

    /// A trace: most spans have a parent in it, some one that is not known, some point in circles.
    mutating func trace(_ count: Int) -> [Span] {
        let traceID = digits(32)
        let ids = (0..<count).map { _ in digits(16) }
        return ids.enumerated().map { index, id in
            let parent: String? =
                switch number(0...9) {
                case 0: nil
                case 1: digits(16)
                case 2: generator.pick(ids)
                default: index == 0 ? nil : ids[number(0...(index - 1))]
                }
            return span(traceID: traceID, spanID: id, parentID: parent == id ? nil : parent)
        }
    }
}
