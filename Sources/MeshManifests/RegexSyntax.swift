/// What is certainly wrong with `pattern` as a regular expression of RE2, which Envoy uses; nil when
/// nothing is.
///
/// It finds unbalanced groups and classes, repetitions of nothing, a backslash at the end, and what
/// RE2 leaves out on purpose: backreferences and lookaround. Envoy has the last word on the rest.
func regexProblem(_ pattern: String) -> String? {
    var scanner = RegexScanner(rest: Array(pattern.unicodeScalars)[...])
    return scanner.problem()
}

private struct RegexScanner {
    var rest: ArraySlice<Unicode.Scalar>
    private var depth = 0
    /// Whether there is something before that a repetition can repeat.
    private var hasOperand = false

    init(rest: ArraySlice<Unicode.Scalar>) { self.rest = rest }

    mutating func problem() -> String? {
        while let next = rest.popFirst() {
            if let problem = take(next) { return problem }
        }
        return depth > 0 ? "missing \")\"" : nil
    }

    private mutating func take(_ next: Unicode.Scalar) -> String? {
        switch next {
        case "\\": return escape()
        case "[":
            hasOperand = true
            return skipClass()
        case "(": return open()
        case ")":
            depth -= 1
            hasOperand = true
            return depth < 0 ? "\")\" without \"(\"" : nil
        case "|":
            hasOperand = false
            return nil
        case "*", "+", "?":
            guard hasOperand else { return "nothing to repeat before \"\(next)\"" }
            // A second "?" makes a repetition lazy; any other needs something of its own.
            if rest.first == "?" { rest.removeFirst() }
            hasOperand = false
            return nil
        case "{": return count()
        default:
            hasOperand = true
            return nil
        }
    }

    /// Checks `{n}`, `{n,}` or `{n,m}`; a brace in any other place stands for itself.
    private mutating func count() -> String? {
        let numbers = rest.prefix { $0 != "}" }
        let text = String(String.UnicodeScalarView(numbers))
        let parts = text.split(separator: ",", omittingEmptySubsequences: false)
        guard hasOperand, numbers.endIndex < rest.endIndex, (1...2).contains(parts.count),
            let least = Int(parts[0]), parts.count == 1 || parts[1].isEmpty || Int(parts[1]) != nil
        else {
            hasOperand = true
            return nil
        }
        let most = parts.count == 2 ? Int(parts[1]) ?? least : least
        if max(least, most) > 1000 { return "a repetition over 1000 in \"{\(text)}\"" }
        return most < least ? "a repetition that ends before it begins in \"{\(text)}\"" : nil
    }

    private mutating func escape() -> String? {
        guard let escaped = rest.popFirst() else { return "a backslash at the end" }
        hasOperand = true
        // Of two digits or more it is an octal character code.
        let octal: ClosedRange<Unicode.Scalar> = "0"..."7"
        let isOctal = octal.contains(escaped) && rest.first.map { octal.contains($0) } == true
        if ("1"..."9").contains(escaped), !isOctal { return "backreference \"\\\(escaped)\"" }
        guard escaped == "Q" else { return nil }
        // Everything up to \E, or to the end, stands for itself.
        while let literal = rest.popFirst() {
            if literal == "\\", rest.first == "E" {
                rest.removeFirst()
                return nil
            }
        }
        return nil
    }

    private mutating func skipClass() -> String? {
        if rest.first == "^" { rest.removeFirst() }
        var isFirst = true
        while let next = rest.popFirst() {
            switch next {
            case "]" where !isFirst: return nil
            case "\\":
                if rest.popFirst() == nil { return "missing \"]\"" }
            case "[" where rest.first == ":":
                skipNamedClass()
            default: break
            }
            isFirst = false
        }
        return "missing \"]\""
    }

    /// Skips `[:alpha:]` within a class, if it is one.
    private mutating func skipNamedClass() {
        var ahead = rest.dropFirst()
        while let next = ahead.popFirst(), next != "]" {
            if next == ":", ahead.first == "]" {
                rest = ahead.dropFirst()
                return
            }
        }
    }

    private mutating func open() -> String? {
        depth += 1
        hasOperand = false
        guard rest.first == "?" else { return nil }
        let kind = rest.dropFirst().prefix(2)
        if kind.first == "=" || kind.first == "!" || kind.elementsEqual("<=".unicodeScalars)
            || kind.elementsEqual("<!".unicodeScalars)
        {
            return "lookaround"
        }
        // Flags or a name: up to ":", ">" or the group's end nothing repeats.
        while let next = rest.first, next != ":", next != ">", next != ")" { rest.removeFirst() }
        if rest.first != ")" { rest = rest.dropFirst() }
        return nil
    }
}
