public import MeshModel

/// Everything that one file says.
public struct ManifestFile: Sendable {
    /// The objects without mistakes, in the order of the file.
    public var objects: [MeshObject] = []
    /// What is wrong or noteworthy, in the order of the file.
    public var diagnostics: [Diagnostic] = []
    /// How many documents of each kind were passed over, as the kind is none of a mesh's.
    public var ignored: [String: Int] = [:]

    /// Makes the content of an empty file.
    public init() {}
}

/// Reads a manifest file: YAML of one or many documents, or JSON.
///
/// A document with a mistake is left out, all its mistakes are reported, and the others count.
/// Two objects of one kind and name in a file are a mistake of the second; across files that is the
/// caller's to find.
///
/// - Parameters:
///   - bytes: The file's content, at most 4 MiB.
///   - path: The file as the user named it, for messages.
///   - folder: The absolute path of the file's folder, from which relative paths count.
/// - Returns: The objects without mistakes, and all mistakes.
public func decodeManifests(_ bytes: [UInt8], path: String, folder: String) -> ManifestFile {
    var reader = ManifestReader(path: path, folder: folder)
    reader.read(bytes)
    return reader.file
}

/// What one document says.
public struct DecodedObject: Sendable {
    /// The object, nil when the document has a mistake or is of a kind that is none of a mesh's.
    public var object: MeshObject?
    /// What is wrong or noteworthy.
    public var diagnostics: [Diagnostic]
}

/// Reads one object from a document that came from no file, such as the body of a request.
///
/// - Parameters:
///   - document: The object's apiVersion, kind, metadata and spec.
///   - folder: The folder from which relative paths count.
/// - Returns: The object, or why there is none.
public func decodeObject(_ document: JSONValue, folder: String = "/") -> DecodedObject {
    let report = Report(file: nil, folder: folder)
    guard let node = YAMLNode(document, depth: 1) else {
        let limit = YAMLLimits.depth
        report.error("", line: 0, "nested deeper than \(limit) levels", "nest less")
        return DecodedObject(object: nil, diagnostics: report.diagnostics)
    }
    let result: MeshObject?
    switch documentType(of: node, report) {
    case .object(let kind): result = object(kind, in: node, report)
    case .list:
        report.error("kind", line: 0, "a List where one object is expected", "give one object")
        result = nil
    case .ignored(let kind):
        let kinds = Kind.allCases.map(\.rawValue)
        report.error(
            "kind",
            line: 0,
            "kind \(quoted(kind)) is not part of a mesh",
            "use \(alternatives(kinds)) with its own apiVersion"
        )
        result = nil
    case .invalid: result = nil
    }
    return DecodedObject(object: result, diagnostics: report.diagnostics)
}

extension YAMLNode {
    /// The node of a JSON value; nil when it nests too deep.
    fileprivate init?(_ value: JSONValue, depth: Int) {
        guard depth <= YAMLLimits.depth else { return nil }
        let content: Content
        switch value {
        case .null: content = .scalar(.null)
        case .bool(let value): content = .scalar(.bool(value, text: String(value)))
        case .integer(let value): content = .scalar(.integer(value, text: String(value)))
        case .number(let value): content = .scalar(.number(value, text: String(value)))
        case .string(let value): content = .scalar(.string(value))
        case .array(let values):
            let nodes = values.compactMap { YAMLNode($0, depth: depth + 1) }
            guard nodes.count == values.count else { return nil }
            content = .sequence(nodes)
        case .object(let members):
            let entries = members.sorted { $0.key < $1.key }.compactMap { key, value in
                YAMLNode(value, depth: depth + 1).map { Entry(key: key, line: 0, value: $0) }
            }
            guard entries.count == members.count else { return nil }
            content = .mapping(entries)
        }
        self.init(content: content, line: 0)
    }
}
