internal import MeshModel

/// A value within an object, and where it stands.
struct Field {
    /// As messages name it: `spec.routes[0].httpRoute`.
    let path: String
    let value: JSONValue

    /// The member `key`; nil when it is absent or null.
    subscript(key: String) -> Field? {
        guard let member = value[key], member != .null else { return nil }
        return Field(path: path.isEmpty ? key : "\(path).\(key)", value: member)
    }

    func has(_ key: String) -> Bool { self[key] != nil }

    /// The elements of a list; none of anything else.
    var elements: [Field] {
        (value.array ?? []).enumerated().map { index, element in
            Field(path: "\(path)[\(index)]", value: element)
        }
    }

    /// The elements of the list `key`.
    func list(_ key: String) -> [Field] { self[key]?.elements ?? [] }
}

/// A rule of App Mesh's webhooks that an object breaks, in their words.
struct Breach {
    let field: String
    let problem: String
    let remedy: String

    init(_ field: Field, _ problem: String, _ remedy: String) {
        self.field = field.path
        self.problem = problem
        self.remedy = remedy
    }
}
