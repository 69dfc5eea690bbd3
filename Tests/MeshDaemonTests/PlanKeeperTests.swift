import Foundation
import MeshModel
import MeshPlan
import ServiceLifecycle
import Testing

@testable import MeshDaemon

@Suite(.timeLimit(.minutes(1))) struct PlanKeeperTests {
    private let path = "/tmp/heddle-plans-\(UInt64.random(in: 0...UInt64.max))"
    private let log = Lines()

    private func plan(_ names: String..., concurrency: Int = 1) -> Plan {
        var plan = Plan()
        for name in names {
            let reference = ObjectReference(namespace: "demo", name: name)
            let proxy = ProxyPlan(
                id: ProxyID(reference),
                owner: ObjectID(.virtualNode, reference),
                nodeID: "mesh/demo/virtualNode/\(name)_demo",
                addresses: ProxyAddresses(ingress: "127.66.0.1", egress: "127.67.0.1"),
                concurrency: concurrency
            )
            plan.proxies[proxy.id] = proxy
        }
        return plan
    }

    private func keeper(_ state: StateDirectory) -> PlanKeeper {
        PlanKeeper(state: state, logger: log.logger)
    }

    @Test func `a plan that could not be written is written later`() throws {
        defer { try? FileManager.default.removeItem(atPath: path) }
        let state = try StateDirectory(path)
        let keeper = keeper(state)
        // In the place of the folder.
        try Data().write(to: URL(fileURLWithPath: "\(path)/plans"))
        keeper.keep(plan("blue"))
        let start = ContinuousClock.now
        keeper.writePending(at: start)
        #expect(log.all.count == 1)
        #expect(log.all[0].hasPrefix("warning not saved: cannot write \(path)/plans/proxies"))
        #expect(log.all[0].hasSuffix("; make room or mend its permissions"))
        #expect(!log.all[0].contains("NSCocoaErrorDomain"))
        try FileManager.default.removeItem(atPath: "\(path)/plans")
        keeper.writePending(at: start + .seconds(1))
        #expect(keeper.restore().proxies.isEmpty, "it is too soon")
        keeper.writePending(at: start + .seconds(5))
        #expect(keeper.restore().proxies == plan("blue").proxies)
    }

    @Test func `the next daemon finds the last plan, and no proxy that is gone`() throws {
        defer { try? FileManager.default.removeItem(atPath: path) }
        let state = try StateDirectory(path)
        let first = keeper(state)
        first.keep(plan("blue", "green", "red"))
        first.writePending()
        first.keep(plan("blue", "red", concurrency: 2))
        first.writePending()
        #expect(first.restore().proxies == plan("blue", "red", concurrency: 2).proxies)
        // Another daemon, which has written nothing yet.
        let second = keeper(state)
        second.keep(plan("blue"))
        second.writePending()
        #expect(keeper(state).restore().proxies == plan("blue").proxies)
        #expect(log.all.isEmpty)
    }

    @Test func `what came last is written at shutdown`() async throws {
        defer { try? FileManager.default.removeItem(atPath: path) }
        let keeper = keeper(try StateDirectory(path))
        let group = ServiceGroup(services: [keeper], logger: log.logger)
        try await withThrowingTaskGroup { tasks in
            tasks.addTask { try await group.run() }
            keeper.keep(plan("blue"))
            while keeper.restore().proxies.isEmpty { await Task.yield() }
            keeper.keep(plan("red"))
            await group.triggerGracefulShutdown()
            try await tasks.waitForAll()
        }
        #expect(keeper.restore().proxies == plan("red").proxies)
    }
}
