import MeshManifests
import MeshModel
import Testing

/// What App Mesh's injector read off a Pod, on a Workload.
@Suite struct WorkloadAnnotationTests {
    /// A Workload with `annotations`, the first on line 7, and `resources`.
    private func workload(_ annotations: [String], resources: String = "{}") -> String {
        let lines = annotations.map { "    appmesh.k8s.aws/\($0)" }
        return """
            apiVersion: heddle.dev/v1alpha1
            kind: Workload
            metadata:
              namespace: demo
              name: a
              annotations:
            \(lines.joined(separator: "\n"))
            spec: {sidecar: {resources: \(resources)}}
            """
    }

    private static let all = [
        "cpuRequest: 50m", "memoryRequest: 64Mi", "cpuLimit: '2'", "memoryLimit: 128Mi",
    ]

    @Test func `annotations size the proxy`() {
        let file = decode(workload(Self.all))
        #expect(file.diagnostics.isEmpty, "\(file.diagnostics)")
        #expect(
            file.workload?.spec.sidecar
                == SidecarResources(
                    cpuRequestMillicores: 50,
                    memoryRequestBytes: 64 << 20,
                    cpuLimitMillicores: 2000,
                    memoryLimitBytes: 128 << 20
                )
        )
    }

    @Test func `a manifest's resources come first, field by field`() {
        let resources = "{requests: {memory: 96Mi}, limits: {cpu: 500m}}"
        let sidecar = decode(workload(Self.all, resources: resources)).workload?.spec.sidecar
        #expect(
            sidecar
                == SidecarResources(
                    cpuRequestMillicores: 50,
                    memoryRequestBytes: 96 << 20,
                    cpuLimitMillicores: 500,
                    memoryLimitBytes: 128 << 20
                )
        )
    }

    @Test func `the default request gives way to a limit of an annotation`() {
        let sidecar = decode(workload(["memoryLimit: 128Mi"])).workload?.spec.sidecar
        #expect(sidecar?.memoryRequestBytes == 128 << 20)
    }

    @Test(arguments: [
        (
            "memoryRequest: 64MB", "{}",
            #"metadata.annotations["appmesh.k8s.aws/memoryRequest"]: expected a quantity above zero, found the string "64MB"; write it as 256Mi"#
        ),
        (
            "cpuLimit: ''", "{}",
            #"metadata.annotations["appmesh.k8s.aws/cpuLimit"]: expected a quantity above zero, found the string ""; write it as 250m or 0.5"#
        ),
        (
            "cpuLimit: 2", "{}",
            #"metadata.annotations["appmesh.k8s.aws/cpuLimit"]: expected a string, found the number 2; quote it"#
        ),
        (
            "memoryRequest: 1Gi", "{limits: {memory: 256Mi}}",
            #"metadata.annotations["appmesh.k8s.aws/memoryRequest"]: the request "1Gi" is above the limit "256Mi"; lower the request or raise the limit"#
        ),
    ])
    func `a bad annotation is one error with its line`(
        annotation: String,
        resources: String,
        problem: String
    ) {
        let text = workload([annotation], resources: resources)
        #expect(reports(text) == ["demo.yaml:7: error: Workload demo/a: \(problem)"])
    }

    @Test func `on another kind they are nothing`() {
        let text = """
            apiVersion: appmesh.k8s.aws/v1beta2
            kind: VirtualNode
            metadata: {name: a, namespace: demo, annotations: {appmesh.k8s.aws/cpuLimit: no}}
            """
        #expect(decode(text.replacing(": no", with: ": 'no'")).diagnostics.isEmpty)
    }
}
