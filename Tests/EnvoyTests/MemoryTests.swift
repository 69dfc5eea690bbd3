import Foundation
import MeshModel
import MeshTesting
import Testing

/// Proxies whose load wants more memory than they may have.
@Suite(
    .enabled(if: envoyIsExpected),
    .enabled("control groups for memory may be written") { memoryGroupsAreWritable() },
    .serialized,
    .timeLimit(.minutes(1))
)
struct MemoryTests {
    /// Answers all requests with 8 MB.
    private static let application = """
        import asyncio, os

        async def answer(reader, writer):
            try:
                while await reader.readuntil(b"\\r\\n\\r\\n"):
                    writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 8000000\\r\\n\\r\\n")
                    for _ in range(80):
                        writer.write(bytes(100000))
                        await writer.drain()
            except (asyncio.IncompleteReadError, ConnectionError): writer.close()

        async def main():
            server = await asyncio.start_server(answer, "127.0.0.1", int(os.environ["PORT"]), backlog=4096)
            await server.serve_forever()

        asyncio.run(main())

        """

    /// Asks ADDRESS on COUNT connections, PAUSE seconds after each other, reads nothing, and ends when
    /// the file END is there or the proxy is gone.
    private static let clients = """
        import os, socket, sys, time
        address, count, pause, end = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
        clients = []
        for _ in range(count):
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.settimeout(2)
            try:
                client.connect((address, 8080))
                client.sendall(b"GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n")
            except OSError: pass
            clients.append(client)
            time.sleep(pause)
        while not os.path.exists(end): time.sleep(0.05)

        """

    private static func run(
        limit: String,
        _ body: (RunningMesh) async throws -> Void
    ) async throws {
        let resources = "resources: {limits: {memory: \(limit)}, requests: {memory: \(limit)}}"
        let manifests =
            Manifests.mesh() + Manifests.node("blue")
            + Manifests.workload("blue", of: "blue", appPort: "APP1", sidecar: resources)
            .replacing("[python3, app.py]", with: "[python3, large.py]")
        let files = [
            "mesh.yaml": manifests, "large.py": application, "clients.py": clients,
        ]
        try await RunningMesh.run(files, body)
    }

    /// Runs `body` while clients that read nothing come to the proxy.
    private static func press(
        _ mesh: RunningMesh,
        clients: Int,
        pause: Double,
        _ body: () async throws -> Void
    ) async throws {
        let program = mesh.folder.appendingPathComponent("clients.py").path
        let end = mesh.folder.appendingPathComponent("end").path
        let address = try await mesh.ingressAddress(of: "blue")
        let arguments = ["python3", program, address, "\(clients)", "\(pause)", end]
        async let result = runCommand("/usr/bin/env", arguments)
        defer { try? Data().write(to: URL(fileURLWithPath: end)) }
        try await body()
        try Data().write(to: URL(fileURLWithPath: end))
        let output = try await result.output
        #expect(output == "")
    }

    @Test func `the kernel holds a proxy to its limit`() async throws {
        try await Self.run(limit: "64Mi") { mesh in
            let pid = try #require(try await mesh.sidecar("blue", "pid")?.integer)
            #expect(try memoryLimit(of: pid) == 64 << 20)
        }
    }

    @Test func `a proxy sheds load before it reaches its limit`() async throws {
        try await Self.run(limit: "64Mi") { mesh in
            let before = try await mesh.sidecar("blue", "pid")
            try await Self.press(mesh, clients: 100, pause: 0.05) {
                let action = "overload.envoy.overload_actions.stop_accepting_connections.active"
                try await poll {
                    try await mesh.statistic(action, of: "blue")
                } until: {
                    $0 == 1
                }
            }
            #expect(try await mesh.sidecar("blue", "pid") == before)
            #expect(try await mesh.sidecar("blue", "restarts")?.integer == 0)
        }
    }

    @Test func `a proxy that the kernel ends at its limit starts again, and status says why`()
        async throws
    {
        // Envoy needs more than this to begin with any work.
        try await Self.run(limit: "32Mi") { mesh in
            try await Self.press(mesh, clients: 300, pause: 0) {
                try await poll {
                    try await mesh.sidecar("blue", "restarts")?.integer ?? 0
                } until: {
                    $0 > 0
                }
            }
            let events = try await poll {
                try await mesh.heddle("events")
            } until: {
                $0.contains("ProxyRestarted")
            }
            #expect(events.contains("memory limit of 32Mi"), "\(events)")
            // It may run short, so the exit code is not 0.
            try await poll {
                try await mesh.result(["sizing", "--verbose"]).output
            } until: {
                $0.contains("was killed")
            }
        }
    }
}

/// The limit of a process's control group for memory, version 1 or 2.
private func memoryLimit(of pid: Int) throws -> Int? {
    let text = try String(contentsOfFile: "/proc/\(pid)/cgroup", encoding: .utf8)
    for line in text.split(separator: "\n") {
        let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
        let file =
            switch parts[1] {
            case "memory": "/sys/fs/cgroup/memory\(parts[2])/memory.limit_in_bytes"
            case "": "/sys/fs/cgroup\(parts[2])/memory.max"
            default: ""
            }
        if let limit = try? String(contentsOfFile: file, encoding: .utf8) {
            return Int(limit.trimmingCharacters(in: .whitespacesAndNewlines))
        }
    }
    return nil
}

/// Whether a test may make control groups that limit memory.
private func memoryGroupsAreWritable() -> Bool {
    let controllers = try? String(
        contentsOfFile: "/sys/fs/cgroup/cgroup.controllers",
        encoding: .utf8
    )
    let parent =
        controllers?.contains("memory") == true ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory"
    let folder = "\(parent)/heddle-test-\(getpid())"
    guard mkdir(folder, 0o755) == 0 else { return false }
    defer { rmdir(folder) }
    return access("\(folder)/memory.limit_in_bytes", W_OK) == 0
        || access("\(folder)/memory.max", W_OK) == 0
}
