internal import EnvoyAPI
internal import FoundationEssentials
internal import HTTPClient
internal import SwiftProtobuf

/// A span on its way to a collector.
struct SpanItem: ExportItem {
    var span: Span
    let byteCount: Int

    init(_ span: Span) {
        self.span = span
        let attributes = span.attributes.reduce(0) {
            $0 + 16 + $1.key.utf8.count + $1.value.utf8.count
        }
        byteCount = 128 + span.name.utf8.count + span.service.utf8.count + attributes
    }

    var lane: String? { nil }
    var seconds: Double? { nil }
}

extension ExportLimits {
    /// Of OTLP for spans: collectors take 4 MiB and more.
    static let openTelemetrySpans = ExportLimits(
        count: 10_000,
        bytes: 8 << 20,
        batchCount: 512,
        batchBytes: 1 << 20,
        itemBytes: 1 << 20
    )
    /// Of OTLP for lines of logs.
    static let openTelemetryLogs = ExportLimits(
        count: 20_000,
        bytes: 8 << 20,
        batchCount: 1000,
        batchBytes: 1 << 20,
        itemBytes: 1 << 20,
        isResumable: true
    )
}

/// Sends to an OpenTelemetry collector (OTLP over HTTP, protobuf).
struct OpenTelemetrySender: Sendable {
    /// `http[s]://host[:port]`.
    var url: String
    var http: HTTPClient

    /// Sends spans.
    func send(_ items: [SpanItem]) async -> SendOutcome {
        let request = OpenTelemetrySpans.request(of: items.map(\.span))
        return await post(request, to: "/v1/traces") { body in
            typealias Answer = Opentelemetry_Proto_Collector_Trace_V1_ExportTraceServiceResponse
            let answer = try? Answer(serializedBytes: body)
            return answer?.partialSuccess.rejectedSpans
        }
    }

    /// Sends lines of access logs.
    func send(_ items: [LogItem]) async -> SendOutcome {
        await post(Self.request(of: items), to: "/v1/logs") { body in
            typealias Answer = Opentelemetry_Proto_Collector_Logs_V1_ExportLogsServiceResponse
            let answer = try? Answer(serializedBytes: body)
            return answer?.partialSuccess.rejectedLogRecords
        }
    }

    private func post(
        _ message: some Message,
        to path: String,
        refused: ([UInt8]) -> Int64?
    ) async -> SendOutcome {
        let place = url.hasSuffix("/") ? url.dropLast() + path : url + path
        do {
            let body: [UInt8] = try message.serializedBytes()
            let response = try await http.response(
                to: HTTPRequest(
                    "POST",
                    place,
                    headers: [HTTPField("Content-Type", "application/x-protobuf")],
                    body: body,
                    timeout: .seconds(15)
                ),
                bodyLimit: 1 << 20
            )
            if (200..<300).contains(response.status) {
                return .sent(refused: refused(response.body).map(Int.init(clamping:)) ?? 0)
            }
            return Self.outcome(of: response, place)
        } catch {
            let reason = (error as? HTTPError)?.steadyReason ?? "\(error)"
            return .later(
                ExportProblem(
                    text: "POST \(place): \(reason); start the collector, or correct its URL"
                ),
                retryAfter: nil
            )
        }
    }

    /// What a status means.
    ///
    /// OTLP lists what is sent again. What the owner sets right is kept, too: a token that is missing, or
    /// a collector that does not take what it is sent yet.
    private static func outcome(of response: HTTPResponse, _ place: String) -> SendOutcome {
        let status = response.status
        func problem(_ remedy: String, isDenied: Bool = false) -> ExportProblem {
            ExportProblem(
                text: "POST \(place): it answers \(status); \(remedy)",
                isDenied: isDenied
            )
        }
        let seconds = response.head["retry-after"].flatMap { Int($0) }
        let retryAfter = seconds.map { Duration.seconds(min(max($0, 0), 3600)) }
        let check = "check that the URL is a collector's for OTLP over HTTP"
        switch status {
        case 429, 502, 503, 504:
            return .later(problem("it is asked again"), retryAfter: retryAfter)
        case 401, 403:
            let denied = problem("let the collector take it", isDenied: true)
            return .later(denied, retryAfter: retryAfter)
        case 404: return .later(problem(check), retryAfter: retryAfter)
        case 413: return .tooLarge(problem("let the collector take larger requests"))
        default: return .refused(problem(check))
        }
    }

    private static func request(
        of items: [LogItem]
    ) -> Opentelemetry_Proto_Collector_Logs_V1_ExportLogsServiceRequest {
        let bySource = Dictionary(grouping: items) { ObjectIdentifier($0.source) }
        return .with { request in
            request.resourceLogs = bySource.values.compactMap { items in
                items.first.map { resourceLogs(of: $0.source, items) }
            }
        }
    }

    private static func resourceLogs(
        of source: LogSource,
        _ items: [LogItem]
    ) -> Opentelemetry_Proto_Logs_V1_ResourceLogs {
        .with { logs in
            logs.resource.attributes = source.attributes.sorted { $0.key < $1.key }
                .map { attribute($0.key, $0.value) }
            logs.scopeLogs = [
                .with { scope in
                    scope.scope.name = "heddle"
                    scope.logRecords = items.map { item in
                        .with { record in
                            record.timeUnixNano = nanoseconds(item.timeSeconds)
                            record.observedTimeUnixNano = nanoseconds(item.readSeconds)
                            record.severityNumber = .info
                            record.body.stringValue = item.message
                            record.attributes = [attribute("log.file.path", item.source.path)]
                        }
                    }
                }
            ]
        }
    }

    /// In whole microseconds, which a number of seconds since 1970 holds exactly.
    private static func nanoseconds(_ seconds: Double) -> UInt64 {
        UInt64((max(0, seconds) * 1e6).rounded()) * 1000
    }

    private static func attribute(
        _ key: String,
        _ value: String
    ) -> Opentelemetry_Proto_Common_V1_KeyValue {
        .with {
            $0.key = key
            $0.value.stringValue = value
        }
    }
}
