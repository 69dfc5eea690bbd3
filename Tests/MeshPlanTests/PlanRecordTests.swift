import Foundation
import MeshModel
import MeshPlan
import MeshTesting
import Testing

/// A new daemon plans after what the one before it kept.
@Suite struct PlanRecordTests {
    /// `plan` as the next daemon finds it.
    private func restored(_ plan: Plan) throws -> Plan {
        let record = try JSONDecoder().decode(
            PlanRecord.self,
            from: try JSONEncoder().encode(PlanRecord(plan))
        )
        let proxies = try plan.proxies.values.map { proxy in
            try JSONDecoder().decode(ProxyPlan.self, from: try JSONEncoder().encode(proxy))
        }
        return Plan(restoring: record, proxies)
    }

    @Test(arguments: seeds(20))
    func `the next plan is the same after what was restored`(_ seed: UInt64) throws {
        var random = RandomWorld(seed: seed)
        var world = random.world()
        var last = plan(world, nowSeconds: 0)
        for second in 1...5 {
            let objects = world.objects.filter { $0.id.kind != .namespace }
            world.insert(random.edited(random.generator.pick(objects)))
            var observations = Observations()
            observations.addresses = last.addresses
            let next = plan(world, observations, after: last, nowSeconds: second)
            let again = plan(
                world,
                observations,
                after: try restored(last),
                nowSeconds: second
            )
            expectEqual(next, again)
            #expect(PlanRecord(next) == PlanRecord(again))
            last = next
        }
    }

    @Test func `what is kept of a proxy is all of its plan`() throws {
        var random = RandomWorld(seed: 1)
        let plan = plan(random.world(), nowSeconds: 0)
        #expect(!plan.proxies.isEmpty)
        #expect(try restored(plan).proxies == plan.proxies)
    }
}
