import Testing

@testable import XDSServer

/// Who is let in next.
@Suite(.timeLimit(.minutes(1))) struct `A fair gate` {
    @Test func `who has fewest inside comes first, and then who came first`() async {
        let gate = FairGate(places: 2)
        #expect(await gate.enter(as: "many"))
        #expect(await gate.enter(as: "many"))
        let (entered, entering) = AsyncStream.makeStream(of: String.self)
        await withTaskGroup { group in
            for name in ["many", "many", "one", "other"] {
                group.addTask {
                    _ = await gate.enter(as: name)
                    entering.yield(name)
                }
                // Each is in the queue before the next comes.
                while gate.waitingCount < ["many": 1, "one": 3, "other": 4][name] ?? 0 {
                    await Task.yield()
                }
            }
            while gate.waitingCount < 4 { await Task.yield() }
            var order = entered.makeAsyncIterator()
            gate.leave(as: "many")
            #expect(await order.next() == "one")
            gate.leave(as: "many")
            #expect(await order.next() == "many")
            gate.leave(as: "one")
            #expect(await order.next() == "other")
            gate.leave(as: "other")
            #expect(await order.next() == "many")
        }
        #expect(gate.waitingCount == 0)
    }

    @Test func `no more wait than may, and no more of one`() async {
        let gate = FairGate(places: 1, waiting: 2, waitingOfOne: 1)
        #expect(await gate.enter(as: "a"))
        await withTaskGroup { group in
            group.addTask { await gate.enter(as: "a") }
            while gate.waitingCount < 1 { await Task.yield() }
            #expect(await gate.enter(as: "a") == false)
            group.addTask { await gate.enter(as: "b") }
            while gate.waitingCount < 2 { await Task.yield() }
            #expect(await gate.enter(as: "c") == false)
            gate.leave(as: "a")
            gate.leave(as: "b")
            for await isInside in group { #expect(isInside) }
        }
    }
}
