import MeshModel

/// The objects that a list or a watch is about.
struct Selection: Sendable {
    /// The kind.
    var kind: Kind
    /// The namespace; nil for all.
    var namespace: String?
    /// `labelSelector`.
    var labels = LabelSelector()
    /// `fieldSelector`.
    var fields: [FieldRequirement] = []

    /// Whether `entry` is among them.
    func matches(_ entry: APIEntry) -> Bool {
        entry.id.kind == kind
            && (namespace == nil || entry.id.namespace == namespace)
            && fields.allSatisfy { $0.matches(entry.id) }
            && labels.matches(entry.metadata.labels)
    }
}

/// One requirement of a `fieldSelector`.
struct FieldRequirement: Hashable, Sendable {
    /// The fields that Kubernetes selects by for every kind.
    enum Field: String {
        case name = "metadata.name"
        case namespace = "metadata.namespace"
    }

    /// The field.
    var field: Field
    /// Its value.
    var value: String
    /// Whether the value must differ.
    var isNegated: Bool

    /// Whether the object `id` fulfils it.
    func matches(_ id: ObjectID) -> Bool { matches(id.reference) }

    /// Whether the object of this namespace and name fulfils it.
    func matches(_ id: ObjectReference) -> Bool {
        let found =
            switch field {
            case .name: id.name
            case .namespace: id.namespace
            }
        return (found == value) != isNegated
    }

    /// Reads a `fieldSelector`, such as `metadata.name=blue,metadata.namespace!=demo`.
    static func parse(_ text: String) throws(APIFailure) -> [FieldRequirement] {
        var requirements: [FieldRequirement] = []
        for term in try FieldTerm.parse(text) {
            guard let field = Field(rawValue: term.key) else {
                throw .badRequest("field label not supported: \(term.key)")
            }
            requirements.append(
                FieldRequirement(field: field, value: term.value, isNegated: term.isNegated)
            )
        }
        return requirements
    }
}

/// One requirement of a `fieldSelector` of whatever field.
struct FieldTerm: Hashable, Sendable {
    /// The field's path.
    var key: String
    /// Its value.
    var value: String
    /// Whether the value must differ.
    var isNegated: Bool

    /// Reads a `fieldSelector`, such as `type=Warning,reason!=Ready`.
    static func parse(_ text: String) throws(APIFailure) -> [FieldTerm] {
        var terms: [FieldTerm] = []
        for term in text.split(separator: ",") {
            guard let equals = term.firstIndex(of: "=") else {
                throw .badRequest(
                    "invalid field selector \"\(text)\"; can't understand \"\(term)\""
                )
            }
            var key = term[..<equals]
            let isNegated = key.last == "!"
            if isNegated { key.removeLast() }
            var value = term[term.index(after: equals)...]
            if !isNegated, value.first == "=" { value.removeFirst() }
            terms.append(
                FieldTerm(key: String(key), value: String(value), isNegated: isNegated)
            )
        }
        return terms
    }
}

extension LabelSelector {
    /// Reads a `labelSelector` as Kubernetes writes it in a query:
    /// `app=color,tier!=web,version in (blue, green),version notin (red),canary,!legacy`.
    static func parse(query text: String) throws(APIFailure) -> LabelSelector {
        var selector = LabelSelector()
        for term in terms(text) {
            guard let requirement = requirement(term) else {
                throw .badRequest(
                    "unable to parse requirement: found '\(term)' in label selector \"\(text)\", "
                        + "expected: KEY, !KEY, KEY=VALUE, KEY!=VALUE, KEY in (…) or KEY notin (…)"
                )
            }
            selector.matchExpressions.append(requirement)
        }
        return selector
    }

    /// Splits at the commas outside of parentheses.
    private static func terms(_ text: String) -> [String] {
        var terms = [""]
        var depth = 0
        for character in text {
            if character == "(" { depth += 1 }
            if character == ")" { depth -= 1 }
            if character == ",", depth == 0 {
                terms.append("")
            } else {
                terms[terms.count - 1].append(character)
            }
        }
        let trimmed = terms.map { $0.trimmingSpaces }
        return trimmed == [""] ? [] : trimmed
    }

    private static func requirement(_ term: String) -> Requirement? {
        if term.hasPrefix("!") {
            return key(term.dropFirst()).map { Requirement(key: $0, operator: .doesNotExist) }
        }
        if term.hasSuffix(")"), let opening = term.firstIndex(of: "(") {
            let words = term[..<opening].split(separator: " ")
            let values = term[term.index(after: opening)...].dropLast()
            let operators: [Substring: Requirement.Operator] = ["in": .in, "notin": .notIn]
            guard words.count == 2, let key = key(words[0]), let `operator` = operators[words[1]]
            else { return nil }
            return Requirement(
                key: key,
                operator: `operator`,
                values: values.split(separator: ",").map { String($0).trimmingSpaces }
            )
        }
        guard let equals = term.firstIndex(of: "=") else {
            return key(term[...]).map { Requirement(key: $0, operator: .exists) }
        }
        var left = term[..<equals]
        var right = term[term.index(after: equals)...]
        let isNegated = left.last == "!"
        if isNegated { left.removeLast() } else if right.first == "=" { right.removeFirst() }
        let value = String(right).trimmingSpaces
        guard let key = key(left), !value.contains(where: { " =!()".contains($0) }) else {
            return nil
        }
        return Requirement(key: key, operator: isNegated ? .notIn : .in, values: [value])
    }

    private static func key(_ text: Substring) -> String? {
        let key = String(text).trimmingSpaces
        return key.isEmpty || key.contains(where: { " =!(),".contains($0) }) ? nil : key
    }
}

extension String {
    /// The string without spaces at both ends.
    var trimmingSpaces: String {
        let head = drop { $0 == " " }
        return String(head.reversed().drop { $0 == " " }.reversed())
    }
}
