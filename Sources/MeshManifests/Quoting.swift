/// `text` in double quotes with control characters escaped, cut when it is long.
func quoted(_ text: String) -> String {
    "\"\(shortened(text))\""
}

/// `text` with control characters and quotes escaped, cut after 80 characters.
func shortened(_ text: String) -> String {
    let limit = 80
    var result = ""
    for (count, scalar) in text.unicodeScalars.enumerated() {
        if count == limit { return result + "…" }
        switch scalar {
        case "\"", "\\": result += "\\\(scalar)"
        case "\n": result += "\\n"
        case "\t": result += "\\t"
        case _ where scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value):
            let digits = String(scalar.value, radix: 16)
            result += "\\u{\(digits)}"
        default: result.unicodeScalars.append(scalar)
        }
    }
    return result
}

/// `a`, `a or b`, `a, b or c`.
func alternatives(_ names: [String]) -> String {
    joined(names, last: "or")
}

/// `a`, `a and b`, `a, b and c`.
func enumeration(_ names: [String]) -> String {
    joined(names, last: "and")
}

/// `neither a nor b`, `none of a, b and c`.
func noneOf(_ names: [String]) -> String {
    names.count == 2 ? "neither \(names[0]) nor \(names[1])" : "none of \(enumeration(names))"
}

private func joined(_ names: [String], last word: String) -> String {
    guard let last = names.last, names.count > 1 else { return names.first ?? "" }
    return "\(names.dropLast().joined(separator: ", ")) \(word) \(last)"
}
