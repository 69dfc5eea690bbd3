internal import CYaml

/// A value of a YAML or JSON document with the place where it is written, for editing.
///
/// Other than a `YAMLNode` it tells of aliases and merges instead of following them.
struct MarkedNode {
    enum Content {
        case scalar(Style)
        case sequence([MarkedNode])
        case mapping([Entry], isFlow: Bool)
        case alias
    }

    /// How a scalar is written.
    enum Style {
        case plain(isNull: Bool)
        case singleQuoted
        case doubleQuoted
        /// After `|` or `>`.
        case block
    }

    /// One member of a mapping.
    struct Entry {
        var key: String
        /// The bytes of the key, quotes included.
        var keyRange: Range<Int>
        var isKeyDoubleQuoted: Bool
        var value: MarkedNode
    }

    var content: Content
    /// The bytes of the file: of a mapping or list without brackets from its first to the end of its
    /// last member, of an absent value none.
    var range: Range<Int>
    /// The line of the file, from 1.
    var line: Int
    /// Whether it has an anchor or a tag, which are in `range`.
    var hasProperties = false
}

/// The nodes of a document that `parseYAML` takes.
///
/// - Throws: `YAMLFailure` as `parseYAML` does.
func markedYAML(_ document: DocumentText) throws(YAMLFailure) -> MarkedNode {
    let offsets = ByteOffsets(document.bytes)
    let result: Result<MarkedNode, YAMLFailure> = document.bytes.withUnsafeBufferPointer { buffer in
        let events = YAMLEvents(buffer, document)
        defer { events.close() }
        let marker = Marker(events: events, offsets: offsets)
        do throws(YAMLFailure) {
            return .success(try marker.document())
        } catch {
            return .failure(error)
        }
    }
    return try result.get()
}

/// Where libyaml's characters are among the bytes of a file.
private struct ByteOffsets {
    private let start: Int
    /// The byte of each character; nil when each has one.
    private var offsets: [Int]?

    init(_ bytes: ArraySlice<UInt8>) {
        start = bytes.startIndex
        guard bytes.contains(where: { $0 >= 0x80 }) else { return }
        offsets = bytes.indices.filter { bytes[$0] & 0xC0 != 0x80 } + [bytes.endIndex]
    }

    subscript(index: Int) -> Int {
        guard let offsets else { return start + index }
        return offsets[min(index, offsets.count - 1)]
    }
}

/// Builds marked nodes from events.
private struct Marker {
    let events: YAMLEvents
    let offsets: ByteOffsets

    func document() throws(YAMLFailure) -> MarkedNode {
        // The stream's start, the document's, and the root's.
        for _ in 0..<3 { _ = try events.next() }
        return try node()
    }

    private var range: Range<Int> {
        let start = offsets[Int(events.event.start_mark.index)]
        return start..<max(start, offsets[Int(events.event.end_mark.index)])
    }

    /// The node that the last event begins.
    private func node() throws(YAMLFailure) -> MarkedNode {
        let start = range
        let line = events.line
        switch events.event.type {
        case YAML_ALIAS_EVENT:
            return MarkedNode(content: .alias, range: start, line: line)
        case YAML_SEQUENCE_START_EVENT:
            let data = events.event.data.sequence_start
            let hasProperties = data.anchor != nil || data.tag != nil
            let isFlow = data.style == YAML_FLOW_SEQUENCE_STYLE
            var nodes: [MarkedNode] = []
            while try events.next() != YAML_SEQUENCE_END_EVENT { nodes.append(try node()) }
            let end = isFlow ? range.upperBound : nodes.last?.range.upperBound
            return MarkedNode(
                content: .sequence(nodes),
                range: start.lowerBound..<max(start.lowerBound, end ?? start.upperBound),
                line: line,
                hasProperties: hasProperties
            )
        case YAML_MAPPING_START_EVENT:
            let data = events.event.data.mapping_start
            let hasProperties = data.anchor != nil || data.tag != nil
            let isFlow = data.style == YAML_FLOW_MAPPING_STYLE
            let entries = try entries()
            let end = isFlow ? range.upperBound : entries.last?.value.range.upperBound
            return MarkedNode(
                content: .mapping(entries, isFlow: isFlow),
                range: start.lowerBound..<max(start.lowerBound, end ?? start.upperBound),
                line: line,
                hasProperties: hasProperties
            )
        default:
            let data = events.event.data.scalar
            return MarkedNode(
                content: .scalar(style),
                range: start,
                line: line,
                hasProperties: data.anchor != nil || data.tag != nil
            )
        }
    }

    private func entries() throws(YAMLFailure) -> [MarkedNode.Entry] {
        var entries: [MarkedNode.Entry] = []
        while try events.next() != YAML_MAPPING_END_EVENT {
            let isScalar = events.event.type == YAML_SCALAR_EVENT
            let key = isScalar ? text : ""
            let isKeyDoubleQuoted =
                isScalar && events.event.data.scalar.style == YAML_DOUBLE_QUOTED_SCALAR_STYLE
            let keyRange = try node().range
            _ = try events.next()
            entries.append(
                MarkedNode.Entry(
                    key: key,
                    keyRange: keyRange,
                    isKeyDoubleQuoted: isKeyDoubleQuoted,
                    value: try node()
                )
            )
        }
        return entries
    }

    /// How the scalar of the last event is written.
    private var style: MarkedNode.Style {
        switch events.event.data.scalar.style {
        case YAML_SINGLE_QUOTED_SCALAR_STYLE: return .singleQuoted
        case YAML_DOUBLE_QUOTED_SCALAR_STYLE: return .doubleQuoted
        case YAML_LITERAL_SCALAR_STYLE, YAML_FOLDED_SCALAR_STYLE: return .block
        default:
            if case .null = YAMLScalar(plain: text) { return .plain(isNull: true) }
            return .plain(isNull: false)
        }
    }

    /// The scalar of the last event.
    private var text: String {
        let scalar = events.event.data.scalar
        return String(
            decoding: UnsafeBufferPointer(start: scalar.value, count: scalar.length),
            as: UTF8.self
        )
    }
}
