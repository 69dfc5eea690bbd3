import MeshModel

/// What a document is, going by its apiVersion and kind.
enum DocumentType {
    case object(Kind)
    /// A Kubernetes List of documents.
    case list([YAMLNode])
    /// A kind that is none of ours.
    case ignored(kind: String)
    /// A mistake, which was reported.
    case invalid
}

/// What `node` is; mistakes in its apiVersion and kind go to `report`.
func documentType(of node: YAMLNode, _ report: Report) -> DocumentType {
    guard let entries = node.entries else {
        report.error(
            "",
            line: node.line,
            "expected an object, found \(node.description)",
            "write apiVersion, kind, metadata and spec"
        )
        return .invalid
    }
    let fields = Fields(entries, path: "", line: node.line, report: report)
    if !fields.has("apiVersion") {
        fields.missing("apiVersion", "add it, such as \(Kind.mesh.apiVersion)")
    }
    if !fields.has("kind") {
        fields.missing("kind", "add it, such as \(Kind.virtualNode.rawValue)")
    }
    let apiVersion = fields.string("apiVersion", length: 1...317)
    let name = fields.string("kind", length: 1...63)
    reportMissingName(fields, isOurs: isOurs(apiVersion))
    guard let apiVersion, let name else { return .invalid }
    let kind = Kind(rawValue: name)
    if let kind { report.object = identity(of: node, kind) }
    if name == "List", apiVersion == "v1" {
        guard let items = node["items"] else { return .list([]) }
        if case .sequence(let items) = items.content { return .list(items) }
        fields.error("items", "expected a list, found \(items.description)", "give a list")
        return .invalid
    }
    if isOurs(apiVersion) { return servedKind(name, apiVersion, fields, node) }
    guard let kind else { return .ignored(kind: name) }
    if kind == .namespace, apiVersion == kind.apiVersion { return .object(kind) }
    if isSlip(apiVersion, for: kind) {
        fields.error(
            "apiVersion",
            "\(quoted(apiVersion)) has no kind \(quoted(name))",
            "use \(kind.apiVersion)"
        )
        return .invalid
    }
    report.object = nil
    return .ignored(kind: name)
}

/// Whether `apiVersion` can only be a slip of the pen: no other project has `kind` there.
private func isSlip(_ apiVersion: String, for kind: Kind) -> Bool {
    guard apiVersion.contains("/") else { return true }
    return nearestName(to: String(group(apiVersion)), among: [kind.group]) != nil
}

/// The kind `name` of our groups, if `apiVersion` is the one that has it.
private func servedKind(
    _ name: String,
    _ apiVersion: String,
    _ fields: Fields,
    _ node: YAMLNode
) -> DocumentType {
    let served = Kind.allCases.filter { $0.group == group(apiVersion) }
    guard let version = served.first?.apiVersion else { return .invalid }
    guard apiVersion == version else {
        let renamed = node["spec"].map { legacyFields(of: $0) } ?? []
        let isLegacy = apiVersion == "appmesh.k8s.aws/v1beta1" && !renamed.isEmpty
        let rest = renamed.count > 10 ? "; and \(renamed.count - 10) more" : ""
        fields.error(
            "apiVersion",
            "version \(quoted(apiVersion)) is not supported",
            isLegacy
                ? "write \(version): \(renamed.prefix(10).joined(separator: "; "))\(rest)"
                : "use \(version)"
        )
        return .invalid
    }
    if let kind = served.first(where: { $0.rawValue == name }) { return .object(kind) }
    let names = served.map(\.rawValue)
    fields.error(
        "kind",
        "\(version) has no kind \(quoted(name))",
        nearestName(to: name, among: names).map { "did you mean \($0)?" }
            ?? "use \(alternatives(names))"
    )
    return .invalid
}

/// The API group of `apiVersion`.
private func group(_ apiVersion: String) -> Substring {
    apiVersion.split(separator: "/", omittingEmptySubsequences: false).first ?? ""
}

/// Whether `apiVersion` belongs to App Mesh's group or to Heddle's.
private func isOurs(_ apiVersion: String?) -> Bool {
    guard let apiVersion else { return false }
    return group(apiVersion) == Kind.mesh.group || group(apiVersion) == Kind.workload.group
}

/// Names a missing `metadata.name` beside a missing apiVersion or kind, which hide it otherwise.
private func reportMissingName(_ fields: Fields, isOurs: Bool) {
    guard fields.report.hasErrors, fields.entry("metadata")?.value["name"] == nil else { return }
    fields.error("metadata.name", "missing", "give the object a name")
}

/// Kind, namespace and name as far as they can be made out; nil without a name.
private func identity(of node: YAMLNode, _ kind: Kind) -> ObjectID? {
    guard let name = node["metadata"]?["name"]?.string, !name.isEmpty else { return nil }
    let given = node["metadata"]?["namespace"]?.string ?? ""
    let namespace = kind.isNamespaced ? (given.isEmpty ? defaultNamespace : given) : ""
    return ObjectID(kind, ObjectReference(namespace: namespace, name: name))
}

/// The object of the kind `kind` that `node` describes; nil when `report` has an error afterwards.
func object(_ kind: Kind, in node: YAMLNode, _ report: Report) -> MeshObject? {
    let root = Fields(node.entries ?? [], path: "", line: node.line, report: report)
    // Read by `documentType(of:_:)`, and written by the control plane.
    for key in ["apiVersion", "kind", "status"] { _ = root.entry(key) }
    guard let metadata = root.object("metadata", .required, { $0.metadata(of: kind) }) else {
        // The rest of the object shall be checked all the same.
        _ = specification(kind, root, Metadata(name: "", namespace: defaultNamespace))
        root.finish()
        return nil
    }
    let specification = specification(kind, root, metadata)
    root.finish()
    guard !report.hasErrors, let specification else { return nil }
    return specification.object(manifest(of: node, metadata, specification.awsName, report))
}

/// A decoded `spec`, of any kind.
private struct Specification {
    /// `awsName` with its default; nil for kinds without one.
    var awsName: String?
    /// Makes the object once its manifest is known.
    var object: (Manifest) -> MeshObject
}

/// Decodes `spec`.
private func specification(
    _ kind: Kind,
    _ root: Fields,
    _ metadata: Metadata
) -> Specification? {
    func decoded<Spec: ObjectSpec>(
        _ wrap: @escaping (Object<Spec>) -> MeshObject,
        _ spec: Spec?,
        awsName: String?
    ) -> Specification? {
        spec.map { spec in
            Specification(awsName: awsName) { manifest in
                wrap(Object(metadata: metadata, spec: spec, manifest: manifest))
            }
        }
    }
    switch kind {
    case .namespace:
        _ = root.entry("spec")
        return decoded(MeshObject.namespace, NamespaceSpec(), awsName: nil)
    case .mesh:
        let annotations = root.meshAnnotations()
        let spec = root.spec { $0.mesh(metadata, annotations) }
        return decoded(MeshObject.mesh, spec, awsName: spec?.awsName)
    case .virtualNode:
        let sampling = root.annotationFields().traceSampling()
        let spec = root.spec { $0.virtualNode(metadata, sampling) }
        return decoded(MeshObject.virtualNode, spec, awsName: spec?.awsName)
    case .virtualService:
        let spec = root.spec { $0.virtualService(metadata) }
        return decoded(MeshObject.virtualService, spec, awsName: spec?.awsName)
    case .virtualRouter:
        let spec = root.spec { $0.virtualRouter(metadata) }
        return decoded(MeshObject.virtualRouter, spec, awsName: spec?.awsName)
    case .virtualGateway:
        let sampling = root.annotationFields().traceSampling()
        let spec = root.spec { $0.virtualGateway(metadata, sampling) }
        return decoded(MeshObject.virtualGateway, spec, awsName: spec?.awsName)
    case .gatewayRoute:
        let spec = root.spec { $0.gatewayRoute(metadata) }
        return decoded(MeshObject.gatewayRoute, spec, awsName: spec?.awsName)
    case .backendGroup:
        let spec = root.spec { $0.backendGroup(metadata) }
        return decoded(MeshObject.backendGroup, spec, awsName: nil)
    case .workload:
        let annotations = root.sidecarAnnotations()
        let spec = root.spec { $0.workload(annotations) }
        return decoded(MeshObject.workload, spec, awsName: nil)
    case .trafficPolicy:
        let spec = root.spec { $0.trafficPolicy(metadata) }
        return decoded(MeshObject.trafficPolicy, spec, awsName: nil)
    case .certificateMapping:
        let spec = root.spec { $0.certificateMapping() }
        return decoded(MeshObject.certificateMapping, spec, awsName: nil)
    }
}

extension Fields {
    /// `spec`; an absent one is empty.
    fileprivate func spec<Spec>(_ decode: (Fields) -> Spec?) -> Spec? {
        if has("spec") { return object("spec", .optional, decode) }
        return decode(Fields([], path: "spec", line: line, report: report))
    }
}

/// The document of an accepted object, with its namespace and `awsName` filled in.
private func manifest(
    of node: YAMLNode,
    _ metadata: Metadata,
    _ awsName: String?,
    _ report: Report
) -> Manifest {
    var pruned = PrunedDocument(unknownFields: report.unknownFields)
    var document = pruned.object(node)
    if !metadata.namespace.isEmpty {
        document["metadata"]?["namespace"] = .string(metadata.namespace)
    }
    if let awsName {
        var spec = document["spec"] ?? .object([:])
        spec["awsName"] = .string(awsName)
        document["spec"] = spec
    }
    return Manifest(document: document, file: report.file, lines: pruned.lines)
}

/// Reports every key that a mapping within `node` has twice.
func reportDuplicateKeys(in node: YAMLNode, path: String = "", _ report: Report) {
    guard hasDuplicateKeys(node) else { return }
    switch node.content {
    case .scalar: break
    case .sequence(let nodes):
        for (index, node) in nodes.enumerated() {
            reportDuplicateKeys(in: node, path: "\(path)[\(index)]", report)
        }
    case .mapping(let entries):
        for entry in entries {
            let field = path.isEmpty ? entry.key : pathOfMember(entry.key, in: path)
            if let first = entry.duplicateOfLine {
                report.error(
                    field,
                    line: entry.line,
                    "duplicate key \(quoted(entry.key))\(lineWords(first))",
                    "keep one"
                )
            }
            reportDuplicateKeys(in: entry.value, path: field, report)
        }
    }
}

private func hasDuplicateKeys(_ node: YAMLNode) -> Bool {
    switch node.content {
    case .scalar: false
    case .sequence(let nodes): nodes.contains(where: hasDuplicateKeys)
    case .mapping(let entries):
        entries.contains { $0.duplicateOfLine != nil || hasDuplicateKeys($0.value) }
    }
}
