import MeshTesting
import Testing

extension ClusterFaultTests {
    /// One replica whose network to the API server fails.
    @Suite struct NetworkFaultTests {}
}

extension ClusterFaultTests.NetworkFaultTests {
    @Test
    func `changes that the server has forgotten when the network comes back are caught up with`()
        async throws
    {
        try await CanaryTrait.use(replicas: 1) { cluster, faults in
            let pod = "green-2"
            try await cluster.begin(with: pod)
            let removals = try await cluster.removals()
            try await cluster.underTraffic(keepsObjects: true) { _ in
                let lists = try await cluster.lists()
                try await faults.disconnect()
                try await cluster.setWeights(blue: 1, green: 0)
                try await cluster.server.kubectl(
                    ["delete", "pod", pod, "-n", "color-app", "--wait=false"]
                )
                try await cluster.server.compact()
                try await faults.end()
                try await cluster.expectBlue()
                // Each kind was listed anew, as no watch could go on.
                let kinds = 11.0
                try await poll({ try await cluster.lists() }, until: { $0 >= lists + kinds })
            }
            #expect(try await cluster.removals() == removals)
        }
    }

    @Test func `an API server that turns most requests down is caught up with`() async throws {
        try await CanaryTrait.use(replicas: 1) { cluster, faults in
            let pod = "green-3"
            try await cluster.begin(with: pod)
            let removals = try await cluster.removals()
            try await cluster.underTraffic(keepsObjects: true) { _ in
                let before = try await faults.answers.counts()
                try await faults.answers.set(
                    AnswerProxy.Faults(
                        share: 0.6,
                        statuses: [429, 500, 502, 503, 504],
                        cutShare: 0.5
                    )
                )
                try await faults.connections.cut()
                try await cluster.setWeights(blue: 1, green: 0)
                try await cluster.server.kubectl(
                    ["delete", "pod", pod, "-n", "color-app", "--wait=false"]
                )
                try await poll(
                    within: .seconds(40),
                    { try await faults.answers.counts() },
                    until: { $0.refused > before.refused + 40 && $0.cut > before.cut + 5 }
                )
                try await faults.end()
                try await cluster.expectBlue()
            }
            #expect(try await cluster.removals() == removals)
            // What passes by itself is no lack of rights.
            let conditions = try await cluster.field(
                ".status.conditions[*].type",
                of: "mesh/color-mesh",
                in: "default"
            )
            #expect(conditions == "MeshActive")
        }
    }
}

extension ClusterMesh {
    /// Has green answer alone, by its first Pod and by `pod`.
    fileprivate func begin(with pod: String) async throws {
        try await setWeights(blue: 0, green: 1)
        try await runColor(pod)
        try await waitUntilAnswers(["green"], with: [pod])
        try await waitUntilRouterIsObserved()
    }

    /// Waits until blue answers alone, and the status of the router says so.
    fileprivate func expectBlue() async throws {
        try await waitUntilAnswers(["blue"], within: .seconds(40))
        try await waitUntilRouterIsObserved(within: .seconds(40))
    }

    /// How many pages of lists the API server has answered.
    fileprivate func lists() async throws -> Double {
        try await metric("heddle_kubernetes_requests_total{", ["verb": "list", "code": "200"])
    }
}
