internal import Synchronization

/// How a queue is.
struct ExportState: Hashable, Sendable {
    /// How many items were taken by the receiver.
    var sent: Int
    /// How many items were given up.
    var dropped: Int
    /// How many items wait, and their bytes.
    var count: Int
    /// See `count`.
    var byteCount: Int
    /// Why it fails at present.
    var problem: ExportProblem?

    /// Whether anything became of anything.
    var wasTried: Bool { sent > 0 || dropped > 0 || problem != nil }
}

/// Sends what waits, one request after the other, until it is finished.
final class ExportQueue<Item: ExportItem>: Sendable {
    /// Sends a request.
    typealias Send = @Sendable ([Item]) async -> SendOutcome

    /// For how long what waits is sent after the end was asked for.
    static var farewell: Duration { .seconds(3) }

    private let backlog: Mutex<ExportBacklog<Item>>
    private let time: ExportTime
    private let send: Send
    /// Gets the items that are done with: sent, or dropped.
    private let settled: @Sendable ([Item]) -> Void
    /// Something was added, or the end was asked for.
    private let changed = Signal()
    private let ending = Signal(isLatch: true)

    /// Makes a queue.
    ///
    /// - Parameters:
    ///   - limits: How much may wait.
    ///   - time: Time and chance.
    ///   - settled: Gets the items that are done with: sent, or dropped.
    ///   - send: Sends a request; it may be cancelled at the end.
    init(
        _ limits: ExportLimits,
        time: ExportTime,
        settled: @escaping @Sendable ([Item]) -> Void = { _ in },
        send: @escaping Send
    ) {
        backlog = Mutex(ExportBacklog(limits: limits))
        self.time = time
        self.settled = settled
        self.send = send
    }

    /// How it is.
    var state: ExportState {
        backlog.withLock { backlog in
            ExportState(
                sent: backlog.sent,
                dropped: backlog.dropped,
                count: backlog.count,
                byteCount: backlog.byteCount,
                problem: backlog.problem
            )
        }
    }

    /// Whether half of what may wait does.
    var isHalfFull: Bool {
        backlog.withLock { $0.count * 2 >= $0.limits.count || $0.byteCount * 2 >= $0.limits.bytes }
    }

    /// Adds items; the oldest are dropped where there is no room.
    func add(_ items: [Item]) {
        guard !items.isEmpty else { return }
        let lost = backlog.withLock { $0.add(items, at: time.now()) }
        if !lost.isEmpty { settled(lost) }
        changed.set()
    }

    /// Takes nothing more; `run` sends what waits, for a few seconds at most, and ends.
    func finish() {
        backlog.withLock { $0.finish() }
        ending.set()
        changed.set()
    }

    /// Sends until `finish`, or the task is cancelled.
    ///
    /// - Parameter reported: Is called after each request.
    func run(reported: @escaping @Sendable () -> Void) async {
        await withTaskGroup { group in
            group.addTask { await self.sendAll(reported) }
            group.addTask {
                await self.ending.wait()
                await self.time.sleep(Self.farewell)
            }
            await group.next()
            group.cancelAll()
        }
        let lost = backlog.withLock { $0.abandon() }
        if !lost.isEmpty { settled(lost) }
        reported()
    }

    private func sendAll(_ reported: @Sendable () -> Void) async {
        while !Task.isCancelled {
            switch backlog.withLock({ $0.next(at: time.now()) }) {
            case .send(let batch):
                let outcome = await send(batch)
                // What was cancelled is given up by `run`.
                if Task.isCancelled, case .later = outcome { return }
                let random = time.random()
                let done = backlog.withLock { $0.done(outcome, at: time.now(), random: random) }
                if !done.isEmpty { settled(done) }
                reported()
            case .wait(nil): await changed.wait()
            case .wait(let duration?): await changed.wait(atMost: duration, time)
            case .end: return
            }
        }
    }
}
