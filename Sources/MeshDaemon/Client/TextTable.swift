/// A table in columns three blanks apart, as kubectl prints it, without blanks at line ends.
struct TextTable {
    /// A cell, perhaps coloured.
    struct Cell: Hashable, ExpressibleByStringInterpolation {
        /// What it says.
        var text: String
        /// Its colour.
        var colour: Colour?

        /// Makes a cell; a line break in its text becomes a blank, and what a terminal would obey is
        /// left out.
        init(_ text: String, _ colour: Colour? = nil) {
            self.text = String(text.map { $0.isNewline ? " " : $0 }).printable
            self.colour = colour
        }

        /// Makes a cell without colour.
        init(stringLiteral value: String) { self.init(value) }
    }

    /// The headings; empty prints none.
    var headings: [String]
    /// The rows.
    var rows: [[Cell]] = []

    /// The table's text; each line ends with a line break.
    func text(isColoured: Bool = false) -> String {
        var widths: [Int] = []
        return text(isColoured: isColoured, widths: &widths)
    }

    /// The table's text with columns at least as wide as `widths`, which grow as needed, so that
    /// the rows of a watch align with those before.
    func text(isColoured: Bool, widths: inout [Int]) -> String {
        let lines = (headings.isEmpty ? [] : [headings.map { Cell($0) }]) + rows
        for line in lines {
            for (column, cell) in line.enumerated() {
                if column == widths.count { widths.append(0) }
                widths[column] = max(widths[column], cell.text.count)
            }
        }
        return lines.map { line in
            let last = line.lastIndex { !$0.text.isEmpty } ?? 0
            let cells = line.prefix(last + 1).enumerated().map { column, cell in
                let text = isColoured ? cell.colour?.applied(to: cell.text) ?? cell.text : cell.text
                let padding = column == last ? 0 : widths[column] - cell.text.count + 3
                return text + String(repeating: " ", count: padding)
            }
            return cells.joined() + "\n"
        }
        .joined()
    }
}
