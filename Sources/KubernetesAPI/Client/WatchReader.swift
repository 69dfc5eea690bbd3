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
actor WatchReader<Object: JSONReadable> {
    private enum Phase {
        case new
        case reading(HTTPBody.Iterator, by: HTTPClient)
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
            if case .new = phase {
                let (stream, http) = try await sender.stream(of: request, limit: limit)
                phase = .reading(stream.body.makeAsyncIterator(), by: http)
                return .begun
            }
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
        guard case .reading(var body, let http) = phase else { return nil }
        do {
            return try await body.next()
        } catch let error as HTTPError where error.kind == .timedOut {
            sender.watchTimedOut(http)
            throw error
        }
    }

    private func event(_ line: [UInt8]) throws -> WatchEvent<Object> {
        let members = try JSONSlices.members(of: line[...])
        guard let object = members["object"], let type = members["type"] else {
            throw Unreadable(problem: "type or object is missing")
        }
        do {
            return try event(String(decoding: type, as: UTF8.self), object)
        } catch let error as DecodingError {
            throw Unreadable(problem: decodingProblem(error, at: "object"))
        }
    }

    private func event(
        _ type: String,
        _ object: ArraySlice<UInt8>
    ) throws -> WatchEvent<Object> {
        switch type {
        case #""ADDED""#: return .added(try Object(json: object))
        case #""MODIFIED""#: return .modified(try Object(json: object))
        case #""DELETED""#: return .deleted(try Object(json: object))
        case #""BOOKMARK""#:
            let bookmark = try JSONDecoder().decode(Bookmark.self, from: Data(object))
            return .bookmark(resourceVersion: bookmark.metadata.resourceVersion)
        case #""ERROR""#:
            let status = KubernetesError.Status(
                try JSONDecoder().decode(ServerStatus.self, from: Data(object))
            )
            throw KubernetesError(
                .status(status),
                request: request.summary,
                problem: status.problem
            )
        default: throw Unreadable(problem: "type is invalid")
        }
    }

    /// An event that makes no sense.
    private struct Unreadable: Error { var problem: String }

    private func rendered(_ error: any Error) -> any Error {
        let problem: String
        switch error {
        case let error as HTTPError: return sender.error(request, error)
        case is KubernetesError, is CancellationError: return error
        case let error as Unreadable: problem = "an event cannot be read: \(error.problem)"
        case is LineSplitter.TooLong: problem = "an event is longer than any object may be"
        default: problem = "an event cannot be read: \(decodingProblem(error))"
        }
        return KubernetesError(.malformed, request: request.summary, problem: problem)
    }
}

/// What an event says that has no object.
private struct Bookmark: Decodable {
    struct Metadata: Decodable { var resourceVersion: String }
    var metadata: Metadata
}
