import Foundation
import HTTPClient
import MeshModel
import MeshTesting
import Synchronization
import Testing

/// Workloads that fail their health checks get no requests until they pass them again.
///
/// App Mesh's shortest interval is 5 s, and two checks decide; so all that is waited for goes on at once.
@Suite(.enabled(if: envoyIsExpected), .serialized, .timeLimit(.minutes(2)))
struct HealthCheckTests {
    private func check(_ protocol: String) -> String {
        "healthCheck: {protocol: \(`protocol`), path: /ping, healthyThreshold: 2, "
            + "unhealthyThreshold: 2, timeoutMillis: 2000, intervalMillis: 5000}"
    }

    /// A node with two workloads, its applications on the ports after `APP<first>`.
    private func pair(_ name: String, protocol: String, first: Int, port: Int = 8080) -> String {
        Manifests.node(name, protocol: `protocol`, port: port, listener: check(`protocol`))
            + Manifests.service(name)
            + (1...2).map {
                Manifests.workload(
                    "\(name)-\($0)",
                    of: name,
                    appPort: "APP\(first + $0 - 1)",
                    port: port,
                    mode: `protocol`
                )
            }.joined()
    }

    @Test func `a workload that fails its checks gets no requests until it passes them`()
        async throws
    {
        async let byCallers: () = checkRequests("callers")
        async let byOwnProxy: () = checkRequests("once")
        async let proxies: () = checkDeadProxy()
        async let applications: () = checkDeadApplication()
        _ = try await (byCallers, byOwnProxy, proxies, applications)
    }

    /// Checks a mesh whose annotation says that `who` checks: every caller, or the workload's own proxy.
    private func checkRequests(_ who: String) async throws {
        try await EchoServer.run(["rpc-1", "rpc-2"]) { servers, ports in
            let base =
                Manifests.mesh(annotations: "heddle.dev/health-checks: \(who)")
                + Manifests.running("front", backends: ["web", "modern", "rpc"])
                + pair("web", protocol: "http", first: 1)
                + pair("modern", protocol: "http2", first: 3)
                + Manifests.node("rpc", protocol: "grpc", listener: check("grpc"))
                + Manifests.service("rpc")
                + Manifests.runningWorkload("rpc-1", of: "rpc", appPort: ports[0])
                + Manifests.runningWorkload("rpc-2", of: "rpc", appPort: ports[1])
            let start = ContinuousClock.now
            try await RunningMesh.run(["mesh.yaml": base]) { mesh in
                let applications = [mesh.application(1), mesh.application(3)]
                async let web: () = checkHTTP(mesh, "web", applications[0], path: "/ping", start)
                async let modern: () = checkHTTP(mesh, "modern", applications[1], path: "h2", start)
                async let rpc: () = checkGRPC(mesh, servers[0])
                _ = try await (web, modern, rpc)
            }
        }
    }

    /// Fails `application`, the first of a node's two, and mends it; it counts checks by `path`.
    ///
    /// The mesh began at `start`.
    private func checkHTTP(
        _ mesh: RunningMesh,
        _ node: String,
        _ application: TestApplication,
        path: String,
        _ start: ContinuousClock.Instant
    ) async throws {
        func names() async throws -> Set<String?> {
            var names: Set<String?> = []
            for _ in 0..<6 {
                let answer = try await mesh.request(from: "front", host: "\(node).demo:8080")
                names.insert(answer.name)
            }
            return names
        }
        let both: Set<String?> = ["\(node)-1", "\(node)-2"]
        while try await names() != both {}
        // A workload that starts is asked once before it gets requests, unless an interval passed.
        if path == "/ping" {
            let attempts = try await application.counts(path).attempts
            #expect(attempts == 1 || .now - start > .seconds(5))
        }
        for (status, expected) in [(500, ["\(node)-2"]), (200, both)] as [(Int, Set<String?>)] {
            let before = try await application.counts(path).attempts
            try await application.answer(always: .status(status), to: path)
            try await application.wait(path, attempts: before + 2)
            while try await names() != expected {}
        }
    }

    private func checkGRPC(_ mesh: RunningMesh, _ server: EchoServer) async throws {
        let address = try await mesh.egressAddress(of: "front")
        try await EchoClient.run(address, port: 8080, authority: "rpc.demo:8080") { client in
            func answers() async throws -> Set<String> {
                var answers: Set<String> = []
                for _ in 0..<6 { answers.insert(try await client.say("hi").message) }
                return answers
            }
            let both: Set<String> = ["rpc-1: hi", "rpc-2: hi"]
            while try await answers() != both {}
            while server.checks.withLock({ $0.isEmpty }) { _ = try await answers() }
            // It is checked, and by its own proxy alone: callers would check it 5 s apart each.
            let checks = server.checks.withLock { $0 }
            let seconds = checks.last.map { Int(($0 - checks[0]).components.seconds) } ?? 0
            #expect((1...(2 + seconds / 4)).contains(checks.count))
            for (isHealthy, expected) in [(false, ["rpc-2: hi"]), (true, both)] {
                server.isHealthy.withLock { $0 = isHealthy }
                await server.nextChecks()
                while try await answers() != expected {}
            }
        }
    }

    /// A proxy takes connections for an application that does not; so where callers check, it is the
    /// proxy that fails, while Heddle, which would tell callers at once, is stopped.
    private func checkDeadProxy() async throws {
        let base =
            Manifests.mesh() + Manifests.running("front", backends: ["db"])
            + pair("db", protocol: "tcp", first: 1, port: 5432)
        let began = ContinuousClock.now
        try await RunningMesh.run(["mesh.yaml": base]) { mesh in
            let address = try await mesh.egressAddress(of: "front")
            let pid = pid_t(try #require(try await mesh.sidecar("db-1", "pid")?.integer))
            while try await answers(at: address) != both {}
            // Heddle too connects once, to see that it listens; callers check it 5 s apart.
            let attempts = try await mesh.application(1).counts("silent").attempts
            let seconds = Int((ContinuousClock.now - began).components.seconds)
            #expect((1...(2 + seconds / 5)).contains(attempts))
            try await mesh.withoutHeddle {
                let checks = try await mesh.application(2).counts("silent").attempts
                kill(pid, SIGKILL)
                try await mesh.application(2).wait("silent", attempts: checks + 2)
                while try await answers(at: address) != ["db-2: hi"] {}
            }
            _ = try await mesh.line(containing: "ready: demo/db-1")
            while try await answers(at: address) != both {}
        }
    }

    /// Where a workload's own proxy checks, an application that takes no connections fails.
    private func checkDeadApplication() async throws {
        let base =
            Manifests.mesh(annotations: "heddle.dev/health-checks: once")
            + Manifests.running("front", backends: ["db"])
            + Manifests.node("db", protocol: "tcp", port: 5432, listener: check("tcp"))
            + Manifests.service("db")
            + Manifests.runningWorkload("db-1", of: "db", appPort: "APP1", port: 5432)
            + Manifests.workload("db-2", of: "db", appPort: "APP2", port: 5432, mode: "tcp")
        try await RunningMesh.run(["mesh.yaml": base]) { mesh in
            let address = try await mesh.egressAddress(of: "front")
            while try await answers(at: address) != ["db-2: hi"] {}
            let application = Process()
            application.executableURL = URL(fileURLWithPath: "/usr/bin/env")
            application.arguments = ["python3", mesh.folder.appendingPathComponent("app.py").path]
            application.environment = ProcessInfo.processInfo.environment.merging([
                "NAME": "db-1", "PORT": "\(mesh.application(1).port)", "MODE": "tcp",
            ]) { $1 }
            try application.run()
            // The signals that end a process politely are blocked in a test's threads.
            defer { kill(application.processIdentifier, SIGKILL) }
            while try await answers(at: address) != both {}
        }
    }

    private var both: Set<String?> { ["db-1: hi", "db-2: hi"] }

    /// What six connections to the TCP service of "front" are answered.
    private func answers(at address: String) async throws -> Set<String?> {
        var answers: Set<String?> = []
        for _ in 0..<6 {
            try Task.checkCancellation()
            try await TCPConnection.run(address, port: 5432) {
                answers.insert(try await $0.exchange("hi"))
            }
        }
        return answers
    }
}
