import MeshModel
import ServiceLifecycle

extension APIHandler {
    /// The events of `namespace`, or all, the oldest first.
    func events(_ namespace: String?, _ request: APIRequest) throws(APIFailure) -> APIResponse {
        let presentation = try Presentation(request)
        let selection = try EventSelection(namespace: namespace, request)
        if request.flag("watch") {
            let text = request.query["resourceVersion"] ?? ""
            guard let start = Int(text.isEmpty ? "0" : text), start >= 0 else {
                throw .badRequest("invalid resource version \"\(text)\"")
            }
            return APIResponse(
                body: .stream { write in
                    try await watchEvents(selection, presentation, after: start, write)
                }
            )
        }
        let (events, version) = state.events.all
        let documents = events.map(document(of:)).filter(selection.matches)
        switch presentation {
        case .table(let include):
            return .document(
                EventColumn.table(
                    of: documents,
                    version: version,
                    include: include,
                    nowSeconds: nowSeconds()
                )
            )
        case .object:
            return .document([
                "apiVersion": .string(Events.apiVersion), "kind": .string("\(Events.kind)List"),
                "metadata": ["resourceVersion": .string(String(version))],
                "items": .array(documents),
            ])
        }
    }

    /// The event `name`.
    func event(
        _ namespace: String,
        _ name: String,
        _ request: APIRequest
    ) throws(APIFailure) -> APIResponse {
        let presentation = try Presentation(request)
        let (events, version) = state.events.all
        guard let event = events.first(where: { $0.namespace == namespace && $0.name == name })
        else { throw .noEvent(name) }
        switch presentation {
        case .table(let include):
            return .document(
                EventColumn.table(
                    of: [document(of: event)],
                    version: version,
                    include: include,
                    nowSeconds: nowSeconds()
                )
            )
        case .object: return .document(document(of: event))
        }
    }

    private func document(of event: LoggedEvent) -> JSONValue {
        event.document(objectUID: state.entry(event.event.object)?.metadata.uid)
    }

    /// Sends what happened after the version `start`; a version of a time to come is of another log,
    /// and all that there is follows it.
    private func watchEvents(
        _ selection: EventSelection,
        _ presentation: Presentation,
        after start: Int,
        _ write: BodyWrite
    ) async throws {
        let subscription = state.events.subscribe()
        defer { state.events.unsubscribe(subscription) }
        subscription.wake.yield()
        var sent = start > state.events.all.version ? 0 : start
        var hasColumns = false
        try await write([])
        for await _ in subscription.signals.cancelOnGracefulShutdown() {
            let (events, version) = state.events.all
            var lines: [UInt8] = []
            for event in events where event.version > sent {
                var object = document(of: event)
                guard selection.matches(object) else { continue }
                if case .table(let include) = presentation {
                    object = EventColumn.table(
                        of: [object],
                        version: event.version,
                        include: include,
                        nowSeconds: nowSeconds(),
                        includesColumns: !hasColumns
                    )
                    hasColumns = true
                }
                let type: JSONValue = event.firstVersion > sent ? "ADDED" : "MODIFIED"
                lines += JSONText.compact(["type": type, "object": object])
                lines.append(UInt8(ascii: "\n"))
            }
            sent = version
            if !lines.isEmpty { try await write(lines) }
        }
    }
}

/// The events that a list or a watch is about.
private struct EventSelection: Sendable {
    var namespace: String?
    var fields: [FieldTerm]

    /// The fields by which Kubernetes selects events.
    private static let known: Set = [
        "metadata.name", "metadata.namespace", "involvedObject.kind", "involvedObject.namespace",
        "involvedObject.name", "involvedObject.uid", "involvedObject.apiVersion",
        "involvedObject.resourceVersion", "involvedObject.fieldPath", "reason", "type", "source",
        "reportingComponent",
    ]

    init(namespace: String?, _ request: APIRequest) throws(APIFailure) {
        self.namespace = namespace
        fields = try FieldTerm.parse(request.query["fieldSelector"] ?? "")
        for field in fields where !Self.known.contains(field.key) {
            throw .badRequest("field label not supported: \(field.key)")
        }
        let labels = try LabelSelector.parse(query: request.query["labelSelector"] ?? "")
        // An event has no labels.
        if !labels.matches([:]) {
            fields.append(FieldTerm(key: "type", value: "", isNegated: false))
        }
    }

    func matches(_ event: JSONValue) -> Bool {
        guard namespace == nil || event["metadata"]?["namespace"]?.string == namespace else {
            return false
        }
        return fields.allSatisfy { term in
            let path = term.key == "source" ? "source.component" : term.key
            let value = path.split(separator: ".").reduce(event) { $0[String($1)] ?? .null }
            return ((value.string ?? "") == term.value) != term.isNegated
        }
    }
}

extension APIFailure {
    /// No such event.
    fileprivate static func noEvent(_ name: String) -> APIFailure {
        APIFailure(
            code: 404,
            reason: "NotFound",
            message: "\(Events.plural) \"\(name)\" not found",
            details: ["name": .string(name), "kind": .string(Events.plural)]
        )
    }
}
