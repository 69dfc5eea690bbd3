internal import MeshModel

/// What came was no segment, and why.
public struct MalformedSpan: Error, Hashable, CustomStringConvertible {
    /// What is wrong; it quotes nothing of what came.
    public var description: String

    init(_ description: String) { self.description = description }
}

/// Segment documents of AWS X-Ray, and the protocol of its daemon.
///
/// Envoy sends one segment for each request that a listener takes, named `<mesh>/<node>`, whose
/// annotation `direction` tells on which side it was; where spans are made for calls too
/// (`spawn_upstream_span`), each of these is a subsegment of its own, which does not name its service.
public enum XRaySegment {
    /// How many segments and subsegments a document may have.
    static let spanLimit = 1000
    /// How deep a document may be; each subsegment in another is two deeper.
    static let depthLimit = 64

    /// The spans of a datagram of X-Ray's daemon.
    ///
    /// - Parameter datagram: `{"format":"json","version":1}`, a line feed and a segment document.
    /// - Returns: The spans, the outermost first, and the document as it came.
    /// - Throws: `MalformedSpan`.
    public static func received(
        _ datagram: [UInt8]
    ) throws(MalformedSpan) -> ReceivedSpans {
        guard let end = datagram.firstIndex(of: 0x0a) else {
            throw MalformedSpan("there is no line feed between header and document")
        }
        let header: JSONValue
        do {
            header = try BoundedJSON.value(of: datagram[..<end], depth: 2, values: 16)
        } catch {
            throw MalformedSpan("the header is not JSON")
        }
        guard header["format"]?.string?.lowercased() == "json", header["version"]?.integer == 1
        else {
            throw MalformedSpan(#"the header is not {"format":"json","version":1}"#)
        }
        let document = datagram[(end + 1)...]
        let spans = try spans(of: document)
        return ReceivedSpans(
            spans: spans,
            segmentDocument: String(decoding: document, as: UTF8.self)
        )
    }

    /// The spans of a segment document: the segment, and the subsegments in it.
    ///
    /// - Parameter document: A segment, or a subsegment that comes alone, as JSON.
    /// - Returns: The spans, the outermost first. A subsegment that comes alone has no service.
    /// - Throws: `MalformedSpan`.
    public static func spans(of document: ArraySlice<UInt8>) throws(MalformedSpan) -> [Span] {
        let value: JSONValue
        do {
            value = try BoundedJSON.value(of: document, depth: depthLimit)
        } catch {
            throw MalformedSpan("the document is not JSON, or beyond bounds")
        }
        guard case .object(let segment) = value else {
            throw MalformedSpan("the document is not an object")
        }
        guard let traceID = segment["trace_id"]?.string.flatMap(TraceID.normalized) else {
            throw MalformedSpan("trace_id is missing, or not 1-8 digits-24 digits")
        }
        var found: [Span] = []
        let isAlone = segment["type"]?.string == "subsegment"
        let outer = try span(
            segment,
            traceID: traceID,
            parentID: try parentID(segment, isRequired: isAlone),
            service: isAlone ? "" : nil
        )
        found.append(outer)
        try addSubsegments(of: segment, in: outer, to: &found)
        return found
    }

    private static func addSubsegments(
        of segment: [String: JSONValue],
        in parent: Span,
        to found: inout [Span]
    ) throws(MalformedSpan) {
        for case .object(let subsegment) in segment["subsegments"]?.array ?? [] {
            let inner = try span(
                subsegment,
                traceID: parent.traceID,
                parentID: parent.spanID,
                service: parent.service
            )
            found.append(inner)
            guard found.count <= spanLimit else { throw MalformedSpan("too many subsegments") }
            try addSubsegments(of: subsegment, in: inner, to: &found)
        }
    }

    private static func parentID(
        _ segment: [String: JSONValue],
        isRequired: Bool
    ) throws(MalformedSpan) -> String? {
        guard let text = segment["parent_id"]?.string, !text.isEmpty else {
            guard !isRequired else { throw MalformedSpan("parent_id of a subsegment is missing") }
            return nil
        }
        guard let parentID = TraceID.spanID(text) else {
            throw MalformedSpan("parent_id is not 16 digits")
        }
        return parentID
    }

    /// A span of `segment`, which is a subsegment if its `service` is known.
    private static func span(
        _ segment: [String: JSONValue],
        traceID: String,
        parentID: String?,
        service: String?
    ) throws(MalformedSpan) -> Span {
        guard let id = segment["id"]?.string.flatMap(TraceID.spanID) else {
            throw MalformedSpan("id is missing, or not 16 digits")
        }
        guard let name = segment["name"]?.string, !name.isEmpty else {
            throw MalformedSpan("name is missing")
        }
        let start = try microseconds(segment["start_time"], "start_time")
        var duration: Int?
        if segment["in_progress"]?.bool != true, segment["end_time"] != nil {
            duration = max(0, try microseconds(segment["end_time"], "end_time") - start)
        }
        let request = segment["http"]?["request"]
        let status = segment["http"]?["response"]?["status"]?.integer
            .flatMap { (100...599).contains($0) ? $0 : nil }
        let attributes = attributes(of: segment)
        let isSegment = service == nil
        let requested = requestName(
            method: request?["method"]?.string,
            url: request?["url"]?.string
        )
        return Span(
            traceID: traceID,
            spanID: id,
            parentID: parentID == id ? nil : parentID,
            name: (isSegment ? requested : nil) ?? name.cut(to: SpanLimits.nameBytes),
            service: (service ?? name).cut(to: SpanLimits.nameBytes),
            kind: kind(of: segment, isSegment: isSegment, hasParent: parentID != nil),
            startMicroseconds: start,
            durationMicroseconds: duration,
            status: status,
            isError: isError(segment, status: status),
            attributes: attributes
        )
    }

    private static func microseconds(
        _ value: JSONValue?,
        _ field: String
    ) throws(MalformedSpan) -> Int {
        let seconds: Double? =
            switch value {
            case .number(let number): number
            case .integer(let number): Double(number)
            case .null, .bool, .string, .array, .object, nil: nil
            }
        guard let seconds, SpanLimits.seconds.contains(seconds) else {
            throw MalformedSpan("\(field) is missing, or no time in seconds since 1970")
        }
        return Int((seconds * 1_000_000).rounded())
    }

    private static func kind(
        of segment: [String: JSONValue],
        isSegment: Bool,
        hasParent: Bool
    ) -> Span.Kind {
        let annotations = segment["annotations"]
        guard isSegment else {
            let isCall =
                ["remote", "aws"].contains(segment["namespace"]?.string)
                || annotations?["upstream_cluster"] != nil
            return isCall ? .client : .other
        }
        switch annotations?["direction"]?.string {
        case "egress": return .client
        case "ingress": return .server
        default: return hasParent || segment["http"]?["request"] != nil ? .server : .other
        }
    }

    /// A fault, or an error that is not the client's by its status: what a client did wrong is no failure.
    private static func isError(_ segment: [String: JSONValue], status: Int?) -> Bool {
        if segment["fault"]?.bool == true { return true }
        if segment["throttle"]?.bool == true { return false }
        let isClients = status.map { (400...499).contains($0) } ?? false
        return segment["error"]?.bool == true && !isClients
    }
}

// MARK: attributes

extension XRaySegment {
    /// What is known of a segment besides; names are those of Envoy's tags, whatever protocol it came by.
    private static func attributes(of segment: [String: JSONValue]) -> [String: String] {
        var attributes = SpanAttributes()
        let http = segment["http"]
        attributes.add("http.method", http?["request"]?["method"]?.scalarText)
        attributes.add("http.url", http?["request"]?["url"]?.scalarText)
        attributes.add("user_agent", http?["request"]?["user_agent"]?.scalarText)
        attributes.add("peer.address", http?["request"]?["client_ip"]?.scalarText)
        attributes.add("response_size", http?["response"]?["content_length"]?.scalarText)
        let exception = segment["cause"]?["exceptions"]?.array?.first
        attributes.add("exception.type", exception?["type"]?.scalarText)
        attributes.add("exception.message", exception?["message"]?.scalarText)
        attributes.add("namespace", segment["namespace"]?.scalarText)
        attributes.add("origin", segment["origin"]?.scalarText)
        flatten(segment["annotations"], "", depth: 1, into: &attributes)
        for part in ["aws", "metadata", "service", "sql", "user"] {
            flatten(segment[part], part, depth: 3, into: &attributes)
        }
        return attributes.values
    }

    private static func flatten(
        _ value: JSONValue?,
        _ prefix: String,
        depth: Int,
        into attributes: inout SpanAttributes
    ) {
        guard case .object(let members) = value else {
            attributes.add(prefix, value?.scalarText)
            return
        }
        guard depth > 0 else { return }
        // In order, so that of too many always the same are kept.
        for (key, member) in members.sorted(by: { $0.key < $1.key }) {
            let name = prefix.isEmpty ? key : "\(prefix).\(key)"
            flatten(member, name, depth: depth - 1, into: &attributes)
        }
    }
}

extension JSONValue {
    /// The text of a string, a number or a truth value.
    fileprivate var scalarText: String? {
        switch self {
        case .string(let value): value
        case .bool(let value): value ? "true" : "false"
        case .integer(let value): String(value)
        case .number(let value): String(value)
        case .null, .array, .object: nil
        }
    }
}
