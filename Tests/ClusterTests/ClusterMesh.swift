import Foundation
import HTTPClient
import MeshTesting
import Synchronization
import Testing

/// A cluster with Heddle in it: an API server, what `Manifests/install.yaml` installs, replicas of `heddle
/// run --kubernetes` under that service account behind their Service, and a kubelet that runs Pods with
/// real Envoys.
final class ClusterMesh: Sendable {
    /// The API server.
    let server: KubernetesServer
    /// Runs Pods; nil where a test has none that run.
    let kubelet: TestKubelet?
    /// What is between the first replica and the API server; nil where nothing is.
    let faults: NetworkFaults?
    private let replicas = Mutex<[TestReplica]>([])
    private let service: TestService
    /// The first three bytes of the replicas' addresses.
    private let network: String
    private let arguments: [String]
    let client = HTTPClient()

    private init(
        _ server: KubernetesServer,
        _ kubelet: TestKubelet?,
        _ number: Int,
        _ options: Options
    ) async throws {
        self.server = server
        self.kubelet = kubelet
        arguments = options.arguments
        network = "127.\(100 + Int(getpid()) % 100).\(number % 250)"
        faults = options.hasFaults ? try await NetworkFaults(server) : nil
        let address = try await server.kubectl(
            "get",
            "service",
            "heddle",
            "-n",
            Self.namespace,
            "-o",
            "jsonpath={.spec.clusterIP}"
        )
        var listeners = ["\(address):443": 9443]
        if let kubelet { listeners["\(kubelet.nodeAddress):18000"] = 18000 }
        service = try await TestService(
            listeners,
            backends: (1...3).map { [network] in "\(network).\($0)" },
            healthPort: 18001
        )
    }

    /// The namespace of Heddle.
    static let namespace = "heddle-system"

    /// What a test has.
    struct Options {
        var server = KubernetesServer.Options()
        /// Whether Pods run, which takes root.
        var runsPods = true
        /// Whether the network between the first replica and the API server can fail.
        var hasFaults = false
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
        let mesh = try await ClusterMesh(server, kubelet, number, options)
        try await mesh.telling {
            try await mesh.start()
            try await body(mesh)
        }
        mesh.all.forEach { $0.end() }
    }

    /// Does `work`, and shows what Heddle and the Pods wrote when it fails.
    func telling(_ work: () async throws -> Void) async throws {
        do {
            try await work()
        } catch {
            print(all.map(\.output).joined(separator: "\n== next\n"))
            if let kubelet { print(kubelet.logs()) }
            throw error
        }
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

    /// A kubeconfig of Heddle's own service account as replica `index` has it, with a token that is bound
    /// to its Pod.
    private func kubeconfig(of index: Int) async throws -> String {
        let pod = "heddle-\(index)"
        // On another node than kubelet's: there is a process in its place.
        let uid = try await server.createPod(
            Self.namespace,
            pod,
            serviceAccount: "heddle",
            node: "node-of-heddle"
        )
        let token = try await server.token(
            Self.namespace,
            "heddle",
            pod: (name: pod, uid: uid),
            audience: nil
        )
        let address = index == 0 ? faults?.endpoint : nil
        let path = server.folder.appendingPathComponent("\(pod).kubeconfig").path
        let text = """
            apiVersion: v1
            kind: Config
            clusters:
            - name: cluster
              cluster:
                server: \(address ?? server.server)
                certificate-authority: \(server.certificateAuthority)
            users: [{name: heddle, user: {token: \(token)}}]
            contexts:
            - name: heddle
              context: {cluster: cluster, user: heddle, namespace: \(Self.namespace)}
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
        "http://\(network).\(index + 1):18001\(path)"
    }

    /// Starts one more replica, at an address of its own like a Pod, and waits until it is ready.
    @discardableResult
    func start(_ options: [String] = [], whenReady: Bool = true) async throws -> TestReplica {
        let index = all.count
        let folder = server.folder.appendingPathComponent("replica-\(index)").path
        let address = "\(network).\(index + 1)"
        let replica = try await TestReplica(
            [
                heddleBinary.path, "run", "--kubernetes", "--kubeconfig",
                try await kubeconfig(of: index), "--state-dir", folder, "--xds-address",
                "\(address):18000", "--webhook-address", "\(address):9443", "--http-address",
                "\(address):18001", "--service-name", "heddle.\(Self.namespace).svc",
                "--log-level", "info",
            ] + arguments + options,
            log: "\(folder).log"
        )
        replicas.withLock { $0.append(replica) }
        if whenReady { try await waitUntilReady(index) }
        return replica
    }

    /// Has the first `count` replicas run, and no others.
    func run(replicas count: Int) async throws {
        for (index, replica) in all.enumerated() {
            replica.resume()
            if index >= count, replica.isRunning { try await replica.kill() }
            if index < count, !replica.isRunning { try await replica.start() }
        }
        while all.count < count { try await start(whenReady: false) }
        for index in 0..<count { try await waitUntilReady(index) }
    }

    /// Whether replica `index` says that it leads.
    func isLeader(_ index: Int) async -> Bool {
        (try? await metric("heddle_leader", of: index)) == 1
    }

    /// Waits until replica `index` has planned, and its webhooks answer.
    func waitUntilReady(_ index: Int = 0) async throws {
        try await poll({ await status(url("/readyz", of: index)) }, until: { $0 == 200 })
        // The API server refuses objects until it knows the root of the webhooks.
        try await poll(
            {
                try? await server.kubectl(
                    "get",
                    "validatingwebhookconfiguration",
                    "heddle",
                    "-o",
                    "jsonpath={.webhooks[0].clientConfig.caBundle}"
                )
            },
            until: { !($0 ?? "").isEmpty }
        )
    }

    private func status(_ url: String) async -> Int? {
        try? await client.response(to: HTTPRequest("GET", url, timeout: .seconds(2))).status
    }

    /// The lines of `/metrics`.
    func metrics(of index: Int) async throws -> [Substring] {
        let response = try await client.response(
            to: HTTPRequest("GET", url("/metrics", of: index), timeout: .seconds(5))
        )
        return response.text.split(separator: "\n")
    }

    /// The sum of the samples in `/metrics` that begin with `name` and have all of `labels`.
    func metric(
        _ name: String,
        _ labels: [String: String] = [:],
        of index: Int = 0
    ) async throws -> Double {
        let lines = try await metrics(of: index).filter { line in
            line.hasPrefix(name) && labels.allSatisfy { line.contains("\($0)=\"\($1)\"") }
        }
        return lines.compactMap { $0.split(separator: " ").last.flatMap { Double($0) } }
            .reduce(0, +)
    }

    // MARK: Objects

    /// Applies manifests; webhooks may just be starting.
    func apply(_ yaml: String, namespace: String? = nil) async throws {
        try await accepted { try await server.apply(yaml, namespace: namespace) }
    }

    /// Does `work` until the API server does not refuse it: a webhook may not answer, or the server.
    func accepted(_ work: () async throws -> String) async throws {
        try await poll(
            within: .seconds(40),
            {
                do {
                    _ = try await work()
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
