import Foundation
import HTTPClient
import KubernetesAPI
import Logging
import MeshIdentity
import MeshModel
import MeshPlan
@testable import MeshTesting
import ServiceLifecycle
import Testing
import XDSServer

/// A real Envoy that proves itself to Heddle with a token of a real API server.
@Suite(.timeLimit(.minutes(3)), .enabled(if: kubernetesFolder != nil || kubernetesIsExpected))
struct `Proxy of a Pod` {
    private let node = "mesh/m/virtualNode/blue"

    @Test func `its token, which is bound to the Pod, proves it; one of a deleted Pod does not`()
        async throws
    {
        let server = try await KubernetesServer.shared()
        let namespace = try await server.makeNamespace()
        try await server.kubectl("create", "serviceaccount", "default", "-n", namespace)
        let uid = try await server.createPod(namespace, "blue-1")
        let token = try await server.token(
            namespace,
            "default",
            pod: (name: "blue-1", uid: uid),
            audience: "heddle.dev"
        )
        let client = KubernetesClient(try .kubeconfig(path: server.kubeconfig), logger: quiet)
        let identity = try await podIdentity(client, token)
        #expect(
            identity
                == PodIdentity(
                    namespace: namespace,
                    serviceAccount: "default",
                    podName: "blue-1",
                    podUID: uid
                )
        )
        // One for another audience proves nobody here, and one that is bound to no Pod no Pod.
        let other = try await server.token(namespace, "default", pod: (name: "blue-1", uid: uid))
        #expect(try await podIdentity(client, other) == nil)
        let unbound = try await server.token(namespace, "default", audience: "heddle.dev")
        let account = try await podIdentity(client, unbound)
        #expect(account?.serviceAccount == "default" && account?.podName == nil)
        try await server.deletePod(namespace, "blue-1")
        try await poll {
            try await podIdentity(client, token)
        } until: {
            $0 == nil
        }
    }

    @Test func `an Envoy takes its configuration over TLS, and is refused with another's node id`()
        async throws
    {
        guard let envoyPath = envoyPath else {
            #expect(!envoyIsExpected)
            return
        }
        let server = try await KubernetesServer.shared()
        let namespace = try await server.makeNamespace()
        try await server.kubectl("create", "serviceaccount", "default", "-n", namespace)
        let uid = try await server.createPod(namespace, "blue-1")
        let folder = "/tmp/heddle-remote-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let token = try await server.token(
            namespace,
            "default",
            pod: (name: "blue-1", uid: uid),
            audience: "heddle.dev"
        )
        try token.write(toFile: "\(folder)/token", atomically: true, encoding: .utf8)
        let now: @Sendable () -> Duration = { .seconds(Date.now.timeIntervalSince1970) }
        let root = try AuthorityMaterial(newRootOf: "test", at: now())
        try root.write(to: "\(folder)/root.pem")
        let path = "\(folder)/root.pem"
        let certificates = try ServingCertificates(
            .init(
                authority: FileCertificate(certificateChain: path, privateKey: path),
                dnsNames: ServingCertificates.Configuration.dnsNames(
                    service: "heddle",
                    namespace: "heddle-system"
                )
            ),
            now: now,
            logger: quiet
        )
        let client = KubernetesClient(try .kubeconfig(path: server.kubeconfig), logger: quiet)
        let store = SnapshotStore()
        let proxy = ProxyID(ObjectReference(namespace: namespace, name: "blue-1"))
        store.admit([proxy: RemoteProxy(nodeID: node, podUID: uid)])
        store.publish([proxy: Snapshot()])
        let service = try RemoteXDSService(
            .init(
                host: "127.0.0.1",
                port: 0,
                audience: "heddle.dev",
                certificate: { certificates.current },
                review: { try await podIdentity(client, $0) }
            ),
            store: store,
            logger: quiet
        )
        let group = ServiceGroup(services: [certificates, service], logger: quiet)
        try await withThrowingTaskGroup { tasks in
            tasks.addTask { try await group.run() }
            for (id, says) in [(node, "LIVE"), ("mesh/m/virtualNode/red", "closed: ")] {
                let bootstrap = try podBootstrap(
                    nodeID: id,
                    PodBootstrapParameters(
                        xdsHost: "127.0.0.1",
                        xdsPort: try #require(Port(Int(service.port))),
                        serverName: "heddle.heddle-system.svc",
                        rootCertificates: certificates.current.authorities,
                        tokenPath: "\(folder)/token",
                        adminPort: try #require(Port(try unusedPort())),
                        agentAddress: "127.0.0.1",
                        agentPort: try #require(Port(try unusedPort()))
                    )
                )
                try bootstrap.write(
                    toFile: "\(folder)/envoy.json",
                    atomically: true,
                    encoding: .utf8
                )
                let envoy = try await ServerProcess.start(
                    [
                        "sh", "-c",
                        "exec \(envoyPath) -c \(folder)/envoy.json --disable-hot-restart 2>&1",
                    ],
                    until: id == node ? "starting main dispatch loop" : says
                )
                if id == node {
                    try await poll {
                        store.currentObservations[proxy]
                    } until: {
                        $0?.isConnected == true
                    }
                } else {
                    #expect(envoy.line.contains("3, "), "\(envoy.line)")
                }
            }
            await group.triggerGracefulShutdown()
            try await tasks.waitForAll()
        }
    }
}

/// As the composition asks.
private func podIdentity(_ client: KubernetesClient, _ token: String) async throws -> PodIdentity? {
    try await client.review(token: token, audiences: ["heddle.dev"]).map {
        PodIdentity(
            namespace: $0.namespace,
            serviceAccount: $0.serviceAccount,
            podName: $0.podName,
            podUID: $0.podUID
        )
    }
}

private let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
