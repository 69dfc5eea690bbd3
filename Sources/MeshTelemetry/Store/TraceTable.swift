internal import FoundationEssentials
internal import GRDB

/// Writes spans, within a transaction.
struct TraceTable {
    /// How many spans came in addition.
    private(set) var added = 0
    /// How many spans there was no room for in their traces.
    private(set) var dropped = 0
    private let database: Database
    private let limit: Int
    private let nowSeconds: Double
    private let encoder = JSONEncoder()

    init(_ database: Database, spansOfTrace limit: Int, nowSeconds: Double) {
        self.database = database
        self.limit = limit
        self.nowSeconds = nowSeconds
    }

    /// Adds spans; of one that is there and over nothing changes.
    mutating func add(_ spans: [Span]) throws {
        // In the order in which traces came first.
        var order: [String] = []
        var byTrace: [String: [Span]] = [:]
        for span in spans {
            if byTrace[span.traceID] == nil { order.append(span.traceID) }
            byTrace[span.traceID, default: []].append(span)
        }
        for traceID in order { try add(byTrace[traceID] ?? [], to: traceID) }
    }

    private mutating func add(_ spans: [Span], to traceID: String) throws {
        guard let first = spans.first else { return }
        var record: TraceRecord
        if let known = try TraceRecord(traceID: traceID, in: database) {
            record = known
        } else {
            record = TraceRecord(first)
            try record.insert(into: database, receivedSeconds: nowSeconds)
        }
        let before = record
        for span in spans {
            if record.spans < limit, try insert(span, in: record.id) {
                record.spans += 1
                added += 1
                record.take(span)
            } else if try update(span, in: record.id) {
                record.take(span)
            } else if record.spans >= limit {
                dropped += 1
            }
        }
        try record.update(from: before, in: database)
    }

    private func insert(_ span: Span, in trace: Int64) throws -> Bool {
        let statement = try database.cachedStatement(
            sql: """
                INSERT OR IGNORE INTO span(parentID, name, service, kind, begin, duration, status,
                    isError, attributes, trace, spanID) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                """
        )
        try statement.execute(arguments: try arguments(span, trace))
        return database.changesCount == 1
    }

    /// Makes of a span that was not over what it became; false when there is no such.
    private func update(_ span: Span, in trace: Int64) throws -> Bool {
        guard span.durationMicroseconds != nil else { return false }
        let statement = try database.cachedStatement(
            sql: """
                UPDATE span SET parentID = ?, name = ?, service = ?, kind = ?, begin = ?,
                    duration = ?, status = ?, isError = ?, attributes = ?
                WHERE trace = ? AND spanID = ? AND duration IS NULL
                """
        )
        try statement.execute(arguments: try arguments(span, trace))
        return database.changesCount == 1
    }

    private func arguments(_ span: Span, _ trace: Int64) throws -> StatementArguments {
        let attributes = String(decoding: try encoder.encode(span.attributes), as: UTF8.self)
        return [
            span.parentID, span.name, span.service, span.kind.rawValue, span.startMicroseconds,
            span.durationMicroseconds, span.status, span.isError, attributes, trace, span.spanID,
        ]
    }
}
