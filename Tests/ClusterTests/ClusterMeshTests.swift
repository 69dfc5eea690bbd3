import Foundation
import HTTPClient
import MeshTesting
import Testing

/// Heddle in a cluster, from `kubectl apply` to a request through real Envoys in Pods.
@Suite(.serialized, .enabled(if: clusterIsExpected), .timeLimit(.minutes(10)))
struct ClusterMeshTests {
    @Test func `an example is applied with kubectl and carries traffic between Pods`() async throws
    {
        try await ClusterMesh.run { cluster in
            try await cluster.runCanary()
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

            let shared = try await cluster.answers(60)
            #expect(Set(shared.keys).isSubset(of: ["blue", "green"]))
            #expect(shared["blue", default: 0] > shared["green", default: 0])
            try await cluster.setWeights(blue: 0, green: 1)
            try await poll({ try await cluster.answers(5) }, until: { $0 == ["green": 5] })
        }
    }

    @Test func `mutual TLS of a mesh is turned on between Pods, and a stranger is refused`()
        async throws
    {
        try await ClusterMesh.run { cluster in
            try await cluster.runCanary()
            #expect(try await cluster.answers(1).values.reduce(0, +) == 1)
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
            try await cluster.runCanary()
            try await cluster.setWeights(blue: 1, green: 0)
            try await poll({ try await cluster.answers(5) }, until: { $0 == ["blue": 5] })
            try await cluster.runColor("blue-2")
            try await cluster.waitUntilAnswers(["blue"], with: ["blue", "blue-2"])
            try await cluster.underTraffic { _ in
                // It waits until kubelet has ended the Pod.
                try await cluster.server.kubectl("delete", "pod", "blue", "-n", "color-app")
            }
            try await cluster.waitUntilAnswers(["blue"], with: ["blue-2"], without: "blue")
        }
    }
}
