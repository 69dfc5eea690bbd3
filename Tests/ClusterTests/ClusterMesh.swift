import Foundation
import HTTPClient
import MeshTesting
import Synchronization
import Testing

/// A cluster with Heddle in it: an API server, what `Manifests/install.yaml` installs, replicas of `heddle
/// run --kubernetes` under that service account, and a kubelet that runs Pods with real Envoys.
final class ClusterMesh: Sendable {
    /// The API server.
    let server: KubernetesServer
    /// Runs Pods; nil where a test has none that run.
    let kubelet: TestKubelet?
    private let replicas = Mutex<[TestReplica]>([])
    private let firstPort: Int
    private let arguments: [String]
    let client = HTTPClient()

    private init(
        _ server: KubernetesServer,
        _ kubelet: TestKubelet?,
        _ firstPort: Int,
        _ arguments: [String]
    ) {
        self.server = server
        self.kubelet = kubelet
        self.firstPort = firstPort
        self.arguments = arguments
    }

    /// The namespace of Heddle.
    static let namespace = "heddle-system"

    /// What a test has.
    struct Options {
        var server = KubernetesServer.Options()
        /// Whether Pods run, which takes root.
        var runsPods = true
        /// The address of the API server for Heddle, when it is not the server's own.
        var serverBetween: (@Sendable (KubernetesServer) async throws -> String)?
        /// More options of each replica.
        var arguments: [String] = []
    }

    private static let count = Mutex(0)

    /// Runs `body` with a cluster in which one replica of Heddle is ready.
    static func run(
        _ options: Options = Options(),
        _ body: (ClusterMesh) async throws -> Void
    ) async throws {
        let number = count.withLock { count in
            count += 1
            return count
        }
        let server = try await KubernetesServer(options.server)
        try await server.kubectl("apply", "-f", repositoryFile("Manifests/crds"))
        try await server.kubectl("wait", "--for=condition=Established", "crd", "--all")
        try await install(on: server)
        let kubelet =
            options.runsPods
            ? try await TestKubelet(
                of: server,
                heddle: heddleBinary.path,
                envoy: try requireEnvoy(),
                hosts: ["heddle.\(namespace).svc": nil]
            ) : nil
        let mesh = ClusterMesh(
            server,
            kubelet,
            30_000 + Int(getpid()) % 20 * 100 + number % 20 * 5,
            options.arguments + [
                "--kubeconfig",
                try await mesh(kubeconfigOn: server, at: options.serverBetween?(server)),
            ]
        )
        do {
            try await mesh.start()
            try await body(mesh)
        } catch {
            print(mesh.replicas.withLock { $0 }.map(\.output).joined(separator: "\n== next\n"))
            if let kubelet { print(kubelet.logs()) }
            throw error
        }
        mesh.replicas.withLock { $0 }.forEach { $0.end() }
    }

    /// Applies what the chart's plain manifests hold, but for what this API server does not know and for
    /// Pods of Heddle, whose place processes take.
    private static func install(on server: KubernetesServer) async throws {
        let text = try String(
            contentsOfFile: repositoryFile("Manifests/install.yaml"),
            encoding: .utf8
        )
        let left = [
            "kind: Deployment", "kind: PodDisruptionBudget", "kind: CustomResourceDefinition",
        ]
        let documents = text.components(separatedBy: "\n---\n").filter { document in
            !left.contains { document.contains("\n\($0)\n") || document.hasPrefix("\($0)\n") }
        }
        if (try? await server.kubectl("get", "namespace", namespace)) == nil {
            try await server.kubectl("create", "namespace", namespace)
        }
        try await server.apply(documents.joined(separator: "\n---\n"), namespace: namespace)
    }

    /// A kubeconfig of Heddle's own service account.
    private static func mesh(
        kubeconfigOn server: KubernetesServer,
        at address: String?
    ) async throws -> String {
        let token = try await server.token(namespace, "heddle", pod: nil, audience: nil)
        let path = server.folder.appendingPathComponent("heddle.kubeconfig").path
        let text = """
            apiVersion: v1
            kind: Config
            clusters:
            - name: cluster
              cluster:
                server: \(address ?? server.server)
                certificate-authority: \(server.certificateAuthority)
            users: [{name: heddle, user: {token: \(token)}}]
            contexts: [{name: heddle, context: {cluster: cluster, user: heddle, namespace: \(namespace)}}]
            current-context: heddle
            """
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        return path
    }

    // MARK: Replicas

    /// The replicas that were started.
    var all: [TestReplica] { replicas.withLock { $0 } }

    /// Where replica `index` serves health and metrics.
    func url(_ path: String, of index: Int = 0) -> String {
        "http://127.0.0.1:\(firstPort + index * 2 + 1)\(path)"
    }

    /// Starts a replica, and waits until it is ready.
    ///
    /// The first one serves the webhooks, as the Service has one address here.
    @discardableResult
    func start(_ options: [String] = [], whenReady: Bool = true) async throws -> TestReplica {
        let index = all.count
        let folder = server.folder.appendingPathComponent("replica-\(index)").path
        var webhooks = "none"
        if index == 0 {
            let address = try await server.kubectl(
                "get",
                "service",
                "heddle",
                "-n",
                Self.namespace,
                "-o",
                "jsonpath={.spec.clusterIP}"
            )
            webhooks = "\(address):443"
        }
        let replica = try await TestReplica(
            [
                heddleBinary.path, "run", "--kubernetes", "--state-dir", folder,
                "--xds-address", "0.0.0.0:\(index == 0 ? 18000 : firstPort + index * 2)",
                "--webhook-address", webhooks,
                "--http-address", "127.0.0.1:\(firstPort + index * 2 + 1)",
                "--service-name", "heddle.\(Self.namespace).svc", "--log-level", "info",
            ] + arguments + options,
            log: "\(folder).log"
        )
        replicas.withLock { $0.append(replica) }
        if whenReady { try await waitUntilReady(index) }
        return replica
    }

    /// Waits until replica `index` has planned, and its webhooks answer.
    func waitUntilReady(_ index: Int = 0) async throws {
        try await poll({ await status(url("/readyz", of: index)) }, until: { $0 == 200 })
        guard index == 0 else { return }
        // The API server would refuse objects if it did not know the root of the webhooks.
        let bundle = try await server.kubectl(
            "get",
            "validatingwebhookconfiguration",
            "heddle",
            "-o",
            "jsonpath={.webhooks[0].clientConfig.caBundle}"
        )
        #expect(!bundle.isEmpty)
    }

    private func status(_ url: String) async -> Int? {
        try? await client.response(to: HTTPRequest("GET", url, timeout: .seconds(2))).status
    }

    /// The value of the first sample in `/metrics` that begins with `name`.
    func metric(_ name: String, of index: Int = 0) async throws -> Double {
        let text = try await client.response(to: HTTPRequest("GET", url("/metrics", of: index)))
            .text
        let lines = text.split(separator: "\n").filter { $0.hasPrefix(name) }
        return lines.compactMap { $0.split(separator: " ").last.flatMap { Double($0) } }
            .reduce(0, +)
    }

    // MARK: Objects

    /// Applies manifests; webhooks may just be starting.
    func apply(_ yaml: String, namespace: String? = nil) async throws {
        try await poll(
            {
                do {
                    try await server.apply(yaml, namespace: namespace)
                    return nil as String?
                } catch let failure as KubectlFailure {
                    return failure.output
                }
            },
            until: { $0 == nil }
        )
    }

    /// What kubectl prints of one field of an object.
    func field(_ path: String, of object: String, in namespace: String) async throws -> String {
        try await server.kubectl("get", object, "-n", namespace, "-o", "jsonpath={\(path)}")
    }

    /// Waits until the condition `type` of `object` is `status`, and gives its message.
    @discardableResult
    func condition(
        _ type: String,
        of object: String,
        in namespace: String = "default",
        is status: String = "True"
    ) async throws -> String {
        let filter = ".status.conditions[?(@.type==\"\(type)\")]"
        try await poll(
            { (try? await field("\(filter).status", of: object, in: namespace)) ?? "" },
            until: { $0 == status }
        )
        return try await field("\(filter).message", of: object, in: namespace)
    }

    /// Makes a Pod of the test application `name`, which answers with its name on 8080, and waits until
    /// it is ready when it shall.
    func runPod(
        _ name: String,
        in namespace: String,
        labels: [String: String],
        annotations: [String: String] = [:],
        probe: [String] = ["curl", "-sf", "http://127.0.0.1:8080/"],
        waits: Bool = true
    ) async throws {
        func lines(_ pairs: [String: String]) -> String {
            "{"
                + pairs.sorted { $0.key < $1.key }.map { "\"\($0)\": \"\($1)\"" }
                .joined(separator: ", ") + "}"
        }
        try await apply(
            """
            apiVersion: v1
            kind: Pod
            metadata:
              name: \(name)
              namespace: \(namespace)
              labels: \(lines(labels))
              annotations: \(lines(annotations))
            spec:
              serviceAccountName: default
              containers:
              - name: app
                image: example.com/application
                command: [python3, \(TestKubelet.application), \(name), "8080"]
                readinessProbe: {exec: {command: \(probe)}}
            """
        )
        if waits { try await waitUntilReady(pod: name, in: namespace) }
    }

    /// Waits until kubelet says that a Pod is ready.
    func waitUntilReady(pod name: String, in namespace: String) async throws {
        let filter = ".status.conditions[?(@.type==\"Ready\")].status"
        try await poll(
            { (try? await field(filter, of: "pod/\(name)", in: namespace)) ?? "" },
            until: { $0 == "True" }
        )
    }

    /// The address of a Pod.
    func address(of pod: String, in namespace: String) async throws -> String {
        try await field(".status.podIP", of: "pod/\(pod)", in: namespace)
    }

    /// What the application of `pod` gets from `url`, asked through the Pod's own network.
    func call(_ url: String, from pod: String, in namespace: String) async throws -> HTTPResponse {
        let address = try await address(of: pod, in: namespace)
        return try await client.response(
            to: HTTPRequest("GET", "http://\(address):8080/call?\(url)", timeout: .seconds(10))
        )
    }
}

extension ClusterMesh {
    /// What `command` prints in the network of `pod`, with the names that it knows.
    func exec(
        _ command: [String],
        in pod: String,
        _ namespace: String
    ) async throws -> String {
        let kubelet = try #require(kubelet)
        return try await kubelet.exec(command, in: namespace, pod)
    }
}

/// Whether these tests run: with an API server, Envoy, and root for namespaces; where the API server is
/// asked for they have to.
let clusterIsExpected =
    kubernetesIsExpected && envoyIsExpected
    && (geteuid() == 0
        || ProcessInfo.processInfo.environment["HEDDLE_REQUIRE_KUBERNETES"] == "1")

/// A file of this repository.
func repositoryFile(_ path: String) -> String {
    URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent(path).path
}

/// The program under test, beside the test's own binary.
let heddleBinary =
    URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
    .appendingPathComponent("heddle")
