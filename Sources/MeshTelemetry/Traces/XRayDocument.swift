internal import FoundationEssentials
internal import MeshModel

extension XRaySegment {
    /// How many bytes of annotations a document has at most; X-Ray takes documents of 64 KiB.
    private static let annotationBytes = 48 * 1024

    /// A segment document of a span that came by another protocol, for X-Ray.
    ///
    /// What a service does for a request is a segment with the service's name, and what it does
    /// besides, calls too, a subsegment of the span it is part of. Envoy's own spans are segments of
    /// their proxies, as its own X-Ray tracer has them.
    public static func document(of span: Span) -> String {
        var document: [String: JSONValue] = [
            "trace_id": .string(TraceID.xRay(span.traceID)),
            "id": .string(span.spanID),
            "start_time": .number(Double(span.startMicroseconds) / 1_000_000),
        ]
        document["parent_id"] = span.parentID.map(JSONValue.string)
        if let duration = span.durationMicroseconds {
            let end = span.startMicroseconds.saturatingSum(duration)
            document["end_time"] = .number(Double(end) / 1_000_000)
        } else {
            document["in_progress"] = .bool(true)
        }
        if isSegment(span) {
            document["name"] = .string(allowed(span.service))
            let isProxy = span.attributes["component"] == "proxy"
            document["origin"] = (span.attributes["origin"] ?? (isProxy ? proxyOrigin : nil))
                .map(JSONValue.string)
        } else {
            document["type"] = .string("subsegment")
            document["name"] = .string(allowed(span.name))
            if span.kind == .client {
                let isAWS = span.attributes["namespace"] == "aws"
                document["namespace"] = .string(isAWS ? "aws" : "remote")
            }
        }
        mark(span, in: &document)
        document["http"] = http(of: span)
        document["annotations"] = annotations(of: span)
        return text(of: .object(document))
    }

    private static let proxyOrigin = "AWS::AppMesh::Proxy"

    private static func isSegment(_ span: Span) -> Bool {
        // Envoy says of requests that it takes, and not of its calls, whose they are.
        let isTaken = span.attributes["downstream_cluster"] != nil
        return span.kind == .server || span.parentID == nil
            || span.attributes["component"] == "proxy" && isTaken
    }

    private static func mark(_ span: Span, in document: inout [String: JSONValue]) {
        let status = span.status ?? 0
        if (400...499).contains(status) {
            document["error"] = .bool(true)
            if status == 429 { document["throttle"] = .bool(true) }
            if span.isError { document["fault"] = .bool(true) }
        } else if span.isError || status >= 500 {
            document["fault"] = .bool(true)
        }
    }

    private static func http(of span: Span) -> JSONValue? {
        var (request, response): ([String: JSONValue], [String: JSONValue]) = ([:], [:])
        for (field, name) in requestFields {
            request[field] = span.attributes[name].map(JSONValue.string)
        }
        response["status"] = span.status.map(JSONValue.integer)
        response["content_length"] = span.attributes["response_size"].flatMap { Int($0) }
            .map(JSONValue.integer)
        var http: [String: JSONValue] = [:]
        if !request.isEmpty { http["request"] = .object(request) }
        if !response.isEmpty { http["response"] = .object(response) }
        return http.isEmpty ? nil : .object(http)
    }

    private static let requestFields = [
        "method": "http.method", "url": "http.url", "user_agent": "user_agent",
        "client_ip": "peer.address",
    ]
    /// Attributes with a field of their own.
    private static let fields = Set(requestFields.values)
        .union(["response_size", "http.status_code", "namespace", "origin"])

    private static func annotations(of span: Span) -> JSONValue? {
        var annotations: [String: JSONValue] = [:]
        var bytesLeft = annotationBytes
        for (key, value) in span.attributes.sorted(by: { $0.key < $1.key })
        where !fields.contains(key) {
            bytesLeft -= escapedBytes(key) + escapedBytes(value) + 6
            guard bytesLeft > 0 else { break }
            annotations[annotationKey(key)] = .string(value)
        }
        return annotations.isEmpty ? nil : .object(annotations)
    }

    /// How long a text is in JSON.
    private static func escapedBytes(_ text: String) -> Int {
        text.utf8.reduce(0) { sum, byte in
            sum
                + (byte < 0x20
                    ? 6 : byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") ? 2 : 1)
        }
    }

    /// X-Ray allows letters, digits, `_` and `.` in an annotation's name.
    private static func annotationKey(_ key: String) -> String {
        String(
            key.unicodeScalars.map { scalar in
                let isAllowed = scalar.isASCII && scalar.properties.isAlphabetic
                let isDigit = ("0"..."9").contains(scalar)
                return isAllowed || isDigit || scalar == "." ? Character(scalar) : "_"
            }
        )
    }

    /// A name with the characters and of the length that X-Ray allows.
    private static func allowed(_ name: String) -> String {
        let name = String(
            name.unicodeScalars.prefix(200).map { scalar in
                let isAllowed =
                    scalar.properties.isAlphabetic || scalar.properties.numericType != nil
                    || " _.:/%&#=+\\-@".unicodeScalars.contains(scalar)
                return isAllowed ? Character(scalar) : "_"
            }
        )
        return name.isEmpty ? "unknown" : name
    }

    private static func text(of document: JSONValue) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        guard let data = try? encoder.encode(document) else {
            preconditionFailure("a document has finite numbers only")
        }
        return String(decoding: data, as: UTF8.self)
    }
}

extension Int {
    /// The sum, or the largest or least number where there is none.
    func saturatingSum(_ other: Int) -> Int {
        let (sum, isOverflow) = addingReportingOverflow(other)
        return isOverflow ? (other > 0 ? .max : .min) : sum
    }

    /// The difference, or the largest or least number where there is none.
    func saturatingDifference(_ other: Int) -> Int {
        let (difference, isOverflow) = subtractingReportingOverflow(other)
        return isOverflow ? (other > 0 ? .min : .max) : difference
    }
}
