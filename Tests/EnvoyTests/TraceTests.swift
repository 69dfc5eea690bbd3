import Foundation
import MeshModel
import MeshTelemetry
import MeshTesting
import Testing

/// The traces of requests that go through several proxies, by applications that forward headers.
@Suite(.enabled(if: envoyIsExpected), .serialized, .timeLimit(.minutes(1)))
struct TraceTests {
    /// A mesh that traces, and the mesh's manifest with another rate.
    private static func run(
        _ provider: String,
        rate: String,
        _ body: (RunningMesh) async throws -> Void
    ) async throws {
        let files = ServiceChain.files.merging(["mesh.yaml": manifest(provider, rate)]) { $1 }
        try await RunningMesh.run(files, options: ServiceChain.options, body)
    }

    private static func manifest(_ provider: String, _ rate: String) -> String {
        ServiceChain.mesh(
            "heddle.dev/tracing: \(provider), heddle.dev/trace-sampling: \"\(rate)\""
        )
    }

    /// The spans of the newest trace, once it has `count` of them.
    private static func newestTrace(
        _ count: Int,
        _ mesh: RunningMesh
    ) async throws -> [Span] {
        let traces = try await poll {
            try await mesh.traces()
        } until: {
            $0.first?.spanCount == count
        }
        return try await mesh.telemetry("/traces/\(try #require(traces.first).traceID)")
    }

    /// The spans from the first to the last where each has one child; nil where that is not so.
    private static func line(_ spans: [Span]) -> [Span]? {
        let children = Dictionary(grouping: spans) { $0.parentID }
        var line: [Span] = []
        var parent: String?
        while let next = children[parent], line.count < spans.count {
            guard next.count == 1, let span = next.first else { return nil }
            line.append(span)
            parent = span.spanID
        }
        return line.count == spans.count ? line : nil
    }

    @Test(arguments: ["x-ray", "otlp"])
    func `a request has one trace through all proxies, each with the one before as parent`(
        _ provider: String
    ) async throws {
        try await Self.run(provider, rate: "1") { mesh in
            let load = try await ServiceChain.load(1, ["/"], mesh)
            #expect(load.traced == 1)
            let spans = try await Self.newestTrace(9, mesh)
            #expect(Set(spans.map(\.traceID)).count == 1)
            let line = try #require(Self.line(spans), "\(spans)")
            #expect(line.map(\.service) == Array(ServiceChain.tracers))
            #expect(line.map(\.kind) == (0..<9).map { $0 % 2 == 0 ? .server : .client })
            #expect(line.allSatisfy { $0.status == 200 && !$0.isError })
            // A child is within its parent.
            for (parent, child) in zip(line, line.dropFirst()) {
                #expect(parent.startMicroseconds <= child.startMicroseconds)
                let durations = [child, parent].compactMap(\.durationMicroseconds)
                #expect(durations.count == 2 && durations == durations.sorted())
            }
        }
    }

    @Test(arguments: ["x-ray", "otlp"])
    func `each attempt of a request is in its trace, below the proxy that tried again`(
        _ provider: String
    ) async throws {
        try await Self.run(provider, rate: "1") { mesh in
            let load = try await ServiceChain.load(1, ["/retry/four/once"], mesh)
            #expect(load.statuses == ["200": 1])
            let spans = try await Self.newestTrace(11, mesh)
            let attempts = spans.filter { $0.service == ServiceChain.tracers.last }
            #expect(attempts.compactMap(\.status).sorted() == [200, 503, 503])
            #expect(attempts.filter(\.isError).count == 2)
            let answered = try #require(attempts.first { $0.status == 200 })
            let others = attempts.filter { $0.spanID != answered.spanID }
            #expect(others.allSatisfy { $0.parentID == answered.parentID })
            let withoutOthers = spans.filter { !others.contains($0) }
            #expect(Self.line(withoutOthers)?.map(\.service) == Array(ServiceChain.tracers))
        }
    }

    @Test(arguments: ["x-ray", "otlp"])
    func `what the first proxy decides holds for all that follow`(_ provider: String) async throws {
        try await Self.run(provider, rate: "0.5") { mesh in
            let load = try await ServiceChain.load(200, ["/"], mesh)
            #expect(load.statuses == ["200": 200])
            #expect(60...140 ~= load.traced)
            let traces = try await poll {
                try await mesh.traces()
            } until: { traces in
                traces.count == load.traced && traces.allSatisfy { $0.spanCount == 9 }
            }
            #expect(traces.allSatisfy { $0.services == Set(ServiceChain.tracers).sorted() })
        }
    }

    @Test func `a rate of 5 % traces 5 % of 20,000 requests`() async throws {
        try await Self.run("x-ray", rate: "0.05") { mesh in
            let load = try await ServiceChain.load(20_000, ["/leaf"], mesh)
            #expect(load.statuses == ["200": 20_000])
            #expect(load.failures == [])
            #expect(800...1200 ~= load.traced)
            // Twice by the gateway, and once by four.
            try await poll {
                try await mesh.receivedSpans()
            } until: {
                $0 == 3 * load.traced
            }
        }
    }

    @Test(arguments: ["x-ray", "otlp"])
    func `another rate is in force on connections that are open, and no request fails`(
        _ provider: String
    ) async throws {
        try await Self.run(provider, rate: "0") { mesh in
            let address = try await mesh.ingressAddress(of: "gateway")
            let before = try mesh.processes()
            let outcome = try await Load.run(
                { try await mesh.request("http://\(address):8080/leaf") },
                { load in
                    try await load.more(200, by: "untraced")
                    try mesh.save("mesh.yaml", Self.manifest(provider, "1"))
                    try await Self.expectOnly("traced", load)
                    try mesh.save("mesh.yaml", Self.manifest(provider, "0"))
                    // X-Ray's rules have one request traced each second all the same.
                    try await load.more(1000, by: "untraced")
                }
            )
            #expect(outcome.failures == [])
            #expect(try mesh.processes() == before)
        }
    }

    /// Waits until 200 answers in a row are by `name`.
    private static func expectOnly(_ name: String, _ load: Load) async throws {
        var others = load.answers { $0 != name }
        try await load.more(1, by: name)
        while true {
            try await load.more(200)
            let now = load.answers { $0 != name }
            if now == others { return }
            others = now
        }
    }
}
