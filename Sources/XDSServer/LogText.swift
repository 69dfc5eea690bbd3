/// Text of a client's as a log line shows it: without control characters and of limited length.
struct LogText: CustomStringConvertible {
    let description: String

    /// Longer texts are cut.
    static let limit = 256

    init(_ text: String) {
        var result = ""
        var count = 0
        for scalar in text.unicodeScalars {
            guard count < LogText.limit else {
                result += "..."
                break
            }
            count += 1
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate,
                .unassigned, .privateUse:
                result += "\\u{\(String(scalar.value, radix: 16))}"
            default: result.unicodeScalars.append(scalar)
            }
        }
        description = result
    }
}
