import MeshModel

/// Whether a field must be given.
enum Presence {
    case optional
    case required
}

/// The fields of one mapping, read one by one.
///
/// Every accessor returns nil both for an absent field and for a wrong one. A wrong field and an
/// absent required one are reported, and an object with a report of that severity is discarded, so
/// a nil that survives means "absent". Names that nobody asked for are unknown fields: read every
/// field that a mapping may have, on every path, before `finish()`.
final class Fields {
    /// The path of the mapping within its object; empty for the object itself.
    let path: String
    /// The line of the mapping's own key.
    let line: Int
    let report: Report
    private let entries: [YAMLNode.Entry]
    private var known: [String] = []

    init(_ entries: [YAMLNode.Entry], path: String, line: Int, report: Report) {
        self.entries = entries
        self.path = path
        self.line = line
        self.report = report
    }

    /// The path of the field `key`.
    func path(of key: String) -> String {
        path.isEmpty ? key : pathOfMember(key, in: path)
    }

    /// The field `key` if it is given and not null.
    func entry(_ key: String) -> YAMLNode.Entry? {
        known.append(key)
        report.note(path(of: key))
        guard let entry = entries.first(where: { $0.key == key }), !entry.value.isNull else {
            return nil
        }
        return entry
    }

    func has(_ key: String) -> Bool { entry(key) != nil }

    /// The line of the field `key`; the mapping's when it is absent.
    func line(of key: String) -> Int { entries.first { $0.key == key }?.line ?? line }

    /// Reports `key`; an empty key means the mapping itself.
    func error(_ key: String, _ problem: String, _ remedy: String) {
        report.error(key.isEmpty ? path : path(of: key), line: line(of: key), problem, remedy)
    }

    /// Reports the fields that nobody asked for.
    func finish() {
        let unknown = entries.filter { !known.contains($0.key) }
        guard !unknown.isEmpty else { return }
        let limit = 20
        let names = enumeration(Set(known).sorted())
        for entry in unknown.prefix(limit) {
            let field = path(of: entry.key)
            let nearest = nearestName(to: entry.key, among: known)
            report.warning(
                field,
                line: entry.line,
                "unknown field \(quoted(entry.key)) is ignored",
                nearest.map { "did you mean \(quoted($0))?" } ?? "known are \(names)"
            )
        }
        if unknown.count > limit {
            let rest = unknown.count - limit
            report.warning(
                path,
                line: line,
                "\(rest) more unknown fields are ignored",
                "remove them"
            )
        }
        for entry in unknown { report.prune(path(of: entry.key)) }
    }
}

extension Fields {
    /// Reports `key` as missing; `advice` says what to give.
    func missing(_ key: String, _ advice: String) {
        error(key, "missing", advice)
    }

    private func required<Value>(
        _ key: String,
        _ presence: Presence,
        _ advice: @autoclosure () -> String,
        surveyedAs content: YAMLNode.Content? = nil,
        _ read: (YAMLNode.Entry) -> Value?
    ) -> Value? {
        if let entry = entry(key) ?? report.surveyed(key, as: content) { return read(entry) }
        if presence == .required { missing(key, advice()) }
        return nil
    }

    /// A string of `length` characters.
    func string(
        _ key: String,
        _ presence: Presence = .optional,
        length: ClosedRange<Int>? = nil
    ) -> String? {
        required(key, presence, "give a string") { entry in
            text(entry.value, path(of: key), line: entry.line, length: length)
        }
    }

    /// A string of `length` characters that fits a line: Envoy takes no control characters in paths
    /// and names of hosts.
    func oneLine(
        _ key: String,
        _ presence: Presence = .optional,
        length: ClosedRange<Int>? = nil
    ) -> String? {
        required(key, presence, "give a string") { entry in
            oneLine(entry.value, path(of: key), line: entry.line, length: length)
        }
    }

    /// A string found at `path` that fits a line.
    func oneLine(
        _ node: YAMLNode,
        _ path: String,
        line: Int,
        length: ClosedRange<Int>? = nil
    ) -> String? {
        guard let text = text(node, path, line: line, length: length) else { return nil }
        if isOneLine(text) { return text }
        report.error(
            path,
            line: line,
            "\(quoted(text)) contains a control character",
            "remove it"
        )
        return nil
    }

    /// A string found at `path`.
    func text(
        _ node: YAMLNode,
        _ path: String,
        line: Int,
        length: ClosedRange<Int>? = nil
    ) -> String? {
        guard case .scalar(let scalar) = node.content else {
            report.error(
                path,
                line: line,
                "expected a string, found \(node.description)",
                "give a string"
            )
            return nil
        }
        guard case .string(let text) = scalar else {
            report.error(
                path,
                line: line,
                "expected a string, found \(node.description)",
                "quote it"
            )
            return nil
        }
        if text.utf8.contains(0) {
            report.error(path, line: line, "\(quoted(text)) contains a NUL character", "remove it")
            return nil
        }
        guard let length else { return text }
        let count = text.unicodeScalars.count
        if length.contains(count) { return text }
        report.error(
            path,
            line: line,
            text.isEmpty
                ? "the string is empty" : "\(quoted(text)) is \(count) characters long",
            "use \(length.words) characters"
        )
        return nil
    }

    /// An integer within `range`.
    func integer(
        _ key: String,
        _ presence: Presence = .optional,
        in range: ClosedRange<Int>
    ) -> Int? {
        required(key, presence, integerAdvice(range)) { entry in
            integer(entry.value, path(of: key), line: entry.line, in: range)
        }
    }

    /// An integer found at `path`.
    func integer(
        _ node: YAMLNode,
        _ path: String,
        line: Int,
        in range: ClosedRange<Int>
    ) -> Int? {
        guard case .scalar(.integer(let value, _)) = node.content else {
            report.error(
                path,
                line: line,
                "expected an integer, found \(node.description)",
                integerRemedy(node) ?? integerAdvice(range)
            )
            return nil
        }
        guard range.contains(value) else {
            report.error(path, line: line, "\(value) is out of range", "use \(range.words)")
            return nil
        }
        return value
    }

    private func integerAdvice(_ range: ClosedRange<Int>) -> String {
        range.upperBound == .max ? "give an integer" : "give an integer from \(range.words)"
    }

    /// How to write `node` as the integer that it almost is.
    private func integerRemedy(_ node: YAMLNode) -> String? {
        switch node.content {
        case .scalar(.string(let text)) where Int(text) != nil: "remove the quotes"
        case .scalar(.number(let number, _)):
            Int(exactly: number).map { "write \($0)" }
        case .scalar, .sequence, .mapping: nil
        }
    }

    /// A port.
    func port(_ key: String, _ presence: Presence = .optional) -> Port? {
        integer(key, presence, in: 1...65535).flatMap { Port($0) }
    }

    /// `true` or `false`.
    func bool(_ key: String) -> Bool? {
        guard let entry = entry(key) else { return nil }
        if case .scalar(.bool(let value, _)) = entry.value.content { return value }
        error(
            key,
            "expected true or false, found \(entry.value.description)",
            "write true or false"
        )
        return nil
    }

    /// One of the names that `Choice` has, or of `allowed`.
    func choice<Choice: RawRepresentable<String> & CaseIterable>(
        _ key: String,
        _ presence: Presence = .optional,
        _ allowed: [Choice] = Array(Choice.allCases)
    ) -> Choice? {
        let names = allowed.map(\.rawValue)
        return required(key, presence, "use \(alternatives(names))") { entry in
            let path = path(of: key)
            return text(entry.value, path, line: entry.line).flatMap { text in
                choice(text, path, line: entry.line, allowed)
            }
        }
    }

    /// The choice that `text`, found at `path`, names.
    func choice<Choice: RawRepresentable<String>>(
        _ text: String,
        _ path: String,
        line: Int,
        _ allowed: [Choice]
    ) -> Choice? {
        if let choice = allowed.first(where: { $0.rawValue == text }) { return choice }
        let names = alternatives(allowed.map(\.rawValue))
        report.error(path, line: line, "unknown value \(quoted(text))", "use \(names)")
        return nil
    }
}

extension Fields {
    /// A mapping, decoded by `decode`.
    func object<Value>(
        _ key: String,
        _ presence: Presence = .optional,
        _ decode: (Fields) -> Value?
    ) -> Value? {
        required(key, presence, "add it", surveyedAs: .mapping([])) { entry in
            object(entry.value, path(of: key), line: entry.line, decode)
        }
    }

    /// A mapping found at `path`.
    func object<Value>(
        _ node: YAMLNode,
        _ path: String,
        line: Int,
        _ decode: (Fields) -> Value?
    ) -> Value? {
        guard let entries = node.entries else {
            report.error(
                path,
                line: line,
                "expected a mapping, found \(node.description)",
                "put fields under it"
            )
            return nil
        }
        let fields = Fields(entries, path: path, line: line, report: report)
        let value = decode(fields)
        fields.finish()
        return value
    }

    /// A list of `count` elements, each with its path and line.
    func list<Element>(
        _ key: String,
        _ presence: Presence = .optional,
        count: ClosedRange<Int>? = nil,
        _ decode: (YAMLNode, String) -> Element?
    ) -> [Element]? {
        required(key, presence, "give a list", surveyedAs: oneMapping) { entry -> [Element]? in
            guard case .sequence(let nodes) = entry.value.content else {
                error(key, "expected a list, found \(entry.value.description)", "give a list")
                return nil
            }
            if let count, !count.contains(nodes.count) {
                let remedy =
                    count.upperBound == .max
                    ? "give at least \(count.lowerBound)"
                    : "give \(count.words)"
                error(key, "the list has \(nodes.count) elements", remedy)
            }
            let path = path(of: key)
            return nodes.enumerated().compactMap { decode($1, "\(path)[\($0)]") }
        }
    }

    /// A list of mappings, each decoded by `decode`.
    func objects<Element>(
        _ key: String,
        _ presence: Presence = .optional,
        count: ClosedRange<Int>? = nil,
        _ decode: (Fields) -> Element?
    ) -> [Element]? {
        list(key, presence, count: count) { object($0, $1, line: $0.line, decode) }
    }

    /// A list of strings.
    func strings(
        _ key: String,
        _ presence: Presence = .optional,
        count: ClosedRange<Int>? = nil,
        length: ClosedRange<Int>? = nil
    ) -> [String]? {
        list(key, presence, count: count) { text($0, $1, line: $0.line, length: length) }
    }

    /// A list of the names that `Choice` has.
    func choices<Choice: RawRepresentable<String> & CaseIterable>(
        _ key: String,
        count: ClosedRange<Int>
    ) -> [Choice]? {
        list(key, count: count) { node, path in
            text(node, path, line: node.line).flatMap {
                choice($0, path, line: node.line, Array(Choice.allCases))
            }
        }
    }

    /// A mapping of strings to strings, such as labels.
    func stringMap(_ key: String) -> [String: String]? {
        guard let entry = entry(key) else { return nil }
        let path = path(of: key)
        guard let members = entry.value.entries else {
            error(key, "expected a mapping, found \(entry.value.description)", "give a mapping")
            return nil
        }
        var map: [String: String] = [:]
        for member in members where member.duplicateOfLine == nil {
            let memberPath = pathOfMember(member.key, in: path)
            map[member.key] = text(member.value, memberPath, line: member.line)
        }
        return map
    }

    /// Checks how many of `keys` are given; the problem names those that are.
    ///
    /// - Returns: Whether the number is right.
    @discardableResult
    func union(_ keys: [String], _ presence: Presence = .required) -> Bool {
        let given = keys.filter(has)
        if given.count > 1 {
            error(given[1], "\(enumeration(given)) are given, and only one is allowed", "keep one")
            return false
        }
        if given.isEmpty, presence == .required {
            error("", "\(noneOf(keys)) is given", "give exactly one")
            return false
        }
        return true
    }
}

/// Whether `text` has no control character.
func isOneLine(_ text: String) -> Bool {
    text.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7f }
}

/// The path of the member `key` of a free-form mapping such as labels; a key with dots is quoted.
///
/// Of a very long key the path has only the beginning.
func pathOfMember(_ key: String, in path: String) -> String {
    key.utf8.count <= 80
        && key.utf8.allSatisfy { $0 != UInt8(ascii: ".") && $0 != UInt8(ascii: "[") }
        ? "\(path).\(key)" : "\(path)[\(quoted(key))]"
}

extension ClosedRange<Int> {
    /// `1 to 10`, `12`, `1 or more`.
    fileprivate var words: String {
        if lowerBound == upperBound { return "\(lowerBound)" }
        return upperBound == .max ? "\(lowerBound) or more" : "\(lowerBound) to \(upperBound)"
    }
}
