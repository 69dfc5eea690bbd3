import Foundation
import MeshModel
import KubernetesAPI
import Testing
@testable import MeshSources

@Suite struct ScratchMemory {
    @Test func scratch() throws {
        var cluster = ClusterWorld()
        _ = cluster.take(.changed(try document(.virtualNode, "blue", nodeSpec("blue"))), of: .virtualNode)
        let before = rss()
        for index in 0..<10_000 {
            let name = "blue-deployment-\(index / 10)-7f9c6d5b8-x\(index)"
            var pod = try pod(name, metadata: "", spec: #""containers": [{"name": "app"}, {"name": "envoy", "resources": {"requests": {"cpu": "250m", "memory": "256Mi"}}}]"#, status: #""phase": "Running", "podIP": "10.\#(index / 250 % 250).\#(index % 250).1", "conditions": [{"type": "Ready", "status": "True"}]"#)
            pod.metadata.uid = "d9b2d63d-a233-4123-847a-7fb7a5a\(10000 + index)"
            pod.metadata.labels = ["app": "blue", "pod-template-hash": "7f9c6d5b8-\(index / 10)", "app.kubernetes.io/instance": "release-\(index / 10)", "team": "colors"]
            pod.nodeName = "ip-10-0-\(index % 100)-12.eu-west-1.compute.internal"
            _ = cluster.take(.changed(pod))
        }
        print("BYTES per Pod", (Int(rss()) - Int(before)) / 10_000, cluster.world.workloads.count, MemoryLayout<Pod>.size)
        withExtendedLifetime(cluster) {}
    }
}

func rss() -> Int { Int((try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8))?.split(separator: " ")[1] ?? "0")! * 4096 }
