import HTTPTypes
public import MeshModel
import ServiceLifecycle

/// Opens the log of a Workload's proxy (`container` is `envoy`) or application (`application`): its
/// last lines, all without `tailLines`, and with `follow` what comes after them.
public typealias LogSource =
    @Sendable (
        _ workload: ObjectReference,
        _ container: String,
        _ tailLines: Int?,
        _ follow: Bool
    ) async throws -> AsyncStream<[UInt8]>

/// Takes the next part of a body that is written piece by piece.
typealias BodyWrite = ([UInt8]) async throws -> Void

/// An answer of the API without its transport.
struct APIResponse: Sendable {
    /// What follows the head.
    enum Body: Sendable {
        /// All of it.
        case bytes([UInt8])
        /// Piece by piece, until the closure returns or its task is cancelled.
        case stream(@Sendable (_ write: BodyWrite) async throws -> Void)
    }

    /// The HTTP status.
    var status = 200
    /// `Content-Type`.
    var contentType = "application/json"
    /// Other fields of the head.
    var headers: HTTPFields = [:]
    /// What follows the head.
    var body: Body

    /// A document.
    static func document(_ document: JSONValue, status: Int = 200) -> APIResponse {
        APIResponse(status: status, body: .bytes(JSONText.compact(document)))
    }

    /// A line of text.
    static func text(_ text: String, status: Int = 200) -> APIResponse {
        APIResponse(status: status, contentType: "text/plain", body: .bytes(Array(text.utf8)))
    }
}

/// Answers requests by the conventions of the Kubernetes API; reading only, but for rotations and
/// upgrades.
struct APIHandler: Sendable {
    /// What to show.
    var state: APIState
    /// Where logs come from.
    var logs: LogSource
    /// How often an idle watch that allows bookmarks gets one.
    var bookmarkInterval = Duration.seconds(60)
    /// The present time in seconds since 1970, for ages.
    var nowSeconds: @Sendable () -> Int
    /// Replaces certificates; nil where there are none.
    var rotation: RotationHandler?
    /// What access control has done so far.
    var accessCounts: @Sendable () -> [AccessCount] = { [] }
    /// What each proxy uses at the moment.
    var usage: UsageSource = { [:] }
    /// Upgrades proxies; nil where there are none.
    var upgrade: UpgradeHandler?
    /// What `/metrics` tells beside all that.
    var monitoring = MonitoringSources()
    /// What happens in the mesh.
    var telemetry = TelemetrySources()
    /// What readiness waits for beside the first plan, or what that waits for, one line each.
    var waiting: @Sendable () -> [String] = { [] }

    /// Answers one request.
    func respond(to request: APIRequest) async -> APIResponse {
        do {
            return try await answer(request)
        } catch let failure as APIFailure {
            return .document(failure.document, status: failure.code)
        } catch {
            return .document(APIFailure.internalError("\(error)").document, status: 500)
        }
    }

    private func answer(_ request: APIRequest) async throws -> APIResponse {
        if request.path == "/problems" {
            guard request.method == "GET" else { throw APIFailure.methodNotAllowed }
            return .document(.array(state.problems.map(JSONValue.string)))
        }
        if let route = PageRoute(request) { return try page(route, request) }
        if let route = TelemetryRoute(path: request.path) {
            return try await telemetry(route, request)
        }
        guard let route = APIRoute(path: request.path) else { throw APIFailure.noResource }
        guard request.method == route.method else { throw APIFailure.methodNotAllowed }
        switch route {
        case .health: return .text("ok")
        case .readiness:
            let lines = (state.isPublished ? [] : ["nothing planned yet"]) + waiting()
            guard !lines.isEmpty else { return .text("ok") }
            return .text(lines.joined(separator: "\n"), status: 503)
        case .version: return .document(Discovery.version)
        case .coreVersions: return .document(Discovery.coreVersions)
        case .groups: return .document(Discovery.groups)
        case .group(let name): return try document(Discovery.group(name))
        case .resources(let version):
            return try document(Discovery.resources(apiVersion: version))
        case .list(let kind, let namespace):
            return try list(selection(kind, namespace, request), request)
        case .object(let id):
            guard !request.flag("watch") else {
                var one = Selection(kind: id.kind)
                one.namespace = id.kind.isNamespaced ? id.namespace : nil
                one.fields = [FieldRequirement(field: .name, value: id.name, isNegated: false)]
                return try list(one, request)
            }
            return try object(id, request)
        case .status(let id): return try object(id, request)
        case .log(let workload): return try await log(of: workload, request)
        case .certificates(let namespace): return try certificates(namespace, request)
        case .certificate(let namespace, let name):
            return try certificate(namespace, name, request)
        case .rotation(let namespace, let name):
            return try await rotate(namespace, name, request)
        case .proxies(let namespace): return try proxies(namespace, request)
        case .proxy(let id): return try proxy(id, request)
        case .upgrade(let id): return try upgradeProxies(id, request)
        case .events(let namespace): return try events(namespace, request)
        case .event(let namespace, let name): return try event(namespace, name, request)
        case .metrics: return metricsResponse()
        }
    }

    private func document(_ document: JSONValue?) throws(APIFailure) -> APIResponse {
        guard let document else { throw .noResource }
        return .document(document)
    }

    private func selection(
        _ kind: Kind,
        _ namespace: String?,
        _ request: APIRequest
    ) throws(APIFailure) -> Selection {
        Selection(
            kind: kind,
            namespace: namespace,
            labels: try .parse(query: request.query["labelSelector"] ?? ""),
            fields: try FieldRequirement.parse(request.query["fieldSelector"] ?? "")
        )
    }

    private func list(
        _ selection: Selection,
        _ request: APIRequest
    ) throws(APIFailure) -> APIResponse {
        let presentation = try Presentation(request)
        if request.flag("watch") {
            let watch = try Watch(self, selection, presentation, request)
            return APIResponse(body: .stream { write in try await watch.run(write) })
        }
        let (entries, version) = state.list(selection)
        switch presentation {
        case .table(let include):
            return .document(table(entries, selection.kind, version, include))
        case .object:
            return .document([
                "apiVersion": .string(selection.kind.apiVersion),
                "kind": .string("\(selection.kind.rawValue)List"),
                "metadata": ["resourceVersion": .string(String(version))],
                "items": .array(entries.map(\.document)),
            ])
        }
    }

    private func object(_ id: ObjectID, _ request: APIRequest) throws(APIFailure) -> APIResponse {
        let presentation = try Presentation(request)
        guard let entry = state.entry(id) else { throw .notFound(id.kind, name: id.name) }
        switch presentation {
        case .table(let include):
            return .document(table([entry], id.kind, entry.version, include))
        case .object: return .document(entry.document)
        }
    }

    private func table(
        _ entries: [APIEntry],
        _ kind: Kind,
        _ version: Int,
        _ include: IncludeObject
    ) -> JSONValue {
        ObjectTable.document(
            of: entries,
            kind: kind,
            version: version,
            include: include,
            nowSeconds: nowSeconds()
        )
    }

    private func log(
        of workload: ObjectReference,
        _ request: APIRequest
    ) async throws -> APIResponse {
        guard state.entry(ObjectID(.workload, workload)) != nil else {
            throw APIFailure.notFound(.workload, name: workload.name)
        }
        let container = request.query["container"] ?? "envoy"
        guard ["envoy", "application"].contains(container) else {
            throw APIFailure.badRequest(
                "container \(container) is not valid for workload \(workload.name), "
                    + "choose one of: [envoy application]"
            )
        }
        var tailLines: Int?
        if let text = request.query["tailLines"] {
            guard let number = Int(text), number >= 0 else {
                throw APIFailure.badRequest("tailLines \"\(text)\" is not a number of lines")
            }
            tailLines = number
        }
        let lines = try await logs(workload, container, tailLines, request.flag("follow"))
        return APIResponse(
            contentType: "text/plain",
            body: .stream { write in
                for await part in lines.cancelOnGracefulShutdown() { try await write(part) }
            }
        )
    }
}

/// How objects are shown, by the request's `Accept`.
enum Presentation: Hashable {
    /// As they are.
    case object
    /// As rows of a `Table`.
    case table(IncludeObject)

    /// The first media type of the request's `Accept` that is served; `*` and nothing are served as JSON.
    init(_ request: APIRequest) throws(APIFailure) {
        let ranges = request.accept.split(separator: ",").map { range in
            range.split(separator: ";").map { String($0).trimmingSpaces }
        }
        for range in ranges {
            guard ["application/json", "application/*", "*/*"].contains(range.first) else {
                continue
            }
            guard let form = range.first(where: { $0.hasPrefix("as=") }) else {
                self = .object
                return
            }
            if form == "as=Table", range.contains("v=v1"), range.contains("g=meta.k8s.io") {
                let text = request.query["includeObject"] ?? ""
                guard let include = IncludeObject(rawValue: text.isEmpty ? "Metadata" : text) else {
                    throw .badRequest("unrecognized includeObject value: \"\(text)\"")
                }
                self = .table(include)
                return
            }
        }
        guard ranges.isEmpty else { throw .notAcceptable }
        self = .object
    }
}
