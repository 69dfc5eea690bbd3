/// Where in JSON it is not as expected, and how; without the values, which may be secret.
///
/// - Parameters:
///   - error: What a decoder threw.
///   - start: Where that which was decoded is in the whole; empty when it is the whole.
/// - Returns: The problem.
func decodingProblem(_ error: any Error, at start: String = "") -> String {
    func place(_ path: [any CodingKey]) -> String { jsonPlace(path, from: start) }
    if error is MissingMetadata { return "metadata is missing" }
    guard let error = error as? DecodingError else { return "it is no JSON" }
    switch error {
    case .keyNotFound(let key, let context):
        return "\(place(context.codingPath + [key])) is missing"
    case .valueNotFound(_, let context): return "\(place(context.codingPath)) is null"
    case .typeMismatch(_, let context): return "\(place(context.codingPath)) is of another type"
    case .dataCorrupted(let context) where context.codingPath.isEmpty: return "it is no JSON"
    case .dataCorrupted(let context): return "\(place(context.codingPath)) is invalid"
    @unknown default: return "it is not as expected"
    }
}

/// `items[3].metadata.name`.
private func jsonPlace(_ path: [any CodingKey], from start: String) -> String {
    let text = path.reduce(into: start) { text, key in
        if let index = key.intValue {
            text += "[\(index)]"
        } else {
            text += text.isEmpty ? key.stringValue : ".\(key.stringValue)"
        }
    }
    return text.isEmpty ? "it" : text
}
