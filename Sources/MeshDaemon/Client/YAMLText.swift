import MeshModel
import Yams

/// Writes a JSON value as YAML, as `kubectl -o yaml` does: an object's parts in their usual order,
/// members below in alphabetical order, and strings quoted that would read as something else.
func yamlText(_ value: JSONValue) throws -> String {
    try Yams.serialize(node: node(value), width: -1, allowUnicode: true)
}

/// The usual order of the parts of an object or a list.
private let firstMembers = ["apiVersion", "kind", "metadata", "spec", "status", "items"]

private func node(_ value: JSONValue, isTop: Bool = true) -> Node {
    switch value {
    case .null: return Node("null")
    case .bool(let value): return Node(value ? "true" : "false")
    case .integer(let value): return Node(String(value))
    case .number(let value): return Node("\(value)")
    case .string(let value): return Node(value, .implicit, style(value))
    case .array(let values): return Node(values.map { node($0, isTop: isTop) })
    case .object(let members):
        func rank(_ key: String) -> Int {
            isTop ? firstMembers.firstIndex(of: key) ?? firstMembers.count : 0
        }
        let sorted = members.sorted { (rank($0.key), $0.key) < (rank($1.key), $1.key) }
        return Node(
            sorted.map { key, value in
                (Node(key, .implicit, style(key)), node(value, isTop: isTop && key == "items"))
            }
        )
    }
}

private func style(_ text: String) -> Node.Scalar.Style {
    if text.contains("\n") { return .literal }
    return Resolver.default.resolveTag(of: Node(text)) == .str ? .any : .doubleQuoted
}
