// Yams' own composer recurses as deep as a document nests, hashes expanded aliases and reports
// duplicate keys without their lines. Its libyaml is what we need: events, one at a time, so that
// every limit holds before memory or stack is spent.
import CYaml

/// Why a document could not be read, and where.
struct YAMLFailure: Error {
    var problem: String
    var remedy: String
    /// The line of the file, from 1.
    var line: Int

    static func tooDeep(line: Int) -> YAMLFailure {
        YAMLFailure(
            problem: "nested deeper than \(YAMLLimits.depth) levels",
            remedy: "nest less",
            line: line
        )
    }
}

/// How large a document may be.
enum YAMLLimits {
    /// Mappings and sequences within each other.
    static let depth = 64
    /// Nodes of one document, aliases expanded.
    static let nodes = 500_000
    /// Nodes of one document that are there through aliases.
    static let aliasedNodes = 100_000
}

/// The value of one document; nil when it is empty.
///
/// Guarantee: the tree nests at most `YAMLLimits.depth` deep, and walking it meets at most `nodes`
/// nodes.
func parseYAML(
    _ document: DocumentText,
    nodes: Int = YAMLLimits.nodes
) throws(YAMLFailure) -> YAMLNode? {
    let result: Result<YAMLNode?, YAMLFailure> = document.bytes.withUnsafeBufferPointer { buffer in
        let events = YAMLEvents(buffer, document)
        defer { events.close() }
        var composer = YAMLComposer(events: events, limit: nodes)
        do throws(YAMLFailure) {
            return .success(try composer.document())
        } catch {
            return .failure(error)
        }
    }
    return try result.get()
}

/// libyaml's events of one document.
final class YAMLEvents {
    /// The event that was read last.
    private(set) var event = yaml_event_t()
    // libyaml keeps the parser's address, so it must not move.
    private let parser = UnsafeMutablePointer<yaml_parser_t>.allocate(capacity: 1)
    private let text: UnsafeBufferPointer<UInt8>
    private let firstLine: Int
    /// The offset of `text` within the file.
    private let firstOffset: Int

    init(_ text: UnsafeBufferPointer<UInt8>, _ document: DocumentText) {
        self.text = text
        firstLine = document.firstLine
        firstOffset = document.bytes.startIndex
        parser.initialize(to: yaml_parser_t())
        precondition(yaml_parser_initialize(parser) == 1, "out of memory")
        yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING)
        yaml_parser_set_input_string(parser, text.baseAddress, text.count)
    }

    func close() {
        yaml_event_delete(&event)
        yaml_parser_delete(parser)
        parser.deallocate()
    }

    /// The line of the file on which the last event starts.
    var line: Int { firstLine + Int(event.start_mark.line) }

    /// Reads the next event.
    func next() throws(YAMLFailure) -> yaml_event_type_t {
        yaml_event_delete(&event)
        guard yaml_parser_parse(parser, &event) == 1 else { throw failure() }
        return event.type
    }

    private func failure() -> YAMLFailure {
        if parser.pointee.error == YAML_READER_ERROR { return readerFailure() }
        let problem = parser.pointee.problem.map { String(cString: $0) } ?? "out of memory"
        let line = Int(parser.pointee.problem_mark.line)
        if problem.hasPrefix("Maximum nesting level") { return .tooDeep(line: fileLine(line)) }
        if startsWithTab(line) {
            return YAMLFailure(
                problem: "not valid YAML: a tab is used as indentation",
                remedy: "indent with spaces",
                line: fileLine(line)
            )
        }
        var text = "not valid YAML: \(problem)"
        var place = line
        if let context = parser.pointee.context.map({ String(cString: $0) }) {
            text += " \(context)"
            let contextLine = Int(parser.pointee.context_mark.line)
            if context.hasPrefix("while scanning") {
                // What libyaml scanned in vain began here; it noticed somewhere below.
                place = contextLine
            } else if contextLine != line {
                text += " from line \(fileLine(contextLine))"
            }
        }
        return YAMLFailure(problem: text, remedy: remedy(problem), line: fileLine(place))
    }

    /// The line of the file for libyaml's `line`, which counts from 0 and can lie beyond the end.
    private func fileLine(_ line: Int) -> Int {
        let breaks = text.count(where: { $0 == UInt8(ascii: "\n") || $0 == UInt8(ascii: "\r") })
        return firstLine + min(line, breaks)
    }

    /// What to do about libyaml's `problem`.
    private func remedy(_ problem: String) -> String {
        if problem.contains("mapping values are not allowed") {
            return "check the indentation, or quote a value that contains \": \""
        }
        if problem.contains("could not find expected ':'") { return "write it as \"key: value\"" }
        if problem.contains("',' or") { return "close the bracket, or put a comma" }
        if problem.contains("end of stream") { return "close the quote or bracket" }
        if problem.contains("cannot start any token") { return "quote the value" }
        if problem.contains("undefined") { return "declare it first" }
        return "check the indentation, quotes and brackets"
    }

    /// A byte that is no text: not UTF-8, or a control character.
    private func readerFailure() -> YAMLFailure {
        let offset = min(Int(parser.pointee.problem_offset), text.count)
        let before = text[..<offset]
        let breaks = before.count(where: { $0 == UInt8(ascii: "\n") })
        let byte = offset < text.count ? text[offset] : 0
        let digits = String(byte, radix: 16, uppercase: true)
        let name =
            "byte 0x\(digits.count < 2 ? "0" : "")\(digits) at offset \(firstOffset + offset)"
        let isControl =
            parser.pointee.problem.map { String(cString: $0) }?.contains("control") == true
        return YAMLFailure(
            problem: isControl
                ? "\(name) is a control character, which YAML forbids"
                : "\(name) is not valid UTF-8",
            remedy: isControl ? "remove it" : "save the file as UTF-8",
            line: firstLine + breaks
        )
    }

    /// Whether the text's line `line`, from 0, has a tab before its first letter.
    private func startsWithTab(_ line: Int) -> Bool {
        var remaining = line
        var index = 0
        while remaining > 0, index < text.count {
            if text[index] == UInt8(ascii: "\n") { remaining -= 1 }
            index += 1
        }
        while index < text.count, text[index] == UInt8(ascii: " ") { index += 1 }
        return index < text.count && text[index] == UInt8(ascii: "\t")
    }
}

/// Builds a tree from events.
private struct YAMLComposer {
    /// What an alias stands for.
    struct Anchored {
        var node: YAMLNode
        var count: Int
        var depth: Int
    }

    let events: YAMLEvents
    /// How many nodes there may be.
    private let limit: Int
    private var anchors: [String: Anchored] = [:]
    private var count = 0
    private var aliasedCount = 0
    /// The deepest level that was met since it was last reset.
    private var deepest = 0

    init(events: YAMLEvents, limit: Int) {
        self.events = events
        self.limit = limit
    }

    mutating func document() throws(YAMLFailure) -> YAMLNode? {
        // The stream's start, then the document's.
        _ = try events.next()
        guard try events.next() == YAML_DOCUMENT_START_EVENT else { return nil }
        _ = try events.next()
        let root = try node(depth: 1)
        // The document's end, then the stream's; a mistake after the root shows up here.
        _ = try events.next()
        guard try events.next() == YAML_STREAM_END_EVENT else {
            throw failure("a second document begins without \"---\"", "put \"---\" before it")
        }
        return root
    }

    private func failure(_ problem: String, _ remedy: String) -> YAMLFailure {
        YAMLFailure(problem: problem, remedy: remedy, line: events.line)
    }

    /// The node that the last event begins.
    private mutating func node(depth: Int) throws(YAMLFailure) -> YAMLNode {
        count += 1
        deepest = max(deepest, depth)
        guard count <= limit else {
            throw failure("more than \(limit) values in one document", "split it")
        }
        guard depth <= YAMLLimits.depth else {
            throw .tooDeep(line: events.line)
        }
        if events.event.type == YAML_ALIAS_EVENT { return try alias(depth: depth) }
        let line = events.line
        let countBefore = count
        let deepestBefore = deepest
        deepest = depth
        let anchor: String?
        let content: YAMLNode.Content
        switch events.event.type {
        case YAML_SEQUENCE_START_EVENT:
            anchor = text(events.event.data.sequence_start.anchor)
            content = .sequence(try elements(depth: depth))
        case YAML_MAPPING_START_EVENT:
            anchor = text(events.event.data.mapping_start.anchor)
            content = .mapping(try entries(depth: depth))
        default:
            anchor = text(events.event.data.scalar.anchor)
            content = .scalar(try scalar())
        }
        let node = YAMLNode(content: content, line: line)
        if let anchor {
            let size = count - countBefore + 1
            anchors[anchor] = Anchored(node: node, count: size, depth: deepest - depth)
        }
        deepest = max(deepest, deepestBefore)
        return node
    }

    private mutating func alias(depth: Int) throws(YAMLFailure) -> YAMLNode {
        let name = text(events.event.data.alias.anchor) ?? ""
        guard let anchored = anchors[name] else {
            throw failure("alias \(quoted("*" + name)) has no anchor before it", "declare &\(name)")
        }
        count += anchored.count - 1
        aliasedCount += anchored.count
        deepest = max(deepest, depth + anchored.depth)
        guard aliasedCount <= YAMLLimits.aliasedNodes else {
            throw failure(
                "aliases expand to more than \(YAMLLimits.aliasedNodes) values",
                "write the values out"
            )
        }
        guard deepest <= YAMLLimits.depth else {
            throw .tooDeep(line: events.line)
        }
        return anchored.node
    }

    private mutating func elements(depth: Int) throws(YAMLFailure) -> [YAMLNode] {
        var elements: [YAMLNode] = []
        while try events.next() != YAML_SEQUENCE_END_EVENT {
            elements.append(try node(depth: depth + 1))
        }
        return elements
    }

    private mutating func entries(depth: Int) throws(YAMLFailure) -> [YAMLNode.Entry] {
        var entries: [YAMLNode.Entry] = []
        var lines: [String: Int] = [:]
        var merged: [YAMLNode] = []
        while try events.next() != YAML_MAPPING_END_EVENT {
            let line = events.line
            let isPlain =
                events.event.type == YAML_SCALAR_EVENT
                && events.event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE
            let key = try key(depth: depth + 1)
            _ = try events.next()
            let value = try node(depth: depth + 1)
            if isPlain, key == "<<" {
                merged.append(value)
                continue
            }
            let first = firstLine(of: key, in: entries, &lines)
            entries.append(
                YAMLNode.Entry(key: key, line: line, value: value, duplicateOfLine: first)
            )
            if entries.count > 8 { lines[key] = first ?? line }
        }
        for node in merged { try merge(node, into: &entries) }
        return entries
    }

    /// The line of the entry `key`; `lines` is an index of long mappings, made when needed.
    private func firstLine(
        of key: String,
        in entries: [YAMLNode.Entry],
        _ lines: inout [String: Int]
    ) -> Int? {
        guard entries.count >= 8 else { return entries.first { $0.key == key }?.line }
        if lines.isEmpty {
            lines = Dictionary(entries.map { ($0.key, $0.line) }) { first, _ in first }
        }
        return lines[key]
    }

    /// Adds what `<<: *base` brings in; the mapping's own entries win.
    private func merge(
        _ node: YAMLNode,
        into entries: inout [YAMLNode.Entry]
    ) throws(YAMLFailure) {
        let sources: [YAMLNode]
        if case .sequence(let nodes) = node.content { sources = nodes } else { sources = [node] }
        var present = Set(entries.map(\.key))
        for source in sources {
            guard let additions = source.entries else {
                throw failure("\"<<\" merges \(source.description)", "merge a mapping")
            }
            for entry in additions where present.insert(entry.key).inserted {
                entries.append(entry)
            }
        }
    }

    /// A mapping's key; numbers and truth values count as the text that they are written as.
    private mutating func key(depth: Int) throws(YAMLFailure) -> String {
        if events.event.type == YAML_SCALAR_EVENT, events.event.data.scalar.anchor == nil {
            count += 1
            return scalarText()
        }
        let line = events.line
        let node = try node(depth: depth)
        guard case .scalar(let scalar) = node.content else {
            throw YAMLFailure(
                problem: "\(node.description) is used as a key",
                remedy: "use a string as key",
                line: line
            )
        }
        switch scalar {
        case .null: return "null"
        case .bool(_, let text), .integer(_, let text), .number(_, let text), .string(let text):
            return text
        }
    }

    private func scalar() throws(YAMLFailure) -> YAMLScalar {
        let value = scalarText()
        switch text(events.event.data.scalar.tag) {
        case nil:
            let isPlain = events.event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE
            return isPlain ? YAMLScalar(plain: value) : .string(value)
        case "!", "tag:yaml.org,2002:str":
            return .string(value)
        case "tag:yaml.org,2002:int", "tag:yaml.org,2002:float", "tag:yaml.org,2002:bool",
            "tag:yaml.org,2002:null":
            return YAMLScalar(plain: value)
        case let tag?:
            throw failure("the tag \(quoted(tag)) is not supported", "remove it")
        }
    }

    private func scalarText() -> String {
        let scalar = events.event.data.scalar
        return String(
            decoding: UnsafeBufferPointer(start: scalar.value, count: scalar.length),
            as: UTF8.self
        )
    }

    private func text(_ pointer: UnsafeMutablePointer<UInt8>?) -> String? {
        pointer.map { String(cString: $0) }
    }
}
