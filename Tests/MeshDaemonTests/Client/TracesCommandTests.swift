import Foundation
import MeshModel
import MeshTelemetry
import Testing

@testable import MeshDaemon

private let traceID = "58406520a006649127e371903a2de979"

@Suite(.timeLimit(.minutes(1))) struct `Traces command` {
    private let recorder = Recorder()
    private let start = testNowSeconds * 1_000_000 + 123_000

    private func summary(_ id: String, isError: Bool = false) -> TraceSummary {
        TraceSummary(
            traceID: id,
            name: "GET /color",
            service: "colors/front",
            startMicroseconds: start,
            durationMicroseconds: 20_000,
            spanCount: 3,
            services: ["colors/blue", "colors/front"],
            status: isError ? 503 : 200,
            isError: isError
        )
    }

    private var spans: [Span] {
        func span(
            _ id: String,
            _ parent: String?,
            _ service: String,
            _ kind: Span.Kind,
            from offset: Int,
            for duration: Int?,
            status: Int? = 200
        ) -> Span {
            Span(
                traceID: traceID,
                spanID: id,
                parentID: parent,
                name: "GET",
                service: service,
                kind: kind,
                startMicroseconds: start + offset,
                durationMicroseconds: duration,
                status: status,
                isError: status ?? 0 >= 500,
                attributes: ["upstream": "a\u{1B}b"]
            )
        }
        return [
            span("1", nil, "colors/front", .server, from: 0, for: 20_000),
            span("2", "1", "colors/front", .client, from: 5000, for: 10_000, status: 503),
            span("3", "2", "colors/blue", .server, from: 10_000, for: 500),
            span("4", "9", "colors/red", .other, from: 10_000, for: nil, status: nil),
        ]
    }

    private func transport(
        _ traces: [TraceSummary],
        asked: Asked<TraceQuery> = Asked()
    ) -> HandlerTransport {
        var sources = TelemetrySources()
        sources.traces = { query in
            asked.add(query)
            return traces
        }
        sources.spans = { [spans] in $0 == traceID ? spans : [] }
        sources.traceIDs = { prefix in
            [traceID, "5840ffff00000000000000000000000a"].filter { $0.hasPrefix(prefix) }
        }
        return HandlerTransport(handler: telemetryHandler(sources))
    }

    @Test func `traces have a line each`() async throws {
        let transport = transport([summary(traceID), summary("a", isError: true)])
        #expect(try await TracesCommand().run(transport, recorder.console()) == .ok)
        #expect(
            recorder.output == """
                TRACE                              START          TIME TAKEN   SPANS   STATUS   SERVICE        NAME
                58406520a006649127e371903a2de979   02:13:20.123   20ms         3       200      colors/front   GET /color
                a                                  02:13:20.123   20ms         3       503      colors/front   GET /color

                """
        )
    }

    @Test func `what is asked for reaches the daemon`() async throws {
        let asked = Asked<TraceQuery>()
        var command = TracesCommand()
        command.query = TraceQuery(
            service: "colors/front",
            minimumDurationMicroseconds: 200_000,
            errorsOnly: true,
            limit: 7
        )
        command.age = .seconds(60)
        _ = try await command.run(transport([], asked: asked), recorder.console())
        var expected = command.query
        expected.sinceMicroseconds = (testNowSeconds - 60) * 1_000_000
        // Whether there is any at all decides what is said.
        #expect(asked.values == [expected, TraceQuery(limit: 1)])
        // The sample has no Mesh in which tracing is off.
        #expect(recorder.notes.hasPrefix("No traces yet: send requests"))
    }

    @Test func `without traces it says how tracing is turned on`() async throws {
        let state = APIState(firstVersion: 100)
        state.publish(objects: [mesh("colors")], statuses: [:])
        let transport = HandlerTransport(handler: handler(state))
        _ = try await TracesCommand().run(transport, recorder.console())
        #expect(
            recorder.notes.hasPrefix(
                "No traces: tracing is off in mesh colors. Turn it on with the annotation "
                    + "heddle.dev/tracing: x-ray (or otlp) on the Mesh"
            )
        )
    }

    @Test func `a trace is a waterfall that fits the screen`() async throws {
        let text = Waterfall(try #require(Trace(spans))).text(columns: 80, isColoured: false)
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        #expect(lines.first == "Trace \(traceID)")
        #expect(
            lines.dropFirst().first
                == "Start 2026-11-23 02:13:20.123 UTC, took 20ms, 4 spans, with errors"
        )
        let rows = Array(lines.dropFirst(3).prefix(4))
        #expect(rows.count == 4 && rows.allSatisfy { $0.count <= 80 })
        let bars = rows.map { row in row.drop { $0 != "█" && $0 != "░" }.count }
        let whole = try #require(bars.first)
        #expect(bars.dropFirst().first == whole / 2 || bars.dropFirst().first == (whole + 1) / 2)
        #expect(rows.first?.hasPrefix("< colors/front GET") == true)
        #expect(rows.dropFirst().first?.hasPrefix("  > colors/front GET") == true)
        #expect(rows.dropFirst().first?.contains("503 !") == true)
        #expect(rows.contains { $0.hasPrefix("    < colors/blue GET") && $0.contains("500us") })
        #expect(rows.contains { $0.contains("not over") && $0.hasSuffix("░") })
    }

    @Test(arguments: [10, 40, 79, 200])
    func `no width is too small for a waterfall`(columns: Int) throws {
        let waterfall = Waterfall(try #require(Trace(spans)))
        let lines = waterfall.text(columns: columns, isColoured: false).split(separator: "\n")
        #expect(lines.dropFirst(2).allSatisfy { $0.count <= columns })
        let coloured = waterfall.text(columns: columns, isColoured: true)
        for line in coloured.split(separator: "\n").dropFirst(2) {
            #expect(line.replacing(/\u{1B}\[\d+m/, with: "").count <= columns)
        }
    }

    @Test func `a span's own words cannot speak to the terminal`() throws {
        let text = Waterfall(try #require(Trace(spans)), isWide: true)
            .text(columns: 100, isColoured: false)
        #expect(text.contains("upstream=a\u{FFFD}b"))
        #expect(!text.contains("\u{1B}"))
    }

    @Test func `a trace goes by X-Ray's writing too, and one that is not kept is bad news`()
        async throws
    {
        let id = "1-58406520-a006649127e371903a2de979"
        _ = try await TracesCommand(id: id).run(transport([]), recorder.console())
        #expect(recorder.output.hasPrefix("Trace \(traceID)\n"))
        let other = Recorder()
        _ = try await TracesCommand(id: "58406").run(transport([]), other.console())
        #expect(other.output == recorder.output)
        let several = await #expect(throws: ClientFailure.self) {
            try await TracesCommand(id: "5840").run(transport([]), recorder.console())
        }
        #expect(several?.status == .badNews && several?.description.contains(traceID) == true)
        let failure = await #expect(throws: ClientFailure.self) {
            let none = String(repeating: "0", count: 32)
            return try await TracesCommand(id: none).run(transport([]), recorder.console())
        }
        #expect(failure?.status == .badNews)
        let usage = await #expect(throws: ClientFailure.self) {
            try await TracesCommand(id: "471").run(transport([]), recorder.console())
        }
        #expect(usage?.status == .usage)
    }

    @Test func `a watch shows each trace once`() async throws {
        let asked = Asked<TraceQuery>()
        var command = TracesCommand()
        command.isWatching = true
        command.format = .json
        let watching = command
        let transport = transport([summary("b"), summary("a")], asked: asked)
        let (printed, print) = AsyncStream.makeStream(of: String.self)
        let console = recorder.console(onPrint: { print.yield($0) })
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { _ = try await watching.run(transport, console) }
            var lines: [String] = []
            for await line in printed {
                lines.append(line)
                if lines.count == 2 { break }
            }
            // The second look finds nothing new.
            while asked.values.count < 2 { await Task.yield() }
            group.cancelAll()
            while let result = await group.nextResult() { _ = result }
            let traces = try lines.map {
                try JSONDecoder().decode(TraceSummary.self, from: Data($0.utf8)).traceID
            }
            #expect(traces == ["a", "b"])
        }
        #expect(recorder.output.split(separator: "\n").count == 2)
    }
}

@Suite(.timeLimit(.minutes(1))) struct `Audit command` {
    private let recorder = Recorder()
    private let asked = Asked<AuditQuery>()

    private var transport: HandlerTransport {
        @Sendable func record(
            _ caller: String,
            _ target: String,
            _ verdict: AuditRecord.Verdict,
            detail: String? = nil
        ) -> AuditRecord {
            AuditRecord(
                caller: caller,
                target: target,
                verdict: verdict,
                firstSeconds: Double(testNowSeconds - 300),
                lastSeconds: Double(testNowSeconds - 3),
                count: 12,
                detail: detail
            )
        }
        var sources = TelemetrySources()
        sources.map = { colorsMap() }
        sources.audit = { [asked] query in
            asked.add(query)
            return [
                record("colors/front_demo", "colors/blue_demo", .allowed),
                record(
                    "spiffe://colors/other/evil",
                    "colors/blue_demo",
                    .denied,
                    detail: "GET color.demo/\u{1B}[2J"
                ), record("colors/a_other", "colors/b_other", .shadow),
            ].filter { [nil, $0.verdict].contains(query.verdict) }
        }
        var handler = colorsHandler()
        handler.telemetry = sources
        return HandlerTransport(handler: handler)
    }

    private func audit(_ change: (inout AuditCommand) -> Void = { _ in }) async throws {
        var command = AuditCommand()
        change(&command)
        #expect(try await command.run(transport, recorder.console()) == .ok)
    }

    @Test func `calls have a line each`() async throws {
        try await audit()
        #expect(
            recorder.output == """
                CALLER                       TARGET             VERDICT   COUNT   FIRST   LAST   DETAIL
                colors/a_other               colors/b_other     shadow    12      5m      3s
                colors/front_demo            colors/blue_demo   allowed   12      5m      3s
                spiffe://colors/other/evil   colors/blue_demo   denied    12      5m      3s     GET color.demo/\u{FFFD}[2J

                """
        )
    }

    @Test func `only what was denied, of one namespace, for programs`() async throws {
        try await audit {
            $0.isDeniedOnly = true
            $0.namespace = "demo"
            $0.format = .json
        }
        let records = try JSONDecoder().decode([AuditRecord].self, from: Data(recorder.output.utf8))
        #expect(records.map(\.caller) == ["spiffe://colors/other/evil"])
        #expect(
            asked.values == [
                AuditQuery(verdict: .denied, limit: 100_000),
                AuditQuery(verdict: .shadow, limit: 100_000),
            ]
        )
    }

    @Test func `no calls are told`() async throws {
        try await audit {
            $0.isDeniedOnly = true
            $0.namespace = "none"
        }
        #expect(recorder.notes == "No call was denied in namespace none.\n")
    }
}
