import Foundation
import HTTPClient
import MeshModel
import MeshTesting
import Testing

/// Proxies and applications that outlive Heddle, and Envoys that take over from others.
@Suite(.enabled(if: envoyIsExpected), .serialized, .timeLimit(.minutes(1)))
struct AdoptionTests {
    private static let manifests = [
        "mesh.yaml": Manifests.mesh(annotations: "heddle.dev/mtls: STRICT")
            + Manifests.service("blue"),
        "front.yaml": Manifests.running("front", backends: ["blue"]),
        "blue.yaml": Manifests.served("blue", appPort: "APP1"),
    ]

    /// One upgrade waits for the Envoys of the one before to end.
    private static let shortDrain = ["--drain-time", "2s"]

    /// Runs `body` while front calls blue, and expects that every call is answered.
    private static func expectNoFailure(
        _ mesh: RunningMesh,
        _ body: (Load) async throws -> Void
    ) async throws {
        let egress = try await mesh.egressAddress(of: "front")
        let host = [HTTPField("Host", "blue.demo:8080")]
        let outcome = try await Load.run(
            { try await mesh.request("http://\(egress):8080/", headers: host) },
            { load in
                try await load.more(100)
                try await body(load)
                try await load.more(100)
            }
        )
        #expect(outcome.failures == [])
    }

    /// The process numbers of the two Envoys.
    private static func envoys(_ mesh: RunningMesh) async throws -> [Int] {
        var numbers: [Int] = []
        for name in ["front", "blue"] {
            numbers.append(try #require(try await mesh.sidecar(name, "pid")?.integer))
        }
        return numbers
    }

    /// How often front's Envoy took clusters, and listeners.
    private static func updates(_ mesh: RunningMesh) async throws -> [Int] {
        var numbers: [Int] = []
        for name in ["cluster_manager.cds", "listener_manager.lds"] {
            numbers.append(try await mesh.statistic("\(name).update_success", of: "front"))
        }
        return numbers
    }

    @Test func `what a killed daemon ran serves on, and the next one takes it over as it is`()
        async throws
    {
        try await RunningMesh.run(Self.manifests) { mesh in
            let running = try Set(mesh.processes())
            let updates = try await Self.updates(mesh)
            try await Self.expectNoFailure(mesh) { load in
                for _ in 0..<2 {
                    _ = await mesh.end(by: SIGKILL)
                    try await load.more(100)
                    try await mesh.start()
                }
            }
            #expect(try Set(mesh.processes()) == running)
            let envoys = try await Self.envoys(mesh)
            #expect(envoys.allSatisfy { running.contains($0) })
            #expect(try await Self.updates(mesh) == updates)
        }
    }

    @Test func `a daemon that keeps its proxies leaves them to the next one, which ends them`()
        async throws
    {
        try await RunningMesh.run(Self.manifests, options: ["--keep-proxies"]) { mesh in
            let running = try Set(mesh.processes())
            try await Self.expectNoFailure(mesh) { load in
                #expect(await mesh.end(by: SIGTERM) == 0)
                try await load.more(100)
                try await mesh.start()
            }
            #expect(try Set(mesh.processes()) == running)
        }
    }

    @Test func `what is changed while no daemon runs is in force once one does`() async throws {
        try await RunningMesh.run(Self.manifests) { mesh in
            let before = try await Self.envoys(mesh)
            _ = await mesh.end(by: SIGKILL)
            try mesh.save(
                "blue.yaml",
                Manifests.served("blue", appPort: "APP1")
                    + Manifests.served("green", appPort: "APP2")
            )
            try mesh.save(
                "mesh.yaml",
                Manifests.mesh(annotations: "heddle.dev/mtls: STRICT") + Manifests.service("green")
            )
            try mesh.save("front.yaml", Manifests.running("front", backends: ["green"]))
            try await mesh.start()
            let answer = try await poll {
                try await mesh.request(from: "front", host: "green.demo:8080")
            } until: {
                $0.status == 200
            }
            #expect(answer.name == "green")
            #expect(try await Self.envoys(mesh) == before)
        }
    }

    @Test func `a proxy whose workload went while no daemon ran is ended by the next one`()
        async throws
    {
        try await RunningMesh.run(Self.manifests) { mesh in
            let blue = try await Self.envoys(mesh)[1]
            _ = await mesh.end(by: SIGKILL)
            try FileManager.default.removeItem(
                at: mesh.folder.appendingPathComponent("blue.yaml")
            )
            try await mesh.start()
            try await poll {
                kill(pid_t(blue), 0)
            } until: {
                $0 != 0
            }
        }
    }

    @Test func `every Envoy is replaced by another one, again and again, and no request fails`()
        async throws
    {
        try await RunningMesh.run(Self.manifests, options: Self.shortDrain) { mesh in
            var seen = try await Self.envoys(mesh)
            try await Self.expectNoFailure(mesh) { load in
                for number in 1...2 {
                    let result = try await mesh.result(["proxies", "upgrade", "--all"])
                    #expect(result.status == 0, "\(result.output)")
                    let envoys = try await Self.envoys(mesh)
                    #expect(envoys.allSatisfy { !seen.contains($0) })
                    seen += envoys
                    #expect(try await mesh.sidecar("blue", "upgrades")?.integer == number)
                    try await load.more(100)
                }
            }
        }
    }

    @Test func `an Envoy that took over from another is adopted like any other`() async throws {
        try await RunningMesh.run(Self.manifests, options: Self.shortDrain) { mesh in
            _ = try await mesh.heddle("proxies", "upgrade", "--all")
            let envoys = try await Self.envoys(mesh)
            try await Self.expectNoFailure(mesh) { _ in
                _ = await mesh.end(by: SIGKILL)
                try await mesh.start()
                #expect(try await Self.envoys(mesh) == envoys)
                _ = try await mesh.heddle("proxies", "upgrade", "--all")
                let next = try await Self.envoys(mesh)
                #expect(next.allSatisfy { !envoys.contains($0) })
            }
        }
    }
}
