import Foundation
import MeshModel
import Testing

@testable import MeshDaemon

@Suite(.timeLimit(.minutes(1))) struct `Tap command` {
    private let recorder = Recorder()

    private func transport(
        _ lines: [TapLine],
        asked: Asked<TapQuery> = Asked(),
        endless: Bool = false
    ) -> HandlerTransport {
        var sources = TelemetrySources()
        sources.tap = { query, _, tell in
            asked.add(query)
            for line in lines { try await tell([line]) }
            if endless { try await Task.sleep(for: .seconds(3600)) }
        }
        return HandlerTransport(handler: telemetryHandler(sources))
    }

    private let first = TapLine.notice(TapNotice(proxies: ["demo/blue-1"]))

    private func tap(
        _ transport: HandlerTransport,
        _ change: (inout TapCommand) -> Void = { _ in },
        onPrint: @escaping @Sendable (String) -> Void = { _ in }
    ) async throws -> MeshDaemon.ExitStatus {
        var command = TapCommand(name: "demo/blue")
        change(&command)
        let (ends, end) = AsyncStream.makeStream(of: Void.self)
        let console = recorder.console(onPrint: { text in
            onPrint(text)
            if text.contains("last") { end.yield() }
        })
        return try await command.run(transport, console, until: ends)
    }

    @Test func `a request is a line, and the end says how many there were`() async throws {
        var outbound = sampleRequest("/last", status: 503, direction: .outbound)
        outbound.destination = "127.66.0.2:8080"
        let notices = TapNotice(proxies: ["demo/blue-1"], share: 0.25, overRate: 7, lost: 2)
        let lines: [TapLine] = [
            first, .request(sampleRequest()), .notice(notices), .request(outbound),
        ]
        #expect(try await tap(transport(lines, endless: true)) == .ok)
        #expect(
            recorder.output == """
                TIME           PROXY    DIR   STATUS   TIME TAKEN   PEER                REQUEST
                02:13:20.123   blue-1   in    200      3.3ms        colors/demo/front   GET color.demo/color
                02:13:20.123   blue-1   out   503 UF   3.3ms        127.66.0.2:8080     GET color.demo/last  (upstream_reset)

                """
        )
        #expect(
            recorder.notes == """
                tapping 1 proxy of demo/blue: demo/blue-1
                showing about 25.00% of its requests, so as not to be over --max-rps
                2 requests lost, as this was slow
                2 requests of demo/blue, 7 more not shown as they were over --max-rps, 2 lost as this was slower than they came

                """
        )
    }

    @Test func `programs get the records`() async throws {
        let lines: [TapLine] = [first, .request(sampleRequest("/last"))]
        #expect(try await tap(transport(lines, endless: true), { $0.format = .json }) == .ok)
        let record = try JSONDecoder().decode(
            RequestRecord.self,
            from: Data(recorder.output.utf8)
        )
        #expect(record == sampleRequest("/last"))
    }

    @Test func `a path cannot speak to the terminal`() async throws {
        var request = sampleRequest("/\u{1B}]0;x\u{7}\nlast")
        request.source = "\u{202E}evil"
        request.details = "\u{1B}[2J"
        for format in [TapCommand.Format.table, .wide] {
            let lines: [TapLine] = [first, .request(request)]
            _ = try await tap(transport(lines, endless: true), { $0.format = format })
        }
        #expect(!recorder.output.contains("\u{1B}") && !recorder.output.contains("\u{202E}"))
        #expect(recorder.output.split(separator: "\n").count == 4)
    }

    @Test func `what is asked for reaches the daemon`() async throws {
        let asked = Asked<TapQuery>()
        let query = TapQuery(
            method: "GET",
            path: "/a b&c",
            statuses: [.hundred(5), .none],
            target: "ü",
            maximumRate: 7
        )
        let lines: [TapLine] = [first, .request(sampleRequest("/last"))]
        _ = try await tap(transport(lines, asked: asked, endless: true)) { $0.query = query }
        #expect(asked.values == [query])
    }

    @Test func `a tap that the daemon ends, or never begins, is bad news`() async throws {
        let ended = await #expect(throws: ClientFailure.self) { try await tap(transport([first])) }
        #expect(
            ended == ClientFailure(.badNews, "heddle has ended, and the tap with it")
        )
        let missing = await #expect(throws: ClientFailure.self) {
            try await tap(transport([])) { $0.name = "demo/nobody" }
        }
        #expect(missing?.status == .badNews)
        #expect(missing?.description.contains("demo/nobody") == true)
        #expect(recorder.notes.split(separator: "\n").count == 2)
    }

    @Test(arguments: [("503", true), ("5xx,404", true), ("none", true), ("99", false), ("", false)])
    func `statuses are codes, hundreds, or none`(text: String, isValid: Bool) {
        #expect((TapQuery.Status.list(text) != nil) == isValid)
    }
}
