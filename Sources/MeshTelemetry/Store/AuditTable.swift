internal import GRDB

/// Which records of who called whom are asked for, those of calls made last first.
public struct AuditQuery: Hashable, Codable, Sendable {
    /// Only those in which this service called or was called: `<mesh>/<node>`, or `<node>` alone.
    public var service: String?
    /// Only those with this verdict.
    public var verdict: AuditRecord.Verdict?
    /// Only those of calls at or after this, in seconds since 1970.
    public var sinceSeconds: Double?
    /// How many at most.
    public var limit: Int

    /// Makes a query; without arguments for the latest 1,000.
    public init(
        service: String? = nil,
        verdict: AuditRecord.Verdict? = nil,
        sinceSeconds: Double? = nil,
        limit: Int = 1000
    ) {
        self.service = service
        self.verdict = verdict
        self.sinceSeconds = sinceSeconds
        self.limit = limit
    }
}

/// The table of who called whom.
struct AuditTable {
    private let database: Database

    init(_ database: Database) { self.database = database }

    /// Adds what happened since the last time, and forgets what is the longest ago beyond `limit` records.
    ///
    /// What was allowed is forgotten before what was denied, which is little and what is looked for.
    func add(_ deltas: some Collection<AuditRecord>, limit: Int) throws {
        guard !deltas.isEmpty else { return }
        let statement = try database.cachedStatement(
            sql: """
                INSERT INTO audit(caller, target, verdict, firstSeconds, lastSeconds, count, detail)
                VALUES(?, ?, ?, ?, ?, ?, ?)
                ON CONFLICT(caller, target, verdict) DO UPDATE SET
                    firstSeconds = MIN(firstSeconds, excluded.firstSeconds),
                    detail = CASE WHEN excluded.detail IS NULL THEN detail
                        WHEN detail IS NULL OR excluded.lastSeconds >= lastSeconds
                        THEN excluded.detail ELSE detail END,
                    lastSeconds = MAX(lastSeconds, excluded.lastSeconds),
                    count = MIN(count + excluded.count, 9007199254740991)
                """
        )
        for delta in deltas {
            try statement.execute(arguments: [
                delta.caller.cut(to: SpanLimits.valueBytes),
                delta.target.cut(to: SpanLimits.valueBytes), delta.verdict.rawValue,
                delta.firstSeconds, delta.lastSeconds, delta.count,
                delta.detail?.cut(to: SpanLimits.valueBytes),
            ])
        }
        let count = try Int.fetchOne(database, sql: "SELECT COUNT(*) FROM audit") ?? 0
        guard count > limit else { return }
        try database.execute(
            sql: """
                DELETE FROM audit WHERE (caller, target, verdict) IN (
                    SELECT caller, target, verdict FROM audit
                    ORDER BY verdict <> ?, lastSeconds LIMIT ?
                )
                """,
            arguments: [AuditRecord.Verdict.allowed.rawValue, count - limit]
        )
    }

    /// The records that `query` asks for.
    func records(_ query: AuditQuery) throws -> [AuditRecord] {
        var conditions: [String] = []
        var arguments: StatementArguments = []
        if let service = query.service {
            let isWhole = service.contains("/")
            let column = { (name: String) in
                isWhole
                    ? "\(name) = ?" : "(\(name) = ? OR substr(\(name), -length(?) - 1) = '/' || ?)"
            }
            conditions.append("(\(column("caller")) OR \(column("target")))")
            arguments += StatementArguments(Array(repeating: service, count: isWhole ? 2 : 6))
        }
        if let verdict = query.verdict {
            conditions.append("verdict = ?")
            arguments += [verdict.rawValue]
        }
        if let since = query.sinceSeconds {
            conditions.append("lastSeconds >= ?")
            arguments += [since]
        }
        let filter = conditions.isEmpty ? "" : "WHERE " + conditions.joined(separator: " AND ")
        let rows = try Row.fetchAll(
            database,
            sql: """
                SELECT * FROM audit \(filter)
                ORDER BY lastSeconds DESC, caller, target, verdict LIMIT ?
                """,
            arguments: arguments + [max(0, query.limit)]
        )
        return try rows.map(record)
    }

    private func record(_ row: Row) throws -> AuditRecord {
        AuditRecord(
            caller: try row.value("caller"),
            target: try row.value("target"),
            verdict: AuditRecord.Verdict(rawValue: try row.value("verdict")) ?? .denied,
            firstSeconds: try row.value("firstSeconds"),
            lastSeconds: try row.value("lastSeconds"),
            count: try row.value("count"),
            detail: try row.value("detail")
        )
    }
}
