import MeshModel

/// What an API server with the definitions shall do with one object.
struct CustomResourceCase: Sendable {
    /// What it shall do.
    enum Outcome: Hashable {
        /// Take it, and keep all of it.
        case kept
        /// Take it without what is under the name `unknown`.
        case pruned
        /// Refuse it, and name the field.
        case refused
    }

    /// The field, as `spec.listeners[].portMapping.port`.
    let path: String
    /// What is tried: `below the least`.
    let what: String
    /// The top-level fields.
    let fields: JSONValue
    let outcome: Outcome
}

extension CustomResourceTable.Kind {
    /// The cases of every field below `top`, which is `spec` or `status`.
    func cases(of top: String) -> [CustomResourceCase] {
        guard let field = fields.first(where: { $0.name == top }) else { return [] }
        var writer = CaseWriter()
        writer.write(field, [top]) { value in value.map { .object([top: $0]) } ?? [:] }
        return writer.cases
    }
}

/// Goes through the fields, and notes what to try with each.
private struct CaseWriter {
    /// The object around a field with this value; nil leaves the field out.
    typealias Surroundings = (JSONValue?) -> JSONValue

    var cases: [CustomResourceCase] = []

    private mutating func note(
        _ path: [String],
        _ what: String,
        _ outcome: CustomResourceCase.Outcome,
        _ fields: JSONValue
    ) {
        let path = path.joined(separator: ".").replacing(".[]", with: "[]")
        cases.append(CustomResourceCase(path: path, what: what, fields: fields, outcome: outcome))
    }

    mutating func write(
        _ field: CustomResourceTable.Field,
        _ path: [String],
        in surroundings: @escaping Surroundings
    ) {
        note(path, "absent", field.isRequired ? .refused : .kept, surroundings(nil))
        write(field.type, path, in: surroundings)
    }

    private mutating func write(
        _ type: CustomResourceTable.FieldType,
        _ path: [String],
        in surroundings: @escaping Surroundings
    ) {
        note(path, "the least of it", .kept, surroundings(type.least))
        note(path, "all of it", .kept, surroundings(type.whole))
        for value in type.wrong {
            note(path, "of another type: \(value)", .refused, surroundings(value))
        }
        for edge in type.edges {
            note(path, edge.what, edge.isAllowed ? .kept : .refused, surroundings(edge.value))
        }
        switch type {
        case .object(let fields):
            var unknown = type.least
            unknown["unknown"] = [["a": 1]]
            note(path, "an unknown field", .pruned, surroundings(unknown))
            for field in fields {
                write(field, path + [field.name]) { value in
                    var object = type.least
                    object[field.name] = value
                    return surroundings(object)
                }
            }
        case .list(let element, let count):
            let others = Array(repeating: element.least, count: max(0, (count.least ?? 0) - 1))
            write(element, path + ["[]"]) { value in
                surroundings(.array(others + (value.map { [$0] } ?? [])))
            }
        case .map, .string, .words, .time, .boolean, .integer, .number: break
        }
    }
}

extension CustomResourceTable.FieldType {
    /// A value with no more than it must have.
    ///
    /// No string is empty: a kube-apiserver 1.20 that was built with Go 1.18 or later takes an empty
    /// one for null, and refuses it. (go-openapi compares it with the zero value of its type.)
    fileprivate var least: JSONValue {
        switch self {
        case .object(let fields): object(of: fields.filter(\.isRequired), \.least)
        case .list(let element, let count):
            .array(Array(repeating: element.least, count: count.least ?? 0))
        case .map: [:]
        case .string(let length): text(max(length.least ?? 1, 1))
        case .words(let words): .string(words.first ?? "")
        case .time: "2026-11-23T00:41:19Z"
        case .boolean: false
        case .integer(let bounds): .integer(bounds.least ?? 0)
        case .number(let bounds): .integer(bounds.least ?? 0)
        }
    }

    /// A value with all fields.
    fileprivate var whole: JSONValue {
        switch self {
        case .object(let fields): object(of: fields, \.whole)
        case .list(let element, let count):
            .array(Array(repeating: element.whole, count: max(count.least ?? 0, 1)))
        case .map: ["a.example.com/b": "c", "d": "e"]
        case .string(let length): text(max(length.least ?? 0, min(length.most ?? 3, 3)))
        case .boolean: true
        case .number(let bounds): .number(Double(bounds.least ?? 0) + 0.5)
        case .words, .time, .integer: least
        }
    }

    private func object(
        of fields: [CustomResourceTable.Field],
        _ value: (CustomResourceTable.FieldType) -> JSONValue
    ) -> JSONValue {
        .object(Dictionary(uniqueKeysWithValues: fields.map { ($0.name, value($0.type)) }))
    }

    /// So many characters, which are more bytes.
    private func text(_ count: Int) -> JSONValue { .string(String(repeating: "ä", count: count)) }

    /// Values of other types.
    fileprivate var wrong: [JSONValue] {
        switch self {
        case .object: ["a", 1, true, ["a"]]
        case .list: ["a", 1, ["a": "b"]]
        case .map: ["a", ["a"], ["a": 1], ["a": ["b": "c"]]]
        case .string: [1, true, ["a"], ["a": "b"]]
        case .words: [1, true, ["a"]]
        case .time: [1, "noon", "2026-11-23"]
        case .boolean: ["true", 1, []]
        case .integer: ["1", true, .number(1.5), [1]]
        case .number: ["1", true, [1]]
        }
    }

    /// Values at and beyond each bound.
    fileprivate var edges: [(what: String, value: JSONValue, isAllowed: Bool)] {
        switch self {
        case .list(let element, let count):
            return edges(count, "elements") { count in
                // A list of whole elements would be too large to be quick.
                .array(Array(repeating: element.least, count: count))
            }
        case .string(let length): return edges(length, "characters", text)
        case .integer(let bounds):
            return edges(bounds, "in value", JSONValue.integer)
                + (bounds.least == nil ? [("far below 0", .integer(.min), true)] : [])
                + (bounds.most == nil ? [("of 63 bits", .integer(.max), true)] : [])
        case .number(let bounds): return edges(bounds, "in value", JSONValue.integer)
        case .words(let words):
            return words.map { ("the word \($0)", .string($0), true) }
                + (words.flatMap { [$0 + "s", $0.lowercased(), $0.uppercased()] } + ["", "other"])
                .filter { !words.contains($0) }.map { ("the word \($0)", .string($0), false) }
        case .object, .map, .time, .boolean: return []
        }
    }

    private func edges(
        _ bounds: CustomResourceTable.Bounds,
        _ noun: String,
        _ value: (Int) -> JSONValue
    ) -> [(what: String, value: JSONValue, isAllowed: Bool)] {
        var edges: [(String, JSONValue, Bool)] = []
        if let least = bounds.least {
            edges.append(("\(least) \(noun)", value(least), true))
            let isCount = noun != "in value"
            if least > 0 || !isCount {
                edges.append(("\(least - 1) \(noun)", value(least - 1), false))
            }
        }
        if let most = bounds.most {
            edges.append(("\(most) \(noun)", value(most), true))
            edges.append(("\(most + 1) \(noun)", value(most + 1), false))
        } else if noun != "in value" {
            edges.append(("3000 \(noun)", value(3000), true))
        }
        return edges
    }
}
