import Foundation
import MeshTesting
import Testing

/// The server that the other tests rely on.
@Suite(.enabled(if: kubernetesIsExpected), .timeLimit(.minutes(5)))
struct KubernetesServerTests {
    @Test func `objects are applied and told again`() async throws {
        let server = try await KubernetesServer.shared()
        let namespace = try await server.makeNamespace(labels: ["team": "red"])
        let applied = try await server.apply(
            """
            apiVersion: v1
            kind: ConfigMap
            metadata: {name: colors}
            data: {blue: "1"}
            """,
            namespace: namespace
        )
        #expect(applied == "configmap/colors created\n")
        let told = try await server.kubectl(
            "get",
            "configmap",
            "colors",
            "-n",
            namespace,
            "-o",
            "jsonpath={.data.blue}"
        )
        #expect(told == "1")
        await #expect(throws: KubectlFailure.self) {
            try await server.kubectl("get", "configmap", "none", "-n", namespace)
        }
    }

    @Test func `a Pod is what its kubelet would say`() async throws {
        let server = try await KubernetesServer.shared()
        let namespace = try await server.makeNamespace()
        try await server.createNode("node-of-\(namespace)", zone: "a")
        try await server.createPod(namespace, "blue-0", node: "node-of-\(namespace)")
        try await server.patchPodStatus(namespace, "blue-0", ip: "10.0.0.1", isReady: true)
        let told = try await server.kubectl("get", "pod", "-n", namespace, "-o", "wide")
        #expect(told.contains(/blue-0 +0\/1 +Running +0 +\S+ +10.0.0.1/))
        try await server.deletePod(namespace, "blue-0")
        #expect(try await server.kubectl("get", "pod", "-n", namespace) == "")
    }

    @Test func `a service account may do what its rules say`() async throws {
        let server = try await KubernetesServer.shared()
        let namespace = try await server.makeNamespace()
        let kubeconfig = try await server.createServiceAccount(
            namespace,
            "reader",
            rules: [.init("", ["configmaps"], ["get", "list"])]
        )
        try await server.kubectl("get", "configmap", as: kubeconfig)
        let failure = await #expect(throws: KubectlFailure.self) {
            try await server.kubectl("get", "secret", as: kubeconfig)
        }
        #expect(failure?.output.contains("\(namespace):reader") == true)
        try await server.setRules(namespace, "reader", [.init("", ["secrets"], ["list"])])
        try await poll {
            try? await server.kubectl("get", "secret", as: kubeconfig)
        } until: {
            $0 != nil
        }
    }

    @Test func `a token names its Pod to those whom it is for`() async throws {
        let server = try await KubernetesServer.shared()
        let namespace = try await server.makeNamespace()
        _ = try await server.createServiceAccount(namespace, "blue")
        let uid = try await server.createPod(namespace, "blue-0", serviceAccount: "blue")
        let token = try await server.token(
            namespace,
            "blue",
            pod: ("blue-0", uid),
            audience: "heddle.dev"
        )
        func review(_ audience: String) async throws -> String {
            try await server.request(
                "POST",
                "/apis/authentication.k8s.io/v1/tokenreviews",
                #"{"spec":{"token":"\#(token)","audiences":["\#(audience)"]}}"#
            )
        }
        let accepted = try await review("heddle.dev")
        #expect(accepted.contains(#""authentication.kubernetes.io/pod-name":["blue-0"]"#))
        #expect(!(try await review("other")).contains(#""authenticated":true"#))
    }

    @Test func `a killed server has its objects when it is back`() async throws {
        let server = try await KubernetesServer(
            .init(hasControllerManager: true, isAudited: true)
        )
        let namespace = try await server.makeNamespace()
        let client = try await server.clientCertificate(user: "ann")
        try await server.kubectl(
            "create",
            "configmap",
            "kept",
            "-n",
            namespace,
            "--client-certificate",
            client.certificate,
            "--client-key",
            client.key,
            "--token",
            ""
        )
        try await server.restart(.etcd)
        try await server.restart(.apiserver)
        try await server.compact()
        #expect(
            try await server.kubectl("get", "configmap", "kept", "-n", namespace, "-o", "name")
                == "configmap/kept\n"
        )
        server.pause(.apiserver)
        #expect(server.isRunning(.apiserver))
        server.resume(.apiserver)
        try await server.kubectl("delete", "namespace", namespace)
        await #expect(throws: KubernetesRefusal.self) {
            try await server.request("GET", "/api/v1/namespaces/\(namespace)")
        }
        let writes = try server.requests().filter {
            $0.objectRef?.resource == "configmaps" && $0.verb == "create"
                && $0.objectRef?.namespace == namespace && $0.userAgent?.contains("kubectl") == true
        }
        #expect(writes.map(\.responseStatus?.code) == [201])
    }
}
