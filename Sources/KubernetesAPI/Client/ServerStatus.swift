internal import FoundationEssentials
internal import HTTPClient

/// A `Status` as the server sends it, in answers and in a watch.
struct ServerStatus: Decodable, Sendable {
    struct Details: Decodable, Sendable {
        var retryAfterSeconds: Int?
    }

    var kind: String?
    var code: Int?
    var reason: String?
    var message: String?
    var details: Details?
}

extension KubernetesError.Status {
    /// What an answer other than 2xx says; of a body that is no `Status`, its first words.
    init(_ head: HTTPResponseHead, _ body: [UInt8]) {
        self.init(code: head.status)
        retryAfterSeconds = head["Retry-After"].flatMap { Int($0) }
        if let status = try? JSONDecoder().decode(ServerStatus.self, from: Data(body)),
            status.kind == "Status"
        {
            merge(status)
        } else {
            message = bounded(String(decoding: body.prefix(2000), as: UTF8.self), to: 200)
        }
    }

    /// What an `ERROR` event of a watch says.
    init(_ status: ServerStatus) {
        self.init(code: status.code ?? 500)
        merge(status)
    }

    private mutating func merge(_ status: ServerStatus) {
        reason = bounded(status.reason ?? "", to: 100)
        message = bounded(status.message ?? "", to: 2000)
        if retryAfterSeconds == nil { retryAfterSeconds = status.details?.retryAfterSeconds }
    }

    /// What went wrong, in a line.
    var problem: String {
        let name = reason.isEmpty ? "the server answered \(code)" : "\(reason) (\(code))"
        return message.isEmpty ? name : "\(name): \(message)"
    }
}

/// `text` in one line of at most `limit` characters.
private func bounded(_ text: String, to limit: Int) -> String {
    let line = text.split(whereSeparator: \.isWhitespace).joined(separator: " ")
    return line.count <= limit ? line : "\(line.prefix(limit))..."
}
