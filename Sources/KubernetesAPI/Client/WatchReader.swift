internal import FoundationEssentials
internal import HTTPClient

/// Cuts bytes that arrive in any pieces into lines.
struct LineSplitter {
    /// A line is longer than allowed.
    struct TooLong: Error {}

    private let limit: Int
    /// The begin of a line that is not whole yet.
    private var rest: [UInt8] = []

    init(limit: Int) { self.limit = limit }

    /// The lines that `bytes` complete, in order and without empty ones.
    mutating func lines(in bytes: [UInt8]) throws(TooLong) -> [[UInt8]] {
        var lines: [[UInt8]] = []
        var start = bytes.startIndex
        while let end = bytes[start...].firstIndex(of: UInt8(ascii: "\n")) {
            try append(bytes[start..<end])
            if !rest.isEmpty { lines.append(rest) }
            rest = []
            start = end + 1
        }
        try append(bytes[start...])
        return lines
    }

    private mutating func append(_ bytes: ArraySlice<UInt8>) throws(TooLong) {
        guard rest.count + bytes.count <= limit else { throw TooLong() }
        rest += bytes
    }
}

/// Reads the events of one watch for one reader.
actor WatchReader<Object: Decodable & Sendable> {
    private enum Phase {
        case new
        case reading(HTTPBody.Iterator)
        case over
    }

    private let request: APIRequest
    private let sender: RequestSender
    private let limit: Duration
    private var phase = Phase.new
    private var splitter: LineSplitter
    /// Lines that wait to be asked for, the next one last.
    private var lines: [[UInt8]] = []

    init(_ request: APIRequest, _ sender: RequestSender, limit: Duration, lineLimit: Int) {
        self.request = request
        self.sender = sender
        self.limit = limit
        splitter = LineSplitter(limit: lineLimit)
    }

    /// The next event; nil when the server has ended the watch.
    func next() async throws -> WatchEvent<Object>? {
        do {
            while lines.isEmpty {
                guard let bytes = try await moreBytes() else {
                    phase = .over
                    // What is left of a line is no event; the next watch brings it whole.
                    return nil
                }
                lines = try splitter.lines(in: bytes).reversed()
            }
            return try event(lines.removeLast())
        } catch {
            phase = .over
            lines = []
            throw rendered(error)
        }
    }

    private func moreBytes() async throws -> [UInt8]? {
        switch phase {
        case .over: return nil
        case .reading(var body): return try await body.next()
        case .new:
            var body = try await sender.stream(of: request, limit: limit).body.makeAsyncIterator()
            phase = .reading(body)
            return try await body.next()
        }
    }

    private func event(_ line: [UInt8]) throws -> WatchEvent<Object> {
        let line = try JSONDecoder().decode(WatchLine<Object>.self, from: Data(line))
        switch line.content {
        case .event(let event): return event
        case .failure(let status):
            let status = KubernetesError.Status(status)
            throw KubernetesError(
                .status(status),
                request: request.summary,
                problem: status.problem
            )
        }
    }

    private func rendered(_ error: any Error) -> any Error {
        let problem: String
        switch error {
        case let error as HTTPError: return sender.error(request, error)
        case is KubernetesError, is CancellationError: return error
        case is LineSplitter.TooLong: problem = "an event is longer than any object may be"
        default: problem = "an event cannot be read: \(decodingProblem(error))"
        }
        return KubernetesError(.malformed, request: request.summary, problem: problem)
    }
}

/// One line of a watch.
private struct WatchLine<Object: Decodable & Sendable>: Decodable {
    enum Content {
        case event(WatchEvent<Object>)
        case failure(ServerStatus)
    }

    private enum CodingKeys: String, CodingKey { case type, object }

    private struct Bookmark: Decodable {
        struct Metadata: Decodable { var resourceVersion: String }
        var metadata: Metadata
    }

    let content: Content

    init(from decoder: any Decoder) throws {
        let line = try decoder.container(keyedBy: CodingKeys.self)
        let type = try line.decode(String.self, forKey: .type)
        content =
            switch type {
            case "ADDED": .event(.added(try line.decode(Object.self, forKey: .object)))
            case "MODIFIED": .event(.modified(try line.decode(Object.self, forKey: .object)))
            case "DELETED": .event(.deleted(try line.decode(Object.self, forKey: .object)))
            case "BOOKMARK":
                .event(
                    .bookmark(
                        resourceVersion: try line.decode(Bookmark.self, forKey: .object)
                            .metadata.resourceVersion
                    )
                )
            case "ERROR": .failure(try line.decode(ServerStatus.self, forKey: .object))
            default:
                throw DecodingError.dataCorruptedError(
                    forKey: .type,
                    in: line,
                    debugDescription: "no such type of event"
                )
            }
    }
}
