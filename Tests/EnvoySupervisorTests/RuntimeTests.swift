import Foundation
import HTTPClient
import MeshModel
import MeshPlan
import Testing

@testable import EnvoySupervisor

/// Settings that real Envoys are told while they run.
@Suite(.timeLimit(.minutes(1)), .enabled(if: RealEnvoy.isAvailable || RealEnvoy.isRequired))
struct RuntimeTests {
    private let client = HTTPClient()

    /// What the Envoy that serves has for `key`, once it is `expected`; an empty one is nothing.
    private func expect(
        _ key: String,
        _ expected: String,
        of plan: ProxyPlan,
        _ harness: Harness
    ) async throws {
        let folder = ProxyFolder(of: plan.id, stateDirectory: harness.stateDirectory)
        while true {
            try Task.checkCancellation()
            let slot = ProxyRecord.read(folder.path)?.envoys.last?.start.slot ?? .first
            let response = try? await client.response(
                to: HTTPRequest(
                    "GET",
                    "http://envoy/runtime",
                    unixSocketPath: folder.adminSocketPath(slot)
                )
            )
            if let response, value(key, in: response.body) == expected { return }
            try await Task.sleep(for: .milliseconds(5))
        }
    }

    private func value(_ key: String, in body: [UInt8]) -> String? {
        let runtime = try? JSONDecoder().decode(JSONValue.self, from: Data(body))
        return runtime.map { $0["entries"]?[key]?["final_value"]?.string ?? "" }
    }

    @Test func `each Envoy of a proxy is told, the first as soon as it serves`() async throws {
        let plan = makePlan(ingress: "127.91.4.1")
        try await RealEnvoy.run(configure: { $0.drainTime = .seconds(1) }) { harness in
            harness.supervisor.setRuntime(["heddle.tap": "100", "other key": "a&b=c"], of: plan.id)
            harness.supervisor.apply(plan)
            let first = await harness.wait(for: plan.id) { $0?.process.phase == .running }
            try await expect("heddle.tap", "100", of: plan, harness)
            try await expect("other key", "a&b=c", of: plan, harness)

            kill(Int32(try #require(first?.process.pid)), SIGKILL)
            await harness.wait(for: plan.id) {
                $0?.process.restarts == 1 && $0?.process.phase == .running
            }
            try await expect("heddle.tap", "100", of: plan, harness)

            harness.supervisor.setRuntime(["other key": ""], of: plan.id)
            try await expect("other key", "", of: plan, harness)
            harness.supervisor.apply(makePlan(ingress: "127.91.4.1", concurrency: 2))
            await harness.wait(for: plan.id) { $0?.process.upgrades == 1 }
            try await expect("heddle.tap", "100", of: plan, harness)
            try await expect("other key", "", of: plan, harness)
        }
    }

    @Test func `what is set last holds`() async throws {
        let plan = makePlan(ingress: "127.91.4.2")
        try await RealEnvoy.run { harness in
            harness.supervisor.apply(plan)
            await harness.wait(for: plan.id) { $0?.process.phase == .running }
            for number in 1...50 {
                harness.supervisor.setRuntime(["heddle.tap": "\(number)"], of: plan.id)
            }
            try await expect("heddle.tap", "50", of: plan, harness)
            harness.supervisor.setRuntime(["heddle.tap": "7"], of: plan.id)
            harness.supervisor.setRuntime(["heddle.tap": ""], of: plan.id)
            try await expect("heddle.tap", "", of: plan, harness)
        }
    }

    @Test func `a supervisor resets what an earlier one has set`() async throws {
        let state = Harness.newFolder()
        let plan = makePlan(ingress: "127.91.4.3")
        try await RealEnvoy.run(in: state, configure: { $0.keepsProxies = true }) { harness in
            harness.supervisor.setRuntime(["heddle.tap": "100"], of: plan.id)
            harness.supervisor.apply(plan)
            await harness.wait(for: plan.id) { $0?.process.phase == .running }
            try await expect("heddle.tap", "100", of: plan, harness)
        }
        try await RealEnvoy.run(in: state) { harness in
            let found = harness.supervisor.adopt()
            for proxy in found.keys { harness.supervisor.setRuntime(["heddle.tap": ""], of: proxy) }
            harness.supervisor.apply(plan)
            try await expect("heddle.tap", "", of: plan, harness)
        }
    }
}

/// Settings that a program in Envoy's place is told.
@Suite(.timeLimit(.minutes(1))) struct `Runtime of a busy Envoy` {
    @Test func `is set again and again until Envoy takes it`() async throws {
        let plan = makePlan()
        try await Harness.run { harness in
            harness.supervisor.setRuntime(["heddle.tap": "100"], of: plan.id)
            harness.supervisor.apply(plan)
            let log = await harness.log(plan.id, .envoy, until: "200 OK")
            let change = "/runtime_modify?heddle.tap=100"
            #expect(
                log.split(separator: "\n").map(String.init)
                    == Array(repeating: "503 Service Unavailable \(change)", count: 4)
                    + ["200 OK \(change)"]
            )
        }
    }
}
