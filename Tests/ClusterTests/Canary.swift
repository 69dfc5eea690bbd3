import Foundation
import HTTPClient
import MeshTesting
import Testing

/// The canary of the examples in a cluster: `front` calls `color`, whose requests are split between two
/// virtual nodes.
extension ClusterMesh {
    /// Applies its manifests, with Services for its names: applications resolve these.
    func applyCanary() async throws {
        let mesh = try String(
            contentsOfFile: repositoryFile("Manifests/examples/canary/mesh.yaml"),
            encoding: .utf8
        )
        try await apply(mesh)
        for name in ["front", "color"] {
            try await apply(
                """
                apiVersion: v1
                kind: Service
                metadata: {name: \(name), namespace: color-app}
                spec: {ports: [{port: 8080}]}
                """
            )
        }
    }

    /// Applies it, and runs a Pod of each virtual node.
    func runCanary() async throws {
        try await applyCanary()
        try await runPod("front", in: "color-app", labels: ["app": "front"], waits: false)
        try await runColor("blue", waits: false)
        try await runColor("green", waits: false)
        for name in ["front", "blue", "green"] {
            try await waitUntilReady(pod: name, in: "color-app")
        }
    }

    /// Runs one more Pod of a color, such as `blue-2`, which answers with its name.
    func runColor(_ name: String, waits: Bool = true) async throws {
        let labels = ["app": "color", "version": "\(name.prefix { $0 != "-" })"]
        try await runPod(name, in: "color-app", labels: labels, waits: waits)
    }

    /// What has the application of `front` call `color`.
    func callOfFront() async throws -> String {
        let address = try await address(of: "front", in: "color-app")
        return "http://\(address):8080/call?http://color.color-app:8080/"
    }

    /// Who answers to `count` calls of `color` by the application of `front`.
    func answers(_ count: Int) async throws -> [String: Int] {
        var answers: [String: Int] = [:]
        let url = try await callOfFront()
        for _ in 0..<count {
            let answer = try await client.response(
                to: HTTPRequest("GET", url, timeout: .seconds(10))
            )
            answers[answer.status == 200 ? answer.text : "\(answer.status)", default: 0] += 1
        }
        return answers
    }

    /// Waits until Pods of each of `colors` answer and of no other, each of `pods` among them and not `gone`.
    func waitUntilAnswers(
        _ colors: Set<String>,
        with pods: Set<String> = [],
        without gone: String? = nil,
        within limit: Duration = .seconds(20)
    ) async throws {
        try await poll(
            within: limit,
            { Set(try await answers(20).keys) },
            until: { names in
                Set(names.map { String($0.prefix { $0 != "-" }) }) == colors
                    && names.isSuperset(of: pods) && !names.contains { $0 == gone }
            }
        )
    }

    /// Splits the requests so.
    func setWeights(blue: Int, green: Int) async throws {
        let path = "/spec/routes/0/httpRoute/action/weightedTargets"
        let changes = [(0, blue), (1, green)].map { index, weight in
            #"{"op": "replace", "path": "\#(path)/\#(index)/weight", "value": \#(weight)}"#
        }
        let patch = "[\(changes.joined(separator: ", "))]"
        try await accepted {
            try await server.kubectl(
                ["patch", "virtualrouter", "color", "-n", "color-app", "--type=json", "-p", patch]
            )
        }
    }

    /// Waits until the status of the router speaks of its newest version.
    func waitUntilRouterIsObserved(within limit: Duration = .seconds(20)) async throws {
        let paths = "{.metadata.generation} {.status.observedGeneration}"
        try await poll(
            within: limit,
            {
                try await server.kubectl(
                    ["get", "virtualrouter", "color", "-n", "color-app", "-o", "jsonpath=\(paths)"]
                )
            },
            until: { Set($0.split(separator: " ")).count == 1 }
        )
    }

    /// How many clusters and listeners the Envoy of `front` has taken away so far.
    func removals() async throws -> [String] {
        let stats = try await exec(
            ["curl", "-s", "http://127.0.0.1:9901/stats?filter=(cluster|listener)_removed"],
            in: "front",
            "color-app"
        )
        let lines = stats.split(separator: "\n").map(String.init)
        try #require(lines.count == 2, "\(stats)")
        return lines
    }
}

/// A suite whose tests share one cluster with the canary in it; each says how many replicas it has.
struct CanaryTrait: SuiteTrait, TestScoping {
    @TaskLocal private static var shared: ClusterMesh?

    func provideScope(
        for test: Test,
        testCase: Test.Case?,
        performing function: @concurrent @Sendable () async throws -> Void
    ) async throws {
        var options = ClusterMesh.Options()
        options.hasFaults = true
        options.server.isAudited = true
        // Else the API server would remember what etcd has forgotten.
        options.server.arguments = ["--watch-cache=false"]
        try await ClusterMesh.run(options) { cluster in
            try await cluster.runCanary()
            try await Self.$shared.withValue(cluster) { try await function() }
        }
    }

    /// Runs `body` with the first `replicas` replicas and a network that works.
    static func use(
        replicas: Int,
        _ body: (ClusterMesh, NetworkFaults) async throws -> Void
    ) async throws {
        let cluster = try #require(shared)
        let faults = try #require(cluster.faults)
        try await cluster.telling {
            try await faults.end()
            try await cluster.run(replicas: replicas)
            try await body(cluster, faults)
        }
    }
}

extension Trait where Self == CanaryTrait {
    /// One cluster with the canary in it, shared by all tests of the suite.
    static var canary: Self { Self() }
}
