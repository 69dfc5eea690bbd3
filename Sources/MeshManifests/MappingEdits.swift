/// What a member of a mapping shall be.
indirect enum WantedValue {
    case text(String)
    case members([(key: String, value: WantedValue)])
}

/// Why a value can't be edited where it stands.
struct EditObstacle: Error {
    /// The path of the field.
    var field: String
    /// The line of the file, from 1.
    var line: Int
    var problem: String
    var remedy: String
}

/// Changes members of mappings within a file's text and nothing else of it: comments, order, quotes
/// and line ends stay.
struct MappingEdits {
    private struct Edit {
        var range: Range<Int>
        var text: String
    }

    private let bytes: [UInt8]
    private let lineBreak: String
    /// By how much the file indents; the nearest mapping tells.
    private var step = 2
    private var edits: [Edit] = []

    /// Starts to edit `bytes`, whose object is `root`.
    init(_ bytes: [UInt8], of root: MarkedNode) {
        self.bytes = bytes
        let feed = bytes[root.range.lowerBound...].firstIndex { isBreak($0) }
        let isPair =
            feed.map { bytes[$0...].starts(with: [UInt8(ascii: "\r"), UInt8(ascii: "\n")]) }
            ?? false
        let isOldMac = feed.map { bytes[$0] == UInt8(ascii: "\r") } ?? false
        lineBreak = isPair ? "\r\n" : isOldMac ? "\r" : "\n"
        step = indentation(of: root) ?? step
    }

    /// The text with all edits.
    var result: [UInt8] {
        var result: [UInt8] = []
        var end = 0
        let sorted = edits.enumerated().sorted {
            ($0.element.range.lowerBound, $0.offset) < ($1.element.range.lowerBound, $1.offset)
        }
        for edit in sorted.map(\.element) {
            result += bytes[end..<max(end, edit.range.lowerBound)]
            result += edit.text.utf8
            end = max(end, edit.range.upperBound)
        }
        return result + bytes[end...]
    }

    /// Sets `members` of `mapping`, which is at `path`.
    ///
    /// - Throws: `EditObstacle` for what is written so that it can't be changed alone.
    mutating func set(
        _ members: [(key: String, value: WantedValue)],
        in mapping: MarkedNode,
        path: String,
        isQuoting: Bool = false
    ) throws(EditObstacle) {
        guard case .mapping(let entries, let isFlow) = mapping.content else {
            throw obstacle(mapping, path)
        }
        let isQuoting = entries.first?.isKeyDoubleQuoted ?? isQuoting
        let outerStep = step
        defer { step = outerStep }
        var missing: [(key: String, value: WantedValue)] = []
        for member in members {
            let field = path.isEmpty ? member.key : pathOfMember(member.key, in: path)
            guard let entry = entries.first(where: { $0.key == member.key }) else {
                missing.append(member)
                continue
            }
            try change(entry, to: member.value, field, isFlow: isFlow, isQuoting: isQuoting)
        }
        guard !missing.isEmpty else { return }
        if entries.contains(where: { $0.key == "<<" }) {
            throw EditObstacle(
                field: path,
                line: mapping.line,
                problem: "it is merged from elsewhere (\"<<\")",
                remedy: "write its resources out"
            )
        }
        if isFlow {
            insert(flowItems(missing, isQuoting), into: mapping, entries)
        } else if let first = entries.first, let last = entries.last {
            insertLines(missing, column: column(first.keyRange.lowerBound), after: end(of: last))
        }
    }

    private mutating func change(
        _ entry: MarkedNode.Entry,
        to value: WantedValue,
        _ field: String,
        isFlow: Bool,
        isQuoting: Bool
    ) throws(EditObstacle) {
        let node = entry.value
        switch (value, node.content) {
        case (.members(let members), .mapping(let inner, let isInnerFlow)):
            if !isFlow, !isInnerFlow, let first = inner.first {
                let place = column(first.keyRange.lowerBound)
                let deeper = place - column(entry.keyRange.lowerBound)
                if deeper > 0 { step = deeper }
            }
            try set(members, in: node, path: field, isQuoting: isQuoting)
        case (.members(let members), .scalar(.plain(isNull: true)))
        where node.range.isEmpty && !isFlow:
            let place = column(entry.keyRange.lowerBound) + step
            insertLines(members, column: place, after: end(of: entry))
        case (.members(let members), .scalar(.plain(isNull: true))) where !node.hasProperties:
            fill(entry, "{\(flowItems(members, isQuoting).joined(separator: ", "))}")
        case (.text(let text), .scalar(let style)) where !node.hasProperties:
            switch style {
            case .plain:
                let isNumber = text.utf8.allSatisfy { isDigit($0) }
                fill(entry, entry.isKeyDoubleQuoted || isNumber ? "\"\(text)\"" : text)
            case .singleQuoted: edits.append(Edit(range: node.range, text: "'\(text)'"))
            case .doubleQuoted: edits.append(Edit(range: node.range, text: "\"\(text)\""))
            case .block: throw obstacle(node, field)
            }
        case (.members, _), (.text, _): throw obstacle(node, field)
        }
    }

    /// Puts `text` in the place of a plain scalar, or where one would be.
    private mutating func fill(_ entry: MarkedNode.Entry, _ text: String) {
        guard entry.value.range.isEmpty else {
            return edits.append(Edit(range: entry.value.range, text: text))
        }
        let place = end(of: entry)
        let isAfterColon = place > 0 && bytes[place - 1] == UInt8(ascii: ":")
        edits.append(Edit(range: place..<place, text: isAfterColon ? " \(text)" : ": \(text)"))
    }

    private func obstacle(_ node: MarkedNode, _ field: String) -> EditObstacle {
        let problem =
            switch node.content {
            case .alias: "it is an alias of a value elsewhere"
            case .scalar(.block): "it is a block of text"
            case .scalar where node.hasProperties: "it has an anchor or a tag"
            case .scalar, .sequence, .mapping: "it is not what a manifest has there"
            }
        return EditObstacle(
            field: field,
            line: node.line,
            problem: problem,
            remedy: "write its value out"
        )
    }
}

extension MappingEdits {
    /// The end of `entry`: of its value, or of its colon when it has none.
    private func end(of entry: MarkedNode.Entry) -> Int {
        guard entry.value.range.isEmpty else { return entry.value.range.upperBound }
        var index = entry.keyRange.upperBound
        while index < bytes.count, isSpace(bytes[index]) { index += 1 }
        let isColon = index < bytes.count && bytes[index] == UInt8(ascii: ":")
        return isColon ? index + 1 : entry.keyRange.upperBound
    }

    /// Inserts `members` as lines of their own below the line on which `offset` is.
    private mutating func insertLines(
        _ members: [(key: String, value: WantedValue)],
        column: Int,
        after offset: Int
    ) {
        let text = lines(members, column: column).joined(separator: lineBreak)
        // A block of text ends behind its last line.
        let isBehindLine = offset > 0 && isBreak(bytes[offset - 1])
        let place = isBehindLine ? offset : startOfNextLine(offset)
        let isOpen = place > 0 && !isBreak(bytes[place - 1])
        edits.append(
            Edit(range: place..<place, text: isOpen ? lineBreak + text : text + lineBreak)
        )
    }

    private func lines(
        _ members: [(key: String, value: WantedValue)],
        column: Int
    ) -> [String] {
        let indentation = String(repeating: " ", count: column)
        return members.flatMap { member in
            switch member.value {
            case .text(let text): ["\(indentation)\(member.key): \(text)"]
            case .members(let members):
                ["\(indentation)\(member.key):"] + lines(members, column: column + step)
            }
        }
    }

    private func flowItems(
        _ members: [(key: String, value: WantedValue)],
        _ isQuoting: Bool
    ) -> [String] {
        let quote = isQuoting ? "\"" : ""
        return members.map { member in
            let value =
                switch member.value {
                case .text(let text): "\(quote)\(text)\(quote)"
                case .members(let members):
                    "{\(flowItems(members, isQuoting).joined(separator: ", "))}"
                }
            return "\(quote)\(member.key)\(quote): \(value)"
        }
    }

    /// Inserts `items` at the end of a mapping in brackets, on lines of their own if its members are.
    private mutating func insert(
        _ items: [String],
        into mapping: MarkedNode,
        _ entries: [MarkedNode.Entry]
    ) {
        guard let last = entries.last else {
            let bracket = bytes[mapping.range].firstIndex(of: UInt8(ascii: "{"))
            let place = (bracket ?? mapping.range.lowerBound) + 1
            return edits.append(
                Edit(range: place..<place, text: items.joined(separator: ", "))
            )
        }
        let end = end(of: last)
        let next = skipSeparation(from: end)
        let hasComma = next < bytes.count && bytes[next] == UInt8(ascii: ",")
        let tail = hasComma ? next + 1 : end
        let lineStart = startOfLine(last.keyRange.lowerBound)
        let lead = bytes[lineStart..<last.keyRange.lowerBound]
        let lineEnd = endOfLine(tail)
        if lead.allSatisfy({ isSpace($0) }), lineStart > mapping.range.lowerBound,
            skipSeparation(from: tail) > lineEnd
        {
            let start = lineBreak + String(decoding: lead, as: UTF8.self)
            if !hasComma { edits.append(Edit(range: end..<end, text: ",")) }
            let text = start + items.joined(separator: "," + start) + (hasComma ? "," : "")
            edits.append(Edit(range: lineEnd..<lineEnd, text: text))
        } else {
            let text = items.joined(separator: ", ")
            edits.append(Edit(range: tail..<tail, text: hasComma ? " \(text)," : ", \(text)"))
        }
    }

    /// The indentation of the first mapping within `node` that stands on lines of its own.
    private func indentation(of node: MarkedNode) -> Int? {
        guard case .mapping(let entries, false) = node.content else { return nil }
        for entry in entries {
            guard case .mapping(let members, false) = entry.value.content,
                let first = members.first
            else { continue }
            let deeper = column(first.keyRange.lowerBound) - column(entry.keyRange.lowerBound)
            if deeper > 0 { return deeper }
        }
        return nil
    }

    /// The index of what follows blanks, line ends and comments.
    private func skipSeparation(from offset: Int) -> Int {
        var index = offset
        while index < bytes.count {
            if bytes[index] == UInt8(ascii: "#") {
                index = endOfLine(index)
            } else if isSpace(bytes[index]) || isBreak(bytes[index]) {
                index += 1
            } else {
                return index
            }
        }
        return index
    }

    private func column(_ offset: Int) -> Int {
        let line = bytes[startOfLine(offset)..<offset]
        // A byte order mark takes no place.
        return line.count - (line.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0)
    }

    private func startOfLine(_ offset: Int) -> Int {
        bytes[..<offset].lastIndex { isBreak($0) }.map { $0 + 1 } ?? 0
    }

    private func endOfLine(_ offset: Int) -> Int {
        bytes[offset...].firstIndex { isBreak($0) } ?? bytes.count
    }

    private func startOfNextLine(_ offset: Int) -> Int {
        let end = endOfLine(offset)
        guard end < bytes.count else { return end }
        let isPair = bytes[end...].starts(with: [UInt8(ascii: "\r"), UInt8(ascii: "\n")])
        return end + (isPair ? 2 : 1)
    }
}

private func isBreak(_ byte: UInt8) -> Bool {
    byte == UInt8(ascii: "\n") || byte == UInt8(ascii: "\r")
}

private func isSpace(_ byte: UInt8) -> Bool {
    byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t")
}

private func isDigit(_ byte: UInt8) -> Bool {
    (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
}
