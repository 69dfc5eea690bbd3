import MeshModel

/// Something in a format that Envoy refuses, and with it the whole resource that holds the format.
struct FormatMistake {
    var problem: String
    var remedy: String
}

/// What Envoy refuses in `format`, a text with its command operators, as access logs and headers
/// have them.
func formatMistakes(_ format: String) -> [FormatMistake] {
    var mistakes: [FormatMistake] = []
    var rest = Array(format.utf8)[...]
    while let percent = rest.firstIndex(of: UInt8(ascii: "%")) {
        rest = rest[(percent + 1)...]
        if rest.first == UInt8(ascii: "%") {
            rest.removeFirst()
        } else if let found = CommandOperator(&rest) {
            if let mistake = found.mistake { mistakes.append(mistake) }
        } else {
            // Where this one ends is anyone's guess.
            return mistakes + [malformed(rest)]
        }
    }
    return mistakes
}

/// `NAME`, `NAME(argument)` or `NAME(argument):length`, between percent signs.
private struct CommandOperator {
    var name: String
    /// Empty without parentheses.
    var argument = ""
    var hasLength: Bool

    /// Reads an operator, and the percent sign after it, from the beginning of `rest`; nil when
    /// there is none.
    ///
    /// As in Envoy, an argument ends at the first parenthesis after which the operator can end, so
    /// that it may hold others and percent signs.
    init?(_ rest: inout ArraySlice<UInt8>) {
        let name = rest.prefix(while: isOperatorByte)
        guard !name.isEmpty else { return nil }
        self.name = text(name)
        let after = rest[name.endIndex...]
        guard after.first == UInt8(ascii: "(") else {
            guard let (hasLength, end) = Self.end(of: after) else { return nil }
            self.hasLength = hasLength
            rest = end
            return
        }
        let line = after.dropFirst().prefix { $0 != UInt8(ascii: "\n") }
        for index in line.indices where line[index] == UInt8(ascii: ")") {
            if let (hasLength, end) = Self.end(of: rest[(index + 1)...]) {
                argument = text(line[..<index])
                self.hasLength = hasLength
                rest = end
                return
            }
        }
        return nil
    }

    /// What follows `%` or `:10%`, and whether there was a length.
    private static func end(
        of bytes: ArraySlice<UInt8>
    ) -> (hasLength: Bool, rest: ArraySlice<UInt8>)? {
        if bytes.first == UInt8(ascii: "%") { return (false, bytes.dropFirst()) }
        guard bytes.first == UInt8(ascii: ":") else { return nil }
        let digits = bytes.dropFirst().prefix {
            (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
        }
        guard UInt64(text(digits)) != nil, digits.endIndex < bytes.endIndex,
            bytes[digits.endIndex] == UInt8(ascii: "%")
        else { return nil }
        return (true, bytes[(digits.endIndex + 1)...])
    }

    var mistake: FormatMistake? {
        guard let syntax = OperatorSyntax.all[name] else {
            return FormatMistake(
                problem: "Envoy has no operator \(quoted(name))",
                remedy: nearestName(to: name, among: OperatorSyntax.all.keys)
                    .map { "did you mean \(quoted($0))?" } ?? "use one of its command operators"
            )
        }
        if hasLength, !syntax.takesLength {
            return FormatMistake(
                problem: "\(quoted(name)) takes no length",
                remedy: "remove \":\" and the number"
            )
        }
        switch syntax.argument {
        case .none:
            return argument.isEmpty
                ? nil
                : FormatMistake(
                    problem: "\(quoted(name)) takes no argument, and \(quoted(argument)) is given",
                    remedy: "write %\(name)%"
                )
        case .optional: return nil
        case .required, .header:
            if argument.isEmpty {
                return FormatMistake(
                    problem: "\(quoted(name)) has no argument",
                    remedy: syntax.argument == .header
                        ? "name a header, as in %\(name)(X-REQUEST-ID)%"
                        : "write %\(name)(argument)%"
                )
            }
            return syntax.argument == .header ? headerMistake : nil
        case .timeFormat:
            return argument.firstMatch(of: /%[-_0^#]*[1-9]*[EO]?n/) == nil
                ? nil
                : FormatMistake(
                    problem: "the time format \(quoted(argument)) has a line break",
                    remedy: "remove \"%n\""
                )
        }
    }

    private var headerMistake: FormatMistake? {
        let names = argument.split(separator: "?", omittingEmptySubsequences: false)
        if names.count > 2 {
            return FormatMistake(
                problem: "\(quoted(argument)) names \(names.count) headers",
                remedy: "name one, or two with \"?\" between them"
            )
        }
        let wrong = names.first { name in
            !isToken(name.hasPrefix(":") ? name.dropFirst() : name) || name == ":"
        }
        return wrong.map {
            FormatMistake(
                problem: "\(quoted(String($0))) is no header name",
                remedy: "use letters, digits and \"-\""
            )
        }
    }
}

/// What is wrong where `bytes` follow a percent sign and begin no operator.
private func malformed(_ bytes: ArraySlice<UInt8>) -> FormatMistake {
    let line = bytes.prefix { $0 != UInt8(ascii: "\n") }
    let found = "%" + text(line.prefix(30))
    let word = text(bytes.prefix { isOperatorByte($0) || isOperatorByte($0 & 0xDF) })
    let name = text(bytes.prefix(while: isOperatorByte))
    let after = bytes.dropFirst(name.utf8.count)
    if name.isEmpty || name != word {
        let nearest =
            OperatorSyntax.all[word.uppercased()].map { _ in word.uppercased() }
            ?? nearestName(to: word.uppercased(), among: OperatorSyntax.all.keys)
        return FormatMistake(
            problem: "\(quoted(found)) is no command operator",
            remedy: nearest.map { "did you mean \(quoted($0))?" }
                ?? "write \"%%\" for a percent sign"
        )
    }
    let ending =
        after.first == UInt8(ascii: "(")
        ? after.drop { $0 != UInt8(ascii: ")") }.dropFirst() : after
    if ending.first == UInt8(ascii: ":") {
        let length = text(ending.dropFirst().prefix { $0 != UInt8(ascii: "%") })
        return FormatMistake(
            problem: "\(quoted(length)) is no length for \(quoted(name))",
            remedy: "write a number of characters, as in %\(name)(argument):20%"
        )
    }
    return FormatMistake(
        problem: "\(quoted(found)) is a command operator without end",
        remedy: "end it with \"%\", or write \"%%\" for a percent sign"
    )
}

private func isOperatorByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
        UInt8(ascii: "_"):
        true
    default: false
    }
}

private func text(_ bytes: ArraySlice<UInt8>) -> String {
    String(decoding: bytes, as: UTF8.self)
}
