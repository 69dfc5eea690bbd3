import HTTPClient
import MeshTesting
import Testing

/// What a node reaches beyond the virtual nodes that run here.
@Suite(.enabled(if: envoyIsExpected), .serialized, .timeLimit(.minutes(1)))
struct EgressTests {
    @Test func `what the mesh always allows is reached under DROP_ALL, and nothing else`()
        async throws
    {
        let allowed = #"heddle.dev/always-allowed: "127.0.0.1:APP1, localhost:APP1""#
        let base =
            Manifests.mesh(annotations: allowed) + Manifests.running("front")
            + Manifests.served("allowed", appPort: "APP1")
            + Manifests.served("other", appPort: "APP2")
        try await RunningMesh.run(["mesh.yaml": base]) { mesh in
            let proxy = "http://\(try await mesh.egressAddress(of: "front")):15001"
            let (allowed, other) = (mesh.application(1).port, mesh.application(2).port)
            for host in ["127.0.0.1", "localhost"] {
                let tunnelled = try await curl(
                    ["--proxy", proxy, "--proxytunnel", "http://\(host):\(allowed)/secret"]
                )
                #expect(tunnelled.contains("\"name\": \"allowed\""), "\(tunnelled)")
                let plain = try await curl(["--proxy", proxy, "http://\(host):\(allowed)/open"])
                #expect(plain.contains("\"name\": \"allowed\""), "\(plain)")
                for options in [["--proxytunnel"], []] {
                    let refused = try await curl(
                        ["--proxy", proxy] + options + ["http://\(host):\(other)/"]
                    )
                    #expect(refused.contains("404"), "\(refused)")
                }
            }
            #expect(try await mesh.application(1).counts("/secret").attempts == 2)
            #expect(try await mesh.application(2).counts().attempts == 0)
        }
    }

    /// What `curl` prints, the headers and its own messages included.
    private func curl(_ arguments: [String]) async throws -> String {
        let options = ["curl", "--silent", "--show-error", "--include", "--max-time", "20"]
        return try await runCommand("/usr/bin/env", options + arguments).output
    }

    @Test func `a service in Cloud Map is what its workloads here are, by their attributes`()
        async throws
    {
        func node(_ name: String, selects: Bool, attributes: String = "") -> String {
            """
            ---
            apiVersion: appmesh.k8s.aws/v1beta2
            kind: VirtualNode
            metadata: {name: \(name), namespace: demo}
            spec:
              \(selects ? "podSelector: {matchLabels: {app: \(name)}}" : "")
              listeners: [{portMapping: {port: 8080, protocol: http}}]
              serviceDiscovery:
                awsCloudMap: {namespaceName: demo.local, serviceName: color\(attributes)}

            """
        }
        let blue = ", attributes: [{key: stage, value: blue}]"
        let base =
            Manifests.mesh() + Manifests.running("front", backends: ["blue", "any", "stage"])
            + node("blue", selects: true, attributes: blue)
            + Manifests.workload("blue", of: "blue", appPort: "APP1")
            + node("green", selects: true)
            + Manifests.workload("green", of: "green", appPort: "APP2")
            + node("any", selects: false) + node("stage", selects: false, attributes: blue)
            + Manifests.service("blue") + Manifests.service("any") + Manifests.service("stage")
        try await RunningMesh.run(["mesh.yaml": base]) { mesh in
            let rows: [(service: String, names: Set<String?>)] = [
                ("blue", ["blue"]), ("any", ["blue", "green"]), ("stage", ["blue"]),
            ]
            for (service, expected) in rows {
                var names: Set<String?> = []
                for _ in 0..<6 {
                    let host = "\(service).demo:8080"
                    names.insert(try await mesh.request(from: "front", host: host).name)
                }
                #expect(names == expected, "\(service)")
            }
        }
    }
}
