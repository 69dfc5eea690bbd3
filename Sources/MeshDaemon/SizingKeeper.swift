internal import FoundationEssentials
internal import Logging
internal import MeshModel
internal import MeshPlan
internal import ServiceLifecycle
internal import Synchronization

/// Keeps what proxies used over time, on disk too, for the recommendations of plans.
///
/// Measurements come every few seconds and go into histories only. Plans see summaries, which change
/// once a minute at most, but for kills, so that measuring asks for no plans.
final class SizingKeeper: Service, Sendable {
    /// When summaries are renewed and how long is remembered.
    enum Pace {
        /// The least time between two changes of summaries, but for kills.
        static let summarySeconds = 60.0
        /// The time between two writes.
        static let saveSeconds = 300.0
        /// For how long the history of a removed Workload is kept, as it may come back.
        static let removedSeconds = 7.0 * 86_400
        /// How many histories of removed Workloads are kept.
        static let removedCount = 1000
    }

    private struct State {
        var entries: [ProxyID: SizingEntry]
        var summaries: [ProxyID: UsageSummary] = [:]
        var lastSummarySeconds: Double
        var lastSaveSeconds: Double
        var isChanged = false
        var didWarn = false
    }

    /// Tells that `summaries` changed, the newest change only; it is for one reader.
    let changes: AsyncStream<Void>
    private let changed: AsyncStream<Void>.Continuation
    private let state: Mutex<State>
    private let file: SizingFile
    private let nowSeconds: @Sendable () -> Double
    private let sleep: @Sendable (Duration) async throws -> Void
    private let logger: Logger

    /// Takes up the histories in `<folder>/sizing.json`, if there are any.
    ///
    /// A file that can't be used is set aside with a warning, and histories start anew.
    ///
    /// - Parameters:
    ///   - folder: The state directory.
    ///   - nowSeconds: The time in seconds since 1970.
    ///   - clock: For pauses.
    ///   - logger: Where trouble with the file is logged.
    init(
        folder: String,
        nowSeconds: @escaping @Sendable () -> Double,
        clock: some Clock<Duration> = ContinuousClock(),
        logger: Logger
    ) {
        (changes, changed) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        file = SizingFile(path: "\(folder)/sizing.json")
        self.nowSeconds = nowSeconds
        self.logger = logger
        sleep = { try await clock.sleep(for: $0) }
        let now = nowSeconds()
        var entries: [ProxyID: SizingEntry] = [:]
        do {
            entries = try file.read()
        } catch {
            logger.warning(
                "history of what proxies used is lost, and starts anew",
                metadata: ["error": "\(error)"]
            )
        }
        state = Mutex(State(entries: entries, lastSummarySeconds: now, lastSaveSeconds: now))
        state.withLock { $0.summaries = Self.summaries(of: $0.entries, nowSeconds: now) }
    }

    /// What is known of each proxy, as of the last change.
    var summaries: [ProxyID: UsageSummary] { state.withLock { $0.summaries } }

    /// Adds a measurement of each proxy; cheap.
    func record(_ usages: [ProxyID: ProxyUsage]) {
        state.withLock { state in
            for (id, usage) in usages {
                state.entries[id, default: SizingEntry()].history.add(usage)
            }
            if !usages.isEmpty { state.isChanged = true }
        }
        turn(isUrgent: false)
    }

    /// Adds that the kernel ended a proxy for its memory limit.
    ///
    /// - Parameters:
    ///   - id: The proxy.
    ///   - limitBytes: The limit.
    ///   - peakBytes: The most that it had; 0 when it is not known.
    func recordOutOfMemoryKill(_ id: ProxyID, limitBytes: Int, peakBytes: Int = 0) {
        let now = nowSeconds()
        change(id, isUrgent: true) {
            $0.addOutOfMemoryKill(limitBytes: limitBytes, peakBytes: peakBytes, timeSeconds: now)
        }
    }

    /// Adds that a proxy began to refuse work, being near the limit of its memory.
    func recordShedding(_ id: ProxyID, limitBytes: Int) {
        let now = nowSeconds()
        change(id, isUrgent: false) { $0.addShedding(limitBytes: limitBytes, timeSeconds: now) }
    }

    /// Forgets proxies that are not among `present` for a week, and all but the last thousand of them.
    func forget(notIn present: Set<ProxyID>) {
        let now = nowSeconds()
        state.withLock { state in
            for (id, entry) in state.entries {
                guard !present.contains(id) else {
                    if entry.removedSeconds != nil { state.isChanged = true }
                    state.entries[id]?.removedSeconds = nil
                    continue
                }
                // A removal that seems to lie ahead was timed by a wrong clock.
                let removed = min(entry.removedSeconds ?? now, now)
                if entry.removedSeconds != removed { state.isChanged = true }
                state.entries[id]?.removedSeconds = removed
                if now - removed > Pace.removedSeconds { state.entries[id] = nil }
            }
            let removed = state.entries.filter { $0.value.removedSeconds != nil }
            let excess = removed.count - Pace.removedCount
            guard excess > 0 else { return }
            let oldest = removed.sorted {
                ($0.value.removedSeconds ?? 0, $0.key) < ($1.value.removedSeconds ?? 0, $1.key)
            }
            for (id, _) in oldest.prefix(excess) { state.entries[id] = nil }
        }
    }

    /// Looks after summaries and the file until shutdown, and writes once more at the end.
    func run() async throws {
        let (ticks, tick) = AsyncStream.makeStream(
            of: Void.self,
            bufferingPolicy: .bufferingNewest(1)
        )
        await withTaskGroup { group in
            group.addTask {
                while (try? await self.sleep(.seconds(5))) != nil { tick.yield() }
                tick.finish()
            }
            for await _ in ticks.cancelOnGracefulShutdown() {
                turn(isUrgent: false)
                if isSaveDue { await save() }
            }
            group.cancelAll()
        }
        await save()
    }

    private func change(
        _ id: ProxyID,
        isUrgent: Bool,
        _ body: (inout UsageHistory) -> Void
    ) {
        state.withLock { state in
            body(&state.entries[id, default: SizingEntry()].history)
            state.isChanged = true
        }
        turn(isUrgent: isUrgent)
    }

    /// Renews the summaries when it is time, and tells when that changed them.
    private func turn(isUrgent: Bool) {
        let now = nowSeconds()
        let isChanged = state.withLock { state in
            let elapsed = now - state.lastSummarySeconds
            // A clock that goes backwards must not put the next change off.
            guard isUrgent || elapsed >= Pace.summarySeconds || elapsed < 0 else { return false }
            state.lastSummarySeconds = now
            let summaries = Self.summaries(of: state.entries, nowSeconds: now)
            guard summaries != state.summaries else { return false }
            state.summaries = summaries
            return true
        }
        if isChanged { changed.yield() }
    }

    private static func summaries(
        of entries: [ProxyID: SizingEntry],
        nowSeconds: Double
    ) -> [ProxyID: UsageSummary] {
        entries.compactMapValues { entry in
            entry.removedSeconds == nil ? entry.history.summary(nowSeconds: nowSeconds) : nil
        }
    }

    private var isSaveDue: Bool {
        let now = nowSeconds()
        return state.withLock { state in
            let elapsed = now - state.lastSaveSeconds
            guard elapsed >= Pace.saveSeconds || elapsed < 0 else { return false }
            state.lastSaveSeconds = now
            return true
        }
    }

    /// Writes what changed; only the first of several failures is logged.
    func save() async {
        let entries = state.withLock { state -> [ProxyID: SizingEntry]? in
            defer { state.isChanged = false }
            return state.isChanged ? state.entries : nil
        }
        guard let entries else { return }
        let file = file
        let failure = await onOwnThread { () -> DaemonError? in
            do throws(DaemonError) {
                try file.write(entries)
                return nil
            } catch {
                return error
            }
        }
        let isFirst = state.withLock { state in
            if failure != nil { state.isChanged = true }
            defer { state.didWarn = failure != nil }
            return !state.didWarn
        }
        if let failure, isFirst {
            logger.warning(
                "history of what proxies used not saved",
                metadata: ["error": "\(failure)"]
            )
        }
    }
}
