import Foundation
import HTTPClient
import MeshTesting
import Testing

/// Heddle in a cluster, from `kubectl apply` to a request through real Envoys in Pods.
@Suite(.serialized, .enabled(if: clusterIsExpected), .timeLimit(.minutes(10)))
struct ClusterMeshTests {
    /// The canary of the examples, with Services for its names: applications resolve these.
    private func applyCanary(to cluster: ClusterMesh) async throws {
        let mesh = try String(
            contentsOfFile: repositoryFile("Manifests/examples/canary/mesh.yaml"),
            encoding: .utf8
        )
        try await cluster.apply(mesh)
        for name in ["front", "color"] {
            try await cluster.apply(
                """
                apiVersion: v1
                kind: Service
                metadata: {name: \(name), namespace: color-app}
                spec: {ports: [{port: 8080}]}
                """
            )
        }
    }

    private func runCanary(in cluster: ClusterMesh) async throws {
        try await applyCanary(to: cluster)
        let pods = [
            ("front", ["app": "front"]), ("blue", ["app": "color", "version": "blue"]),
            ("green", ["app": "color", "version": "green"]),
        ]
        for (name, labels) in pods {
            try await cluster.runPod(name, in: "color-app", labels: labels, waits: false)
        }
        for (name, _) in pods { try await cluster.waitUntilReady(pod: name, in: "color-app") }
    }

    /// Who answers to `count` calls of `color` by the application of `front`.
    private func answers(_ count: Int, in cluster: ClusterMesh) async throws -> [String: Int] {
        var answers: [String: Int] = [:]
        for _ in 0..<count {
            let answer = try await cluster.call(
                "http://color.color-app:8080/",
                from: "front",
                in: "color-app"
            )
            answers[answer.status == 200 ? answer.text : "\(answer.status)", default: 0] += 1
        }
        return answers
    }

    private func setWeights(blue: Int, green: Int, in cluster: ClusterMesh) async throws {
        let path = "/spec/routes/0/httpRoute/action/weightedTargets"
        let changes = [(0, blue), (1, green)].map { index, weight in
            #"{"op": "replace", "path": "\#(path)/\#(index)/weight", "value": \#(weight)}"#
        }
        try await cluster.server.kubectl(
            "patch",
            "virtualrouter",
            "color",
            "-n",
            "color-app",
            "--type=json",
            "-p",
            "[\(changes.joined(separator: ", "))]"
        )
    }

    @Test func `an example is applied with kubectl and carries traffic between Pods`() async throws
    {
        try await ClusterMesh.run { cluster in
            try await runCanary(in: cluster)
            try await cluster.condition("MeshActive", of: "mesh/color-mesh")
            for (type, object) in [
                ("VirtualNodeActive", "virtualnode/color-blue"),
                ("VirtualRouterActive", "virtualrouter/color"),
                ("VirtualServiceActive", "virtualservice/color"),
            ] {
                try await cluster.condition(type, of: object, in: "color-app")
            }
            // The defaults of the webhooks, and the columns of App Mesh.
            let name = try await cluster.field(
                ".spec.awsName",
                of: "virtualnode/color-blue",
                in: "color-app"
            )
            #expect(name == "color-blue_color-app")
            let table = try await cluster.server.kubectl("get", "virtualnodes", "-n", "color-app")
            let header = try #require(table.split(separator: "\n").first)
            #expect(header.split(separator: " ").map(String.init) == ["NAME", "ARN", "AGE"])
            #expect(table.contains("virtualNode/color-blue_color-app"))

            let shared = try await answers(60, in: cluster)
            #expect(Set(shared.keys).isSubset(of: ["blue", "green"]))
            #expect(shared["blue", default: 0] > shared["green", default: 0])
            try await setWeights(blue: 0, green: 1, in: cluster)
            try await poll({ try await answers(5, in: cluster) }, until: { $0 == ["green": 5] })
        }
    }

    @Test func `mutual TLS of a mesh is turned on between Pods, and a stranger is refused`()
        async throws
    {
        try await ClusterMesh.run { cluster in
            try await runCanary(in: cluster)
            #expect(try await answers(1, in: cluster).values.reduce(0, +) == 1)
            try await cluster.server.kubectl(
                "annotate",
                "mesh",
                "color-mesh",
                "heddle.dev/mtls=STRICT"
            )
            // In plaintext nobody gets in any more.
            let address = try await cluster.address(of: "blue", in: "color-app")
            try await poll(
                {
                    let request = HTTPRequest(
                        "GET",
                        "http://\(address):8080/",
                        timeout: .seconds(2)
                    )
                    return (try? await cluster.client.response(to: request).status) ?? 0
                },
                until: { $0 == 0 }
            )
            // front is closed to the test too, so the request is made in its Pod.
            let answer = try await cluster.exec(
                ["curl", "-s", "--max-time", "10", "http://color.color-app:8080/"],
                in: "front",
                "color-app"
            )
            #expect(["blue", "green"].contains(answer))
        }
    }

    @Test func `a Pod that goes away gets no more requests, and one that comes gets its share`()
        async throws
    {
        try await ClusterMesh.run { cluster in
            try await runCanary(in: cluster)
            try await setWeights(blue: 1, green: 0, in: cluster)
            try await poll({ try await answers(5, in: cluster) }, until: { $0 == ["blue": 5] })
            let labels = ["app": "color", "version": "blue"]
            try await cluster.runPod("blue-2", in: "color-app", labels: labels)
            try await poll(
                { try await answers(10, in: cluster) },
                until: { Set($0.keys) == ["blue", "blue-2"] }
            )
            try await cluster.server.kubectl(
                "delete",
                "pod",
                "blue",
                "-n",
                "color-app",
                "--wait=false"
            )
            var failed = 0
            for _ in 0..<200 {
                let answers = try await answers(1, in: cluster)
                failed += answers.filter { !["blue", "blue-2"].contains($0.key) }.values
                    .reduce(0, +)
            }
            #expect(failed == 0)
            try await poll({ try await answers(10, in: cluster) }, until: { $0 == ["blue-2": 10] })
        }
    }
}
