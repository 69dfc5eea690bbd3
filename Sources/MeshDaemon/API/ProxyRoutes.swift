import MeshModel
import ServiceLifecycle

extension ProxyReport.Entry: ReportEntry {
    var reference: ObjectReference { id.workload }
}

extension APIHandler {
    /// The proxies of `namespace`, or all.
    func proxies(_ namespace: String?, _ request: APIRequest) throws(APIFailure) -> APIResponse {
        let presentation = try Presentation(request)
        let fields = try FieldRequirement.parse(request.query["fieldSelector"] ?? "")
        let labels = try LabelSelector.parse(query: request.query["labelSelector"] ?? "")
        let matches: @Sendable (ProxyReport.Entry) -> Bool = { entry in
            (namespace == nil || entry.reference.namespace == namespace)
                && fields.allSatisfy { $0.matches(entry.reference) } && labels.matches(entry.labels)
        }
        if request.flag("watch") {
            let start = request.query["resourceVersion"].flatMap(Int.init)
            return APIResponse(
                body: .stream { write in
                    try await watchProxies(matches, presentation, after: start, write)
                }
            )
        }
        let (report, version) = state.proxies
        let documents = documents(report.entries.filter(matches), version)
        switch presentation {
        case .table(let include):
            return .document(table(documents, version, include))
        case .object:
            return .document([
                "apiVersion": .string(Proxies.apiVersion),
                "kind": .string("\(Proxies.kind)List"),
                "metadata": ["resourceVersion": .string(String(version))],
                "items": .array(documents),
            ])
        }
    }

    /// The proxy `id`.
    func proxy(_ id: ProxyID, _ request: APIRequest) throws(APIFailure) -> APIResponse {
        let presentation = try Presentation(request)
        let (report, version) = state.proxies
        let documents = documents(report.entries.filter { $0.id == id }, version)
        guard let document = documents.first else { throw .noProxy(id.workload.name) }
        switch presentation {
        case .table(let include): return .document(table([document], version, include))
        case .object: return .document(document)
        }
    }

    /// Upgrades the proxy `id`, or all that are outdated, and answers with each step on a line.
    ///
    /// The port asks nobody who they are, so that only the socket's owner may.
    func upgradeProxies(_ id: ProxyID?, _ request: APIRequest) throws(APIFailure) -> APIResponse {
        guard request.isFromSocket else { throw .upgradesOnlyOnSocket }
        if let id, !state.proxies.report.contains(id) { throw .noProxy(id.workload.name) }
        guard let upgrade else { throw .noUpgrade }
        return APIResponse(
            contentType: "application/x-ndjson",
            body: .stream { write in
                try await write([])
                try await upgrade(id.map { [$0] }) { step in
                    try await write(JSONText.compact(step.document) + [UInt8(ascii: "\n")])
                }
            }
        )
    }

    private func watchProxies(
        _ matches: (ProxyReport.Entry) -> Bool,
        _ presentation: Presentation,
        after start: Int?,
        _ write: BodyWrite
    ) async throws {
        try await watch(
            after: start,
            {
                let (report, version) = state.proxies
                return (report.entries.filter(matches), version)
            },
            object: { entry, version in
                let document = documents([entry], version)[0]
                guard case .table(let include) = presentation else { return document }
                return table([document], version, include)
            },
            write
        )
    }

    private func documents(_ entries: [ProxyReport.Entry], _ version: Int) -> [JSONValue] {
        let live = usage()
        return entries.map { entry in
            var document = entry.document(live[entry.id])
            document["metadata"]?["resourceVersion"] = .string(String(version))
            return document
        }
    }

    private func table(
        _ documents: [JSONValue],
        _ version: Int,
        _ include: IncludeObject
    ) -> JSONValue {
        ProxyColumn.table(
            of: documents,
            version: version,
            include: include,
            nowSeconds: nowSeconds()
        )
    }
}

extension APIFailure {
    /// No such proxy.
    static func noProxy(_ name: String) -> APIFailure {
        APIFailure(
            code: 404,
            reason: "NotFound",
            message: "\(Proxies.plural).heddle.dev \"\(name)\" not found",
            details: [
                "name": .string(name), "group": "heddle.dev", "kind": .string(Proxies.plural),
            ]
        )
    }

    /// An upgrade was asked for on the TCP port.
    static let upgradesOnlyOnSocket = APIFailure(
        code: 403,
        reason: "Forbidden",
        message: "proxies are upgraded through the Unix socket alone, which is its owner's; "
            + "use \"heddle proxies upgrade\""
    )

    /// Nobody is there who could upgrade.
    static let noUpgrade = APIFailure(
        code: 501,
        reason: "NotImplemented",
        message: "this Heddle runs no proxies"
    )
}
