internal import Dispatch
internal import GRDB
public import Logging
public import ServiceLifecycle
internal import Synchronization

/// Keeps the spans of the last hours and who called whom, in a file over restarts of the daemon.
///
/// What comes waits in memory and is written in batches, off the threads of tasks. Everything has a
/// bound: what is beyond is dropped and counted, and the oldest is forgotten. Without a file that can be
/// used, as on a full disk, memory alone has to do; the file is tried again each minute.
///
/// Questions see everything that was taken before they were asked.
public final class TelemetryStore: Service, Sendable {
    /// What became of spans.
    public struct Counts: Hashable, Sendable {
        /// How many were kept.
        public var stored = 0
        /// How many were not: beyond limits, or of a time to come.
        public var dropped = 0
    }

    private struct Place {
        var writer: any DatabaseWriter
        /// Whether the file could not be used.
        var isInMemory: Bool
        /// How many spans there are.
        var spans = 0
        /// Grows with each change of the writer.
        var generation = 0
    }

    private let path: String?
    private let limits: TelemetryLimits
    private let nowSeconds: @Sendable () -> Double
    private let sleep: @Sendable (Duration) async throws -> Void
    private let logger: Logger
    private let place: Mutex<Place>
    /// Where databases are opened when one fails.
    private let files = DispatchQueue(label: "telemetry.files")
    private let waiting = Mutex(WaitingTelemetry())
    private let counted = Mutex(Counts())
    private let wakes: AsyncStream<Void>
    private let wake: AsyncStream<Void>.Continuation

    /// Opens `<folder>/telemetry.sqlite`, or makes it.
    ///
    /// A file that is no database is renamed to `telemetry.sqlite.broken`. Whatever is wrong is one
    /// warning, and ends nothing.
    ///
    /// - Parameters:
    ///   - folder: The state directory; nil keeps everything in memory.
    ///   - limits: How much is kept.
    ///   - nowSeconds: The time in seconds since 1970.
    ///   - clock: For pauses.
    ///   - logger: Where trouble with the file is told.
    public init(
        folder: String?,
        limits: TelemetryLimits = TelemetryLimits(),
        nowSeconds: @escaping @Sendable () -> Double,
        clock: some Clock<Duration> = ContinuousClock(),
        logger: Logger
    ) {
        path = folder.map { "\($0)/telemetry.sqlite" }
        self.limits = limits
        self.nowSeconds = nowSeconds
        self.logger = logger
        sleep = { try await clock.sleep(for: $0) }
        (wakes, wake) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        place = Mutex(TelemetryStore.firstPlace(path, logger))
    }

    /// What became of the spans that were taken.
    public var counts: Counts { counted.withLock { $0 } }

    /// Whether what is kept is kept over a restart.
    public var isInFile: Bool { place.withLock { !$0.isInMemory } }

    /// How many spans are kept.
    public var spanCount: Int { place.withLock { $0.spans } }

    /// Takes spans, to be written within a second; cheap.
    ///
    /// Spans of a time to come, of tomorrow or later, are dropped.
    public func take(_ spans: [Span]) {
        let latest = Int((nowSeconds() + 86_400) * 1_000_000)
        let credible = spans.filter { $0.startMicroseconds <= latest }
        let (isMany, refused) = waiting.withLock { waiting in
            let refused = waiting.add(credible, limits)
            return (waiting.spans.count >= TelemetryStore.batch, refused)
        }
        countDropped(refused + spans.count - credible.count)
        if isMany { wake.yield() }
    }

    /// Takes what happened since the last time: counts are added to those of the same call; cheap.
    public func record(_ deltas: [AuditRecord]) {
        waiting.withLock { $0.add(deltas, limits) }
    }

    /// Writes until graceful shutdown, and what is left then.
    public func run() async throws {
        try await withThrowingTaskGroup { group in
            group.addTask {
                for await _ in self.wakes.cancelOnGracefulShutdown() { await self.write() }
            }
            group.addTask {
                var ticks = 0
                while true {
                    try await self.sleep(.seconds(1))
                    ticks += 1
                    if ticks.isMultiple(of: 60) { await self.tend() }
                    let isIdle = self.waiting.withLock { $0.isEmpty }
                    if !isIdle { self.wake.yield() }
                }
            }
            try await group.next()
            group.cancelAll()
        }
        await write()
    }

    /// How many spans are written at once, unless a second is over.
    private static let batch = 1000

    private func countDropped(_ count: Int) {
        guard count > 0 else { return }
        counted.withLock { $0.dropped += count }
    }
}

// MARK: questions

extension TelemetryStore {
    /// The traces that `query` asks for, newest first, 1,000 at most.
    ///
    /// - Throws: What is wrong with the database, and `CancellationError`.
    public func traces(_ query: TraceQuery = TraceQuery()) async throws -> [TraceSummary] {
        try await read { try TraceReading($0).summaries(query) }
    }

    /// The spans of a trace in begin order.
    ///
    /// - Parameter traceID: 32 hexadecimal digits.
    /// - Returns: The spans; none of a trace that is not known.
    /// - Throws: What is wrong with the database, and `CancellationError`.
    public func spans(of traceID: String) async throws -> [Span] {
        try await read { try TraceReading($0).spans(of: traceID) }
    }

    /// Ids of traces by their first digits, as people type them.
    ///
    /// - Parameters:
    ///   - prefix: Some digits or all, in X-Ray's form or not; see `TraceID.prefix`.
    ///   - limit: How many are told at most.
    /// - Returns: Ids, sorted; none of a text that no id begins with.
    /// - Throws: What is wrong with the database, and `CancellationError`.
    public func traceIDs(prefix: String, limit: Int = 10) async throws -> [String] {
        guard let digits = TraceID.prefix(prefix) else { return [] }
        return try await read { try TraceReading($0).traceIDs(prefix: digits, limit: limit) }
    }

    /// Who called whom, and whether that was allowed; calls made last come first.
    ///
    /// - Throws: What is wrong with the database, and `CancellationError`.
    public func audit(_ query: AuditQuery = AuditQuery()) async throws -> [AuditRecord] {
        try await read { try AuditTable($0).records(query) }
    }

    private func read<Value: Sendable>(
        _ question: @escaping @Sendable (Database) throws -> Value
    ) async throws -> Value {
        await write()
        let place = current
        do {
            return try await place.writer.read(question)
        } catch {
            guard TelemetryFile.isBroken(error) else { throw error }
            await replace(place, because: error)
            return try await current.writer.read(question)
        }
    }
}

// MARK: writing

extension TelemetryStore {
    private var current: Place { place.withLock { $0 } }

    /// Writes what waits, and waits for what others are writing.
    private func write() async {
        // More than one turn only where the database is replaced meanwhile, by another in memory at last.
        for _ in 0..<4 {
            let place = current
            let taken = Mutex(WaitingTelemetry())
            do {
                let change = try await place.writer.write { database in
                    guard self.current.generation == place.generation else { throw Replaced() }
                    // Taken in turn, so that what came first is written first.
                    let batch = self.waiting.withLock { $0.take() }
                    taken.withLock { $0 = batch }
                    return try self.write(batch, to: database, place)
                }
                return note(change, place)
            } catch {
                let batch = taken.withLock { $0 }
                let refused = waiting.withLock { $0.putBack(batch, limits) }
                countDropped(refused)
                if error is Replaced { continue }
                // A question that was withdrawn; what was taken for it is written with the next.
                if error is CancellationError { return }
                guard await replace(place, because: error) else { return }
            }
        }
    }

    /// Another database came in the place of this one.
    private struct Replaced: Error {}

    private struct Change: Sendable {
        var added = 0
        var dropped = 0
        var forgotten = 0
    }

    private func write(
        _ batch: WaitingTelemetry,
        to database: Database,
        _ place: Place
    ) throws -> Change {
        guard !batch.isEmpty else { return Change() }
        var table = TraceTable(
            database,
            spansOfTrace: limits.spansOfTrace,
            nowSeconds: nowSeconds()
        )
        try table.add(batch.spans)
        try AuditTable(database).add(batch.records.values, limit: limits.auditRecords)
        let limit = place.isInMemory ? limits.spansInMemory : limits.spans
        let pruning = TracePruning(database)
        var forgotten = try pruning.forget(fileBeyond: limits.fileBytes)
        let spans = max(0, place.spans + table.added - forgotten)
        // Some more than needed, so that not every batch forgets.
        if spans > limit { forgotten += try pruning.forget(spans: spans - limit + limit / 50) }
        return Change(added: table.added, dropped: table.dropped, forgotten: forgotten)
    }

    private func note(_ change: Change, _ place: Place) {
        self.place.withLock { current in
            guard current.generation == place.generation else { return }
            current.spans = max(0, current.spans + change.added - change.forgotten)
        }
        counted.withLock { $0.stored += change.added }
        countDropped(change.dropped)
    }

    /// What is done each minute: forgets what is old, and tries the file again.
    func tend() async {
        let place = current
        let oldest = nowSeconds() - limits.ageSeconds
        do {
            let forgotten = try await place.writer.write { database in
                try TracePruning(database).forget(receivedBefore: oldest)
            }
            note(Change(forgotten: forgotten), place)
            if place.isInMemory { try await moveToFile(place) }
        } catch {
            if !(error is CancellationError) { await replace(place, because: error) }
        }
    }
}

// MARK: files

extension TelemetryStore {
    private static func firstPlace(_ path: String?, _ logger: Logger) -> Place {
        guard let path else { return Place(writer: TelemetryFile.inMemory(), isInMemory: true) }
        do { return try file(path) } catch { return successor(path, because: error, logger) }
    }

    private static func file(_ path: String) throws -> Place {
        let writer = try TelemetryFile.open(path)
        let spans = try writer.read { try TracePruning($0).spanCount() }
        return Place(writer: writer, isInMemory: false, spans: spans)
    }

    private static func memory(_ path: String, _ error: any Error, _ logger: Logger) -> Place {
        logger.warning(
            """
            cannot keep traces and the audit in a file, and keeps them in memory until it ends; \
            make room or correct the file, or remove it
            """,
            metadata: ["path": "\(path)", "error": "\(error)"]
        )
        return Place(writer: TelemetryFile.inMemory(), isInMemory: true)
    }

    private static func warnBroken(_ path: String, _ error: any Error, _ logger: Logger) {
        logger.warning(
            "traces and the audit of earlier are lost: their file is broken; begins anew",
            metadata: ["path": "\(path)", "kept": "\(path).broken", "error": "\(error)"]
        )
    }

    /// Puts another database in the place of one that failed.
    ///
    /// - Returns: false where that would not help.
    @discardableResult
    private func replace(_ failed: Place, because error: any Error) async -> Bool {
        guard let path, !failed.isInMemory else { return false }
        return await withCheckedContinuation { continuation in
            files.async {
                // Another task may have found out before.
                if self.current.generation == failed.generation {
                    var next = TelemetryStore.successor(path, because: error, self.logger)
                    next.generation = failed.generation + 1
                    let chosen = next
                    self.place.withLock { $0 = chosen }
                }
                continuation.resume(returning: true)
            }
        }
    }

    private static func successor(
        _ path: String,
        because error: any Error,
        _ logger: Logger
    ) -> Place {
        guard TelemetryFile.isBroken(error) else { return memory(path, error, logger) }
        warnBroken(path, error, logger)
        TelemetryFile.setAside(path)
        do { return try file(path) } catch { return memory(path, error, logger) }
    }

    /// Goes back to the file if that can be used again, with what came meanwhile.
    private func moveToFile(_ memory: Place) async throws {
        guard let path else { return }
        // On the queue that writes to memory, so that nothing comes meanwhile.
        try await memory.writer.write { database in
            guard self.current.generation == memory.generation,
                var next = try? TelemetryStore.file(path)
            else { return }
            let batch = WaitingTelemetry(
                spans: try TraceReading(database).allSpans(),
                records: try AuditTable(database).records(AuditQuery(limit: .max))
            )
            let place = next
            let written = try? next.writer.write { try self.write(batch, to: $0, place) }
            guard let change = written else { return }
            next.spans += change.added - change.forgotten
            next.generation = memory.generation + 1
            let chosen = next
            self.place.withLock { $0 = chosen }
            self.logger.info(
                "keeps traces and the audit in a file again",
                metadata: ["path": "\(path)"]
            )
        }
    }
}
