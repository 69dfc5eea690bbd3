import MeshModel
import Synchronization
import Testing

@testable import MeshDaemon
@testable import XDSServer

@Suite(.timeLimit(.minutes(1))) struct `Tap hub` {
    /// What proxies were told, in order.
    private final class Runtime: Sendable {
        private let told = Mutex<[String]>([])
        private let changes = AsyncStream.makeStream(of: Void.self)

        var all: [String] { told.withLock { $0 } }

        func set(_ values: [String: String], _ proxy: ProxyID) {
            let text = values.map { "\(proxy.workload.name) \($0.key)=\($0.value)" }
            told.withLock { $0 += text }
            changes.continuation.yield()
        }

        /// Waits until `count` things were told.
        func until(_ count: Int) async {
            var iterator = changes.stream.makeAsyncIterator()
            while all.count < count, await iterator.next(isolation: #isolation) != nil {}
        }
    }

    private let feed = SnapshotStore().requests
    private let runtime = Runtime()

    private func hub(
        adopted: [ProxyID] = [],
        interval: Duration = .seconds(3600),
        rate: Double? = nil
    ) -> TapHub {
        TapHub(
            feed: feed,
            adopted: adopted,
            interval: interval,
            requestsPerSecond: { _ in rate },
            setRuntime: { [runtime] in runtime.set($0, $1) }
        )
    }

    /// Taps until `isLast` of a line.
    private func tap(
        _ hub: TapHub,
        _ query: TapQuery,
        _ proxies: Set<ProxyID>,
        until isLast: (TapLine) throws -> Bool
    ) async throws -> [TapLine] {
        struct Enough: Error {}
        var lines: [TapLine] = []
        do {
            try await hub.tap(query, { proxies }) { more in
                for line in more {
                    lines.append(line)
                    if try isLast(line) { throw Enough() }
                }
            }
        } catch is Enough {}
        return lines
    }

    private let both: Set = [proxyID("blue-1"), proxyID("blue-2")]

    @Test func `proxies are tapped for as long as somebody looks`() async throws {
        let lines = try await tap(hub(), TapQuery(), both) { line in
            guard case .request = line else {
                feed.publish(of: proxyID("red-1")) { [sampleRequest("/red")] }
                feed.publish(of: proxyID("blue-2")) { [sampleRequest("/blue")] }
                return false
            }
            return true
        }
        #expect(
            lines == [
                .notice(TapNotice(proxies: ["demo/blue-1", "demo/blue-2"])),
                .request(sampleRequest("/blue")),
            ]
        )
        #expect(
            runtime.all.sorted() == [
                "blue-1 heddle.tap=", "blue-1 heddle.tap=100", "blue-2 heddle.tap=",
                "blue-2 heddle.tap=100",
            ]
        )
        #expect(runtime.all.suffix(2).allSatisfy { $0.hasSuffix("=") })
    }

    @Test func `adopted proxies are reset once`() {
        _ = hub(adopted: [proxyID("blue-1")])
        #expect(runtime.all == ["blue-1 heddle.tap="])
    }

    @Test func `two who look ask for what the busier of them needs`() async throws {
        let hub = hub(rate: 500)
        let one: Set = [proxyID("blue-1")]
        _ = try await tap(hub, TapQuery(maximumRate: 50), one) { _ in
            #expect(
                runtime.all == ["blue-1 heddle.tap=10"]
            )
            return true
        }
        #expect(runtime.all.last == "blue-1 heddle.tap=")
        try await withThrowingTaskGroup(of: Void.self) { group in
            let (begun, begin) = AsyncStream.makeStream(of: Void.self)
            group.addTask {
                try await hub.tap(TapQuery(maximumRate: 500), { one }) { _ in begin.yield() }
            }
            for await _ in begun { break }
            #expect(runtime.all.last == "blue-1 heddle.tap=100")
            let count = runtime.all.count
            _ = try await tap(hub, TapQuery(maximumRate: 50), one) { _ in true }
            // The second changed nothing, neither by its begin nor by its end.
            #expect(runtime.all.count == count)
            group.cancelAll()
            while let result = await group.nextResult() { _ = result }
        }
        #expect(runtime.all.last == "blue-1 heddle.tap=")
    }

    @Test func `proxies that come are tapped, and those that go are not`() async throws {
        let hub = hub(interval: .milliseconds(1))
        let present = Mutex<Set<ProxyID>>([])
        struct Enough: Error {}
        await #expect(throws: Enough.self) {
            try await hub.tap(TapQuery(), { present.withLock { $0 } }) { lines in
                for case .notice(let notice) in lines {
                    switch notice.proxies {
                    case []: present.withLock { $0 = [proxyID("blue-1")] }
                    case ["demo/blue-1"]: present.withLock { $0 = [proxyID("blue-2")] }
                    case ["demo/blue-2"]: throw Enough()
                    default: Issue.record("\(notice)")
                    }
                }
            }
        }
        #expect(
            runtime.all.prefix(3).sorted() == [
                "blue-1 heddle.tap=", "blue-1 heddle.tap=100", "blue-2 heddle.tap=100",
            ]
        )
        #expect(runtime.all.last == "blue-2 heddle.tap=")
    }

    @Test func `what is over the rate is counted and not shown`() async throws {
        let hub = hub(interval: .milliseconds(1))
        let lines = try await tap(hub, TapQuery(maximumRate: 5), [proxyID("blue-1")]) { line in
            guard case .notice(let notice) = line else { return false }
            if notice.overRate == 0 {
                feed.publish(of: proxyID("blue-1")) {
                    Array(repeating: sampleRequest(), count: 100)
                }
            }
            return notice.overRate > 0
        }
        let shown = lines.count { if case .request = $0 { true } else { false } }
        // The limit refills meanwhile.
        #expect((5..<100).contains(shown))
        // A burst is answered by a smaller part at once.
        #expect(runtime.all.contains { !$0.hasSuffix("=100") && !$0.hasSuffix("=") })
    }

    @Test func `the part follows the rate, down at once and up in steps`() {
        var share = TapShare(budget: 100, requestsPerSecond: 0)
        #expect(share.value == 1)
        share.observe(requestsPerSecond: 10_000)
        #expect(share.value == 0.01)
        share.observe(requestsPerSecond: 9000)
        #expect(share.value == 0.01)
        share.observe(requestsPerSecond: 0)
        #expect(share.value == 0.04)
        for _ in 0..<3 { share.observe(requestsPerSecond: 50) }
        #expect(share.value == 1)
        share.observe(requestsPerSecond: 1e12)
        #expect(share.value == TapShare.minimum)
        #expect(TapShare(budget: 100, requestsPerSecond: 400).value == 0.25)
        #expect(TapShare.runtimeValue(0) == "" && TapShare.runtimeValue(1) == "100")
        #expect(TapShare.runtimeValue(0.25) == "25" && TapShare.runtimeValue(0.001) == "1")
    }

    @Test func `a limit lets so many through a second`() {
        let limit = RateLimit(perSecond: 10)
        let start = ContinuousClock.now
        func admitted(at time: Duration) -> Int {
            (0..<100).count { _ in limit.admits(start + time) }
        }
        #expect(admitted(at: .zero) == 10)
        #expect(admitted(at: .milliseconds(500)) == 5)
        #expect(admitted(at: .seconds(60)) == 10)
        // A clock that goes back gives nothing.
        #expect(admitted(at: .zero) == 0)
        #expect(limit.refused == 375)
    }

    @Test(arguments: [
        (TapQuery(), true), (TapQuery(method: "GET"), true), (TapQuery(method: "POST"), false),
        (TapQuery(path: "/co"), true), (TapQuery(path: "/x"), false),
        (TapQuery(statuses: [.hundred(2)]), true), (TapQuery(statuses: [.code(404)]), false),
        (TapQuery(statuses: [.none]), false), (TapQuery(target: "color"), true),
        (TapQuery(target: "9081"), true), (TapQuery(target: "red"), false),
    ])
    func `a query selects`(query: TapQuery, expected: Bool) {
        #expect(query.matches(sampleRequest()) == expected)
    }
}
