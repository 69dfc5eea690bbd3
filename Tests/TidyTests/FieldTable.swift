import MeshModel

/// The page that tells of every field what it becomes, read as a table.
///
/// A heading of the second level is a kind, or `Every object` for what all kinds have; one of the
/// third is a shape that several fields have. A row begins with its field, and its second cell may
/// link to the shape of what is in it.
struct FieldTable {
    /// One row.
    struct Row {
        let place: String
        /// Its fields, a list ending in `[]`.
        let fields: [String]
        /// The heading of the shape that the fields have.
        let shape: String?
        let goldenCases: [String]
        let tests: [String]
    }

    /// A field, written out, and the row that tells of it.
    struct Entry {
        let kind: Kind
        let path: String
        let row: Row
    }

    static let page = "Sources/MeshDaemon/Documentation.docc/Fields.md"
    static let status = "Status"
    private static let common = "Every object"

    /// The rows below each heading.
    let rows: [String: [Row]]

    init() {
        var rows: [String: [Row]] = [:]
        var heading = ""
        for line in Repository.lines(of: Self.page) {
            if let match = line.text.wholeMatch(of: /##+ (.+)/) { heading = String(match.1) }
            if line.text.hasPrefix("| `") { rows[heading, default: []].append(Row(line)) }
        }
        self.rows = rows
    }

    /// The fields of all kinds.
    var entries: [Entry] {
        Kind.allCases.flatMap { kind in
            [Self.common, kind.rawValue].flatMap { heading in
                written(heading).map { Entry(kind: kind, path: $0.path, row: $0.row) }
            }
        }
    }

    /// The rows that no kind and no shape in use has.
    var idleRows: [Row] {
        let used = Set(entries.map(\.row.place) + (rows[Self.status] ?? []).map(\.place))
        return rows.values.joined().filter { !used.contains($0.place) }
    }

    /// The fields below `heading`, with those of their shapes.
    private func written(_ heading: String) -> [(path: String, row: Row)] {
        (rows[heading] ?? []).flatMap { row in
            row.fields.flatMap { field in
                [(field.withoutBrackets, row)]
                    + (row.shape.map(written) ?? []).map { ("\(field).\($0.path)", $0.row) }
            }
        }
    }
}

extension FieldTable.Row {
    fileprivate init(_ line: Repository.Line) {
        let cells = line.text.split(separator: "|", omittingEmptySubsequences: false)
        func quoted(_ index: Int) -> [String] {
            guard index < cells.count else { return [] }
            return cells[index].matches(of: /`([^`]+)`/).map { String($0.1) }
        }
        place = line.place
        fields = quoted(1)
        shape = (cells.count > 2 ? cells[2] : "").firstMatch(of: /\[([^\]]+)\]\(#/).map {
            $0.1.prefix(1).uppercased() + $0.1.dropFirst()
        }
        goldenCases = quoted(3)
        tests = quoted(4)
    }
}

extension String {
    /// The field itself, without the brackets that say that it is a list.
    fileprivate var withoutBrackets: String { hasSuffix("[]") ? String(dropLast(2)) : self }
}
