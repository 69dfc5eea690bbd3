internal import AWSClient

extension ExportLimits {
    /// Of `PutLogEvents`: 10,000 events and 1 MiB a request, of at most a day.
    static let cloudWatchLogs = ExportLimits(
        count: 20_000,
        bytes: 8 << 20,
        batchCount: 10_000,
        batchBytes: 1 << 20,
        itemBytes: 1 << 20,
        batchSpanSeconds: 24 * 3600 - 1,
        isResumable: true
    )
}

/// Sends access logs to Amazon CloudWatch Logs (`PutLogEvents`), and makes the log group and streams
/// where they are missing.
struct CloudWatchLogsSender: Sendable {
    /// How old an event may be, and how far ahead, in seconds.
    private static let (oldest, newest) = (14 * 86_400.0 - 60, 2 * 3600.0 - 60)

    var client: AWSClient
    var configuration: AWSConfiguration
    var group: String
    var wallSeconds: @Sendable () -> Double

    private struct Place: Encodable {
        var logGroupName: String
        var logStreamName: String?
    }

    private struct Input: Encodable {
        var logGroupName: String
        var logStreamName: String
        var logEvents: [Event]
    }

    private struct Event: Encodable {
        var timestamp: Int
        var message: String
    }

    private struct Output: Decodable {
        var rejectedLogEventsInfo: Rejected?
    }

    private struct Rejected: Decodable {
        var tooNewLogEventStartIndex: Int?
        var tooOldLogEventEndIndex: Int?
        var expiredLogEventEndIndex: Int?

        /// How many events of so many were not taken.
        func count(of all: Int) -> Int {
            // Whoever answers may say anything.
            func index(_ value: Int?, else other: Int) -> Int { min(max(value ?? other, 0), all) }
            let old = max(
                index(tooOldLogEventEndIndex, else: 0),
                index(expiredLogEventEndIndex, else: 0)
            )
            return min(old + all - index(tooNewLogEventStartIndex, else: all), all)
        }
    }

    private struct Nothing: Decodable {}

    /// The log group of a mesh: `/heddle/<mesh>`, with `_` for what group names cannot have.
    static func group(ofMesh name: String) -> String {
        let allowed = name.unicodeScalars.prefix(480).map { scalar in
            let isAllowed =
                ("a"..."z").contains(scalar) || ("A"..."Z").contains(scalar)
                || ("0"..."9").contains(scalar) || ".-_/#".unicodeScalars.contains(scalar)
            return isAllowed ? Character(scalar) : "_"
        }
        return "/heddle/" + String(allowed)
    }

    /// Sends them; they are of one stream.
    func send(_ items: [LogItem]) async -> SendOutcome {
        let now = wallSeconds()
        let events =
            items.filter {
                $0.timeSeconds > now - Self.oldest && $0.timeSeconds < now + Self.newest
            }
            .map { Event(timestamp: Int(max(0, $0.timeSeconds) * 1000), message: $0.message) }
            .sorted { $0.timestamp < $1.timestamp }
        guard let first = items.first, !events.isEmpty else { return .sent(refused: items.count) }
        let stream = String(first.source.stream.prefix(512).map { ":*".contains($0) ? "_" : $0 })
        do {
            let service = try configuration.cloudWatchLogs()
            let refused = try await put(events, to: stream, service)
            return .sent(refused: refused + items.count - events.count)
        } catch {
            return SendOutcome(calling: error)
        }
    }

    private func put(
        _ events: [Event],
        to stream: String,
        _ service: AWSService
    ) async throws -> Int {
        let input = Input(logGroupName: group, logStreamName: stream, logEvents: events)
        do {
            let output: Output = try await client.call("PutLogEvents", of: service, input)
            return output.rejectedLogEventsInfo?.count(of: events.count) ?? 0
        } catch let error as AWSError where error.kind == .notFound {
            try await make(stream, service)
            let output: Output = try await client.call("PutLogEvents", of: service, input)
            return output.rejectedLogEventsInfo?.count(of: events.count) ?? 0
        }
    }

    /// Makes the stream, and its group if there is none.
    private func make(_ stream: String, _ service: AWSService) async throws {
        let place = Place(logGroupName: group, logStreamName: stream)
        do {
            try await create("CreateLogStream", place, service)
        } catch let error as AWSError where error.kind == .notFound {
            try await create("CreateLogGroup", Place(logGroupName: group), service)
            try await create("CreateLogStream", place, service)
        }
    }

    private func create(_ operation: String, _ place: Place, _ service: AWSService) async throws {
        do {
            let _: Nothing = try await client.call(operation, of: service, place)
        } catch let error as AWSError where error.code == "ResourceAlreadyExistsException" {
            // Somebody else was quicker.
        }
    }
}
