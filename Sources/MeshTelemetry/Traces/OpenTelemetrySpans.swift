public import EnvoyAPI
internal import FoundationEssentials

/// Spans as OpenTelemetry's protocol has them.
public enum OpenTelemetrySpans {
    /// A request to a collector.
    public typealias Request = Opentelemetry_Proto_Collector_Trace_V1_ExportTraceServiceRequest
    typealias Message = Opentelemetry_Proto_Trace_V1_Span
    typealias Attribute = Opentelemetry_Proto_Common_V1_KeyValue
    typealias Value = Opentelemetry_Proto_Common_V1_AnyValue

    /// What a request brought.
    public struct Received: Hashable, Sendable {
        /// The spans that are right.
        public var spans: [Span] = []
        /// How many others there were.
        public var rejected = 0
        /// What was wrong with the first of them.
        public var reason: MalformedSpan?
    }

    /// The spans of a request, each by itself: what is wrong with one does not concern the others.
    public static func received(_ request: Request) -> Received {
        var received = Received()
        for resource in request.resourceSpans {
            let service = resource.resource.attributes.first { $0.key == "service.name" }
                .map { text(of: $0.value) ?? "" }
            for message in resource.scopeSpans.lazy.flatMap(\.spans) {
                do {
                    received.spans.append(try span(message, service: service ?? ""))
                } catch {
                    received.rejected += 1
                    received.reason = received.reason ?? error
                }
            }
        }
        return received
    }

    /// A request with `spans`, those of one service together.
    public static func request(of spans: [Span]) -> Request {
        var request = Request()
        let byService = Dictionary(grouping: spans, by: \.service)
        request.resourceSpans = byService.sorted { $0.key < $1.key }.map { service, spans in
            var resource = Opentelemetry_Proto_Trace_V1_ResourceSpans()
            resource.resource.attributes = [
                attribute("service.name", service.isEmpty ? "unknown_service" : service)
            ]
            var scope = Opentelemetry_Proto_Trace_V1_ScopeSpans()
            scope.scope.name = "heddle"
            scope.spans = spans.map(message)
            resource.scopeSpans = [scope]
            return resource
        }
        return request
    }
}

// MARK: from OpenTelemetry

extension OpenTelemetrySpans {
    private static func span(
        _ message: Message,
        service: String
    ) throws(MalformedSpan) -> Span {
        guard message.traceID.count == 16,
            let traceID = TraceID.hexadecimal(of: message.traceID)
        else { throw MalformedSpan("trace_id is not 16 bytes, or zero") }
        guard message.spanID.count == 8, let id = TraceID.hexadecimal(of: message.spanID) else {
            throw MalformedSpan("span_id is not 8 bytes, or zero")
        }
        guard message.parentSpanID.isEmpty || message.parentSpanID.count == 8 else {
            throw MalformedSpan("parent_span_id is not 8 bytes")
        }
        let start = try microseconds(message.startTimeUnixNano, "start_time_unix_nano")
        var duration: Int?
        if message.endTimeUnixNano != 0 {
            let end = try microseconds(message.endTimeUnixNano, "end_time_unix_nano")
            duration = max(0, end - start)
        }
        let parentID = TraceID.hexadecimal(of: message.parentSpanID)
        let known = attributes(of: message)
        let statusText =
            known.values["http.status_code"] ?? known.values["http.response.status_code"]
        return Span(
            traceID: traceID,
            spanID: id,
            parentID: parentID == id ? nil : parentID,
            name: name(of: message, known),
            service: service.cut(to: SpanLimits.nameBytes),
            kind: kind(of: message),
            startMicroseconds: start,
            durationMicroseconds: duration,
            status: statusText.flatMap { Int($0) }.flatMap { (100...599).contains($0) ? $0 : nil },
            isError: message.status.code == .error,
            attributes: known.values
        )
    }

    /// Envoy's names say no more than the direction, so that what was asked takes their place.
    private static func name(of message: Message, _ attributes: SpanAttributes) -> String {
        let known = attributes.values
        let isEnvoys = known["component"] == "proxy" && known["downstream_cluster"] != nil
        let asked =
            isEnvoys ? requestName(method: known["http.method"], url: known["http.url"]) : nil
        return asked ?? message.name.cut(to: SpanLimits.nameBytes)
    }

    private static func microseconds(
        _ nanoseconds: UInt64,
        _ field: String
    ) throws(MalformedSpan) -> Int {
        let microseconds = Int(nanoseconds / 1000)
        guard SpanLimits.microseconds.contains(microseconds) else {
            throw MalformedSpan("\(field) is missing, or no time in nanoseconds since 1970")
        }
        return microseconds
    }

    private static func kind(of message: Message) -> Span.Kind {
        switch message.kind {
        case .server, .consumer: .server
        case .client, .producer: .client
        case .internal, .unspecified, .UNRECOGNIZED: .other
        }
    }

    private static func attributes(of message: Message) -> SpanAttributes {
        var attributes = SpanAttributes()
        attributes.add("status.message", message.status.message)
        for attribute in message.attributes {
            attributes.add(attribute.key, text(of: attribute.value))
        }
        if let exception = message.events.first(where: { $0.name == "exception" }) {
            for attribute in exception.attributes where attribute.key != "exception.stacktrace" {
                attributes.add(attribute.key, text(of: attribute.value))
            }
        }
        return attributes
    }

    /// The text of a value; a list's with commas, and nothing of what is nested deeper.
    private static func text(of value: Value) -> String? {
        switch value.value {
        case .arrayValue(let list):
            list.values.prefix(SpanLimits.attributes).compactMap(scalarText).joined(separator: ",")
        default: scalarText(of: value)
        }
    }

    private static func scalarText(of value: Value) -> String? {
        switch value.value {
        case .stringValue(let text): text
        case .boolValue(let value): value ? "true" : "false"
        case .intValue(let number): String(number)
        case .doubleValue(let number): String(number)
        case .bytesValue, .arrayValue, .kvlistValue, nil: nil
        }
    }
}

// MARK: to OpenTelemetry

extension OpenTelemetrySpans {
    private static func message(of span: Span) -> Message {
        var message = Message()
        message.traceID = Data(TraceID.bytes(of: span.traceID))
        message.spanID = Data(TraceID.bytes(of: span.spanID))
        message.parentSpanID = Data(TraceID.bytes(of: span.parentID ?? ""))
        message.name = span.name
        message.kind =
            switch span.kind {
            case .server: .server
            case .client: .client
            case .other: .internal
            }
        message.startTimeUnixNano = nanoseconds(span.startMicroseconds)
        if let duration = span.durationMicroseconds {
            message.endTimeUnixNano = nanoseconds(span.startMicroseconds.saturatingSum(duration))
        }
        var attributes = span.attributes
        message.status.message = attributes.removeValue(forKey: "status.message") ?? ""
        attributes["http.status_code"] = nil
        message.attributes = attributes.sorted { $0.key < $1.key }.map(attribute)
        if let status = span.status {
            var value = Value()
            value.intValue = Int64(status)
            message.attributes.append(attribute("http.status_code", value))
        }
        if span.isError { message.status.code = .error }
        return message
    }

    private static func nanoseconds(_ microseconds: Int) -> UInt64 {
        UInt64(clamping: microseconds).multipliedReportingOverflow(by: 1000).partialValue
    }

    private static func attribute(_ key: String, _ text: String) -> Attribute {
        var value = Value()
        value.stringValue = text
        return attribute(key, value)
    }

    private static func attribute(_ key: String, _ value: Value) -> Attribute {
        var attribute = Attribute()
        attribute.key = key
        attribute.value = value
        return attribute
    }
}
