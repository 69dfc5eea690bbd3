import FoundationEssentials
import MeshModel
import MeshTelemetry
import ServiceLifecycle

/// What a path names of the traffic.
enum TelemetryRoute: Hashable {
    /// `/map`.
    case map
    /// `/traces`.
    case traces
    /// `/traces/<trace ID, or its first digits>`.
    case trace(String)
    /// `/audit`.
    case audit
    /// `/tap/<namespace>/<virtual node, virtual gateway or Workload>`.
    case tap(ObjectReference)
    /// `/accesslog/<namespace>/<virtual node, virtual gateway or Workload>`.
    case accessLog(ObjectReference)

    /// Reads a path; nil when it is none of these.
    init?(path: String) {
        let parts = path.split(separator: "/").map(String.init)
        switch (parts.first, parts.count) {
        case ("map", 1): self = .map
        case ("traces", 1): self = .traces
        case ("traces", 2): self = .trace(parts[1])
        case ("audit", 1): self = .audit
        case ("tap", 3): self = .tap(ObjectReference(namespace: parts[1], name: parts[2]))
        case ("accesslog", 3):
            self = .accessLog(ObjectReference(namespace: parts[1], name: parts[2]))
        default: return nil
        }
    }
}

extension APIHandler {
    /// Answers a request for what happens in the mesh.
    func telemetry(_ route: TelemetryRoute, _ request: APIRequest) async throws -> APIResponse {
        guard request.method == "GET" else { throw APIFailure.methodNotAllowed }
        switch route {
        case .map: return try map(request)
        case .traces: return try json(try await telemetry.traces(TraceQuery(request)))
        case .trace(let text):
            guard let digits = traceDigits(text) else { throw APIFailure.noTraceID(text) }
            let spans = try await telemetry.spans(try await traceID(digits))
            guard !spans.isEmpty else { throw APIFailure.noTrace(text) }
            return try json(spans)
        case .audit: return try json(try await telemetry.audit(AuditQuery(request)))
        case .tap(let reference): return try tap(reference, request)
        case .accessLog(let reference): return try accessLog(reference, request)
        }
    }

    /// The ID that begins with `digits`.
    private func traceID(_ digits: String) async throws -> String {
        guard digits.utf8.count < 32 else { return digits }
        let ids = try await telemetry.traceIDs(digits)
        guard ids.count < 2 else { throw APIFailure.manyTraces(digits, ids) }
        guard let id = ids.first else { throw APIFailure.noTrace(digits) }
        return id
    }

    private func json(_ value: some Encodable) throws -> APIResponse {
        APIResponse(body: .bytes(try encoded(value)))
    }

    private func encoded(_ value: some Encodable) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return Array(try encoder.encode(value))
    }

    /// The map, or with `watch` each as it is made (https://html.spec.whatwg.org/#server-sent-events).
    private func map(_ request: APIRequest) throws -> APIResponse {
        guard request.hasFlag("watch") else { return try json(telemetry.map()) }
        let changes = telemetry.mapChanges()
        return APIResponse(
            contentType: "text/event-stream",
            body: .stream { write in
                func send(_ map: ServiceMap) async throws {
                    try await write(
                        Array("data: ".utf8) + (try encoded(map)) + Array("\n\n".utf8)
                    )
                }
                for await map in changes.cancelOnGracefulShutdown() { try await send(map) }
            }
        )
    }

    /// The port asks nobody who they are, and requests may tell of persons.
    private func tap(
        _ reference: ObjectReference,
        _ request: APIRequest
    ) throws -> APIResponse {
        guard request.isFromSocket else { throw APIFailure.tapsOnlyOnSocket }
        guard let tap = telemetry.tap else { throw APIFailure.noTap }
        let query = try TapQuery(request)
        _ = try proxies(of: reference)
        return APIResponse(
            contentType: "application/x-ndjson",
            body: .stream { write in
                try await tap(query, { (try? proxies(of: reference)) ?? [] }) { lines in
                    var bytes: [UInt8] = []
                    for line in lines {
                        switch line {
                        case .request(let record): bytes += try encoded(record)
                        case .notice(let notice): bytes += try encoded(["notice": notice])
                        }
                        bytes.append(UInt8(ascii: "\n"))
                    }
                    try await write(bytes)
                }
            }
        )
    }

    private func accessLog(
        _ reference: ObjectReference,
        _ request: APIRequest
    ) throws -> APIResponse {
        let proxies = try proxies(of: reference)
        guard telemetry.hasAccessLog(proxies) else { throw APIFailure.noAccessLog(reference) }
        let tailLines = try request.number("tailLines", in: 0...1_000_000)
        let follow = request.hasFlag("follow")
        return APIResponse(
            contentType: "text/plain; charset=utf-8",
            body: .stream { write in
                try await telemetry.accessLog(proxies, tailLines, follow, write)
            }
        )
    }

    /// The proxies of a virtual node or virtual gateway of this name, else of the Workload.
    private func proxies(of reference: ObjectReference) throws(APIFailure) -> Set<ProxyID> {
        let entries = state.proxies.report.entries
        let owned = entries.filter { $0.owner.reference == reference }.map(\.id)
        let found = owned.isEmpty ? entries.map(\.id).filter { $0.workload == reference } : owned
        guard !found.isEmpty else {
            let kinds: [Kind] = [.virtualNode, .virtualGateway, .workload]
            let isKnown = kinds.contains { state.entry(ObjectID($0, reference)) != nil }
            throw isKnown ? .noProxies(reference) : .noNode(reference)
        }
        return Set(found)
    }
}

/// The hexadecimal digits of a trace ID, 32 or the first 4 or more of them.
///
/// - Parameter text: The digits, or as X-Ray writes them: `1-58406520-a006649127e371903a2de979`.
/// - Returns: nil of anything else.
func traceDigits(_ text: String) -> String? {
    guard let digits = TraceID.prefix(text), digits.utf8.count >= 4 else { return nil }
    return digits
}

extension APIRequest {
    /// Whether the parameter `name` is there, and not `false` or `0`: `?watch` is enough.
    fileprivate func hasFlag(_ name: String) -> Bool {
        query[name].map { $0 != "false" && $0 != "0" } ?? false
    }

    /// The number of the parameter `name`; nil without it.
    fileprivate func number(
        _ name: String,
        in range: ClosedRange<Int>
    ) throws(APIFailure) -> Int? {
        guard let text = query[name] else { return nil }
        guard let number = Int(text), range.contains(number) else {
            throw .badRequest(
                "\(name) \"\(text)\" is not a number from \(range.lowerBound) to \(range.upperBound)"
            )
        }
        return number
    }

    /// The text of the parameter `name`; nil without it, or when it is empty.
    fileprivate func text(_ name: String) throws(APIFailure) -> String? {
        guard let text = query[name], !text.isEmpty else { return nil }
        guard text.utf8.count <= 1024 else {
            throw .badRequest("\(name) is longer than 1024 bytes")
        }
        return text
    }
}

extension TraceQuery {
    /// How many traces may be asked for.
    static let limits = 1...1000

    /// Reads a query's parameters.
    fileprivate init(_ request: APIRequest) throws(APIFailure) {
        self.init(
            service: try request.text("service"),
            minimumDurationMicroseconds: try request.number(
                "minimumDurationMicroseconds",
                in: 0...Int.max
            ),
            errorsOnly: request.hasFlag("errorsOnly"),
            sinceMicroseconds: try request.number("sinceMicroseconds", in: 0...Int.max)
        )
        limit = try request.number("limit", in: Self.limits) ?? limit
    }
}

extension AuditQuery {
    /// How many records may be asked for: more than are kept.
    static let limits = 1...100_000

    /// Reads a query's parameters.
    fileprivate init(_ request: APIRequest) throws(APIFailure) {
        self.init(
            service: try request.text("service"),
            sinceSeconds: try request.number("sinceSeconds", in: 0...Int.max).map(Double.init)
        )
        if let text = try request.text("verdict") {
            guard let verdict = AuditRecord.Verdict(rawValue: text) else {
                let all = AuditRecord.Verdict.allCases.map(\.rawValue).joined(separator: ", ")
                throw .badRequest("verdict \"\(text)\" is none of \(all)")
            }
            self.verdict = verdict
        }
        limit = try request.number("limit", in: Self.limits) ?? limit
    }
}

extension TapQuery {
    /// Reads a query's parameters.
    fileprivate init(_ request: APIRequest) throws(APIFailure) {
        self.init(
            method: try request.text("method"),
            path: try request.text("path"),
            target: try request.text("to")
        )
        if let text = try request.text("status") {
            guard let statuses = TapQuery.Status.list(text) else {
                throw .badRequest("status \"\(text)\" is not such as 503, 5xx or none")
            }
            self.statuses = statuses
        }
        maximumRate = try request.number("maxRPS", in: TapQuery.rates) ?? maximumRate
    }
}

extension APIFailure {
    /// A tap was asked for on the TCP port.
    fileprivate static let tapsOnlyOnSocket = APIFailure(
        code: 403,
        reason: "Forbidden",
        message: "requests are tapped through the Unix socket alone, which is its owner's; "
            + "use \"heddle tap\""
    )

    /// Nobody is there who could tap.
    fileprivate static let noTap = APIFailure(
        code: 501,
        reason: "NotImplemented",
        message: "this Heddle taps no proxies"
    )

    /// That is no trace ID.
    fileprivate static func noTraceID(_ text: String) -> APIFailure {
        .badRequest(
            "\"\(text.prefix(64))\" is no trace ID, which has 32 hexadecimal digits; "
                + "write them or the first of them, 4 at least"
        )
    }

    /// Several traces begin so.
    fileprivate static func manyTraces(_ digits: String, _ ids: [String]) -> APIFailure {
        let shown = ids.prefix(5).joined(separator: ", ")
        return APIFailure(
            code: 409,
            reason: "Conflict",
            message: "several traces begin with \"\(digits)\": \(shown)"
                + (ids.count > 5 ? " and more" : "") + "; write more digits",
            details: ["name": .string(digits), "kind": "traces"]
        )
    }

    /// No span of that trace is kept.
    fileprivate static func noTrace(_ id: String) -> APIFailure {
        APIFailure(
            code: 404,
            reason: "NotFound",
            message: "trace \"\(id)\" not found: it was not sampled, or is no longer kept",
            details: ["name": .string(id), "kind": "traces"]
        )
    }

    /// Nothing has that name.
    fileprivate static func noNode(_ reference: ObjectReference) -> APIFailure {
        APIFailure(
            code: 404,
            reason: "NotFound",
            message: "no virtual node, virtual gateway or Workload \"\(reference)\"",
            details: ["name": .string(reference.name)]
        )
    }

    /// It is there, and has no proxy.
    fileprivate static func noProxies(_ reference: ObjectReference) -> APIFailure {
        APIFailure(
            code: 404,
            reason: "NotFound",
            message: "\"\(reference)\" has no proxy: no Workload is its own",
            details: ["name": .string(reference.name)]
        )
    }

    /// It logs nothing.
    fileprivate static func noAccessLog(_ reference: ObjectReference) -> APIFailure {
        APIFailure(
            code: 404,
            reason: "NotFound",
            message: "\"\(reference)\" has no access log: set "
                + "spec.logging.accessLog.file.path of its VirtualNode or VirtualGateway",
            details: ["name": .string(reference.name)]
        )
    }
}
