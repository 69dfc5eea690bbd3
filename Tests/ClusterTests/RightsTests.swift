import MeshTesting
import Testing

extension ClusterFaultTests {
    /// A service account that lacks rights on a kind.
    @Suite struct RightsTests {}
}

extension ClusterFaultTests.RightsTests {
    @Test
    func
        `rights that are taken away are named, all else works, and it comes right once they are granted`()
        async throws
    {
        try await CanaryTrait.use(replicas: 1) { cluster, faults in
            try await cluster.setWeights(blue: 0, green: 1)
            try await cluster.waitUntilAnswers(["green"])
            let removals = try await cluster.removals()
            try await cluster.underTraffic { _ in
                let role = try await cluster.role()
                try await cluster.take("virtualrouters", "list,watch")
                try await cluster.take("virtualnodes/status", "patch")
                // Rights are asked for when a watch begins.
                try await faults.connections.cut()
                try await cluster.server.kubectl(
                    "patch",
                    "virtualnode",
                    "color-green",
                    "-n",
                    "color-app",
                    "--type=merge",
                    "-p",
                    #"{"spec": {"logging": {"accessLog": {"file": {"path": "/dev/stdout"}}}}}"#
                )
                // A watch that is refused is followed by a list that is.
                let reading =
                    "\(accountText) may not (list|watch) virtualrouters.appmesh.k8s.aws, so "
                    + "that those known before stay in force"
                let writing =
                    "\(accountText) may not patch virtualnodes.appmesh.k8s.aws/status, so that "
                    + "the status of each VirtualNode stays as it is; grant verb patch in a ClusterRole"
                let problems = try [Regex(reading), Regex(writing)]
                try await cluster.expectAccess { message in
                    problems.allSatisfy { message.contains($0) }
                }
                for problem in problems { #expect(cluster.all[0].output.contains(problem)) }

                // A change of another kind is in effect, and its status is written.
                try await cluster.runColor("green-4")
                try await cluster.waitUntilAnswers(["green"], with: ["green-4"])
                try await cluster.setWeights(blue: 1, green: 0)

                try await cluster.server.apply(role)
                try await cluster.waitUntilAnswers(["blue"], within: .seconds(40))
                try await cluster.expectAccess { $0.isEmpty }
                try await cluster.waitUntilRouterIsObserved()
                let versions = try await cluster.server.kubectl(
                    "get",
                    "virtualnode",
                    "color-green",
                    "-n",
                    "color-app",
                    "-o",
                    "jsonpath={.metadata.generation} {.status.observedGeneration}"
                )
                #expect(Set(versions.split(separator: " ")).count == 1)
            }
            #expect(try await cluster.removals() == removals)
        }
    }
}

/// Of a message, with a capital letter or without.
private let accountText = "he service account heddle-system/heddle"

extension ClusterMesh {
    /// The ClusterRole of Heddle.
    fileprivate func role() async throws -> String {
        let text = try await server.kubectl("get", "clusterrole", "heddle", "-o", "yaml")
        // What is applied names no version.
        return text.split(separator: "\n").filter { !$0.contains("resourceVersion:") }
            .joined(separator: "\n")
    }

    /// Takes all rights on `resource` out of the ClusterRole, and waits until `verbs` are refused.
    fileprivate func take(_ resource: String, _ verbs: String) async throws {
        let text = try await role()
        let left = text.split(separator: "\n").filter { $0 != "  - \(resource)" }
        try await server.apply(left.joined(separator: "\n"))
        let account = "system:serviceaccount:\(Self.namespace):heddle"
        for verb in verbs.split(separator: ",") {
            try await poll(
                {
                    do {
                        let parts = resource.split(separator: "/").map(String.init)
                        let part = parts.count > 1 ? ["--subresource=\(parts[1])"] : []
                        return try await server.kubectl(
                            ["auth", "can-i", String(verb), "\(parts[0]).appmesh.k8s.aws"]
                                + part + ["-n", "color-app", "--as", account]
                        )
                    } catch let failure as KubectlFailure {
                        return failure.output
                    }
                },
                until: { $0.hasPrefix("no") }
            )
        }
    }

    /// Waits until the condition KubernetesAccess of the mesh has a message that is as expected; there is
    /// none when nothing is missing.
    fileprivate func expectAccess(_ isExpected: (String) -> Bool) async throws {
        let path = ".status.conditions[?(@.type==\"KubernetesAccess\")].message"
        try await poll(
            within: .seconds(40),
            { try await field(path, of: "mesh/color-mesh", in: "default") },
            until: isExpected
        )
    }
}
