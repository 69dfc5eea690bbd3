internal import GRDB

/// Forgets the oldest traces, in the order in which they came.
struct TracePruning {
    private let database: Database

    init(_ database: Database) { self.database = database }

    /// How many spans there are.
    func spanCount() throws -> Int {
        // Not of integers, as the sum of a broken file's might not be one.
        let sum = try Double.fetchOne(database, sql: "SELECT TOTAL(spans) FROM trace") ?? 0
        return Int(min(max(0, sum), 1e15))
    }

    /// Forgets traces that began to come before `seconds`.
    ///
    /// - Returns: How many spans they had.
    func forget(receivedBefore seconds: Double) throws -> Int {
        // Ids grow with time: only what goes is looked at, and one more.
        let kept = try database.cachedStatement(
            sql: "SELECT id FROM trace WHERE receivedSeconds >= ? ORDER BY id LIMIT 1"
        )
        if let first = try Int64.fetchOne(kept, arguments: [seconds]) {
            return try forget(through: first - 1)
        }
        let last = try Int64.fetchOne(database, sql: "SELECT MAX(id) FROM trace")
        return try last.map(forget(through:)) ?? 0
    }

    /// Forgets the oldest traces that have `spans` spans together, or some more.
    ///
    /// - Returns: How many spans they had.
    func forget(spans: Int) throws -> Int {
        guard spans > 0 else { return 0 }
        var (sum, last) = (0, nil as Int64?)
        let rows = try Row.fetchCursor(database, sql: "SELECT id, spans FROM trace ORDER BY id")
        while sum < spans, let row = try rows.next() {
            sum = sum.saturatingSum(try row.value("spans"))
            last = try row.value("id")
        }
        return try last.map(forget(through:)) ?? 0
    }

    /// Forgets the oldest tenth of the traces as often as the file uses more than `bytes`.
    ///
    /// - Returns: How many spans they had.
    func forget(fileBeyond bytes: Int) throws -> Int {
        var forgotten = 0
        for _ in 0..<20 where try usedBytes() > bytes {
            let spans = try forget(spans: max(1, try spanCount() / 10))
            guard spans > 0 else { break }
            forgotten += spans
        }
        return forgotten
    }

    /// What the file holds, without pages that are free for what comes.
    func usedBytes() throws -> Int {
        let pages = try Int.fetchOne(database, sql: "PRAGMA page_count") ?? 0
        let free = try Int.fetchOne(database, sql: "PRAGMA freelist_count") ?? 0
        let size = try Int.fetchOne(database, sql: "PRAGMA page_size") ?? 0
        return (pages - free) * size
    }

    private func forget(through last: Int64) throws -> Int {
        var spans = 0
        let rows = try Row.fetchAll(
            database,
            sql: "SELECT * FROM trace WHERE id <= ?",
            arguments: [last]
        )
        guard !rows.isEmpty else { return 0 }
        for record in try rows.map(TraceRecord.init) {
            try record.deleteParticipants(from: database)
            spans += record.spans
        }
        try database.execute(sql: "DELETE FROM span WHERE trace <= ?", arguments: [last])
        try database.execute(sql: "DELETE FROM trace WHERE id <= ?", arguments: [last])
        return spans
    }
}
