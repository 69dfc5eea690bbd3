import Foundation
import HTTPClient
import MeshModel
import MeshTesting
import Testing

/// Proxies that are started by hand while no daemon runs.
@Suite(.enabled(if: envoyIsExpected), .serialized, .timeLimit(.minutes(1)))
struct ColdStartTests {
    /// Starts what is in the folder of a workload's proxy for that, and hands it to `body`.
    private static func run(
        _ workload: String,
        of mesh: RunningMesh,
        _ body: (Process) async throws -> Void
    ) async throws {
        let process = Process()
        process.executableURL = mesh.state.appendingPathComponent("proxies/demo/\(workload)/run")
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        defer {
            process.terminate()
            process.waitUntilExit()
        }
        try await body(process)
    }

    /// Waits until the proxy of `workload` has what it needs without a daemon.
    private static func waitForCopy(of workload: String, _ mesh: RunningMesh) async throws {
        let folder = mesh.state.appendingPathComponent("proxies/demo/\(workload)")
        let file = folder.appendingPathComponent("standalone.json").path
        try await poll {
            FileManager.default.fileExists(atPath: file)
        } until: {
            $0
        }
    }

    /// Kills an Envoy and waits for its end.
    private static func killEnvoy(_ pid: Int) async throws {
        kill(pid_t(pid), SIGKILL)
        try await poll {
            kill(pid_t(pid), 0)
        } until: {
            $0 != 0
        }
    }

    @Test(arguments: ["", "heddle.dev/mtls: STRICT"])
    func
        `a proxy starts without a daemon, serves, and is replaced by the next daemon's without a failure`(
            _ annotations: String
        ) async throws
    {
        let manifests = [
            "mesh.yaml":
                Manifests.mesh(annotations: annotations)
                + Manifests.running("front", backends: ["blue"])
                + Manifests.served("blue", appPort: "APP1") + Manifests.service("blue")
        ]
        try await RunningMesh.run(manifests, options: ["--drain-time", "2s"]) { mesh in
            let egress = try await mesh.egressAddress(of: "front")
            let killed = try #require(try await mesh.sidecar("blue", "pid")?.integer)
            let host = [HTTPField("Host", "blue.demo:8080")]
            let call: @Sendable () async throws -> HTTPResponse = {
                try await mesh.request("http://\(egress):8080/", headers: host)
            }
            try await Self.waitForCopy(of: "blue", mesh)
            _ = await mesh.end(by: SIGKILL)
            try await Self.killEnvoy(killed)
            #expect(try await call().status == 503)

            try await Self.run("blue", of: mesh) { started in
                let answer = try await poll(call) { $0.status == 200 }
                #expect(answer.name == "blue")
                let outcome = try await Load.run(call) { load in
                    try await load.more(100)
                    try await mesh.start()
                    // What was started by hand goes once another one serves.
                    try await poll {
                        started.isRunning
                    } until: {
                        !$0
                    }
                    try await load.more(100)
                }
                #expect(outcome.failures == [])
                let pid = try await mesh.sidecar("blue", "pid")?.integer
                #expect(pid != nil && pid != killed)
                #expect(pid != Int(started.processIdentifier))
            }
        }
    }

    @Test func `what a proxy needs without a daemon is readable by its owner only`() async throws {
        let manifests = [
            "mesh.yaml":
                Manifests.mesh(annotations: "heddle.dev/mtls: STRICT")
                + Manifests.running("front")
        ]
        try await RunningMesh.run(manifests) { mesh in
            let folder = mesh.state.appendingPathComponent("proxies/demo/front")
            let file = folder.appendingPathComponent("standalone.json").path
            try await Self.waitForCopy(of: "front", mesh)
            let text = try String(contentsOfFile: file, encoding: .utf8)
            #expect(text.contains("PRIVATE KEY"))
            let attributes = try FileManager.default.attributesOfItem(atPath: file)
            #expect(attributes[.posixPermissions] as? Int == 0o600)
        }
    }
}
