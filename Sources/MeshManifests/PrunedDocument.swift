import MeshModel

/// Turns the document of an accepted object into what `Manifest` keeps.
struct PrunedDocument {
    private(set) var lines: [String: Int] = [:]
    private let unknownFields: Set<String>

    /// Starts a document from which `unknownFields` are left out.
    init(unknownFields: Set<String>) { self.unknownFields = unknownFields }

    /// `root` without unknown fields, nulls, status and managed fields.
    mutating func object(_ root: YAMLNode) -> JSONValue {
        value(root, path: "", line: root.line)
    }

    private mutating func value(_ node: YAMLNode, path: String, line: Int) -> JSONValue {
        if line > 0 { lines[path] = line }
        switch node.content {
        case .scalar(.null): return .null
        case .scalar(.bool(let value, _)): return .bool(value)
        case .scalar(.integer(let value, _)): return .integer(value)
        case .scalar(.number(let value, _)): return .number(value)
        case .scalar(.string(let value)): return .string(value)
        case .sequence(let nodes):
            var values: [JSONValue] = []
            values.reserveCapacity(nodes.count)
            for (index, node) in nodes.enumerated() {
                values.append(value(node, path: "\(path)[\(index)]", line: node.line))
            }
            return .array(values)
        case .mapping(let entries):
            var members: [String: JSONValue] = [:]
            members.reserveCapacity(entries.count)
            for entry in entries where !entry.value.isNull {
                let field = path.isEmpty ? entry.key : pathOfMember(entry.key, in: path)
                guard !unknownFields.contains(field), !dropped.contains(field) else { continue }
                members[entry.key] = value(entry.value, path: field, line: entry.line)
            }
            return .object(members)
        }
    }
}

/// What clusters write into objects, and no one asks for.
private let dropped: Set<String> = ["status", "metadata.managedFields"]
