internal import MeshManifests
public import MeshModel

extension World {
    /// The objects of `yaml`, and what was wrong with it, as if it were a folder's only file.
    ///
    /// Pods are Workloads that stand for them, as in a cluster.
    public init(yaml: String, path: String = "in.yaml") {
        self.init()
        let (rest, pods) = separatingPods(of: yaml)
        let file = decodeManifests(Array(rest.utf8), path: path, folder: "/manifests")
        for object in file.objects { insert(object) }
        for pod in pods { insert(.workload(pod)) }
        diagnostics = file.diagnostics
    }

    /// The objects of `yaml` beside those of `mesh demo`: a Mesh `demo` that selects the namespace
    /// `demo`.
    public init(demo yaml: String) {
        self.init(yaml: demoMesh + "\n---\n" + yaml)
    }
}

/// A Mesh `demo` and the namespace `demo`, whose objects belong to it.
private let demoMesh = """
    apiVersion: v1
    kind: Namespace
    metadata: {name: demo, labels: {mesh: demo}}
    ---
    apiVersion: appmesh.k8s.aws/v1beta2
    kind: Mesh
    metadata: {name: demo}
    spec: {namespaceSelector: {matchLabels: {mesh: demo}}}
    """
