import Foundation
import HTTPClient
import MeshModel
import MeshTesting
import Testing

/// A whole mesh: the heddle program, real Envoys, and applications of the test's own.
@Suite(.enabled(if: envoyIsExpected), .serialized, .timeLimit(.minutes(3)))
struct MeshTests {
    @Test func `requests reach the node that their host names, by proxy and by port`() async throws
    {
        let mesh =
            Manifests.mesh()
            + Manifests.served("front", appPort: "APP1", backends: ["jazz", "metal"])
            + Manifests.served("jazz", appPort: "APP2") + Manifests.service("jazz")
            + Manifests.served("metal", appPort: "APP3", port: 9090) + Manifests.service("metal")
        try await RunningMesh.run(["mesh.yaml": mesh]) { mesh in
            var answer = try await mesh.request(
                from: "front",
                host: "jazz.demo:8080",
                path: "/a?b=c"
            )
            #expect(answer.status == 200)
            #expect(answer.name == "jazz")
            #expect(answer.text.contains("/a?b=c"))
            answer = try await mesh.request(from: "front", host: "metal.demo")
            #expect(answer.name == "metal")
            answer = try await mesh.request(from: "front", host: "jazz.demo", port: 8080)
            #expect(answer.name == "jazz")
            answer = try await mesh.request(from: "front", host: "metal.demo:9090", port: 9090)
            #expect(answer.name == "metal")
            // No backend has the name, and DROP_ALL lets nothing else pass.
            #expect(try await mesh.request(from: "front", host: "front.demo:8080").status == 404)
            // Jazz declares no backends.
            #expect(try await mesh.request(from: "jazz", host: "metal.demo:9090").status == 404)
        }
    }

    @Test func `saved weights move the traffic and lose no request`() async throws {
        let base =
            Manifests.mesh() + Manifests.served("front", appPort: "APP1", backends: ["color"])
            + Manifests.served("blue", appPort: "APP2") + Manifests.served("green", appPort: "APP3")
        func router(_ blue: Int, _ green: Int) -> String {
            Manifests.routed("color", routes: Manifests.route(["blue": blue, "green": green]))
        }
        try await RunningMesh.run(["mesh.yaml": base, "router.yaml": router(100, 0)]) { mesh in
            func answers(_ count: Int) async throws -> [String?] {
                var names: [String?] = []
                for _ in 0..<count {
                    let answer = try await mesh.request(from: "front", host: "color.demo:8080")
                    names.append(answer.status == 200 ? answer.name : nil)
                }
                return names
            }
            let before = try await answers(20)
            #expect(Set(before) == ["blue"])
            async let meanwhile = answers(200)
            try mesh.save("router.yaml", router(0, 100))
            let line = try await mesh.line(containing: "in force")
            #expect(line.contains("1 proxy updated"))
            let during = try await meanwhile
            #expect(!during.contains(nil))
            let after = try await answers(20)
            #expect(Set(after) == ["green"])
        }
    }

    @Test func `a refused route shows Envoy's reason, and the route before it serves`() async throws
    {
        let base =
            Manifests.mesh() + Manifests.served("front", appPort: "APP1", backends: ["color"])
            + Manifests.served("other", appPort: "APP2", backends: ["blue"])
            + Manifests.served("blue", appPort: "APP3") + Manifests.service("blue")
        func router(_ match: String) -> String {
            Manifests.routed("color", routes: Manifests.route(["blue": 1], match: match))
        }
        try await RunningMesh.run(["mesh.yaml": base, "router.yaml": router("{prefix: /}")]) {
            mesh in
            try mesh.save(
                "router.yaml",
                router("{prefix: /, headers: [{name: x, match: {regex: \"[z-a]\"}}]}")
            )
            _ = try await mesh.line(containing: "1 of them refused it")
            let answer = try await mesh.request(from: "front", host: "color.demo:8080")
            #expect(answer.name == "blue")
            let router = try await mesh.object(
                "appmesh.k8s.aws/v1beta2",
                "virtualrouters",
                "color"
            )
            let condition = router["status"]?["conditions"]?.array?.first
            #expect(condition?["status"]?.string == "False")
            let message = condition?["message"]?.string ?? ""
            #expect(message.contains("invalid character class range"))
            #expect(try await mesh.sidecar("front", "sync")?["routes"]?.string == "Refused")
            #expect(try await mesh.sidecar("other", "sync")?["routes"]?.string == "Synced")

            try mesh.save("router.yaml", self.router(mended: "green"))
            _ = try await mesh.line(containing: "in force")
            #expect(try await mesh.sidecar("front", "refusals")?.array?.isEmpty == true)
            #expect(try await mesh.request(from: "front", host: "color.demo:8080").status == 503)
        }
    }

    /// A router whose only target is missing: its share is answered with 503.
    private func router(mended target: String) -> String {
        Manifests.routed("color", routes: Manifests.route(["green-\(target)": 1]))
    }

    @Test func `a killed Envoy comes back and serves`() async throws {
        let mesh =
            Manifests.mesh() + Manifests.served("front", appPort: "APP1", backends: ["blue"])
            + Manifests.served("blue", appPort: "APP2") + Manifests.service("blue")
        try await RunningMesh.run(["mesh.yaml": mesh]) { mesh in
            let pid = try #require(try await mesh.sidecar("blue", "pid")?.integer)
            kill(pid_t(pid), SIGKILL)
            _ = try await mesh.line(containing: "ready: demo/blue")
            #expect(try await mesh.sidecar("blue", "restarts")?.integer == 1)
            let answer = try await mesh.request(from: "front", host: "blue.demo:8080")
            #expect(answer.name == "blue")
        }
    }

    @Test func `a stopped Envoy holds nobody else up`() async throws {
        let base =
            Manifests.mesh() + Manifests.served("front", appPort: "APP1", backends: ["color"])
            + Manifests.served("stuck", appPort: "APP2", backends: ["color"])
            + Manifests.served("blue", appPort: "APP3") + Manifests.served("green", appPort: "APP4")
        func router(_ target: String) -> String {
            Manifests.routed("color", routes: Manifests.route([target: 1]))
        }
        try await RunningMesh.run(["mesh.yaml": base, "router.yaml": router("blue")]) { mesh in
            let pid = pid_t(try #require(try await mesh.sidecar("stuck", "pid")?.integer))
            kill(pid, SIGSTOP)
            try mesh.save("router.yaml", router("green"))
            // The stuck proxy has not answered, so the change's end is not told: ask the other.
            var answer = try await mesh.request(from: "front", host: "color.demo:8080")
            while answer.name != "green" {
                answer = try await mesh.request(from: "front", host: "color.demo:8080")
            }
            kill(pid, SIGCONT)
            _ = try await mesh.line(containing: "in force: 2 proxies")
            let late = try await mesh.request(from: "stuck", host: "color.demo:8080")
            #expect(late.name == "green")
        }
    }

    @Test(arguments: [SIGTERM, SIGINT, SIGHUP])
    func `a signal leaves no process behind`(signal: Int32) async throws {
        let mesh = Manifests.mesh() + Manifests.served("front", appPort: "APP1")
        try await RunningMesh.run(["mesh.yaml": mesh]) { mesh in
            let running = try mesh.processes()
            #expect(running.count == 2)
            #expect(await mesh.end(by: signal) == 0)
            let left = try mesh.processes()
            #expect(left.isEmpty)
        }
    }

    @Test func `workloads come and go with their files`() async throws {
        let base =
            Manifests.mesh() + Manifests.served("front", appPort: "APP1", backends: ["blue"])
            + Manifests.service("blue")
        try await RunningMesh.run(["mesh.yaml": base]) { mesh in
            // The service is there, and the node that provides it is not.
            #expect(try await mesh.request(from: "front", host: "blue.demo:8080").status == 503)
            try mesh.save("blue.yaml", Manifests.served("blue", appPort: "APP2"))
            _ = try await mesh.line(containing: "ready: demo/blue")
            let answer = try await mesh.request(from: "front", host: "blue.demo:8080")
            #expect(answer.name == "blue")
            try FileManager.default.removeItem(at: mesh.folder.appendingPathComponent("blue.yaml"))
            _ = try await mesh.line(containing: "removed: demo/blue")
        }
    }

    @Test func `a file that stops parsing keeps its last good objects`() async throws {
        let mesh =
            Manifests.mesh() + Manifests.served("front", appPort: "APP1", backends: ["blue"])
        let blue = Manifests.served("blue", appPort: "APP2") + Manifests.service("blue")
        try await RunningMesh.run(["mesh.yaml": mesh, "blue.yaml": blue]) { mesh in
            try mesh.save("blue.yaml", "kind: [")
            _ = try await mesh.line(containing: "keeps the 3 objects of its last good version")
            let answer = try await mesh.request(from: "front", host: "blue.demo:8080")
            #expect(answer.name == "blue")
        }
    }

    @Test func `TCP backends are reached by their port`() async throws {
        let mesh =
            Manifests.mesh() + Manifests.served("front", appPort: "APP1", backends: ["db"])
            + Manifests.served("db", appPort: "APP2", protocol: "tcp", port: 5432)
            + Manifests.service("db")
        try await RunningMesh.run(["mesh.yaml": mesh]) { mesh in
            let answer = try await mesh.request(from: "front", host: "whatever", port: 5432)
            #expect(answer.text == "db")
        }
    }

    @Test func `external services are reached by DNS, and others as the egress filter says`()
        async throws
    {
        let outside = Manifests.served("outside", appPort: "APP2", port: 8088)
        let external = """
            ---
            apiVersion: appmesh.k8s.aws/v1beta2
            kind: VirtualNode
            metadata: {name: external, namespace: demo}
            spec:
              listeners: [{portMapping: {port: APP2, protocol: http}}]
              serviceDiscovery: {dns: {hostname: localhost, ipPreference: IPv4_ONLY}}
            ---
            apiVersion: appmesh.k8s.aws/v1beta2
            kind: VirtualService
            metadata: {name: external, namespace: demo}
            spec: {awsName: api.example.com, provider: {virtualNode: {virtualNodeRef: {name: external}}}}

            """
        let caller = Manifests.served("front", appPort: "APP1", backends: ["external"])
        try await RunningMesh.run([
            "mesh.yaml": Manifests.mesh(), "nodes.yaml": caller + outside + external,
        ]) { mesh in
            let answer = try await mesh.request(from: "front", host: "api.example.com")
            #expect(answer.name == "outside")
            let ports = try await mesh.workload("outside")["spec"]?["ports"]?["8088"]?.integer
            let host = "127.0.0.1:\(try #require(ports))"
            #expect(try await mesh.request(from: "front", host: host).status == 404)
            try mesh.save("mesh.yaml", Manifests.mesh(egressFilter: "ALLOW_ALL"))
            _ = try await mesh.line(containing: "in force")
            let allowed = try await mesh.request(from: "front", host: host)
            #expect(allowed.name == "outside")
        }
    }
}
