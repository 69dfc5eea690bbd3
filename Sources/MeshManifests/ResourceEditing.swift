public import MeshModel

/// Why resources can't be written into a manifest.
public struct ManifestEditError: Error, Hashable, CustomStringConvertible {
    /// Object, field, problem and remedy, and the place.
    public var diagnostic: Diagnostic

    /// The line that the command line prints.
    public var description: String { diagnostic.description }
}

/// The manifest file `bytes` with other resources for the proxy of one Workload.
///
/// Each amount is written where it is asked for now: in `sidecar.resources`, or else in App Mesh's
/// annotation, or else `sidecar.resources` is added to. Amounts that are the same stay as they are
/// written. Comments, order, quotes and line ends stay, in YAML as in JSON.
///
/// Guarantee: the result has exactly these amounts changed and nothing else, which is checked by reading
/// it again.
///
/// - Parameters:
///   - resources: What the proxy shall ask for. A limit that is nil stays out; it takes none away.
///   - workload: The Workload.
///   - bytes: The file's content.
///   - path: The file as the user named it, for messages.
/// - Returns: The new content, equal to `bytes` when nothing has to change.
/// - Throws: `ManifestEditError` when the Workload is not there or has mistakes, and when its resources
///   are written so that they can't be changed alone, as through an alias.
public func settingResources(
    _ resources: SidecarResources,
    ofProxyBeside workload: ObjectReference,
    in bytes: [UInt8],
    path: String
) throws(ManifestEditError) -> [UInt8] {
    let edit = ResourceEdit(resources, workload, bytes, path)
    return try edit.result()
}

/// One amount of a proxy's resources.
private struct ResourceField {
    /// The path in `spec.sidecar.resources`.
    var section: String
    var name: String
    /// App Mesh's annotation on pods that says the same.
    var annotation: String
    var isThousandths: Bool { name == "cpu" }
    var keys: [String] { ["spec", "sidecar", "resources", section, name] }

    static let all = [
        ResourceField(section: "requests", name: "cpu", annotation: "appmesh.k8s.aws/cpuRequest"),
        ResourceField(
            section: "requests",
            name: "memory",
            annotation: "appmesh.k8s.aws/memoryRequest"
        ),
        ResourceField(section: "limits", name: "cpu", annotation: "appmesh.k8s.aws/cpuLimit"),
        ResourceField(section: "limits", name: "memory", annotation: "appmesh.k8s.aws/memoryLimit"),
    ]

    /// The amount in `resources`; nil is none.
    func amount(in resources: SidecarResources) -> Int? {
        switch (section, name) {
        case ("requests", "cpu"): resources.cpuRequestMillicores
        case ("requests", _): resources.memoryRequestBytes
        case (_, "cpu"): resources.cpuLimitMillicores
        default: resources.memoryLimitBytes
        }
    }

    /// The amount where nothing is written: App Mesh's advice for requests, or the limit if that is
    /// less.
    func defaultAmount(of resources: SidecarResources) -> Int? {
        let advice = SidecarResources()
        switch (section, name) {
        case ("requests", "cpu"):
            return min(advice.cpuRequestMillicores, resources.cpuLimitMillicores ?? .max)
        case ("requests", _):
            return min(advice.memoryRequestBytes, resources.memoryLimitBytes ?? .max)
        default: return nil
        }
    }

    /// `amount` as people write it.
    func text(_ amount: Int) -> String {
        if isThousandths { return "\(amount)m" }
        for (shift, unit) in [(30, "Gi"), (20, "Mi"), (10, "Ki")] where amount % (1 << shift) == 0 {
            return "\(amount >> shift)\(unit)"
        }
        return "\(amount)"
    }
}

/// The edit of one Workload's resources in one file.
private struct ResourceEdit {
    let resources: SidecarResources
    let id: ObjectID
    let bytes: [UInt8]
    let path: String

    /// Where an object is in its file.
    struct Place {
        /// The number of the document among those of the file.
        var index: Int
        var document: DocumentText
        /// The document, and the object in it with its path.
        var root: YAMLNode
        var items: [Int] = []
        var object: YAMLNode
        var objectPath: String { items.map { "items[\($0)]" }.joined(separator: ".") }
    }

    init(
        _ resources: SidecarResources,
        _ workload: ObjectReference,
        _ bytes: [UInt8],
        _ path: String
    ) {
        self.resources = resources
        id = ObjectID(.workload, workload)
        self.bytes = bytes
        self.path = path
    }

    func result() throws(ManifestEditError) -> [UInt8] {
        let before = try workload(in: bytes, "mend it first")
        guard let place = find() else { throw missing() }
        let marked: MarkedNode
        do throws(YAMLFailure) {
            marked = try object(place.items[...], in: markedYAML(place.document))
        } catch {
            throw failure("", line: error.line, error.problem, error.remedy)
        }
        let changes = wanted(of: place.object)
        guard !changes.isEmpty else { return bytes }
        var edits = MappingEdits(bytes, of: marked)
        do throws(EditObstacle) {
            try edits.set(tree(changes[...].map { ($0.keys[...], $0.text) }), in: marked, path: "")
        } catch {
            throw failure(error.field, line: error.line, error.problem, error.remedy)
        }
        let result = edits.result
        try check(result, changes, place)
        let after = try workload(in: result, "correct the resources by hand")
        let isAnnotated = changes.contains { $0.keys.first == "metadata" }
        guard isAnnotated || after.spec.sidecar == resources else {
            throw failure(
                "spec.sidecar.resources",
                line: place.object.line,
                "a limit is there that shall not be",
                "remove it by hand"
            )
        }
        guard after.metadata.name == before.metadata.name else { throw missing() }
        return result
    }

    /// The Workload as a whole file describes it.
    private func workload(
        in bytes: [UInt8],
        _ remedy: String
    ) throws(ManifestEditError) -> Workload {
        let file = decodeManifests(bytes, path: path, folder: "/")
        let errors = file.diagnostics.filter { $0.severity == .error }
        if let own = errors.first(where: { $0.object == id }) {
            throw ManifestEditError(diagnostic: own)
        }
        for case .workload(let workload) in file.objects where workload.id == id {
            return workload
        }
        throw errors.first.map(ManifestEditError.init(diagnostic:)) ?? missing()
    }

    private func missing() -> ManifestEditError {
        failure("", line: 1, "it is not in this file", "name the file that has it")
    }

    private func failure(
        _ field: String,
        line: Int,
        _ problem: String,
        _ remedy: String
    ) -> ManifestEditError {
        ManifestEditError(
            diagnostic: Diagnostic(
                .error,
                object: id,
                field: field,
                problem: problem,
                remedy: remedy,
                location: SourceLocation(file: path, line: line)
            )
        )
    }
}

extension ResourceEdit {
    /// One member to change: its keys from the object on, and the new text.
    struct Change {
        var keys: [String]
        var text: String
    }

    private func find() -> Place? {
        for (index, document) in splitDocuments(bytes).enumerated() {
            guard case .some(.some(let root)) = try? parseYAML(document) else { continue }
            let place = Place(index: index, document: document, root: root, object: root)
            if let found = find(root, place) { return found }
        }
        return nil
    }

    private func find(_ node: YAMLNode, _ place: Place) -> Place? {
        let report = Report(file: path)
        var place = place
        switch documentType(of: node, report) {
        case .object, .invalid:
            guard report.object == id else { return nil }
            place.object = node
            return place
        case .list(let items):
            for (index, item) in items.enumerated() {
                place.items.append(index)
                if let found = find(item, place) { return found }
                place.items.removeLast()
            }
            return nil
        case .ignored: return nil
        }
    }

    /// The object at `items` of nested Lists.
    private func object(
        _ items: ArraySlice<Int>,
        in node: MarkedNode
    ) throws(YAMLFailure) -> MarkedNode {
        guard let index = items.first else { return node }
        guard case .mapping(let entries, _) = node.content,
            case .sequence(let nodes) = entries.last(where: { $0.key == "items" })?.value.content,
            index < nodes.count
        else {
            throw YAMLFailure(
                problem: "the List's items are an alias",
                remedy: "write them out",
                line: node.line
            )
        }
        return try object(items.dropFirst(), in: nodes[index])
    }

    /// What has to change in `object`.
    private func wanted(of object: YAMLNode) -> [Change] {
        ResourceField.all.compactMap { field in
            guard let amount = field.amount(in: resources) else { return nil }
            let text = field.text(amount)
            var keys = field.keys
            var present = object["spec"]?["sidecar"]?["resources"]?[field.section]?[field.name]
            if present == nil,
                let annotation = object["metadata"]?["annotations"]?[field.annotation]
            {
                present = annotation
                keys = ["metadata", "annotations", field.annotation]
            }
            guard let present else {
                let isDefault = amount == field.defaultAmount(of: resources)
                return isDefault ? nil : Change(keys: keys, text: text)
            }
            let written = present.text.flatMap { quantity($0, inThousandths: field.isThousandths) }
            return written == amount ? nil : Change(keys: keys, text: text)
        }
    }

    /// `changes` as members of mappings within each other.
    private func tree(
        _ changes: [(keys: ArraySlice<String>, text: String)]
    ) -> [(key: String, value: WantedValue)] {
        var names: [String] = []
        for change in changes {
            if let key = change.keys.first, !names.contains(key) { names.append(key) }
        }
        return names.map { name in
            let own = changes.filter { $0.keys.first == name }
            if let text = own.first(where: { $0.keys.count == 1 })?.text {
                return (name, .text(text))
            }
            return (name, .members(tree(own.map { ($0.keys.dropFirst(), $0.text) })))
        }
    }

    /// Checks that `result` differs from the file in `changes` only.
    private func check(
        _ result: [UInt8],
        _ changes: [Change],
        _ place: Place
    ) throws(ManifestEditError) {
        let old = splitDocuments(bytes)
        let new = splitDocuments(result)
        let areOthersSame =
            old.count == new.count
            && zip(old, new).enumerated().allSatisfy { index, pair in
                index == place.index || pair.0.bytes.elementsEqual(pair.1.bytes)
            }
        guard areOthersSame, let node = try? parseYAML(new[place.index]) else {
            throw cannotEdit(place)
        }
        var found: [String: FoundChange] = [:]
        collectChanges(from: place.root, to: node, "", into: &found)
        for change in changes {
            let field = change.keys.reduce(place.objectPath) {
                $0.isEmpty ? $1 : pathOfMember($1, in: $0)
            }
            guard found.removeValue(forKey: field)?.text == change.text else {
                throw cannotEdit(place)
            }
        }
        guard let (other, change) = found.min(by: { $0.key < $1.key }) else { return }
        throw failure(
            other,
            line: change.line,
            "it would change too, as it shares what is written through an anchor",
            "write the resources of one of them out"
        )
    }

    private func cannotEdit(_ place: Place) -> ManifestEditError {
        let fields = ResourceField.all.compactMap { field in
            field.amount(in: resources).map { amount in
                "\(field.section).\(field.name) \(field.text(amount))"
            }
        }
        return failure(
            "spec.sidecar.resources",
            line: place.object.line,
            "they are written in a way that can't be changed here",
            "write \(enumeration(fields)) by hand"
        )
    }
}

/// A value that is another one.
private struct FoundChange {
    /// What is there now; nil when nothing is, or no scalar.
    var text: String?
    /// The line of what was there before.
    var line: Int
}

/// Collects the paths at which `new` differs from `old`.
private func collectChanges(
    from old: YAMLNode?,
    to new: YAMLNode?,
    _ path: String,
    into changes: inout [String: FoundChange]
) {
    let members = new?.entries ?? []
    if new?.entries != nil, old.map({ $0.isNull || $0.entries != nil }) ?? true {
        let known = Dictionary((old?.entries ?? []).map { ($0.key, $0.value) }) { first, _ in first
        }
        let kept = Set(members.map(\.key))
        for member in members {
            let field = path.isEmpty ? member.key : pathOfMember(member.key, in: path)
            collectChanges(from: known[member.key], to: member.value, field, into: &changes)
        }
        for (key, value) in known where !kept.contains(key) {
            let field = path.isEmpty ? key : pathOfMember(key, in: path)
            changes[field] = FoundChange(line: value.line)
        }
        return
    }
    switch (old?.content, new?.content) {
    case (.sequence(let before)?, .sequence(let after)?) where before.count == after.count:
        for (index, pair) in zip(before, after).enumerated() {
            collectChanges(from: pair.0, to: pair.1, "\(path)[\(index)]", into: &changes)
        }
    case (.scalar(let before)?, .scalar(let after)?) where before.isSame(as: after): break
    default: changes[path] = FoundChange(text: new?.text, line: (old ?? new)?.line ?? 0)
    }
}

extension YAMLNode {
    /// The scalar as it is written, without quotes; nil of lists, mappings and null.
    fileprivate var text: String? {
        switch content {
        case .scalar(.string(let text)), .scalar(.integer(_, let text)),
            .scalar(.number(_, let text)), .scalar(.bool(_, let text)):
            text
        case .scalar(.null), .sequence, .mapping: nil
        }
    }
}

extension YAMLScalar {
    /// Whether `other` is the same, written the same.
    fileprivate func isSame(as other: YAMLScalar) -> Bool {
        switch (self, other) {
        case (.null, .null): true
        case (.bool(_, let left), .bool(_, let right)): left == right
        case (.integer(_, let left), .integer(_, let right)): left == right
        case (.number(_, let left), .number(_, let right)): left == right
        case (.string(let left), .string(let right)): left == right
        case (.null, _), (.bool, _), (.integer, _), (.number, _), (.string, _): false
        }
    }
}
