internal import FoundationEssentials
internal import GRDB

/// Reads traces.
struct TraceReading {
    /// How many traces one answer has at most.
    static let limit = 1000
    /// In how many services a node's name is looked for, as each mesh may have such a node.
    private static let serviceLimit = 100
    private let database: Database

    init(_ database: Database) { self.database = database }

    /// The traces that `query` asks for, newest first.
    func summaries(_ query: TraceQuery) throws -> [TraceSummary] {
        let limit = min(max(0, query.limit), TraceReading.limit)
        guard let service = query.service else {
            return try summaries(query, service: nil, limit: limit)
        }
        let services = service.contains("/") ? [service] : try services(of: service)
        var found: [String: TraceSummary] = [:]
        for service in services {
            for summary in try summaries(query, service: service, limit: limit) {
                found[summary.traceID] = summary
            }
        }
        let sorted = found.values.sorted {
            ($0.startMicroseconds, $0.traceID) > ($1.startMicroseconds, $1.traceID)
        }
        return Array(sorted.prefix(limit))
    }

    private func summaries(
        _ query: TraceQuery,
        service: String?,
        limit: Int
    ) throws -> [TraceSummary] {
        var conditions: [String] = []
        var arguments: StatementArguments = []
        var table = "trace"
        var begin = "trace.begin"
        if let service {
            table = "participant CROSS JOIN trace ON trace.id = participant.trace"
            begin = "participant.begin"
            conditions.append("participant.service = ?")
            arguments += [service]
        }
        if let since = query.sinceMicroseconds {
            conditions.append("\(begin) >= ?")
            arguments += [since]
        }
        if let minimum = query.minimumDurationMicroseconds {
            conditions.append("trace.end - trace.begin >= ?")
            arguments += [minimum]
        }
        if query.errorsOnly { conditions.append("trace.isError") }
        let filter = conditions.isEmpty ? "" : "WHERE " + conditions.joined(separator: " AND ")
        let statement = try database.cachedStatement(
            sql:
                "SELECT trace.* FROM \(table) \(filter) ORDER BY \(begin) DESC, trace.id DESC LIMIT ?"
        )
        let rows = try Row.fetchAll(statement, arguments: arguments + [limit])
        return try rows.map { try TraceRecord($0).summary }
    }

    /// The services `<mesh>/<node>` of the node `node`, and a service of just this name.
    private func services(of node: String) throws -> [String] {
        // Goes from each service to the next, not through all their traces.
        let names = try String.fetchCursor(
            database,
            sql: """
                WITH RECURSIVE name(service) AS (
                    SELECT MIN(service) FROM participant
                    UNION ALL
                    SELECT (SELECT MIN(service) FROM participant WHERE service > name.service)
                    FROM name WHERE name.service IS NOT NULL
                )
                SELECT service FROM name
                WHERE service = ?1 OR substr(service, -length(?1) - 1) = '/' || ?1
                LIMIT ?2
                """,
            arguments: [node, TraceReading.serviceLimit]
        )
        return try Array(names)
    }

    /// The spans of the trace `traceID` in begin order, calls with their services; none without it.
    func spans(of traceID: String) throws -> [Span] {
        let rows = try Row.fetchAll(
            database,
            sql: """
                SELECT span.* FROM trace JOIN span ON span.trace = trace.id
                WHERE trace.traceID = ? ORDER BY span.begin, span.spanID
                """,
            arguments: [traceID]
        )
        return Trace.named(try rows.map { try span($0, traceID) })
    }

    /// Every span, in the order in which traces came.
    func allSpans() throws -> [Span] {
        let rows = try Row.fetchCursor(
            database,
            sql: """
                SELECT trace.traceID, span.* FROM trace JOIN span ON span.trace = trace.id
                ORDER BY trace.id
                """
        )
        return try Array(rows.map { try span($0, $0.value("traceID")) })
    }

    private func span(_ row: Row, _ traceID: String) throws -> Span {
        let attributes: String = try row.value("attributes")
        return Span(
            traceID: traceID,
            spanID: try row.value("spanID"),
            parentID: try row.value("parentID"),
            name: try row.value("name"),
            service: try row.value("service"),
            kind: Span.Kind(rawValue: try row.value("kind")) ?? .other,
            startMicroseconds: try row.value("begin"),
            durationMicroseconds: try row.value("duration"),
            status: try row.value("status"),
            isError: try row.value("isError"),
            attributes: try JSONDecoder().decode([String: String].self, from: Data(attributes.utf8))
        )
    }

    /// Ids of traces that begin with `prefix`, sorted; `prefix` has hexadecimal digits only.
    func traceIDs(prefix: String, limit: Int) throws -> [String] {
        // `g` comes after every digit.
        try String.fetchAll(
            database,
            sql: """
                SELECT traceID FROM trace WHERE traceID >= ? AND traceID < ?
                ORDER BY traceID LIMIT ?
                """,
            arguments: [prefix, prefix + "g", limit]
        )
    }
}
