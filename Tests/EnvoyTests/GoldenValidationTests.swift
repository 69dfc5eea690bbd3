import Foundation
import MeshPlan
import MeshTesting
import Testing

/// Envoy itself accepts what is planned.
@Suite(.enabled(if: envoyIsExpected), .serialized) struct GoldenValidationTests {
    @Test func `Envoy accepts every proxy of every golden case`() async throws {
        let all = try GoldenCase.all.flatMap { golden in
            try configurations(of: golden.plan(), from: golden.name)
        }
        #expect(all.count > 30)
        try await expectAccepted(all)
    }

    @Test(arguments: seeds(5))
    func `Envoy accepts every proxy of a random world`(_ seed: UInt64) async throws {
        var random = RandomWorld(seed: seed)
        let plan = plan(random.world(), nowSeconds: 0)
        try await expectAccepted(configurations(of: plan, from: "seed \(seed)"))
    }

    /// The text of each proxy's static configuration, under a name for messages.
    private func configurations(
        of plan: Plan,
        from source: String
    ) throws -> [(name: String, text: String)] {
        try plan.proxies.values.sorted { $0.id < $1.id }.map { proxy in
            ("\(source): \(proxy.id)", try staticConfiguration(of: proxy).json.prettyText)
        }
    }

    /// Two at a time, as each takes a core.
    private func expectAccepted(_ configurations: [(name: String, text: String)]) async throws {
        let envoy = try requireEnvoy()
        var rest = configurations[...]
        await withTaskGroup(of: String?.self) { group in
            for (name, text) in rest.prefix(2) {
                group.addTask { await validate(text, name, with: envoy) }
            }
            rest = rest.dropFirst(2)
            for await refusal in group {
                if let refusal { Issue.record("\(refusal)") }
                if let (name, text) = rest.popFirst() {
                    group.addTask { await validate(text, name, with: envoy) }
                }
            }
        }
    }
}

/// Why `envoy` refuses `configuration`, nil when it accepts it.
func validate(_ configuration: String, _ name: String, with envoy: String) async -> String? {
    let file = FileManager.default.temporaryDirectory
        .appendingPathComponent("heddle-\(UUID().uuidString).json")
    defer { try? FileManager.default.removeItem(at: file) }
    do {
        try Data(configuration.utf8).write(to: file)
        let result = try await runCommand(
            envoy,
            ["--mode", "validate", "-l", "error", "-c", file.path]
        )
        return result.status == 0 ? nil : "\(name): \(result.output)"
    } catch {
        return "\(name): \(error)"
    }
}
