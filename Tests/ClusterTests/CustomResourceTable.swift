import Foundation
import MeshTesting

/// `Manifests/crds/fields.txt`, read on its own account: what generate.py makes of it is compared with
/// what it says, and not with what generate.py takes it for.
struct CustomResourceTable {
    /// A kind.
    struct Kind: Sendable {
        let name: String
        let apiVersion: String
        let plural: String
        let isNamespaced: Bool
        /// Whether unknown fields beside spec and status are kept.
        let isOpen: Bool
        let fields: [Field]

        /// Where its objects are, seen from the server's address.
        func path(in namespace: String) -> String {
            "/apis/\(apiVersion)" + (isNamespaced ? "/namespaces/\(namespace)" : "") + "/\(plural)"
        }
    }

    /// A field.
    struct Field: Sendable {
        let name: String
        let isRequired: Bool
        let type: FieldType
    }

    /// What a field may be.
    indirect enum FieldType: Sendable {
        case object([Field])
        case list(FieldType, count: Bounds)
        case map
        case string(length: Bounds)
        case words([String])
        case time
        case boolean
        case integer(Bounds)
        case number(Bounds)
    }

    /// From where to where; nil is without a bound.
    struct Bounds: Sendable {
        var least: Int?
        var most: Int?
    }

    /// A line that is not as the table's head says.
    struct Unreadable: Error, CustomStringConvertible {
        let description: String
    }

    /// The kinds, in the table's order.
    let kinds: [Kind]

    static let path = "Manifests/crds/fields.txt"

    init() throws {
        let text = try String(
            contentsOf: packageFolder.appending(path: Self.path),
            encoding: .utf8
        )
        let tops = try Self.lines(text)
        let reader = Reader(shapes: Dictionary(tops.map { ($0.name, $0) }) { first, _ in first })
        kinds = try tops.filter { $0.type.contains("/") }.map(reader.kind)
    }

    /// The kind `name`.
    func kind(_ name: String) throws -> Kind {
        guard let kind = kinds.first(where: { $0.name == name }) else {
            throw Unreadable(description: "no kind \(name) in \(Self.path)")
        }
        return kind
    }

    // MARK: Lines

    /// A line, with those that are indented below it.
    private struct Line {
        var text: String
        var indent: Int
        var children: [Line] = []

        private var parts: [String] { text.split(separator: ": ", maxSplits: 1).map(String.init) }
        var isRequired: Bool { parts[0].hasSuffix("!") }
        var name: String { isRequired ? String(parts[0].dropLast()) : parts[0] }
        var type: String { parts.count == 2 ? parts[1] : "" }
    }

    private static func lines(_ text: String) throws -> [Line] {
        let lines = text.split(separator: "\n").compactMap { raw -> Line? in
            guard !raw.hasPrefix("#") else { return nil }
            let content = raw.split(separator: " # ", maxSplits: 1)[0]
            let indent = content.prefix { $0 == " " }.count
            let text = content.trimmingCharacters(in: .whitespaces)
            return text.isEmpty ? nil : Line(text: text, indent: indent)
        }
        var rest = lines[...]
        return tree(&rest, indent: 0)
    }

    private static func tree(_ rest: inout ArraySlice<Line>, indent: Int) -> [Line] {
        var lines: [Line] = []
        while var line = rest.first, line.indent >= indent {
            rest.removeFirst()
            line.children = tree(&rest, indent: line.indent + 1)
            lines.append(line)
        }
        return lines
    }

    // MARK: Types

    private struct Reader {
        let shapes: [String: Line]

        func kind(_ line: Line) throws -> Kind {
            let parts = line.type.split(separator: " ").map(String.init)
            guard parts.count == 3 else { throw Unreadable(description: line.text) }
            let (directives, fields) = (
                line.children.filter { !$0.text.contains(": ") },
                line.children.filter { $0.text.contains(": ") }
            )
            return Kind(
                name: line.name,
                apiVersion: parts[0],
                plural: parts[1],
                isNamespaced: parts[2] == "namespaced",
                isOpen: directives.contains { $0.text == "open" },
                fields: try self.fields(fields)
            )
        }

        private func fields(_ lines: [Line]) throws -> [Field] {
            try lines.flatMap { line -> [Field] in
                if line.text.hasPrefix("...") {
                    return try fields(try shape(String(line.text.dropFirst(3))).children)
                }
                let type = try type(line.type, line.children)
                return [Field(name: line.name, isRequired: line.isRequired, type: type)]
            }
        }

        private func shape(_ name: String) throws -> Line {
            guard let line = shapes[name] else { throw Unreadable(description: "no \(name)") }
            return line
        }

        private func type(_ text: String, _ children: [Line]) throws -> FieldType {
            if text.hasPrefix("["), let end = text.lastIndex(of: "]") {
                let element = try type(
                    String(text[text.index(after: text.startIndex)..<end]),
                    children
                )
                return .list(element, count: bounds(String(text[text.index(after: end)...])))
            }
            if text.hasPrefix("(") {
                return .words(text.dropFirst().dropLast().split(separator: " ").map(String.init))
            }
            let parts = text.split(separator: " ", maxSplits: 1).map(String.init)
            let extent = bounds(parts.count == 2 ? parts[1] : "")
            switch parts[0] {
            case "object": return .object(try fields(children))
            case "string": return .string(length: extent)
            case "integer": return .integer(extent)
            case "number": return .number(extent)
            case "boolean": return .boolean
            case "time": return .time
            case "{string}": return .map
            default:
                let line = try shape(text)
                return try type(line.type, line.children)
            }
        }

        private func bounds(_ text: String) -> Bounds {
            guard let match = text.firstMatch(of: /(\d+)\.\.(\d*)/) else { return Bounds() }
            return Bounds(least: Int(match.1), most: Int(match.2))
        }
    }
}

/// The folder of this repository.
let packageFolder = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
