import HTTPClient
import MeshTesting
import Testing

/// What kubelet says of Pods, as their callers feel it.
@Suite(.serialized, .enabled(if: clusterIsExpected), .timeLimit(.minutes(10)))
struct PodReadinessTests {
    private let manifests = """
        apiVersion: v1
        kind: Namespace
        metadata:
          name: ready
          labels: {mesh: ready, appmesh.k8s.aws/sidecarInjectorWebhook: enabled}
        ---
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: Mesh
        metadata: {name: ready}
        spec: {namespaceSelector: {matchLabels: {mesh: ready}}}
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: color, namespace: ready}
        spec: {ports: [{port: 8080}]}
        """

    private func node(_ name: String, _ more: String = "") -> String {
        """
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: VirtualNode
        metadata: {name: \(name), namespace: ready}
        spec:
          podSelector: {matchLabels: {app: \(name)}}
          listeners: [{portMapping: {port: 8080, protocol: http}}]
          serviceDiscovery: {dns: {hostname: \(name).ready}}
          \(more)
        """
    }

    /// Who answers to `count` calls of `color` by the application of `front`.
    private func answers(_ count: Int, in cluster: ClusterMesh) async throws -> Set<String> {
        var answers: Set<String> = []
        for _ in 0..<count {
            let answer = try await cluster.call(
                "http://color.ready:8080/",
                from: "front",
                in: "ready"
            )
            answers.insert(answer.status == 200 ? answer.text : "\(answer.status)")
        }
        return answers
    }

    @Test func `Pods that never get ready get no requests, however few are ready`() async throws {
        try await ClusterMesh.run { cluster in
            try await cluster.apply(manifests)
            try await cluster.apply(node("color"))
            try await cluster.apply(
                """
                apiVersion: appmesh.k8s.aws/v1beta2
                kind: VirtualService
                metadata: {name: color, namespace: ready}
                spec:
                  awsName: color.ready
                  provider: {virtualNode: {virtualNodeRef: {name: color}}}
                """
            )
            let backend = "backends: [{virtualService: {virtualServiceRef: {name: color}}}]"
            try await cluster.apply(node("front", backend))
            let labels = ["app": "color"]
            try await cluster.runPod("front", in: "ready", labels: ["app": "front"], waits: false)
            // The applications answer; that they are ready is kubelet's word alone.
            for name in ["blue", "green"] {
                try await cluster.runPod(
                    name,
                    in: "ready",
                    labels: labels,
                    probe: ["false"],
                    waits: false
                )
            }
            try await cluster.waitUntilReady(pod: "front", in: "ready")
            try await told("0 of 2 Pods are ready", cluster)
            #expect(try await answers(3, in: cluster) == ["503"])
            try await cluster.runPod("red", in: "ready", labels: labels)
            try await poll({ try await answers(1, in: cluster) }, until: { $0 == ["red"] })
            try await told("1 of 3 Pods are ready", cluster)
            #expect(try await answers(60, in: cluster) == ["red"])
        }
    }

    private func told(_ text: String, _ cluster: ClusterMesh) async throws {
        let filter = ".status.conditions[?(@.type==\"VirtualNodeActive\")].message"
        try await poll(
            { (try? await cluster.field(filter, of: "virtualnode/color", in: "ready")) ?? "" },
            until: { $0.contains(text) }
        )
    }
}
