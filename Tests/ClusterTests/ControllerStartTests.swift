import Foundation
import HTTPClient
import MeshTesting
import Testing

/// What a replica does before it has ever reached its API server.
@Suite(.timeLimit(.minutes(2)))
struct ControllerStartTests {
    @Test func `health is told and a signal heard before the API server answers`() async throws {
        let folder = FileManager.default.temporaryDirectory
            .appendingPathComponent("heddle-start-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        // It takes connections and says nothing.
        let server = try await ConnectionProxy("https://127.0.0.1:1")
        try await server.set(.stall)
        let kubeconfig = folder.appendingPathComponent("kubeconfig").path
        try """
        apiVersion: v1
        kind: Config
        clusters: [{name: silent, cluster: {server: "\(server.endpoint)"}}]
        users: [{name: heddle, user: {token: t}}]
        contexts: [{name: silent, context: {cluster: silent, user: heddle}}]
        current-context: silent
        """.write(toFile: kubeconfig, atomically: true, encoding: .utf8)
        let (http, xds) = (try unusedPort(), try unusedPort())
        let replica = try await TestReplica(
            [
                heddleBinary.path, "run", "--kubernetes", "--kubeconfig", kubeconfig,
                "--state-dir", folder.appendingPathComponent("state").path,
                "--xds-address", "127.0.0.1:\(xds)", "--webhook-address", "none",
                "--http-address", "127.0.0.1:\(http)", "--service-name", "heddle.test.svc",
            ],
            log: folder.appendingPathComponent("log").path
        )
        let client = HTTPClient()
        func ask(_ path: String) async -> HTTPResponse? {
            let url = "http://127.0.0.1:\(http)\(path)"
            return try? await client.response(
                to: HTTPRequest("GET", url, timeout: .seconds(5))
            )
        }
        try await poll({ await ask("/healthz")?.status }, until: { $0 == 200 })
        #expect(await ask("/readyz")?.status == 503)
        try await server.set(.refuse)
        try await server.cut()
        try await poll(
            { await ask("/readyz")?.text ?? "" },
            until: { $0.contains("the API server does not answer: get /version") }
        )
        try await replica.stop()
        // A signal that nobody hears ends a process, too, unless it is a container's first.
        #expect(replica.output.contains("controller stops"))
    }
}
