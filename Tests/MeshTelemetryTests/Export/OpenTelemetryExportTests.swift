import EnvoyAPI
import Foundation
import MeshModel
import MeshTesting
import SwiftProtobuf
import Testing

@testable import AWSClient
@testable import HTTPClient
@testable import MeshTelemetry

/// OTLP over HTTP, with a collector that answers as it is told.
@Suite(.timeLimit(.minutes(1)))
struct OpenTelemetryExportTests {
    private static let span = Span(
        traceID: "6ab0000000000000000000000000000a",
        spanID: "000000000000000b",
        name: "GET /",
        service: "demo/blue",
        kind: .server,
        startMicroseconds: 1_790_000_000_000_000,
        durationMicroseconds: 1500,
        status: 200
    )

    private func send(_ answer: ScriptedServer.Answer) async throws -> SendOutcome {
        let server = try await ScriptedServer([answer])
        let sender = OpenTelemetrySender(url: server.endpoint + "/", http: HTTPClient())
        return await sender.send([SpanItem(Self.span)])
    }

    @Test func `spans arrive as they were`() async throws {
        let server = try await ScriptedServer([.init(200)])
        let sender = OpenTelemetrySender(url: server.endpoint, http: HTTPClient())
        #expect(await sender.send([SpanItem(Self.span)]) == .sent(refused: 0))
        let request = try #require(try await server.requests().first)
        #expect(request.path == "/v1/traces")
        #expect(request.headers["content-type"] == "application/x-protobuf")
        let message = try OpenTelemetrySpans.Request(serializedBytes: request.bytes)
        let received = OpenTelemetrySpans.received(message)
        #expect(received.spans.map(\.spanID) == [Self.span.spanID])
        #expect(received.spans.first?.service == "demo/blue")
    }

    @Test func `lines arrive with who wrote them, and when`() async throws {
        let server = try await ScriptedServer([.init(200)])
        let sender = OpenTelemetrySender(url: server.endpoint, http: HTTPClient())
        let source = LogSource(
            path: "/var/log/a.log",
            stream: "ns/a",
            attributes: ["service.name": "demo/a", "appmesh.mesh": "demo"],
            isMixed: false
        )
        let line = LogLine(
            bytes: Array("[2027-01-15T08:00:00.250Z] grün".utf8),
            place: LogPlace(generation: 0, offset: 33)
        )
        let item = LogItem(line, of: source, readSeconds: 1_800_000_010)
        #expect(await sender.send([item]) == .sent(refused: 0))
        let request = try #require(try await server.requests().first)
        #expect(request.path == "/v1/logs")
        typealias Message = Opentelemetry_Proto_Collector_Logs_V1_ExportLogsServiceRequest
        let logs = try #require(try Message(serializedBytes: request.bytes).resourceLogs.first)
        #expect(
            logs.resource.attributes.map { "\($0.key)=\($0.value.stringValue)" }
                == ["appmesh.mesh=demo", "service.name=demo/a"]
        )
        let record = try #require(logs.scopeLogs.first?.logRecords.first)
        #expect(record.body.stringValue == "[2027-01-15T08:00:00.250Z] grün")
        #expect(record.timeUnixNano == 1_800_000_000_250_000_000)
        #expect(record.observedTimeUnixNano == 1_800_000_010_000_000_000)
    }

    private enum Meaning: Sendable {
        case later, refused, denied, tooLarge
    }

    @Test(
        arguments: [
            (429, .later), (502, .later), (503, .later), (504, .later), (500, .refused),
            (400, .refused), (404, .later), (401, .denied), (403, .denied), (413, .tooLarge),
            (302, .refused),
        ] as [(Int, Meaning)]
    )
    private func `what is sent again is what OTLP says, and what the owner sets right`(
        status: Int,
        meaning: Meaning
    ) async throws {
        switch try await send(.init(status, headers: ["Retry-After": "7"])) {
        case .later(let problem, let retryAfter):
            #expect(meaning == (problem.isDenied ? .denied : .later))
            #expect(retryAfter == .seconds(7))
            #expect(problem.text.contains("/v1/traces: it answers \(status); "))
        case .refused(let problem):
            #expect(meaning == .refused && !problem.isDenied)
        case .tooLarge: #expect(meaning == .tooLarge)
        case .sent, .partly: Issue.record("it was not taken")
        }
    }

    @Test func `a collector that is down is told with what to do`() async {
        let sender = OpenTelemetrySender(url: "http://127.0.0.1:1", http: HTTPClient())
        guard case .later(let problem, nil) = await sender.send([SpanItem(Self.span)]) else {
            Issue.record("it is not down")
            return
        }
        #expect(
            problem.text == "POST http://127.0.0.1:1/v1/traces: it cannot be connected to; "
                + "start the collector, or correct its URL"
        )
    }

    @Test(
        arguments: [
            (
                .timedOut, "operation timed out after 15001 milliseconds",
                "it does not answer in time"
            ),
            (.cannotConnect, "no route after 3 ms", "it cannot be connected to"),
            (
                .failed, "closed with 123 bytes remaining to read",
                "closed with … bytes remaining to read"
            ),
            (
                .failed, "SSL certificate problem: self-signed",
                "SSL certificate problem: self-signed"
            ),
        ] as [(HTTPError.Kind, String, String)]
    )
    func `equal trouble has equal text`(kind: HTTPError.Kind, reason: String, text: String) {
        let error = HTTPError(kind: kind, request: "POST http://a", reason: reason)
        #expect(error.steadyReason == text)
    }

    @Test(
        arguments: [
            (.unreachable, nil, nil, "failed to connect after 3 ms", "it does not answer"),
            (.clockSkew, "RequestExpired", 403, "Signature expired: 20261123T1", "RequestExpired"),
            (.notAWS, nil, 418, "it answers 418", "it answers 418"),
            (.noCredentials, nil, nil, "the service fails: 3 ms", "the service fails"),
            (.noCredentials, nil, nil, "cannot read /a1", "cannot read /a1"),
        ] as [(AWSError.Kind, String?, Int?, String, String)]
    )
    func `equal trouble with AWS has equal text`(
        kind: AWSError.Kind,
        code: String?,
        status: Int?,
        problem: String,
        text: String
    ) {
        var error = AWSError(
            kind: kind,
            request: "logs PutLogEvents at http://a",
            problem: problem,
            remedy: "do"
        )
        error.code = code
        error.status = status
        guard case .later(let told, nil) = SendOutcome(error) else {
            Issue.record("it is not sent again")
            return
        }
        #expect(told.text == "logs PutLogEvents at http://a: \(text); do")
    }
}
