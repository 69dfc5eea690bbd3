internal import MeshModel

/// What Envoy says when it refuses a response.
///
/// Envoy applies the good resources of a CDS or LDS response and names the others:
///
///     Error adding/updating cluster(s) a: reason, b: reason
///     Error adding/updating listener(s) a: reason
///
/// It names none when a resource could not be decoded (then it applied nothing), and none in RDS
/// and EDS (then it may have applied some).
struct RefusalText {
    /// The reason of each resource that the text names.
    let reasons: [String: String]
    /// The reason when the text is of one resource.
    let wholeReason: String
    /// Whether resources that the text does not name were accepted.
    let isComplete: Bool

    /// Reads `message`, Envoy's answer to a response with the resources `names`.
    init(_ message: String, type: ResourceType, names: [String]) {
        let reason = RefusalText.lastLine(message)
        let isUnfit = type == .secrets && reason.contains("-----BEGIN")
        wholeReason = isUnfit ? "no reason given that can be shown" : reason
        // Envoy cuts its messages at 4096 characters.
        isComplete = !message.hasSuffix("...(truncated)")
        reasons = RefusalText.prefix(type).map { RefusalText.reasons(message, $0, names) } ?? [:]
    }

    private static func prefix(_ type: ResourceType) -> String? {
        switch type {
        case .clusters: "Error adding/updating cluster(s) "
        case .listeners: "Error adding/updating listener(s) "
        case .endpoints, .routes, .secrets: nil
        }
    }

    private static func reasons(
        _ message: String,
        _ prefix: String,
        _ names: [String]
    ) -> [String: String] {
        guard let start = message.firstRange(of: prefix) else { return [:] }
        let list = message[start.upperBound...]
        // A name counts at the beginning, after a comma, and at the beginning of a line.
        let found = names.compactMap { name -> (name: String, range: Range<Substring.Index>)? in
            let label = name + ": "
            if list.hasPrefix(label) {
                return (name, list.startIndex..<list.index(list.startIndex, offsetBy: label.count))
            }
            for separator in [", ", "\n"] {
                if let range = list.firstRange(of: separator + label) { return (name, range) }
            }
            return nil
        }
        .sorted { $0.range.lowerBound < $1.range.lowerBound }
        guard found.first?.range.lowerBound == list.startIndex else { return [:] }
        let ends = found.dropFirst().map(\.range.lowerBound) + [list.endIndex]
        return Dictionary(
            uniqueKeysWithValues: zip(found, ends).map { item, end in
                (item.name, lastLine(String(list[item.range.upperBound..<end])))
            }
        )
    }

    /// The last line that is not empty: before the reason of a failed validation, Envoy prints the
    /// whole message that failed.
    private static func lastLine(_ text: String) -> String {
        let lines = text.split(whereSeparator: \.isNewline)
        let line = lines.last { !$0.allSatisfy(\.isWhitespace) }
        let trimmed = (line ?? "").drop(while: \.isWhitespace)
        let end = trimmed.lastIndex { !$0.isWhitespace }
        return end.map { String(trimmed[...$0]) } ?? "no reason given"
    }
}
