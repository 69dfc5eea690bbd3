import MeshTesting
import Testing

@testable import MeshTelemetry

@Suite struct ExportBacklogTests {
    struct Item: ExportItem, Hashable {
        var id: Int
        var byteCount = 1
        var lane: String?
        var seconds: Double?
    }

    static let limits = ExportLimits(
        count: 10,
        bytes: 1000,
        batchCount: 4,
        batchBytes: 100,
        itemBytes: 100,
        linger: .seconds(1)
    )
    static let problem = ExportProblem(text: "it is down; start it")

    private func backlog(
        _ items: [Item] = [],
        _ limits: ExportLimits = limits
    ) -> ExportBacklog<Item> {
        var backlog = ExportBacklog<Item>(limits: limits)
        _ = backlog.add(items, at: .zero)
        return backlog
    }

    private func batch(_ backlog: inout ExportBacklog<Item>, at now: Duration) -> [Int]? {
        guard case .send(let items) = backlog.next(at: now) else { return nil }
        return items.map(\.id)
    }

    /// All requests, as they would be sent to a receiver that takes everything.
    private func batches(_ items: [Item], _ limits: ExportLimits = limits) -> [[Int]] {
        var backlog = backlog(items, limits)
        backlog.finish()
        var all: [[Int]] = []
        while let next = batch(&backlog, at: .zero) {
            all.append(next)
            _ = backlog.done(.sent(refused: 0), at: .zero, random: 1)
        }
        return all
    }

    @Test(
        arguments: [
            // By count.
            (Array(repeating: 1, count: 9), [[0, 1, 2, 3], [4, 5, 6, 7], [8]]),
            // By bytes: exactly as many as fit.
            ([50, 50, 1], [[0, 1], [2]]), ([60, 60, 40], [[0], [1, 2]]),
            // The largest that is allowed goes alone.
            ([100, 100], [[0], [1]]),
        ] as [([Int], [[Int]])]
    )
    func `a request has no more than its limits`(sizes: [Int], expected: [[Int]]) {
        let items = sizes.enumerated().map { Item(id: $0.offset, byteCount: $0.element) }
        #expect(batches(items) == expected)
    }

    @Test func `a request's own size counts`() {
        var limits = Self.limits
        limits.batchOverhead = 50
        #expect(
            batches([Item(id: 0, byteCount: 30), Item(id: 1, byteCount: 30)], limits) == [[0], [1]]
        )
    }

    @Test func `an item that no request takes is dropped at once`() {
        var backlog = backlog([Item(id: 0, byteCount: 101), Item(id: 1)])
        #expect(backlog.dropped == 1)
        #expect(batch(&backlog, at: .seconds(1)) == [1])
    }

    @Test func `a request has items of one lane, which keep their order`() {
        let lanes = ["a", "b", "a", "c", "b", "a"]
        let items = lanes.enumerated().map { Item(id: $0.offset, lane: $0.element) }
        #expect(batches(items) == [[0, 2, 5], [1, 4], [3]])
    }

    @Test func `a request spans no more time than it may`() {
        var limits = Self.limits
        limits.batchSpanSeconds = 10
        let times = [5.0, 12, 2, 13, 24]
        let items = times.enumerated().map { Item(id: $0.offset, seconds: $0.element) }
        #expect(batches(items, limits) == [[0, 1, 2], [3], [4]])
    }

    @Test func `the first item waits for others, a full request does not`() {
        var backlog = backlog([Item(id: 0)])
        guard case .wait(let time) = backlog.next(at: .milliseconds(400)) else {
            Issue.record("nothing has waited long enough")
            return
        }
        #expect(time == .milliseconds(600))
        _ = backlog.add((1...3).map { Item(id: $0) }, at: .milliseconds(500))
        #expect(batch(&backlog, at: .milliseconds(500)) == [0, 1, 2, 3])
    }

    @Test func `what is too much drops the oldest, and is counted`() {
        var backlog = backlog()
        let lost = backlog.add((0..<25).map { Item(id: $0) }, at: .zero)
        #expect(lost.map(\.id) == Array(0..<15))
        #expect(backlog.count == 10)
        #expect(backlog.dropped == 15)
        _ = backlog.add([Item(id: 25, byteCount: 100)], at: .zero)
        #expect(backlog.byteCount <= 1000)
        #expect(batch(&backlog, at: .seconds(1)) == [16, 17, 18, 19])
    }

    @Test func `bytes are bounded, with those that are under way`() {
        var backlog = backlog((0..<10).map { Item(id: $0, byteCount: 100) })
        #expect(batch(&backlog, at: .zero) == [0])
        _ = backlog.add([Item(id: 10, byteCount: 100)], at: .zero)
        #expect(backlog.byteCount == 1000)
        #expect(backlog.dropped == 1)
        _ = backlog.done(.later(Self.problem, retryAfter: nil), at: .zero, random: 1)
        #expect(backlog.count == 10)
        // What is sent again is what was under way: room was made by the one after it.
        #expect(batch(&backlog, at: .seconds(60)) == [0])
    }

    @Test func `pauses double up to a minute, and end with the first success`() {
        var backlog = backlog([Item(id: 0)])
        var now = Duration.seconds(1)
        var pauses: [Duration] = []
        for _ in 0..<8 {
            #expect(batch(&backlog, at: now) == [0])
            _ = backlog.done(.later(Self.problem, retryAfter: nil), at: now, random: 1)
            guard case .wait(let pause?) = backlog.next(at: now) else { return }
            pauses.append(pause)
            now += pause
        }
        #expect(pauses == [1, 2, 4, 8, 16, 32, 60, 60].map { .seconds($0) })
        #expect(backlog.problem == Self.problem)
        #expect(batch(&backlog, at: now) == [0])
        _ = backlog.done(.sent(refused: 0), at: now, random: 1)
        #expect(backlog.problem == nil)
        #expect(backlog.sent == 1)
    }

    @Test(
        arguments: [
            (nil, 0.0, .milliseconds(500)), (.seconds(7), 1.0, .seconds(7)),
            (.milliseconds(1), 1.0, .seconds(1)), (.seconds(86_400), 0.0, .seconds(300)),
        ] as [(Duration?, Double, Duration)]
    )
    func `a pause has half by chance, and no less than the receiver asks for`(
        retryAfter: Duration?,
        random: Double,
        expected: Duration
    ) {
        var backlog = backlog([Item(id: 0)])
        _ = batch(&backlog, at: .seconds(1))
        _ = backlog.done(
            .later(Self.problem, retryAfter: retryAfter),
            at: .zero,
            random: random
        )
        guard case .wait(let pause) = backlog.next(at: .zero) else {
            Issue.record("it does not wait")
            return
        }
        #expect(pause == expected)
    }

    @Test func `a request that is too large is halved until it is taken`() {
        var backlog = backlog((0..<4).map { Item(id: $0) })
        #expect(batch(&backlog, at: .zero)?.count == 4)
        _ = backlog.done(.tooLarge(Self.problem), at: .zero, random: 1)
        #expect(batch(&backlog, at: .zero) == [0, 1])
        _ = backlog.done(.tooLarge(Self.problem), at: .zero, random: 1)
        #expect(batch(&backlog, at: .zero) == [0])
        // One alone is too large: it is dropped, and the others are sent.
        _ = backlog.done(.tooLarge(Self.problem), at: .zero, random: 1)
        #expect(backlog.dropped == 1)
        #expect(batch(&backlog, at: .zero) == [1])
        _ = backlog.done(.sent(refused: 0), at: .zero, random: 1)
        #expect(batch(&backlog, at: .seconds(1)) == [2, 3])
    }

    @Test func `what was not taken is sent again first, and not for ever`() {
        var backlog = backlog((0..<4).map { Item(id: $0) })
        #expect(batch(&backlog, at: .zero) == [0, 1, 2, 3])
        _ = backlog.done(.partly(again: [1, 3], refused: 1), at: .zero, random: 1)
        #expect(backlog.sent == 1)
        #expect(backlog.dropped == 1)
        for attempt in 2...5 {
            let ids = batch(&backlog, at: .seconds(10 * attempt))
            #expect(ids == [1, 3])
            _ = backlog.done(
                .partly(again: [0, 1], refused: 0),
                at: .seconds(10 * attempt),
                random: 1
            )
        }
        #expect(backlog.count == 0)
        #expect(backlog.dropped == 3)
    }

    @Test func `a refused request is dropped with a count, and the next one goes on`() {
        var backlog = backlog((0..<5).map { Item(id: $0) })
        _ = batch(&backlog, at: .zero)
        _ = backlog.done(.refused(Self.problem), at: .zero, random: 1)
        #expect(backlog.dropped == 4)
        #expect(backlog.problem == Self.problem)
        #expect(batch(&backlog, at: .seconds(1)) == [4])
    }

    @Test func `the end sends what waits at once, and gives up where that fails`() {
        var backlog = backlog((0..<5).map { Item(id: $0) })
        backlog.finish()
        #expect(batch(&backlog, at: .zero) == [0, 1, 2, 3])
        _ = backlog.done(.sent(refused: 0), at: .zero, random: 1)
        #expect(batch(&backlog, at: .zero) == [4])
        let lost = backlog.done(.later(Self.problem, retryAfter: nil), at: .zero, random: 1)
        #expect(lost == [Item(id: 4)])
        #expect((backlog.sent, backlog.dropped) == (4, 1))
        guard case .end = backlog.next(at: .zero) else {
            Issue.record("it goes on")
            return
        }
    }

    @Test func `what is read again after the end is neither lost nor counted`() {
        var limits = Self.limits
        limits.isResumable = true
        var backlog = backlog([Item(id: 0)], limits)
        backlog.finish()
        _ = batch(&backlog, at: .zero)
        let settled = backlog.done(.later(Self.problem, retryAfter: nil), at: .zero, random: 1)
        #expect(settled.isEmpty)
        #expect(backlog.add([Item(id: 1)], at: .zero).isEmpty)
        #expect(backlog.dropped == 0)
    }

    /// Whatever happens, nothing is lost without being counted.
    @Test(arguments: seeds(10))
    func `every item is sent, dropped or there`(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        var backlog = backlog()
        var (added, now) = (0, Duration.zero)
        for _ in 0..<2000 {
            now += .milliseconds(Int.random(in: 0..<700, using: &generator))
            let items = (0..<Int.random(in: 0...4, using: &generator)).map { _ in
                Item(
                    id: 0,
                    byteCount: .random(in: 1...110, using: &generator),
                    lane: ["a", "b", nil].randomElement(using: &generator) ?? nil
                )
            }
            added += items.count
            _ = backlog.add(items, at: now)
            if case .send(let batch) = backlog.next(at: now) {
                let outcome: SendOutcome =
                    switch Int.random(in: 0..<5, using: &generator) {
                    case 0: .later(Self.problem, retryAfter: nil)
                    case 1: .tooLarge(Self.problem)
                    case 2: .refused(Self.problem)
                    case 3: .partly(again: [0], refused: 1)
                    default: .sent(refused: batch.count / 2)
                    }
                _ = backlog.done(outcome, at: now, random: 0.5)
            }
            #expect(backlog.sent + backlog.dropped + backlog.count == added)
            #expect(backlog.count <= 10 && backlog.byteCount <= 1000)
        }
    }
}
