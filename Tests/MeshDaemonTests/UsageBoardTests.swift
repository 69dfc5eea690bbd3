import EnvoySupervisor
import Foundation
import MeshModel
import Testing

@testable import MeshDaemon

@Suite struct UsageBoardTests {
    private let board = UsageBoard()
    private let keeper = SizingKeeper(
        folder: "/tmp/heddle-board-\(UInt64.random(in: 0...UInt64.max))",
        nowSeconds: { 1_700_006_400 },
        logger: Lines().logger
    )
    private let blue = ProxyID(ObjectReference(namespace: "demo", name: "blue"))
    private let red = ProxyID(ObjectReference(namespace: "demo", name: "red"))

    private func usage(_ second: Double) -> ProxyUsage {
        ProxyUsage(
            timeSeconds: 1_700_006_400 + second,
            intervalSeconds: 1,
            cpuMillicores: 3,
            memoryBytes: 20 << 20
        )
    }

    private func take(_ proxy: ProxyID, _ second: Double, isShedding: Bool, limit: Int? = nil) {
        let report = UsageReport.usage(
            usage(second),
            isShedding: isShedding,
            memoryLimitBytes: limit
        )
        board.take(proxy, report, keeper)
    }

    /// How often `proxy` is known to have begun to refuse work; a kill renews what is known.
    private func periods(_ proxy: ProxyID) -> Int? {
        board.take(red, .outOfMemoryKill(limitBytes: 1 << 20, peakBytes: 1 << 20), keeper)
        return keeper.summaries[proxy]?.sheddingPeriods
    }

    @Test func `the newest measurement of those that are there is shown`() {
        take(blue, 1, isShedding: false)
        take(red, 1, isShedding: false)
        take(blue, 2, isShedding: false)
        #expect(board.current == [blue: usage(2), red: usage(1)])
        board.forget { $0 == blue }
        #expect(board.current == [blue: usage(2)])
    }

    @Test func `each beginning of refusals counts once, with the limit of its Envoy`() {
        take(blue, 1, isShedding: true, limit: 64 << 20)
        #expect(periods(blue) == 1)
        take(blue, 2, isShedding: true, limit: 64 << 20)
        #expect(periods(blue) == 1)
        take(blue, 3, isShedding: false, limit: 64 << 20)
        take(blue, 4, isShedding: true, limit: 64 << 20)
        #expect(periods(blue) == 2)
        board.forget { $0 == red }
        take(blue, 5, isShedding: true, limit: 64 << 20)
        #expect(periods(blue) == 3)
    }
}
