import Foundation
import HTTPClient
import MeshModel
import MeshTesting
import Testing

/// What heddle shows of a running mesh's requests.
@Suite(.enabled(if: envoyIsExpected), .serialized, .timeLimit(.minutes(1)))
struct TapTests {
    private static let files = [
        "mesh.yaml": Manifests.mesh(),
        "nodes.yaml": Manifests.running("front", backends: ["blue"])
            + Manifests.served(
                "blue",
                appPort: "APP1",
                rest: "logging: {accessLog: {file: {path: /dev/stdout}}}"
            ) + Manifests.service("blue"),
    ]

    /// Sends requests from front to blue for `path`, with a number each, until one is shown.
    private func line(
        for path: String,
        _ mesh: RunningMesh,
        _ command: FollowedCommand
    ) async throws -> String {
        var number = 0
        return try await poll {
            number += 1
            let one = "\(path)/\(number)?secret=1"
            _ = try await mesh.request(from: "front", host: "blue.demo:8080", path: one)
            // Of any that was sent so far: it takes a moment.
            return command.lines.first { $0.contains("\(path)/") }
        } until: {
            $0 != nil
        } ?? ""
    }

    /// What a proxy's runtime says of its tap; nil when it says nothing.
    private func tapSetting(of workload: String, _ mesh: RunningMesh) async throws -> String? {
        let folder = mesh.state.appendingPathComponent("proxies/demo/\(workload)")
        let client = HTTPClient()
        let response = try await client.response(
            to: HTTPRequest(
                "GET",
                "http://localhost/runtime",
                unixSocketPath: folder.appendingPathComponent("admin.sock").path
            )
        )
        let runtime = try JSONDecoder().decode(JSONValue.self, from: Data(response.body))
        return runtime["entries"]?["heddle.tap"]?["final_value"]?.string
    }

    @Test func `a tap shows requests, over a restart of the proxy, and leaves nothing on`()
        async throws
    {
        try await RunningMesh.run(Self.files) { mesh in
            let tap = try mesh.follow("tap", "blue", "-n", "demo", "--path", "/shown")
            defer { tap.end() }
            _ = try await tap.line(containing: "tapping 1 proxy of blue: demo/blue")
            let first = try await line(for: "/shown", mesh, tap)
            let words = first.split(separator: " ").map(String.init)
            #expect(words.dropFirst().prefix(3) == ["blue", "in", "200"], "\(first)")
            #expect(words.suffix(2).first == "GET", "\(first)")
            #expect(words.last?.hasPrefix("blue.demo:8080/shown/") == true, "\(first)")
            #expect(try await tapSetting(of: "blue", mesh) == "100")
            #expect(try await tapSetting(of: "front", mesh) == nil)

            let pid = try #require(try await mesh.sidecar("blue", "pid")?.integer)
            kill(pid_t(pid), SIGKILL)
            _ = try await poll {
                try await mesh.sidecar("blue", "restarts")?.integer
            } until: {
                $0 == 1
            }
            _ = try await line(for: "/shown/again", mesh, tap)
            _ = try await mesh.request(from: "front", host: "blue.demo:8080", path: "/hidden")
            _ = try await line(for: "/shown/last", mesh, tap)
            #expect(!tap.lines.contains { $0.contains("/hidden") || $0.contains("secret") })

            let status = await tap.interrupt()
            #expect(status == 0)
            #expect(tap.lines.last?.contains("of blue") == true, "\(tap.lines)")
            _ = try await poll {
                try await tapSetting(of: "blue", mesh)
            } until: {
                $0 == nil
            }
        }
    }

    @Test func `a daemon that takes over does not leave proxies tapped`() async throws {
        try await RunningMesh.run(Self.files, options: ["--keep-proxies"]) { mesh in
            let tap = try mesh.follow("tap", "front", "-n", "demo", "-o", "json")
            defer { tap.end() }
            _ = try await tap.line(containing: "tapping 1 proxy of front")
            let text = try await line(for: "/shown", mesh, tap)
            let record = try JSONDecoder().decode(RequestRecord.self, from: Data(text.utf8))
            #expect(record.direction == .outbound && record.proxy == "demo/front")
            #expect(record.cluster == "cds_egress_demo_blue_demo_http_8080", "\(record)")
            #expect(record.attempts == 1 && record.status == 200)
            // It has no time to tell proxies anything.
            _ = await mesh.end(by: SIGKILL)
            #expect(try await tapSetting(of: "front", mesh) == "100")
            try await mesh.start(after: "took over")
            _ = try await poll {
                try await tapSetting(of: "front", mesh)
            } until: {
                $0 == nil
            }
            let status = await tap.status()
            #expect(status == 1)
        }
    }

    @Test func `an access log in a proxy's output is shown without the rest of it`() async throws {
        try await RunningMesh.run(Self.files) { mesh in
            _ = try await mesh.request(from: "front", host: "blue.demo:8080", path: "/first")
            let text = try await poll {
                try await mesh.heddle("logs", "--access", "blue", "-n", "demo")
            } until: {
                !$0.isEmpty
            }
            let lines = text.split(separator: "\n")
            #expect(lines.count == 1 && lines[0].contains("\"GET /first HTTP/1.1\" 200"), "\(text)")
            let log = try mesh.follow("logs", "--access", "blue", "-n", "demo", "-f", "--tail", "0")
            defer { log.end() }
            _ = try await line(for: "/next", mesh, log)
            #expect(log.lines.allSatisfy { $0.contains("GET /next") }, "\(log.lines)")
            let none = try await mesh.result(["logs", "--access", "front", "-n", "demo"])
            #expect(none.status == 1)
            #expect(none.output.contains("\"demo/front\" has no access log: set spec.logging"))
        }
    }

    @Test func `commands show a daemon's own measurements`() async throws {
        try await RunningMesh.run(Self.files) { mesh in
            let edges = try await poll {
                for _ in 0..<5 {
                    _ = try await mesh.request(from: "front", host: "blue.demo:8080")
                }
                return try await mesh.heddle("stats", "vn/blue", "--edges", "-n", "demo")
            } until: { text in
                text.contains("100.00%")
            }
            let lines = edges.split(separator: "\n").map { $0.split(separator: " ") }
            #expect(lines.count == 2, "\(edges)")
            #expect(lines.first?.prefix(4) == ["SOURCE", "TARGET", "SERVICE", "SECURED"])
            #expect(lines.last?.prefix(5) == ["front", "blue", "blue.demo", "no", "100.00%"])
            let graph = try await mesh.heddle("graph", "-n", "demo")
            #expect(graph.contains("└─ blue"), "\(graph)")
            let traces = try await mesh.heddle("traces")
            #expect(traces.contains("tracing is off in mesh demo"), "\(traces)")
            let audit = try await poll {
                try await mesh.heddle("audit", "-n", "demo")
            } until: {
                $0.contains("demo/front")
            }
            #expect(audit.contains("allowed"), "\(audit)")
        }
    }
}
