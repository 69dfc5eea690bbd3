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
        async let requests: () = checkRequests()
        async let connections: () = checkConnections()
        _ = try await (requests, connections)
    }

    private func checkRequests() async throws {
        try await EchoServer.run(["rpc-1", "rpc-2"]) { servers, ports in
            let base =
                Manifests.mesh()
                + Manifests.running("front", backends: ["web", "modern", "rpc"])
                + pair("web", protocol: "http", first: 1)
                + pair("modern", protocol: "http2", first: 3)
                + Manifests.node("rpc", protocol: "grpc", listener: check("grpc"))
                + Manifests.service("rpc")
                + Manifests.runningWorkload("rpc-1", of: "rpc", appPort: ports[0])
                + Manifests.runningWorkload("rpc-2", of: "rpc", appPort: ports[1])
            try await RunningMesh.run(["mesh.yaml": base]) { mesh in
                async let web: () = checkHTTP(mesh, "web", mesh.application(1), path: "/ping")
                async let modern: () = checkHTTP(mesh, "modern", mesh.application(3), path: "h2")
                async let rpc: () = checkGRPC(mesh, servers[0])
                _ = try await (web, modern, rpc)
            }
        }
    }

    /// Fails `application`, the first of a node's two, and mends it; it counts checks by `path`.
    private func checkHTTP(
        _ mesh: RunningMesh,
        _ node: String,
        _ application: TestApplication,
        path: String
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
            for (isHealthy, expected) in [(false, ["rpc-2: hi"]), (true, both)] {
                server.isHealthy.withLock { $0 = isHealthy }
                await server.nextChecks()
                while try await answers() != expected {}
            }
        }
    }

    /// A proxy takes connections for an application that does not; so it is the proxy that fails,
    /// while Heddle, which would tell callers at once, is stopped.
    private func checkConnections() async throws {
        let base =
            Manifests.mesh() + Manifests.running("front", backends: ["db"])
            + pair("db", protocol: "tcp", first: 1, port: 5432)
        try await RunningMesh.run(["mesh.yaml": base]) { mesh in
            let address = try await mesh.egressAddress(of: "front")
            let pid = pid_t(try #require(try await mesh.sidecar("db-1", "pid")?.integer))
            func answers() async throws -> Set<String?> {
                var answers: Set<String?> = []
                for _ in 0..<6 {
                    try await TCPConnection.run(address, port: 5432) {
                        answers.insert(try await $0.exchange("hi"))
                    }
                }
                return answers
            }
            let both: Set<String?> = ["db-1: hi", "db-2: hi"]
            while try await answers() != both {}
            try await mesh.withoutHeddle {
                let checks = try await mesh.application(2).counts("silent").attempts
                kill(pid, SIGKILL)
                try await mesh.application(2).wait("silent", attempts: checks + 2)
                while try await answers() != ["db-2: hi"] {}
            }
            _ = try await mesh.line(containing: "ready: demo/db-1")
            while try await answers() != both {}
        }
    }
}
