@testable import MeshTelemetry
import Synchronization
import Testing

/// Queues with a receiver that answers as it is told, in time that passes when the test says so.
@Suite(.timeLimit(.minutes(1)))
struct ExportQueueTests {
    private typealias Item = ExportBacklogTests.Item

    /// Takes requests, or not.
    private final class Receiver: Sendable {
        private let state = Mutex((isDown: false, received: [Int](), attempts: 0))

        var received: [Int] { state.withLock { $0.received } }
        var attempts: Int { state.withLock { $0.attempts } }

        func set(down isDown: Bool) { state.withLock { $0.isDown = isDown } }

        func send(_ items: [Item]) -> SendOutcome {
            state.withLock { state in
                state.attempts += 1
                guard !state.isDown else {
                    return .later(ExportProblem(text: "it is down; start it"), retryAfter: nil)
                }
                state.received += items.map(\.id)
                return .sent(refused: 0)
            }
        }
    }

    private func limits(count: Int) -> ExportLimits {
        ExportLimits(
            count: count,
            bytes: 1 << 20,
            batchCount: 10,
            batchBytes: 1 << 20,
            itemBytes: 10
        )
    }

    @Test func `a receiver that is down for a minute gets the newest when it is back`() async {
        let (virtual, receiver) = (VirtualTime(), Receiver())
        let (reports, reported) = AsyncStream<Void>.makeStream()
        let queue = ExportQueue<Item>(limits(count: 100), time: virtual.time) {
            receiver.send($0)
        }
        await withTaskGroup { group in
            group.addTask { await queue.run { reported.yield() } }
            receiver.set(down: true)
            var id = 0
            while virtual.now < .seconds(60) {
                queue.add(
                    (0..<5).map { _ in
                        defer { id += 1 }
                        return Item(id: id)
                    }
                )
                #expect(queue.state.count <= 100)
                await virtual.passToNext()
                // A pause may be longer than the next second.
                while virtual.now < .seconds(id / 5) { await virtual.passToNext() }
            }
            #expect(queue.state.problem?.text == "it is down; start it")
            #expect(receiver.attempts < 12)
            receiver.set(down: false)
            group.addTask { await virtual.passOn() }
            for await _ in reports where queue.state.count == 0 { break }
            let state = queue.state
            #expect(state.problem == nil)
            #expect(receiver.received == Array((id - receiver.received.count)..<id))
            #expect(state.sent == receiver.received.count)
            #expect(state.sent + state.dropped == id)
            queue.finish()
            group.cancelAll()
        }
    }

    @Test func `the end sends what waits, and waits no longer than three seconds`() async {
        let (virtual, receiver) = (VirtualTime(), Receiver())
        let queue = ExportQueue<Item>(limits(count: 100), time: virtual.time) { items in
            // The last item is never answered before the request is given up.
            if items.contains(where: { $0.id == 99 }) {
                await Signal().wait()
                return .later(ExportProblem(text: "cancelled"), retryAfter: nil)
            }
            return receiver.send(items)
        }
        queue.add((90..<100).map { Item(id: $0) } + [Item(id: 100)])
        queue.add([])
        queue.finish()
        await withTaskGroup { group in
            group.addTask { await virtual.passOn() }
            await queue.run {}
            group.cancelAll()
        }
        #expect(virtual.now == .seconds(3))
        #expect(queue.state.dropped == 11)
        #expect(queue.state.count == 0)
    }

    @Test func `a signal that was set before wakes at once, and once`() async {
        let signal = Signal()
        signal.set()
        await signal.wait()
        let virtual = VirtualTime()
        async let wasSet = signal.wait(atMost: .seconds(5), virtual.time)
        await virtual.passToNext()
        #expect(await !wasSet)
        #expect(virtual.now == .seconds(5))
    }

    @Test func `a latch stays set, and being cancelled does not set it`() async {
        let (latch, virtual) = (Signal(isLatch: true), VirtualTime())
        let waiting = Task { await latch.wait() }
        waiting.cancel()
        await waiting.value
        async let wasSet = latch.wait(atMost: .seconds(5), virtual.time)
        await virtual.passToNext()
        #expect(await !wasSet)
        latch.set()
        await latch.wait()
        #expect(await latch.wait(atMost: .seconds(5), virtual.time))
    }
}
