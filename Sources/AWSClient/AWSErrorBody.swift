internal import FoundationEssentials
internal import HTTPClient

/// What an answer with an error says.
///
/// AWS' JSON services name the error in `__type` or the header `X-Amzn-ErrorType`; front doors and
/// servers that imitate AWS answer in XML.
struct AWSErrorBody {
    /// The name without its namespace, such as `ThrottlingException`.
    var code: String?
    /// The first line of the message, without a final period; empty when there is none.
    var message: String

    private struct Document: Decodable {
        var type: String?
        var code: String?
        var message: String?
        var capitalMessage: String?

        enum CodingKeys: String, CodingKey {
            case type = "__type"
            case code
            case message
            case capitalMessage = "Message"
        }
    }

    /// Reads the error of `response`.
    init(_ response: HTTPResponse) {
        let document = try? JSONDecoder().decode(Document.self, from: Data(response.body))
        let text = response.text
        let name =
            document?.type ?? response.head["x-amzn-errortype"] ?? document?.code
            ?? Self.element("Code", of: text)
        code = name.map(Self.localName).flatMap { $0.isEmpty ? nil : $0 }
        message = Self.firstLine(
            document?.message ?? document?.capitalMessage ?? Self.element("Message", of: text) ?? ""
        )
    }

    /// `ThrottlingException` of `com.amazonaws.acmpca#ThrottlingException:http://internal/`.
    private static func localName(_ name: String) -> String {
        let afterNamespace = name.split(separator: "#").last ?? ""
        return String(
            afterNamespace.prefix { $0 != ":" }.filter { $0.isLetter || $0.isNumber || $0 == "." }
        )
    }

    private static func element(_ name: String, of text: String) -> String? {
        guard let start = text.firstRange(of: "<\(name)>")?.upperBound,
            let end = text[start...].firstRange(of: "</\(name)>")?.lowerBound
        else { return nil }
        return String(text[start..<end])
    }

    /// At most 400 characters of the first line, which has what matters.
    ///
    /// The lines below it repeat the request, to which belong tokens.
    private static func firstLine(_ text: String) -> String {
        var line = text.prefix { !$0.isNewline }.prefix(400)
        while line.last == "." || line.last?.isWhitespace == true { line.removeLast() }
        return String(line)
    }
}
