import Foundation
import HTTPClient
import MeshTesting
import Testing

/// A cluster with Heddle in it of which parts fail, while real Envoys carry requests that must not.
@Suite(.serialized, .enabled(if: clusterIsExpected), .timeLimit(.minutes(10)), .canary)
struct ClusterFaultTests {}

extension ClusterFaultTests {
    /// Replicas of Heddle that stand still or are killed.
    @Suite struct ReplicaTests {}
}

extension ClusterFaultTests.ReplicaTests {
    @Test func `a leader that stands still is replaced, and writes nothing when it goes on`()
        async throws
    {
        try await CanaryTrait.use(replicas: 2) { cluster, faults in
            try await cluster.makeFirstReplicaLead()
            try await cluster.setWeights(blue: 1, green: 1)
            try await cluster.runColor("blue-2")
            try await cluster.waitUntilAnswers(["blue", "green"], with: ["blue", "blue-2"])
            try await cluster.waitUntilRouterIsObserved()
            try await cluster.underTraffic { _ in
                try await pauseLeader(of: cluster, faults)
                let before = try await WriteCount(cluster)
                try await cluster.setWeights(blue: 2, green: 1)
                try await cluster.runColor("blue-3", waits: false)
                try await cluster.server.kubectl(
                    ["delete", "pod", "blue", "-n", "color-app", "--wait=false"]
                )
                // The Lease lasts for 15 s after the other replica has seen its last renewal.
                try await poll(
                    within: .seconds(40),
                    { await cluster.isLeader(1) },
                    until: { $0 }
                )
                try await cluster.waitUntilRouterIsObserved()
                cluster.all[0].resume()
                try await before.waitUntilFirstReplicaGaveUp(in: cluster)
                for (blue, green) in [(1, 2), (0, 1), (2, 1)] {
                    try await cluster.setWeights(blue: blue, green: green)
                    try await cluster.waitUntilRouterIsObserved()
                }
                // A proxy leaves a replica that does not answer within 20 s.
                try await cluster.waitUntilAnswers(
                    ["blue", "green"],
                    with: ["blue-2", "blue-3"],
                    without: "blue",
                    within: .seconds(40)
                )
                let isLeading = await (cluster.isLeader(0), cluster.isLeader(1))
                #expect(isLeading == (false, true))
                try await before.expectOnlySecondReplicaWrote(in: cluster, routerWrites: 4)
            }
        }
    }

    @Test func `what a proxy refuses is told to all replicas, and taken back`() async throws {
        try await CanaryTrait.use(replicas: 2) { cluster, _ in
            func told() async throws -> String {
                try await cluster.server.kubectl(
                    "get",
                    "configmap",
                    "heddle-refusals",
                    "-n",
                    ClusterMesh.namespace,
                    "--ignore-not-found",
                    "-o",
                    "jsonpath={.data}"
                )
            }
            let path = "/spec/routes/0/httpRoute/match/headers"
            let headers = #"[{"name": "a", "match": {"regex": "[z-a]"}}]"#
            try await cluster.patchRouter(
                #"[{"op": "add", "path": "\#(path)", "value": \#(headers)}]"#
            )
            let reason = ".status.conditions[?(@.type==\"VirtualRouterActive\")].reason"
            func why() async throws -> String {
                try await cluster.field(reason, of: "virtualrouter/color", in: "color-app")
            }
            try await poll(within: .seconds(30), why, until: { $0 == "RefusedByProxy" })
            try await poll(within: .seconds(30), told, until: { $0.contains("z-a") })
            try await cluster.patchRouter(#"[{"op": "remove", "path": "\#(path)"}]"#)
            try await poll(within: .seconds(30), why, until: { $0 == "Active" })
            try await poll(within: .seconds(30), told, until: { !$0.contains("z-a") })
        }
    }

    /// Has the first replica, which leads, stand still when it is about to write a status and an Event.
    private func pauseLeader(of cluster: ClusterMesh, _ faults: NetworkFaults) async throws {
        try await faults.answers.set(
            AnswerProxy.Faults(
                share: 1,
                statuses: [429],
                retryAfter: 1,
                matching: "^(PATCH .*/status|POST .*/events)"
            )
        )
        try await cluster.apply(
            """
            apiVersion: appmesh.k8s.aws/v1beta2
            kind: VirtualRouter
            metadata: {name: astray, namespace: color-app}
            spec:
              listeners: [{portMapping: {port: 8080, protocol: http}}]
              routes:
              - name: astray
                httpRoute:
                  match: {prefix: /}
                  action: {weightedTargets: [{virtualNodeRef: {name: nobody}, weight: 1}]}
            """
        )
        for verb in ["create", "patch"] {
            try await poll(
                {
                    try await cluster.metric(
                        "heddle_kubernetes_requests_total{",
                        ["verb": verb, "code": "429"]
                    )
                },
                until: { $0 > 0 }
            )
        }
        cluster.all[0].pause()
        try await faults.answers.set(.none)
    }

    @Test
    func
        `replicas that are killed are no loss to proxies, and one that cannot list all takes nothing`()
        async throws
    {
        try await CanaryTrait.use(replicas: 2) { cluster, faults in
            try await cluster.setWeights(blue: 0, green: 1)
            try await cluster.waitUntilAnswers(["green"])
            let removals = try await cluster.removals()
            try await cluster.underTraffic { traffic in
                try await cluster.all[1].kill()
                try await expectChange(to: cluster, through: 0)
                try await cluster.run(replicas: 2)
                try await cluster.all[0].kill()
                try await expectChange(to: cluster, through: 1)

                // The first one starts, and can list all but virtual nodes; there is no other. This
                // status is one that no request waits out.
                try await faults.answers.set(
                    AnswerProxy.Faults(
                        share: 1,
                        statuses: [501],
                        matching: "^GET /apis/appmesh.k8s.aws/v1beta2/virtualnodes"
                    )
                )
                try await cluster.all[0].start()
                try await cluster.all[1].kill()
                let name = "heddle_kubernetes_requests_total{"
                try await poll(
                    { (try? await cluster.metric(name, ["verb": "list", "code": "501"])) ?? 0 },
                    until: { $0 >= 5 }
                )
                let served = traffic.answered
                try await poll({ traffic.answered }, until: { $0 > served + 20 })
                let ready = try await cluster.client.response(
                    to: HTTPRequest("GET", cluster.url("/readyz"))
                )
                #expect(ready.status == 503)
                try await faults.end()
                try await cluster.waitUntilReady(0)
                try await expectChange(to: cluster, through: 0)
            }
            #expect(try await cluster.removals() == removals)
        }
    }

    /// Waits until all proxies are connected to replica `index`, and follow a change by it.
    private func expectChange(to cluster: ClusterMesh, through index: Int) async throws {
        try await poll(
            {
                let pods = try await cluster.server.kubectl(
                    ["get", "pods", "-n", "color-app", "-o", "name"]
                )
                let connected = try? await cluster.metric("heddle_proxy_connected{", of: index)
                return (pods.split(separator: "\n").count, connected.map { Int($0) })
            },
            until: { $0 == $1 }
        )
        try await cluster.setWeights(blue: 1, green: 0)
        try await cluster.waitUntilAnswers(["blue"])
        try await cluster.setWeights(blue: 0, green: 1)
        try await cluster.waitUntilAnswers(["green"])
    }

    @Test func `an API server that is killed and comes back is caught up with`() async throws {
        try await CanaryTrait.use(replicas: 2) { cluster, _ in
            try await cluster.setWeights(blue: 0, green: 1)
            try await cluster.waitUntilAnswers(["green"])
            let removals = try await cluster.removals()
            try await cluster.underTraffic(keepsObjects: true) { traffic in
                let before = try await cluster.unanswered()
                try await cluster.server.kill(.apiserver)
                try await poll(
                    { try await cluster.unanswered() },
                    until: { $0[0] > before[0] && $0[1] > before[1] }
                )
                let served = traffic.answered
                try await poll({ traffic.answered }, until: { $0 > served + 20 })
                try await cluster.server.start(.apiserver)
                try await cluster.setWeights(blue: 1, green: 0)
                try await cluster.waitUntilAnswers(["blue"], within: .seconds(40))
                try await cluster.waitUntilRouterIsObserved(within: .seconds(40))
            }
            #expect(try await cluster.removals() == removals)
        }
    }
}

extension ClusterMesh {
    /// Has the first of two replicas lead.
    fileprivate func makeFirstReplicaLead() async throws {
        // One that ends in order gives the Lease back.
        if await isLeader(1) { try await all[1].stop() }
        try await poll(within: .seconds(40), { await isLeader(0) }, until: { $0 })
        try await run(replicas: 2)
    }

    /// How many requests of each of two replicas the API server did not answer; a network between
    /// them answers 502.
    fileprivate func unanswered() async throws -> [Double] {
        let name = "heddle_kubernetes_requests_total{"
        return [
            try await metric(name, ["code": "502"], of: 0),
            try await metric(name, ["code": "0"], of: 1),
        ]
    }
}

/// What the replicas had written, by the server and by themselves, when the first one stood still.
private struct WriteCount {
    private let requests: Int
    private let second: Double

    init(_ cluster: ClusterMesh) async throws {
        requests = try cluster.server.requests().count
        second = try await Self.count(["result": "written"], by: 1, cluster)
    }

    private static func count(
        _ labels: [String: String],
        by index: Int,
        _ cluster: ClusterMesh
    ) async throws -> Double {
        try await cluster.metric("heddle_kubernetes_writes_total{", labels, of: index)
    }

    /// Waits until the first replica, which goes on, has given up what it was about to write.
    func waitUntilFirstReplicaGaveUp(in cluster: ClusterMesh) async throws {
        try await poll({ await cluster.isLeader(0) }, until: { !$0 })
        for operation in ["status", "event"] {
            try await poll(
                {
                    // One that was accepted is told of by the server.
                    let failed = ["operation": operation, "result": "failed"]
                    let failures = try await Self.count(failed, by: 0, cluster)
                    return try failures > 0 || !writes(by: "heddle-0", in: cluster).isEmpty
                },
                until: { $0 }
            )
        }
    }

    /// The writes of a replica that the server has accepted since.
    private func writes(
        by pod: String,
        in cluster: ClusterMesh
    ) throws -> [KubernetesServer.AuditedRequest] {
        try cluster.server.requests().dropFirst(requests).filter {
            $0.isWrite && $0.user.pod == pod && ($0.responseStatus?.code ?? 500) < 300
        }
    }

    /// Expects that the first replica has written nothing since, and the second what it says, and
    /// nothing that was there already.
    func expectOnlySecondReplicaWrote(in cluster: ClusterMesh, routerWrites: Int) async throws {
        let first = try writes(by: "heddle-0", in: cluster)
        #expect(first.map(\.requestURI) == [])
        let second = try writes(by: "heddle-1", in: cluster)
        let counted = try await Self.count(["result": "written"], by: 1, cluster) - self.second
        #expect(Double(second.count) == counted)
        let ofRouter = second.filter { $0.objectRef?.name == "color" }
        #expect(ofRouter.count { $0.objectRef?.resource == "virtualrouters" } == routerWrites)
        // A write that changes nothing leaves the version as it was.
        let versions = second.compactMap { $0.responseObject?.metadata?.resourceVersion }
        #expect(versions.count == second.count)
        #expect(Set(versions).count == versions.count)
    }
}

extension KubernetesServer.AuditedRequest {
    /// Whether it is one of those that only the leader makes, beside those for the Lease.
    fileprivate var isWrite: Bool {
        objectRef?.subresource == "status" && verb == "patch" && user.pod != nil
            || objectRef?.resource == "events" && ["create", "patch"].contains(verb)
    }
}

extension ClusterMesh {
    /// Changes the router of the canary.
    fileprivate func patchRouter(_ operations: String) async throws {
        try await accepted {
            try await server.kubectl(
                "patch",
                "virtualrouter",
                "color",
                "-n",
                "color-app",
                "--type=json",
                "-p",
                operations
            )
        }
    }
}
