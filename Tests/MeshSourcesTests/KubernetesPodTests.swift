import Foundation
import MeshModel
import Testing

@testable import MeshSources

/// What the injector mounts into a proxy.
private let mounts =
    #""volumeMounts": [{"mountPath": "/var/run/secrets/heddle.dev/token"}]"#

@Suite struct KubernetesPodTests {
    @Test func `a Pod is a Workload where it is`() throws {
        let pod = try pod(
            "blue-1",
            metadata: """
                "annotations": {"heddle.dev/x": "1", "appmesh.k8s.aws/ports": "80", "else": "2"},
                "managedFields": [{"manager": "kubelet"}],
                """
        )
        let workload = try #require(pod.workload(zone: "a"))
        #expect(workload.reference == ObjectReference(namespace: "demo", name: "blue-1"))
        #expect(workload.metadata.labels == ["app": "blue"])
        #expect(
            workload.metadata.annotations == ["heddle.dev/x": "1", "appmesh.k8s.aws/ports": "80"]
        )
        #expect(workload.metadata.creationTimestampSeconds == 1_795_428_000)
        #expect(
            workload.spec.pod
                == PodPlacement(
                    uid: "uid-of-blue-1",
                    address: "10.0.0.1",
                    nodeName: "node-1",
                    zone: "a",
                    proxy: .heddle
                )
        )
    }

    @Test(arguments: [
        (#""containers": [{"name": "app"}, {"name": "envoy", \#(mounts)}]"#, PodProxy.heddle),
        (
            #""initContainers": [{"name": "envoy", "restartPolicy": "Always", \#(mounts)}]"#,
            .heddle
        ),
        (#""containers": [{"name": "app"}, {"name": "envoy"}]"#, .other),
        (
            #""containers": [{"name": "envoy", "volumeMounts": [{"mountPath": "/tmp"}, {}]}]"#,
            .other
        ),
        (#""containers": [{"name": "app", \#(mounts)}, {"name": "envoy"}]"#, .other),
        (#""containers": [{"name": "app"}], "initContainers": [{"name": "proxyinit"}]"#, .absent),
    ])
    func `a container named envoy is Heddle's proxy if it has Heddle's token`(
        spec: String,
        proxy: PodProxy
    ) throws {
        let pod = try pod("blue-1", spec: spec)
        #expect(pod.workload(zone: nil)?.spec.pod?.proxy == proxy)
    }

    @Test(arguments: [
        ("", SidecarResources()),
        (
            #""requests": {"cpu": "10m", "memory": "32Mi"}"#,
            SidecarResources(cpuRequestMillicores: 10, memoryRequestBytes: 32 << 20)
        ),
        (
            #""limits": {"cpu": 0.1, "memory": "1Gi"}"#,
            SidecarResources(
                cpuRequestMillicores: 100,
                cpuLimitMillicores: 100,
                memoryLimitBytes: 1 << 30
            )
        ),
        (#""requests": {"cpu": "?", "memory": "0"}"#, SidecarResources()),
    ])
    func `the proxy asks for what its container does`(
        text: String,
        resources: SidecarResources
    ) throws {
        let pod = try pod(
            "blue-1",
            spec: #""containers": [{"name": "envoy", "resources": {\#(text)}}]"#
        )
        #expect(pod.workload(zone: nil)?.spec.sidecar == resources)
    }

    @Test(arguments: [
        (#""hostNetwork": true, "containers": []"#, #""phase": "Running""#),
        (#""containers": []"#, #""phase": "Succeeded""#),
        (#""containers": []"#, #""phase": "Failed""#),
    ])
    func `what has ended or shares its node's network is no Workload`(
        spec: String,
        status: String
    ) throws {
        #expect(try pod("blue-1", spec: spec, status: status).workload(zone: nil) == nil)
    }

    @Test func `readiness is a process's`() throws {
        func process(_ status: String, metadata: String = "") throws -> ProcessObservation {
            try pod("blue-1", metadata: metadata, status: status).process
        }
        let ready = #""conditions": [{"type": "Ready", "status": "True"}]"#
        #expect(try process(#""phase": "Pending""#).phase == .starting)
        #expect(try process(#""phase": "Running""#).phase == .starting)
        #expect(try process(#""phase": "Running", \#(ready)"#).phase == .running)
        let deletion = #""deletionTimestamp": "2026-11-23T10:00:00Z","#
        #expect(
            try process(#""phase": "Running", \#(ready)"#, metadata: deletion).phase == .draining
        )
        let crashing = try process(
            """
            "phase": "Running", "containerStatuses": [{"name": "app", "restartCount": 1},
            {"name": "envoy", "restartCount": 7, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
             "lastState": {"terminated": {"exitCode": 1}}}]
            """
        )
        #expect(crashing.phase == .backingOff)
        #expect(crashing.restarts == 7)
        #expect(crashing.failures == 7)
        #expect(crashing.lastError == "exited with code 1")
        let killed = try process(
            """
            "phase": "Running", \(ready), "initContainerStatuses": [
            {"name": "envoy", "restartCount": 1,
             "state": {"running": {"startedAt": "2026-11-23T10:00:05Z"}},
             "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}]
            """
        )
        #expect(killed.phase == .running)
        #expect(killed.outOfMemoryKills == 1)
        #expect(killed.startTimeSeconds == 1_795_428_005)
    }

    @Test func `a Pod of a dump is read as one of the API`() {
        let document: JSONValue = [
            "apiVersion": "v1", "kind": "Pod",
            "metadata": ["name": "blue-1", "namespace": "demo", "labels": ["app": "blue"]],
            "spec": ["containers": [["name": "envoy", "resources": ["requests": ["cpu": 1]]]]],
            "status": ["podIP": "10.0.0.1"],
        ]
        let workload = workload(ofPod: document, zone: "b")
        #expect(workload?.spec.pod?.address == "10.0.0.1")
        #expect(workload?.spec.pod?.zone == "b")
        #expect(workload?.spec.sidecar.cpuRequestMillicores == 1000)
        #expect(MeshSources.workload(ofPod: ["apiVersion": "v1", "kind": "Service"]) == nil)
    }

    @Test(arguments: [
        (
            #"{"topology.kubernetes.io/zone": "a", "failure-domain.beta.kubernetes.io/zone": "b"}"#,
            "a"
        ),
        (#"{"failure-domain.beta.kubernetes.io/zone": "b"}"#, "b"), ("{}", nil),
    ])
    func `a Kubernetes node is in a zone`(labels: String, zone: String?) throws {
        #expect(try kubernetesNode("node-1", labels: labels).zone == zone)
    }
}
