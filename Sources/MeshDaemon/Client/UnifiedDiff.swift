/// What changes in a text, as `diff -u` prints it.
enum UnifiedDiff {
    /// The lines around a change that stay as they are.
    private static let contextLines = 3

    /// The difference between two versions of the file `path`; empty when there is none.
    static func text(path: String, from old: String, to new: String) -> String {
        let (oldLines, newLines) = (lines(old), lines(new))
        let edits = edits(oldLines, newLines)
        guard edits.contains(where: { $0.mark != " " }) else { return "" }
        return "--- \(path)\n+++ \(path)\n" + hunks(edits).map(text(of:)).joined()
    }

    /// A line with what happens to it: stays (blank), goes (-) or comes (+).
    private struct Edit {
        var mark: Character
        var line: Substring
        /// How many lines of each version are before it.
        var before: (old: Int, new: Int)
    }

    /// The lines with their ends, so that a last line without an end differs from one with it.
    private static func lines(_ text: String) -> [Substring] {
        var lines: [Substring] = []
        var rest = text.unicodeScalars[...]
        while let end = rest.firstIndex(of: "\n") {
            lines.append(Substring(rest[...end]))
            rest = rest[rest.index(after: end)...]
        }
        if !rest.isEmpty { lines.append(Substring(rest)) }
        return lines
    }

    private static func edits(_ old: [Substring], _ new: [Substring]) -> [Edit] {
        var removed: Set<Int> = []
        var inserted: Set<Int> = []
        for change in new.difference(from: old) {
            switch change {
            case .remove(let offset, _, _): removed.insert(offset)
            case .insert(let offset, _, _): inserted.insert(offset)
            }
        }
        var edits: [Edit] = []
        var (left, right) = (0, 0)
        while left < old.count || right < new.count {
            if left < old.count, removed.contains(left) {
                edits.append(Edit(mark: "-", line: old[left], before: (left, right)))
                left += 1
            } else if right < new.count, inserted.contains(right) {
                edits.append(Edit(mark: "+", line: new[right], before: (left, right)))
                right += 1
            } else {
                edits.append(Edit(mark: " ", line: old[left], before: (left, right)))
                left += 1
                right += 1
            }
        }
        return edits
    }

    /// The changes with the lines around them; those that are near to each other together.
    private static func hunks(_ edits: [Edit]) -> [ArraySlice<Edit>] {
        var hunks: [Range<Int>] = []
        for index in edits.indices where edits[index].mark != " " {
            let range =
                max(0, index - contextLines)..<min(edits.count, index + contextLines + 1)
            if let last = hunks.last, last.upperBound >= range.lowerBound {
                hunks[hunks.count - 1] = last.lowerBound..<range.upperBound
            } else {
                hunks.append(range)
            }
        }
        return hunks.map { edits[$0] }
    }

    private static func text(of hunk: ArraySlice<Edit>) -> String {
        guard let first = hunk.first else { return "" }
        func span(_ before: Int, _ count: Int) -> String {
            // Of nothing, the line after which it is.
            count == 1 ? "\(before + 1)" : "\(count == 0 ? before : before + 1),\(count)"
        }
        let old = span(first.before.old, hunk.count { $0.mark != "+" })
        let new = span(first.before.new, hunk.count { $0.mark != "-" })
        return hunk.reduce(into: "@@ -\(old) +\(new) @@\n") { text, edit in
            text += "\(edit.mark)\(edit.line)"
            if edit.line.unicodeScalars.last != "\n" {
                text += "\n\\ No newline at end of file\n"
            }
        }
    }
}
