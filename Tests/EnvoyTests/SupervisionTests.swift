import Foundation
import HTTPClient
import MeshModel
import MeshTesting
import Testing

/// Proxies and applications that hang, fail, and wait for each other.
@Suite(.enabled(if: envoyIsExpected), .serialized, .timeLimit(.minutes(1)))
struct SupervisionTests {
    /// The condition `WorkloadReady` of a workload once it is as `isExpected` says.
    private static func readiness(
        of workload: String,
        _ mesh: RunningMesh,
        until isExpected: (JSONValue) -> Bool
    ) async throws -> JSONValue {
        let condition = try await poll {
            try await mesh.workload(workload)["status"]?["conditions"]?.array?
                .first { $0["type"]?.string == "WorkloadReady" }
        } until: {
            $0.map(isExpected) ?? false
        }
        return try #require(condition)
    }

    @Test func `an Envoy that hangs is replaced`() async throws {
        let manifests = [
            "mesh.yaml": Manifests.mesh() + Manifests.served("blue", appPort: "APP1")
        ]
        try await RunningMesh.run(manifests) { mesh in
            let address = try await mesh.ingressAddress(of: "blue")
            let stopped = try #require(try await mesh.sidecar("blue", "pid")?.integer)
            kill(pid_t(stopped), SIGSTOP)
            let replaced = try await poll {
                try await mesh.sidecar("blue", "pid")?.integer
            } until: {
                $0 != nil && $0 != stopped
            }
            #expect(replaced != stopped)
            let condition = try await Self.readiness(of: "blue", mesh) {
                $0["status"]?.string == "True"
            }
            #expect(condition["reason"]?.string == "Ready")
            let answer = try await mesh.request("http://\(address):8080/")
            #expect(answer.name == "blue")
        }
    }

    @Test
    func `an application that ends again and again is said to, and recovers once it is mended`()
        async throws
    {
        func manifests(_ command: String) -> String {
            Manifests.mesh() + Manifests.node("blue")
                + Manifests.workload("blue", of: "blue", appPort: "APP1")
                .replacing("[python3, app.py]", with: command)
        }
        let failing = manifests("[sh, -c, \"echo no database; exit 3\"]")
        try await RunningMesh.run(["mesh.yaml": failing], after: "exited with code 3") { mesh in
            let condition = try await Self.readiness(of: "blue", mesh) {
                $0["reason"]?.string == "CrashLoopBackOff"
            }
            #expect(condition["status"]?.string == "False")
            let message = try #require(condition["message"]?.string)
            #expect(message.contains("exited with code 3: no database"), "\(message)")
            try mesh.save("mesh.yaml", manifests("[python3, app.py]"))
            _ = try await Self.readiness(of: "blue", mesh) { $0["status"]?.string == "True" }
        }
    }

    /// What the application asks is answered by its own proxy, which has listeners then.
    @Test func `an application starts when its proxy is ready, and its proxy ends after it`()
        async throws
    {
        let program = """
            import http.client, os, signal, subprocess, sys
            egress = os.environ["HEDDLE_EGRESS_ADDRESS"]

            def ask():
                connection = http.client.HTTPConnection(egress, 15001, timeout=5)
                connection.request("GET", "/", headers={"Host": "nobody.demo"})
                return connection.getresponse().status

            def note(what):
                with open("notes", "a") as file: file.write(what + "\\n")

            def end(*_):
                note(f"end {ask()}")
                application.terminate()
                sys.exit(0)

            note(f"begin {ask()}")
            application = subprocess.Popen([sys.executable, "app.py"])
            signal.signal(signal.SIGTERM, end)
            while True: signal.pause()

            """
        let manifests =
            Manifests.mesh() + Manifests.node("blue")
            + Manifests.workload("blue", of: "blue", appPort: "APP1")
            .replacing("[python3, app.py]", with: "[python3, asking.py]")
        try await RunningMesh.run(["mesh.yaml": manifests, "asking.py": program]) { mesh in
            _ = await mesh.end(by: SIGTERM)
            let notes = mesh.folder.appendingPathComponent("notes")
            let noted = try String(contentsOf: notes, encoding: .utf8)
            #expect(noted == "begin 404\nend 404\n")
            let left = try mesh.processes()
            #expect(left == [])
        }
    }
}
