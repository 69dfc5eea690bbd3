import Foundation
import MeshModel
import MeshTelemetry
import Testing

@testable import MeshDaemon

@Suite(.timeLimit(.minutes(1))) struct `Telemetry routes` {
    private func get(
        _ handler: APIHandler,
        _ target: String,
        fromSocket: Bool = true,
        method: String = "GET"
    ) async throws -> (code: Int, type: String, body: [UInt8]) {
        let request = APIRequest(method: method, target: target, isFromSocket: fromSocket)
        let response = await handler.respond(to: request)
        switch response.body {
        case .bytes(let bytes): return (response.status, response.contentType, bytes)
        case .stream(let stream):
            var body: [UInt8] = []
            try await stream { body += $0 }
            return (response.status, response.contentType, body)
        }
    }

    private func message(_ handler: APIHandler, _ target: String) async throws -> (Int, String) {
        let answer = try await get(handler, target)
        let status = try JSONDecoder().decode(JSONValue.self, from: Data(answer.body))
        #expect(status["kind"] == "Status" && status["code"]?.integer == answer.code)
        return (answer.code, status["message"]?.string ?? "")
    }

    @Test func `the map is as it was made, and a watch goes on with each`() async throws {
        var sources = TelemetrySources()
        sources.map = { colorsMap() }
        sources.mapChanges = {
            AsyncStream { maps in
                maps.yield(ServiceMap(timeSeconds: 1))
                maps.yield(ServiceMap(timeSeconds: 2))
                maps.finish()
            }
        }
        let handler = telemetryHandler(sources)
        let map = try await get(handler, "/map", fromSocket: false)
        #expect(map.code == 200 && map.type == "application/json")
        #expect(try JSONDecoder().decode(ServiceMap.self, from: Data(map.body)) == colorsMap())
        for target in ["/map?watch", "/map?watch=true"] {
            let events = try await get(handler, target, fromSocket: false)
            #expect(events.type == "text/event-stream")
            let text = String(decoding: events.body, as: UTF8.self)
            #expect(text.hasSuffix("}\n\n"))
            let maps = try text.split(separator: "\n\n").map { event in
                #expect(event.hasPrefix("data: ") && !event.contains("\n"))
                return try JSONDecoder().decode(
                    ServiceMap.self,
                    from: Data(event.dropFirst(6).utf8)
                )
            }
            #expect(maps.map(\.timeSeconds) == [1, 2])
        }
        #expect(try await get(handler, "/map?watch=false").type == "application/json")
    }

    @Test func `a query for traces is handed on`() async throws {
        let asked = Asked<TraceQuery>()
        var sources = TelemetrySources()
        sources.traces = { query in
            asked.add(query)
            return [
                TraceSummary(
                    traceID: "a",
                    name: "GET",
                    service: "colors/front",
                    startMicroseconds: 1,
                    durationMicroseconds: 2,
                    spanCount: 3,
                    services: []
                )
            ]
        }
        let handler = telemetryHandler(sources)
        let all = try await get(handler, "/traces", fromSocket: false)
        let traces = try JSONDecoder().decode([TraceSummary].self, from: Data(all.body))
        #expect(traces.map(\.spanCount) == [3])
        let parts = [
            "service=colors%2Ffront", "minimumDurationMicroseconds=2000", "errorsOnly=true",
            "sinceMicroseconds=17", "limit=7",
        ]
        _ = try await get(handler, "/traces?" + parts.joined(separator: "&"))
        #expect(
            asked.values == [
                TraceQuery(),
                TraceQuery(
                    service: "colors/front",
                    minimumDurationMicroseconds: 2000,
                    errorsOnly: true,
                    sinceMicroseconds: 17,
                    limit: 7
                ),
            ]
        )
    }

    @Test func `a trace goes by its ID, as it is or as X-Ray writes it`() async throws {
        let id = "58406520a006649127e371903a2de979"
        var sources = TelemetrySources()
        sources.spans = { asked in
            asked == id
                ? [
                    Span(
                        traceID: id,
                        spanID: "1",
                        name: "GET",
                        service: "colors/front",
                        startMicroseconds: 1,
                        durationMicroseconds: nil
                    )
                ] : []
        }
        let handler = telemetryHandler(sources)
        for text in [id, id.uppercased(), "1-58406520-a006649127e371903a2de979"] {
            let answer = try await get(handler, "/traces/\(text)")
            let spans = try JSONDecoder().decode([Span].self, from: Data(answer.body))
            #expect(spans.map(\.spanID) == ["1"])
        }
    }

    @Test func `a trace goes by its first digits, unless several begin so`() async throws {
        let ids = (0..<7).map { "5840652\($0)a006649127e371903a2de979" }
        var sources = TelemetrySources()
        sources.traceIDs = { prefix in ids.filter { $0.hasPrefix(prefix) } }
        sources.spans = { id in
            [
                Span(
                    traceID: id,
                    spanID: "1",
                    name: "GET",
                    service: "colors/front",
                    startMicroseconds: 1,
                    durationMicroseconds: nil
                )
            ]
        }
        let handler = telemetryHandler(sources)
        for text in ["58406523", "1-58406523", "1-58406523-A006", "58406523a0066"] {
            let answer = try await get(handler, "/traces/\(text)")
            let spans = try JSONDecoder().decode([Span].self, from: Data(answer.body))
            #expect(spans.map(\.traceID) == [ids[3]])
        }
        let answer = try await message(handler, "/traces/5840")
        let shown = ids.prefix(5).joined(separator: ", ")
        #expect(
            answer == (
                409,
                "several traces begin with \"5840\": \(shown) and more; write more digits"
            )
        )
    }

    @Test func `a query for the audit is handed on`() async throws {
        let asked = Asked<AuditQuery>()
        var sources = TelemetrySources()
        sources.audit = { query in
            asked.add(query)
            return []
        }
        let handler = telemetryHandler(sources)
        _ = try await get(handler, "/audit", fromSocket: false)
        let parts = ["service=colors%2Ffront", "verdict=denied", "sinceSeconds=17", "limit=7"]
        _ = try await get(handler, "/audit?" + parts.joined(separator: "&"))
        #expect(
            asked.values == [
                AuditQuery(),
                AuditQuery(service: "colors/front", verdict: .denied, sinceSeconds: 17, limit: 7),
            ]
        )
    }

    @Test(arguments: [
        ("/traces?limit=0", 400, "limit \"0\" is not a number from 1 to 1000"),
        ("/traces?limit=x", 400, "limit \"x\" is not a number from 1 to 1000"),
        (
            "/traces/471", 400,
            "\"471\" is no trace ID, which has 32 hexadecimal digits; write them or the first of them, "
                + "4 at least"
        ),
        (
            "/traces/4711", 404,
            "trace \"4711\" not found: it was not sampled, or is no longer kept"
        ), ("/audit?verdict=no", 400, "verdict \"no\" is none of allowed, denied, shadow"),
        ("/audit?limit=0", 400, "limit \"0\" is not a number from 1 to 100000"),
        (
            "/traces/00000000000000000000000000000001", 404,
            "trace \"00000000000000000000000000000001\" not found: it was not sampled, or is no longer kept"
        ),
        ("/tap/demo/blue", 501, "this Heddle taps no proxies"),
        (
            "/accesslog/demo/nobody", 404,
            "no virtual node, virtual gateway or Workload \"demo/nobody\""
        ),
        (
            "/accesslog/demo/blue", 404,
            "\"demo/blue\" has no access log: set spec.logging.accessLog.file.path of its "
                + "VirtualNode or VirtualGateway"
        ),
        ("/map/more", 404, "the server could not find the requested resource"),
    ])
    func `mistakes are told as Kubernetes tells them`(
        target: String,
        code: Int,
        message: String
    ) async throws {
        let answer = try await self.message(telemetryHandler(TelemetrySources()), target)
        #expect(answer == (code, message))
    }

    @Test func `only reading is served`() async throws {
        let handler = telemetryHandler(TelemetrySources())
        for target in ["/map", "/traces", "/audit", "/tap/demo/blue"] {
            #expect(try await get(handler, target, method: "POST").code == 405)
        }
    }

    @Test func `requests are tapped on the socket alone, by the names of nodes and Workloads`()
        async throws
    {
        let asked = Asked<(TapQuery, Set<ProxyID>)>()
        var sources = TelemetrySources()
        sources.tap = { query, proxies, tell in
            asked.add((query, proxies()))
            try await tell([.notice(TapNotice(proxies: ["demo/blue-1"], share: 0.5))])
            try await tell([.request(sampleRequest("/a")), .request(sampleRequest("/b"))])
        }
        let handler = telemetryHandler(sources)
        #expect(try await get(handler, "/tap/demo/blue", fromSocket: false).code == 403)
        let answer = try await get(
            handler,
            "/tap/demo/blue?method=GET&path=%2Fc&status=5xx,404&to=color&maxRPS=5"
        )
        #expect(answer.type == "application/x-ndjson")
        let lines = answer.body.split(separator: UInt8(ascii: "\n"))
        #expect(
            lines.first.map { String(decoding: $0, as: UTF8.self) }
                == #"{"notice":{"lost":0,"overRate":0,"proxies":["demo/blue-1"],"share":0.5}}"#
        )
        let records = try lines.dropFirst().map {
            try JSONDecoder().decode(RequestRecord.self, from: Data($0))
        }
        #expect(records == [sampleRequest("/a"), sampleRequest("/b")])
        _ = try await get(handler, "/tap/demo/blue-1")
        let queries = asked.values
        #expect(queries.allSatisfy { $0.1 == [proxyID("blue-1")] } && queries.count == 2)
        #expect(
            queries.first?.0
                == TapQuery(
                    method: "GET",
                    path: "/c",
                    statuses: [.hundred(5), .code(404)],
                    target: "color",
                    maximumRate: 5
                )
        )
        for query in ["maxRPS=0", "maxRPS=100000", "status=abc", "status=6xx", "status="] {
            let code = try await get(handler, "/tap/demo/blue?\(query)").code
            #expect(code == (query == "status=" ? 200 : 400))
        }
    }

    @Test func `an access log is that of a node's proxies`() async throws {
        var sources = TelemetrySources()
        sources.hasAccessLog = { $0 == [proxyID("blue-1")] }
        sources.accessLog = { proxies, tailLines, follow, write in
            try await write(Array("\(proxies.count) \(tailLines ?? -1) \(follow)\n".utf8))
        }
        let handler = telemetryHandler(sources)
        func text(_ query: String) async throws -> String {
            let body = try await get(handler, "/accesslog/demo/blue\(query)", fromSocket: false)
                .body
            return String(decoding: body, as: UTF8.self)
        }
        #expect(try await text("") == "1 -1 false\n")
        #expect(try await text("?tailLines=5&follow") == "1 5 true\n")
        #expect(try await get(handler, "/accesslog/demo/blue?tailLines=-1").code == 400)
    }

    @Test func `answers are counted by status`() {
        let state = APIState()
        for code in [200, 200, 404] { state.countResponse(code) }
        #expect(state.responseCounts == [200: 2, 404: 1])
    }
}
