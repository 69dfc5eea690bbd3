internal import GRDB

extension Row {
    /// The value of a column.
    ///
    /// - Throws: `RowDecodingError` of a value of another type, as a broken file may have.
    func value<Value: DatabaseValueConvertible & StatementColumnConvertible>(
        _ column: String
    ) throws -> Value {
        try decode(Value.self, forColumn: column)
    }
}

/// A row of the table of traces: what is known of one at a glance.
struct TraceRecord: Equatable {
    private(set) var id: Int64 = 0
    private let traceID: String
    private var begin: Int
    private var end: Int
    var spans = 0
    private var isError = false
    private var services: Set<String> = []
    private var root: Root

    /// What began it, as far as is known.
    private struct Root: Equatable {
        var spanID: String
        var hasParent: Bool
        var begin: Int
        var name: String
        var service: String
        var status: Int?

        init(_ span: Span) {
            spanID = span.spanID
            hasParent = span.parentID != nil
            begin = span.startMicroseconds
            name = span.name
            service = span.service
            status = span.status
        }

        init(_ row: Row) throws {
            spanID = try row.value("rootID")
            hasParent = try row.value("rootHasParent")
            begin = try row.value("rootBegin")
            name = try row.value("name")
            service = try row.value("service")
            status = try row.value("status")
        }

        func isBefore(_ other: Root) -> Bool {
            (hasParent ? 1 : 0, begin, spanID) < (
                other.hasParent ? 1 : 0, other.begin, other.spanID
            )
        }
    }

    /// A trace that nothing is known of but its first span to come.
    init(_ span: Span) {
        traceID = span.traceID
        begin = span.startMicroseconds
        end = span.startMicroseconds
        root = Root(span)
    }

    /// The trace `traceID`; nil when there is none.
    init?(traceID: String, in database: Database) throws {
        let statement = try database.cachedStatement(sql: "SELECT * FROM trace WHERE traceID = ?")
        guard let row = try Row.fetchOne(statement, arguments: [traceID]) else { return nil }
        try self.init(row)
    }

    init(_ row: Row) throws {
        id = try row.value("id")
        traceID = try row.value("traceID")
        begin = try row.value("begin")
        end = try row.value("end")
        // A file may be broken; a sum of such numbers always has room.
        spans = min(max(0, try row.value("spans")), 1 << 32)
        isError = try row.value("isError")
        let names: String = try row.value("services")
        services = Set(names.split(separator: "\n").map(String.init))
        root = try Root(row)
    }

    /// What the list of traces shows.
    var summary: TraceSummary {
        TraceSummary(
            traceID: traceID,
            name: root.name,
            service: root.service,
            startMicroseconds: begin,
            durationMicroseconds: max(0, end.saturatingDifference(begin)),
            spanCount: spans,
            services: services.sorted(),
            status: root.status,
            isError: isError
        )
    }

    /// Adds what a span tells, one that is new or over now.
    mutating func take(_ span: Span) {
        begin = min(begin, span.startMicroseconds)
        let end = span.startMicroseconds.saturatingSum(span.durationMicroseconds ?? 0)
        self.end = max(self.end, end)
        isError = isError || span.isError
        if !span.service.isEmpty {
            services.insert(String(span.service.map { $0.isNewline ? " " : $0 }))
        }
        let other = Root(span)
        if root.spanID == other.spanID || other.isBefore(root) { root = other }
    }

    /// Adds the row, and so gets an id.
    mutating func insert(into database: Database, receivedSeconds: Double) throws {
        let statement = try database.cachedStatement(
            sql: """
                INSERT INTO trace(begin, end, spans, isError, services, rootID, rootHasParent,
                    rootBegin, name, service, status, traceID, receivedSeconds)
                VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                """
        )
        try statement.execute(arguments: columns + [traceID, receivedSeconds])
        id = database.lastInsertedRowID
    }

    /// Writes what changed since `before`.
    func update(from before: TraceRecord, in database: Database) throws {
        guard self != before else { return }
        let statement = try database.cachedStatement(
            sql: """
                UPDATE trace SET begin = ?, end = ?, spans = ?, isError = ?, services = ?,
                    rootID = ?, rootHasParent = ?, rootBegin = ?, name = ?, service = ?, status = ?
                WHERE id = ?
                """
        )
        try statement.execute(arguments: columns + [id])
        if begin != before.begin { try before.deleteParticipants(from: database) }
        let new = begin == before.begin ? services.subtracting(before.services) : services
        let participant = try database.cachedStatement(
            sql: "INSERT OR IGNORE INTO participant(service, begin, trace) VALUES(?, ?, ?)"
        )
        for service in new { try participant.execute(arguments: [service, begin, id]) }
    }

    /// Takes the trace's services out of the table of participants.
    func deleteParticipants(from database: Database) throws {
        let statement = try database.cachedStatement(
            sql: "DELETE FROM participant WHERE service = ? AND begin = ? AND trace = ?"
        )
        for service in services { try statement.execute(arguments: [service, begin, id]) }
    }

    private var columns: StatementArguments {
        [
            begin, end, spans, isError, services.sorted().joined(separator: "\n"), root.spanID,
            root.hasParent, root.begin, root.name, root.service, root.status,
        ]
    }
}
