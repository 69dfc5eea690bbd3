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
        let characters = afterNamespace.utf8.prefix { $0 != UInt8(ascii: ":") }.prefix(100).filter {
            switch $0 {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."):
                true
            default: false
            }
        }
        return String(decoding: characters, as: UTF8.self)
    }

    private static func element(_ name: String, of text: String) -> String? {
        guard let start = text.firstRange(of: "<\(name)>")?.upperBound,
            let end = text[start...].firstRange(of: "</\(name)>")?.lowerBound
        else { return nil }
        return String(text[start..<end])
    }

    /// At most 400 characters of the first line, which has what matters, without control characters.
    ///
    /// The lines below it repeat the request, to which belong tokens.
    private static func firstLine(_ text: String) -> String {
        var line = String.UnicodeScalarView(
            text.unicodeScalars.prefix {
                !"\n\r\u{B}\u{C}\u{85}\u{2028}\u{2029}".unicodeScalars.contains($0)
            }
            .prefix(400).filter { $0.properties.generalCategory != .control }
        )
        while line.last == "." || line.last?.properties.isWhitespace == true { line.removeLast() }
        return String(line)
    }
}
