public import MeshModel

/// Replaces certificates or an authority now, and says what was done once it is.
public typealias RotationHandler = @Sendable (RotationRequest) async throws -> String

extension APIHandler {
    /// The certificates of `namespace`, or all with the authorities.
    func certificates(
        _ namespace: String?,
        _ request: APIRequest
    ) throws(APIFailure) -> APIResponse {
        let presentation = try Presentation(request)
        let fields = try FieldRequirement.parse(request.query["fieldSelector"] ?? "")
        let labels = try LabelSelector.parse(query: request.query["labelSelector"] ?? "")
        // A certificate has no labels.
        let matches: @Sendable (CertificateReport.Entry) -> Bool = { entry in
            let id = ObjectReference(namespace: entry.namespace, name: entry.name)
            return (namespace == nil || entry.namespace == namespace)
                && fields.allSatisfy { $0.matches(id) } && labels.matches([:])
        }
        if request.flag("watch") {
            let start = request.query["resourceVersion"].flatMap(Int.init)
            return APIResponse(
                body: .stream { write in
                    try await watchCertificates(matches, presentation, after: start, write)
                }
            )
        }
        let (report, version) = state.certificates
        let documents = documents(report.entries.filter(matches))
        switch presentation {
        case .table(let include):
            return .document(table(documents, version, include))
        case .object:
            return .document([
                "apiVersion": .string(Certificates.apiVersion),
                "kind": .string("\(Certificates.kind)List"),
                "metadata": ["resourceVersion": .string(String(version))],
                "items": .array(documents),
            ])
        }
    }

    /// The certificate `name`.
    func certificate(
        _ namespace: String?,
        _ name: String,
        _ request: APIRequest
    ) throws(APIFailure) -> APIResponse {
        let presentation = try Presentation(request)
        let (report, version) = state.certificates
        let found = report.entries.filter {
            $0.namespace == namespace ?? "" && $0.name == name
        }
        guard let document = documents(found).first else { throw .noCertificate(name) }
        switch presentation {
        case .table(let include): return .document(table([document], version, include))
        case .object: return .document(document)
        }
    }

    /// Rotates what the path names, and answers with what was done.
    ///
    /// The port asks nobody who they are, so that only the socket's owner may.
    func rotate(
        _ namespace: String?,
        _ name: String?,
        _ request: APIRequest
    ) async throws -> APIResponse {
        guard request.isFromSocket else { throw APIFailure.onlyOnSocket }
        let targets = try state.certificates.report.rotations(namespace: namespace, name: name)
        guard let rotation else { throw APIFailure.noRotation }
        var done: [String] = []
        for target in targets { done.append(try await rotation(target)) }
        return .document([
            "kind": "Status", "apiVersion": "v1", "metadata": [:], "status": "Success",
            "message": .string(done.joined(separator: "\n")), "code": 200,
        ])
    }

    private func documents(_ entries: [CertificateReport.Entry]) -> [JSONValue] {
        let now = nowSeconds()
        return entries.map { entry in
            var document = entry.document
            let state = CertificateState(status: document["status"] ?? [:], nowSeconds: now)
            document["status"]?["state"] = .string(state.word)
            return document
        }
    }

    private func table(
        _ documents: [JSONValue],
        _ version: Int,
        _ include: IncludeObject
    ) -> JSONValue {
        CertificateColumn.table(
            of: documents,
            version: version,
            include: include,
            nowSeconds: nowSeconds()
        )
    }

    private func watchCertificates(
        _ matches: (CertificateReport.Entry) -> Bool,
        _ presentation: Presentation,
        after start: Int?,
        _ write: BodyWrite
    ) async throws {
        try await watch(
            after: start,
            {
                let (report, version) = state.certificates
                return (report.entries.filter(matches), version)
            },
            object: { entry, version in
                var document = documents([entry])[0]
                document["metadata"]?["resourceVersion"] = .string(String(version))
                guard case .table(let include) = presentation else { return document }
                return table([document], version, include)
            },
            write
        )
    }
}

extension CertificateReport.Entry: ReportEntry {
    var reference: ObjectReference { ObjectReference(namespace: namespace, name: name) }
}

extension APIFailure {
    /// No such certificate.
    static func noCertificate(_ name: String) -> APIFailure {
        APIFailure(
            code: 404,
            reason: "NotFound",
            message: "\(Certificates.plural).heddle.dev \"\(name)\" not found",
            details: [
                "name": .string(name), "group": "heddle.dev", "kind": .string(Certificates.plural),
            ]
        )
    }

    /// A change was asked for on the TCP port.
    static let onlyOnSocket = APIFailure(
        code: 403,
        reason: "Forbidden",
        message: "certificates are rotated through the Unix socket alone, which is its owner's; "
            + "use \"heddle certificates rotate\""
    )

    /// Nobody is there who could rotate.
    static let noRotation = APIFailure(
        code: 501,
        reason: "NotImplemented",
        message: "this Heddle issues no certificates"
    )
}
