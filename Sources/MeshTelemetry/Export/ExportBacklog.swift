/// What an exporter sends.
protocol ExportItem: Sendable {
    /// About how much it takes, in memory and in a request.
    var byteCount: Int { get }
    /// A request has items of one lane only; nil where all go together.
    var lane: String? { get }
    /// When it happened, in seconds since 1970; nil where requests span any time.
    var seconds: Double? { get }
}

/// How much waits, and how much is sent at once.
struct ExportLimits: Hashable, Sendable {
    /// How many items may wait.
    var count: Int
    /// How many bytes may wait.
    var bytes: Int
    /// How many items a request may have.
    var batchCount: Int
    /// How many bytes a request may have.
    var batchBytes: Int
    /// How many bytes a single item may have; a larger one is dropped.
    var itemBytes: Int
    /// What a request of nothing takes.
    var batchOverhead = 0
    /// From how much time a request's items may be, in seconds.
    var batchSpanSeconds: Double?
    /// How long the first item waits for others, to be sent with them.
    var linger: Duration = .seconds(1)
    /// Whether what is not sent at the end is read again from where it came from, and not lost.
    var isResumable = false
}

/// What became of a request.
enum SendOutcome: Hashable, Sendable {
    /// It was taken, but for so many items, which the receiver refused for good.
    case sent(refused: Int)
    /// It was taken, but for the items at these places, which may be sent again, and so many others,
    /// which were refused.
    case partly(again: Set<Int>, refused: Int)
    /// It has to be made smaller.
    case tooLarge(ExportProblem)
    /// Nothing was taken; the same may go well later.
    case later(ExportProblem, retryAfter: Duration?)
    /// Nothing was taken, nor would it be later.
    case refused(ExportProblem)
}

/// What waits to be sent by one exporter of one mesh, and when it is to be sent: a queue that drops
/// the oldest when it is full.
///
/// Guarantee: what waits, and what is under way, is never more than `limits` allow; every item that
/// was added is sent, dropped and counted, or still there.
struct ExportBacklog<Item: ExportItem>: Sendable {
    /// What to do next.
    enum Step: Sendable {
        case send([Item])
        /// Wait for so long, or until something happens; nil is without limit.
        case wait(Duration?)
        case end
    }

    private struct Entry {
        var item: Item
        var attempts = 0
    }

    /// How often an item is sent that is taken no time while others are.
    static var attemptLimit: Int { 5 }
    static var longestPause: Duration { .seconds(60) }
    /// How long it is waited at most for who asks for a pause: one wrong answer must not stop an export
    /// for hours.
    static var longestWait: Duration { .seconds(300) }

    let limits: ExportLimits
    /// How many items were taken by the receiver.
    private(set) var sent = 0
    /// How many items were given up.
    private(set) var dropped = 0
    /// Why it fails at present.
    private(set) var problem: ExportProblem?
    private var entries: [Entry] = []
    /// Where `entries` begins; those before are gone.
    private var head = 0
    private var bytes = 0
    /// The request that is under way.
    private var pending: [Entry] = []
    private var pendingBytes = 0
    /// Since when something waits.
    private var since: Duration?
    private var failures = 0
    private var earliest: Duration = .zero
    /// How many items a request has at present; less than the limit after one was too large.
    private var batchCount: Int
    private var isFinishing = false

    init(limits: ExportLimits) {
        self.limits = limits
        batchCount = limits.batchCount
    }

    /// How many items wait or are under way.
    var count: Int { entries.count - head + pending.count }
    /// How many bytes wait or are under way.
    var byteCount: Int { bytes + pendingBytes }

    /// Adds items; the oldest are dropped where there is no room.
    ///
    /// - Parameters:
    ///   - items: In the order in which they are sent.
    ///   - now: The time.
    /// - Returns: What was dropped.
    mutating func add(_ items: [Item], at now: Duration) -> [Item] {
        var lost: [Item] = []
        if isFinishing, limits.isResumable { return [] }
        for item in items {
            if isFinishing || item.byteCount > limits.itemBytes {
                lost.append(item)
            } else {
                entries.append(Entry(item: item))
                bytes += item.byteCount
            }
        }
        dropped += lost.count
        if since == nil, head < entries.count { since = now }
        return lost + makeRoom()
    }

    /// What to do now; after `.send`, `done` says what became of it.
    mutating func next(at now: Duration) -> Step {
        precondition(pending.isEmpty, "one request at a time")
        guard head < entries.count else { return isFinishing ? .end : .wait(nil) }
        if !isFinishing {
            if now < earliest { return .wait(earliest - now) }
            let isFull = entries.count - head >= batchCount || bytes >= limits.batchBytes
            let end = (since ?? now) + limits.linger
            if !isFull, now < end { return .wait(end - now) }
        }
        takeBatch()
        since = head < entries.count ? since : nil
        return .send(pending.map(\.item))
    }

    /// Takes what became of the request.
    ///
    /// - Parameters:
    ///   - outcome: What became of it.
    ///   - now: The time.
    ///   - random: A number from 0 to 1, for the length of a pause.
    /// - Returns: The items that are done with: sent, or dropped.
    mutating func done(
        _ outcome: SendOutcome,
        at now: Duration,
        random: Double
    ) -> [Item] {
        let batch = pending
        pending = []
        pendingBytes = 0
        switch outcome {
        case .sent(let refused):
            succeed(batch.count, refused: refused)
            return batch.map(\.item)
        case .partly(let again, let refused):
            return takeBack(again, of: batch, refused: refused, at: now, random: random)
        case .tooLarge(let problem):
            guard batch.count > 1 else {
                self.problem = problem
                dropped += batch.count
                return batch.map(\.item)
            }
            batchCount = batch.count / 2
            putBack(batch, at: now)
            return makeRoom()
        case .later(let problem, let retryAfter):
            self.problem = problem
            putBack(batch, at: now)
            failures += 1
            pause(at: now, random: random, retryAfter: retryAfter)
            // Who ends does not wait for the next attempt.
            if isFinishing { return abandon() }
            return makeRoom()
        case .refused(let problem):
            self.problem = problem
            dropped += batch.count
            return batch.map(\.item)
        }
    }

    /// Takes nothing more, and sends what waits without pauses.
    mutating func finish() { isFinishing = true }

    /// Gives up what waits.
    ///
    /// - Returns: What was dropped; nothing of what is read again.
    mutating func abandon() -> [Item] {
        let rest = pending + entries[head...]
        (entries, head, bytes, pending, pendingBytes) = ([], 0, 0, [], 0)
        guard !limits.isResumable else { return [] }
        dropped += rest.count
        return rest.map(\.item)
    }

    // MARK: Parts

    private mutating func succeed(_ count: Int, refused: Int) {
        let refused = min(max(refused, 0), count)
        sent += count - refused
        dropped += refused
        failures = 0
        earliest = .zero
        problem = nil
        batchCount = min(limits.batchCount, batchCount * 2)
    }

    /// Sends those again that were not taken and may be, unless that was tried often enough.
    private mutating func takeBack(
        _ places: Set<Int>,
        of batch: [Entry],
        refused: Int,
        at now: Duration,
        random: Double
    ) -> [Item] {
        var (again, done): ([Entry], [Entry]) = ([], [])
        var givenUp = 0
        for (place, var entry) in batch.enumerated() {
            entry.attempts += 1
            let isAgain = places.contains(place)
            if isAgain, entry.attempts < Self.attemptLimit {
                again.append(entry)
            } else {
                givenUp += isAgain ? 1 : 0
                done.append(entry)
            }
        }
        succeed(done.count, refused: refused + givenUp)
        putBack(again, at: now)
        pause(at: now, random: random, retryAfter: nil)
        return done.map(\.item) + makeRoom()
    }

    private mutating func pause(at now: Duration, random: Double, retryAfter: Duration?) {
        let doublings = min(max(failures - 1, 0), 6)
        let pause = min(.seconds(1 << doublings), Self.longestPause)
        // At least half of it, so that a server that is down is left alone, and spread over the other
        // half, so that not all come back at once.
        let spread = pause * (0.5 + 0.5 * min(max(random, 0), 1))
        earliest = now + max(spread, min(retryAfter ?? .zero, Self.longestWait))
    }

    private mutating func putBack(_ batch: [Entry], at now: Duration) {
        entries.replaceSubrange(..<head, with: batch)
        head = 0
        bytes += batch.reduce(0) { $0 + $1.item.byteCount }
        if since == nil, !batch.isEmpty { since = now }
    }

    /// Drops the oldest until there is room.
    private mutating func makeRoom() -> [Item] {
        let start = head
        while head < entries.count, count > limits.count || byteCount > limits.bytes {
            bytes -= entries[head].item.byteCount
            head += 1
        }
        let lost = entries[start..<head].map(\.item)
        dropped += lost.count
        compact()
        return lost
    }

    /// Forgets what is gone, once it is the larger part.
    private mutating func compact() {
        guard head > 64, head * 2 > entries.count else { return }
        entries.removeFirst(head)
        head = 0
    }

    /// Takes the oldest item, and those of its lane that fit into its request.
    private mutating func takeBatch() {
        var rest: [Entry] = []
        var index = head
        let lane = entries[head].item.lane
        var size = limits.batchOverhead
        var span = entries[head].item.seconds.map { $0...$0 }
        while index < entries.count, pending.count < batchCount {
            let item = entries[index].item
            if item.lane != lane {
                rest.append(entries[index])
            } else {
                let wider = item.seconds.flatMap { time in
                    span.map { min($0.lowerBound, time)...max($0.upperBound, time) }
                }
                if !pending.isEmpty, size + item.byteCount > limits.batchBytes { break }
                if let wider, let limit = limits.batchSpanSeconds,
                    wider.upperBound - wider.lowerBound > limit
                {
                    break
                }
                span = wider ?? span
                size += item.byteCount
                pending.append(entries[index])
            }
            index += 1
        }
        let taken = pending.reduce(0) { $0 + $1.item.byteCount }
        bytes -= taken
        pendingBytes = taken
        // Those of other lanes keep their places at the front.
        head = index - rest.count
        entries.replaceSubrange(head..<index, with: rest)
        compact()
    }
}
