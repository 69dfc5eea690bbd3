internal import AWSClient
internal import FoundationEssentials

/// A segment on its way to AWS X-Ray.
struct SegmentItem: ExportItem {
    /// The document, as X-Ray takes it.
    var document: String
    let byteCount: Int

    init(_ document: String) {
        self.document = document
        // In a request it is a string of JSON, with a comma.
        byteCount = document.utf8.reduce(3) { count, byte in
            count + (byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") ? 2 : 1)
        }
    }

    var lane: String? { nil }
    var seconds: Double? { nil }
}

extension ExportLimits {
    /// Of `PutTraceSegments`: the number of segments that X-Ray's daemon sends at once, and segments
    /// of 64 KiB.
    static let xRay = ExportLimits(
        count: 10_000,
        bytes: 8 << 20,
        batchCount: 50,
        batchBytes: 512 << 10,
        itemBytes: 2 * (64 << 10),
        batchOverhead: 64
    )
}

/// Sends segments to AWS X-Ray (`PutTraceSegments`).
struct XRaySender: Sendable {
    var client: AWSClient
    var configuration: AWSConfiguration

    private struct Input: Encodable {
        var documents: [String]

        enum CodingKeys: String, CodingKey { case documents = "TraceSegmentDocuments" }
    }

    private struct Output: Decodable {
        var unprocessed: [Unprocessed]?

        enum CodingKeys: String, CodingKey { case unprocessed = "UnprocessedTraceSegments" }
    }

    private struct Unprocessed: Decodable {
        var id: String?
        var code: String?

        enum CodingKeys: String, CodingKey {
            case id = "Id"
            case code = "ErrorCode"
        }

        /// Whether X-Ray itself was at fault.
        var isTransient: Bool {
            ["InternalFailure", "ServiceUnavailable", "Throttl", "RequestLimit"]
                .contains { code?.hasPrefix($0) == true }
        }
    }

    /// Sends them.
    func send(_ items: [SegmentItem]) async -> SendOutcome {
        do {
            let output: Output = try await client.call(
                "PutTraceSegments",
                of: try configuration.xRay(),
                path: "/TraceSegments",
                Input(documents: items.map(\.document))
            )
            return outcome(of: output.unprocessed ?? [], items)
        } catch {
            return SendOutcome(calling: error)
        }
    }

    private func outcome(of unprocessed: [Unprocessed], _ items: [SegmentItem]) -> SendOutcome {
        let transient = Set(unprocessed.filter(\.isTransient).compactMap(\.id))
        guard !transient.isEmpty else { return .sent(refused: unprocessed.count) }
        let again = items.indices.filter { index in
            Self.id(of: items[index].document).map(transient.contains) == true
        }
        return .partly(again: Set(again), refused: max(0, unprocessed.count - again.count))
    }

    private static func id(of document: String) -> String? {
        struct Segment: Decodable { var id: String? }
        return try? JSONDecoder().decode(Segment.self, from: Data(document.utf8)).id
    }
}
