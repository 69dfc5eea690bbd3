/// Answers that are remembered for a while, and no more than a number of them.
struct RecentAnswers<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private struct Entry {
        var value: Value
        var ends: Duration
    }

    private let lifetime: Duration
    private let limit: Int
    private var entries: [Key: Entry] = [:]
    /// The keys in the order in which their answers end; one may stand here again.
    private var order: [(key: Key, ends: Duration)] = []
    /// Where `order` begins.
    private var first = 0

    init(lifetime: Duration, limit: Int) {
        self.lifetime = lifetime
        self.limit = limit
    }

    /// How many are remembered.
    var count: Int { entries.count }

    /// The answer to `key`, if it is remembered at `now`.
    func value(of key: Key, at now: Duration) -> Value? {
        guard let entry = entries[key], now < entry.ends else { return nil }
        return entry.value
    }

    /// Remembers an answer, in place of the oldest when there are too many.
    mutating func insert(_ value: Value, of key: Key, at now: Duration) {
        let ends = now + lifetime
        entries[key] = Entry(value: value, ends: ends)
        order.append((key, ends))
        while first < order.count, order[first].ends <= now || entries.count > limit {
            let oldest = order[first]
            first += 1
            if entries[oldest.key]?.ends == oldest.ends { entries[oldest.key] = nil }
        }
        if first > 1000, first * 2 > order.count {
            order.removeFirst(first)
            first = 0
        }
    }
}
