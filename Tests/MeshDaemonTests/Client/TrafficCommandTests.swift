import Foundation
import MeshModel
import MeshTelemetry
import Testing

@testable import MeshDaemon

@Suite(.timeLimit(.minutes(1))) struct `Traffic commands` {
    private let recorder = Recorder()

    private var transport: HandlerTransport {
        var sources = TelemetrySources()
        sources.map = { colorsMap() }
        sources.mapChanges = {
            AsyncStream { maps in
                var map = colorsMap()
                maps.yield(map)
                map.nodes.removeAll { $0.name == "green" }
                maps.yield(map)
                maps.finish()
            }
        }
        return HandlerTransport(handler: telemetryHandler(sources))
    }

    private func stats(
        _ subject: String? = nil,
        _ change: (inout StatsCommand) -> Void = { _ in }
    ) async throws {
        var command = StatsCommand(subject)
        command.namespace = "demo"
        change(&command)
        #expect(try await command.run(transport, recorder.console()) == .ok)
    }

    @Test func `nodes have a line each`() async throws {
        try await stats()
        #expect(
            recorder.output == """
                NAME    PROXIES   SUCCESS   RPS     P50     P95     P99      TCP_CONN
                edge    1/1       100.00%   100.0   3.0ms   6.0ms   12ms     0
                blue    2/2       100.00%   90.0    3.0ms   6.0ms   12ms     4
                front   1/1       98.00%    100.0   3.0ms   6.0ms   12ms     0
                green   1/1       -         0.0     -       -       -        0
                red     0/1       80.00%    10.0    375ms   750ms   1500ms   0

                """
        )
    }

    @Test func `calls have a line each`() async throws {
        try await stats("vn/red") { $0.showsEdges = true }
        #expect(
            recorder.output == """
                SOURCE   TARGET   SERVICE      SECURED   SUCCESS   RPS    P50     P95     P99      RETRIES
                front    red      color.demo   mTLS      80.00%    10.0   375ms   750ms   1500ms   2.5/s

                """
        )
    }

    @Test(arguments: ["vs", "vs/color", "vs/color.demo"])
    func `virtual services show how their requests are split`(subject: String) async throws {
        try await stats(subject)
        let lines = recorder.output.split(separator: "\n").map { line in
            line.split(separator: " ").joined(separator: " ")
        }
        #expect(lines.first == "SERVICE ROUTE TARGET WEIGHT OBSERVED SUCCESS RPS P50 P95 P99")
        #expect(
            lines.contains(
                "color.demo color red 10.00% 9.88% 80.00% 10.0 375ms 750ms 1500ms"
            )
        )
        #expect(lines.contains { $0.hasPrefix("front.demo") } == (subject == "vs"))
    }

    @Test func `wide tells what is wrong, and all namespaces what is outside`() async throws {
        try await stats {
            $0.format = .wide
            $0.namespace = nil
            $0.isAllNamespaces = true
        }
        let lines = recorder.output.split(separator: "\n")
        #expect(lines.contains { $0.hasSuffix("20 % of the requests fail") })
        #expect(lines.contains { $0.contains("example.com") && $0.contains("External") })
        #expect(lines.first?.hasPrefix("NAMESPACE") == true)
    }

    @Test func `programs get the part of the map that was asked for`() async throws {
        try await stats("front") { $0.format = .json }
        let map = try JSONDecoder().decode(ServiceMap.self, from: Data(recorder.output.utf8))
        #expect(map.nodes.map(\.name) == ["front"])
        #expect(map.edges == colorsMap().edges)
        #expect(map.splits.map(\.service) == ["front.demo"])
        #expect(map.nodes == colorsMap().nodes.filter { $0.name == "front" })
    }

    @Test func `a watch shows each map`() async throws {
        try await stats { $0.isWatching = true }
        let tables = recorder.output.components(separatedBy: "NAME ").dropFirst()
        #expect(tables.map { $0.contains("green") } == [true, false])
    }

    @Test(arguments: [
        (
            "vn/fron", MeshDaemon.ExitStatus.badNews,
            #"no virtual node "fron" in namespace demo; did you mean "front"?"#
        ),
        (
            "vs/colour", .badNews,
            #"no virtual service "colour" in namespace demo; see "heddle get vs -A""#
        ),
        (
            "workloads", .usage,
            #""workloads": traffic is counted for virtualnodes (vn), virtualgateways (vg) and "#
                + "virtualservices (vs)"
        ),
    ])
    func `what is not there is told`(
        subject: String,
        status: MeshDaemon.ExitStatus,
        message: String
    ) async throws {
        let failure = await #expect(throws: ClientFailure.self) { try await stats(subject) }
        #expect(failure == ClientFailure(status, message))
    }

    @Test func `the graph is a tree from those whom nobody calls`() async throws {
        var command = GraphCommand()
        command.namespace = "demo"
        #expect(try await command.run(transport, recorder.console()) == .ok)
        #expect(
            recorder.output == """
                CALLS            HEALTH     SUCCESS   RPS     P50     P99      SECURED   SERVICE
                edge (gateway)   healthy    100.00%   100.0   3.0ms   12ms
                └─ front         degraded   98.00%    100.0   3.0ms   12ms     mTLS      front.demo
                   ├─ blue       healthy    100.00%   90.0    0.2ms   0.6ms    mTLS      color.demo 90.00%, seen 90.12%
                   └─ red        failing    80.00%    10.0    375ms   1500ms   mTLS      color.demo 10.00%, seen 9.88%
                green            idle       -         0.0     -       -

                """
        )
    }

    @Test func `circles and several callers are drawn once`() {
        func edge(_ source: String, _ target: String) -> ServiceMap.Edge {
            ServiceMap.Edge(source: source, target: target)
        }
        let map = ServiceMap(edges: [
            edge("a", "b"), edge("b", "c"), edge("c", "b"), edge("a", "c"), edge("d", "d"),
        ])
        let picture = GraphPicture(map, withNamespace: true)
        let calls = picture.rows.compactMap { $0.first?.text }
        #expect(
            calls == [
                "a", "├─ b", "│  └─ c", "│     └─ b (above)", "└─ c (above)", "d",
                "└─ d (above)",
            ]
        )
    }

    @Test(arguments: [(80, 24), (30, 4), (1, 1), (200, 5)])
    func `a picture fits its screen, coloured or not`(columns: Int, rows: Int) {
        let picture = GraphPicture(colorsMap(), withNamespace: true)
        let size = LiveTerminal.Size(columns: columns, rows: rows)
        let plain = picture.lines(size, heading: "heading", note: nil, isColoured: false)
        let coloured = picture.lines(size, heading: "heading", note: "note", isColoured: true)
        #expect(plain.count <= rows && coloured.count <= rows)
        #expect(plain.allSatisfy { $0.count <= columns })
        let seen = coloured.map { $0.replacing(/\u{1B}\[\d+m/, with: "") }
        #expect(seen.allSatisfy { $0.count <= columns })
        if rows == 4 { #expect(plain.last == "... 5 more") }
        if columns == 80 { #expect(coloured.joined().contains("\u{1B}[31mfailing\u{1B}[0m")) }
    }

    @Test func `programs that draw get quoted names`() throws {
        var map = colorsMap()
        map.nodes[0].name = "a\"] x[\"\\\n<b>"
        let diagram = GraphDiagram(map)
        #expect(diagram.dot.contains(#"[label="a\"] x[\"\\\#u{FFFD}<b>", color=gray];"#))
        #expect(diagram.mermaid.contains(##"["a#34;] x[#34;\\##u{FFFD}#60;b#62;"]:::idle"##))
        #expect(diagram.dot.contains("\"virtualnode/demo/front\" -> \"virtualnode/demo/red\""))
        #expect(
            diagram.dot.contains(#"[label="color.demo\n10.0 rps, 80.00%", color=red];"#)
        )
        let lines = diagram.mermaid.split(separator: "\n")
        #expect(lines.first == "flowchart LR")
        #expect(lines.contains(#"  n3 -->|"color.demo<br>10.0 rps, 80.00%"| n5"#))
    }

    @Test func `the live picture is redrawn, says when the daemon is away, and ends`() async throws
    {
        let (events, tell) = AsyncStream.makeStream(of: LiveTerminal.Event.self)
        let (pictures, shown) = AsyncStream.makeStream(of: String.self)
        let size = LiveTerminal.Size(columns: 120, rows: 24)
        let terminal = LiveTerminal(
            size: { size },
            write: { shown.yield($0) },
            events: events
        )
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                let status = try await GraphCommand().run(
                    transport,
                    recorder.console(),
                    on: terminal
                )
                #expect(status == .ok)
            }
            var texts = ""
            for await picture in pictures {
                texts += picture
                // The stream of maps ends, as when the daemon does.
                if picture.contains("heddle has ended") { break }
            }
            #expect(texts.contains("02:13:20 UTC, 6 nodes, 3 calls, measured over 10s"))
            tell.yield(.key(UInt8(ascii: "q")))
            try await group.waitForAll()
        }
    }

    @Test(arguments: [
        (0.0, "0.00%"), (1, "100.00%"), (0.99999, "99.99%"), (0.5, "50.00%"), (.nan, "-"),
    ])
    func `a part is a percentage`(part: Double, expected: String) {
        #expect(TrafficText.percent(part) == expected)
    }

    @Test(arguments: [
        (0.04, "0.0ms"), (9.94, "9.9ms"), (12.4, "12ms"), (9999, "9999ms"), (12_345, "12.3s"),
        (-1, "-"), (.infinity, "-"),
    ])
    func `a latency is short`(milliseconds: Double, expected: String) {
        #expect(TrafficText.latency(milliseconds) == expected)
    }
}
