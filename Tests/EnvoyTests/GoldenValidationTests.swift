import Foundation
import MeshPlan
import MeshTesting
import Testing

/// Envoy itself accepts what golden cases show.
@Suite(.enabled(if: envoyIsExpected)) struct GoldenValidationTests {
    @Test func `Envoy accepts every proxy of every golden case`() async throws {
        let envoy = try requireEnvoy()
        let configurations = try GoldenCase.all.flatMap { golden in
            try golden.plan().proxies.values.sorted { $0.id < $1.id }.map { proxy in
                ("\(golden.name)/\(proxy.id)", try staticConfiguration(of: proxy).json.prettyText)
            }
        }
        #expect(configurations.count > 30)
        // Two at a time: each takes a core.
        var rest = configurations[...]
        await withTaskGroup(of: String?.self) { group in
            for (name, text) in rest.prefix(2) {
                group.addTask { validate(text, name, with: envoy) }
            }
            rest = rest.dropFirst(2)
            for await refusal in group {
                if let refusal { Issue.record("\(refusal)") }
                if let (name, text) = rest.popFirst() {
                    group.addTask { validate(text, name, with: envoy) }
                }
            }
        }
    }
}

/// Why `envoy` refuses `configuration`, nil when it accepts it.
private func validate(_ configuration: String, _ name: String, with envoy: String) -> String? {
    let file = FileManager.default.temporaryDirectory
        .appendingPathComponent("heddle-\(UUID().uuidString).json")
    defer { try? FileManager.default.removeItem(at: file) }
    do {
        try Data(configuration.utf8).write(to: file)
        let result = try run(envoy, ["--mode", "validate", "-l", "error", "-c", file.path])
        return result.status == 0 ? nil : "\(name): \(result.output)"
    } catch {
        return "\(name): \(error)"
    }
}
