/// The line of a log that says best why a process ended.
enum LastWords {
    private static let limitBytes = 64 * 1024
    private static let limitCharacters = 400

    /// The last useful line that `kind` wrote to `path` from `offset` on.
    static func read(_ path: String, from offset: Int, _ kind: ProcessKind) -> String? {
        guard let file = try? Descriptor.open(path, 0) else { return nil }
        let size = file.status.size
        let start = max(offset, size - limitBytes)
        guard size > start else { return nil }
        let text = String(decoding: file.read(at: start, count: size - start), as: UTF8.self)
        return line(in: text, kind)
    }

    /// The last useful line of `text`.
    static func line(in text: String, _ kind: ProcessKind) -> String? {
        let lines = text.split(whereSeparator: \.isNewline)
            .filter { !$0.allSatisfy(\.isWhitespace) }
        let words: Substring? =
            switch kind {
            case .application: lines.last
            case .envoy: envoy(lines)
            }
        // What a terminal would obey is left out.
        return words.map { words in
            let visible = words.unicodeScalars.filter { $0.properties.generalCategory != .control }
            return String(String.UnicodeScalarView(visible).prefix(limitCharacters))
        }
    }

    /// Envoy says why it cannot start in its last line, which has no time in front.
    ///
    /// After a crash it logs critical lines.
    private static func envoy(_ lines: [Substring]) -> Substring? {
        guard let last = lines.last else { return nil }
        // The reason follows the dump of a message.
        if !last.hasPrefix("[") { return last.hasPrefix(": ") ? last.dropFirst(2) : last }
        let serious = lines.filter { $0.contains("][critical][") || $0.contains("][error][") }
        let line = serious.last { $0.contains("Caught ") } ?? serious.last
        return line.map(message)
    }

    /// A line without its `[time][thread][level][logger] [file:line] `.
    private static func message(_ line: Substring) -> Substring {
        var rest = line
        while rest.first == "[", let end = rest.firstIndex(of: "]") {
            rest = rest[rest.index(after: end)...].drop { $0 == " " }
        }
        return rest
    }
}
