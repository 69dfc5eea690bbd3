internal import MeshModel
internal import Yams

/// `yaml` without its Pods, whose lines are empty then, and the Workloads that stand for these.
///
/// Of a Pod its labels, `status.podIP` and `podIPs`, `spec.nodeName` and the container `envoy` matter, which
/// is Heddle's unless its image is named after App Mesh, and its own label `topology.kubernetes.io/zone`, as there are no Kubernetes nodes.
func separatingPods(of yaml: String) -> (rest: String, pods: [Workload]) {
    var rest: [String] = []
    var pods: [Workload] = []
    for document in yaml.split(separator: "\n---\n", omittingEmptySubsequences: false) {
        let lines = document.split(separator: "\n", omittingEmptySubsequences: false)
        guard lines.contains("kind: Pod"), let pod = workload(ofPod: String(document)) else {
            rest.append(String(document))
            continue
        }
        pods.append(pod)
        rest.append(String(repeating: "\n", count: lines.count - 1))
    }
    return (rest.joined(separator: "\n---\n"), pods)
}

private func workload(ofPod text: String) -> Workload? {
    guard let document = try? Yams.load(yaml: text) as? [String: Any],
        let metadata = document["metadata"] as? [String: Any],
        let name = metadata["name"] as? String
    else { return nil }
    let labels = metadata["labels"] as? [String: String] ?? [:]
    let spec = document["spec"] as? [String: Any] ?? [:]
    let status = document["status"] as? [String: Any] ?? [:]
    let containers = spec["containers"] as? [[String: Any]] ?? []
    let envoy = containers.first { $0["name"] as? String == "envoy" }
    let proxy: PodProxy =
        envoy.map {
            ($0["image"] as? String)?.contains("appmesh") == true ? PodProxy.other : .heddle
        }
        ?? .absent
    let addresses = (status["podIPs"] as? [[String: String]] ?? []).compactMap { $0["ip"] }
    return Workload(
        metadata: Metadata(
            name: name,
            namespace: metadata["namespace"] as? String ?? "default",
            uid: "uid-of-\(name)",
            labels: labels
        ),
        spec: WorkloadSpec(
            pod: PodPlacement(
                uid: "uid-of-\(name)",
                address: status["podIP"] as? String,
                otherAddresses: Array(addresses.dropFirst()),
                nodeName: spec["nodeName"] as? String,
                zone: labels["topology.kubernetes.io/zone"],
                proxy: proxy
            )
        )
    )
}
