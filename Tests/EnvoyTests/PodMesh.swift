import Foundation
import Glibc
import HTTPClient
import MeshModel
import MeshPlan
import MeshTesting
import Testing

/// The program under test, beside the test's own binary.
let heddlePath =
    URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
    .appendingPathComponent("heddle").path

/// Pods of a mesh, each with its application and an Envoy with what is planned for it.
final class PodMesh {
    /// The user of proxies in Pods.
    static let user = 1337

    let network: PodNetwork
    private var pods: [String: MeshPod] = [:]

    private init(_ network: PodNetwork) { self.network = network }

    /// Runs `body` once the Pods of `manifests` serve; their addresses are given here.
    static func run(
        _ manifests: String,
        usesIPv6: Bool = false,
        _ body: (PodMesh) async throws -> Void
    ) async throws {
        try await TestFolder.use { folder in
            try await PodNetwork.use { network in
                let mesh = PodMesh(network)
                try await mesh.start(World(yaml: manifests), usesIPv6, in: folder)
                defer { for pod in mesh.pods.values { pod.end() } }
                try await body(mesh)
            }
        }
    }

    /// The Pod `name`.
    subscript(name: String) -> MeshPod {
        get throws { try #require(pods[name]) }
    }

    private func start(_ given: World, _ usesIPv6: Bool, in folder: TestFolder) async throws {
        var world = given
        var places: [ProxyID: TestPod] = [:]
        for reference in world.workloads.keys.sorted() {
            let pod = try await network.pod(reference.name)
            places[ProxyID(reference)] = pod
            world.workloads[reference]?.spec.pod?.address =
                usesIPv6 ? pod.addressOfIPv6 : pod.address
        }
        let plan = plan(world, nowSeconds: 0, options: PlanOptions(isInCluster: true))
        #expect(plan.diagnostics.filter { $0.severity != .note }.map(\.description) == [])
        for (id, proxy) in plan.proxies.sorted(by: { $0.key < $1.key }) {
            let pod = MeshPod(id.workload.name, try #require(places[id]), folder)
            let node = world.virtualNodes[proxy.owner.reference]
            let ports = node?.spec.listeners.map { Int($0.portMapping.port.number) } ?? []
            try await pod.start(proxy, applicationPorts: ports)
            pods[pod.name] = pod
        }
    }
}

/// One Pod of a `PodMesh`.
final class MeshPod {
    let name: String
    let pod: TestPod
    private let folder: String
    private let client = HTTPClient()
    private var ports: [Int] = []
    private var processes: [PodProcess] = []

    init(_ name: String, _ pod: TestPod, _ folder: TestFolder) {
        self.name = name
        self.pod = pod
        self.folder = folder.path(name)
    }

    /// Starts the application, if it is one's of a node, redirects, and starts Envoy.
    func start(_ proxy: ProxyPlan, applicationPorts: [Int]) async throws {
        ports = applicationPorts
        try FileManager.default.createDirectory(
            atPath: folder,
            withIntermediateDirectories: true
        )
        #expect(chown(folder, uid_t(PodMesh.user), gid_t(PodMesh.user)) == 0)
        if proxy.owner.kind == .virtualNode {
            let name = String(name.prefix { $0 != "-" })
            processes.append(
                try await TestServer.start(
                    in: pod,
                    "\(name) of \(self.name)",
                    ports: ports + [9999]
                )
            )
            try await redirect()
        } else {
            // As the runtimes of containers do.
            let low = "echo 0 > /proc/sys/net/ipv4/ip_unprivileged_port_start"
            #expect(try await pod.run(["sh", "-c", low]).status == 0)
        }
        let parameters = BootstrapParameters(
            xdsSocketPath: "\(folder)/xds.sock",
            adminSocketPath: "\(folder)/admin.sock",
            token: "none"
        )
        let bootstrap = try standaloneBootstrap(
            nodeID: proxy.nodeID,
            proxy.snapshot,
            parameters
        )
        let path = "\(folder)/envoy.json"
        try bootstrap.json.prettyText.write(toFile: path, atomically: true, encoding: .utf8)
        #expect(chown(path, uid_t(PodMesh.user), gid_t(PodMesh.user)) == 0)
        processes.append(
            try await pod.start(
                [try requireEnvoy(), "-c", path, "--disable-hot-restart", "--concurrency", "1"],
                user: PodMesh.user,
                until: "starting workers"
            )
        )
    }

    /// Redirects as an init container does, with `variables` beside those that it has.
    func redirect(_ variables: [String: String] = [:]) async throws {
        let own = ["APPMESH_APP_PORTS": ports.map(String.init).joined(separator: ",")]
        let result = try await pod.run(
            [heddlePath, "redirect"],
            environment: own.merging(variables) { _, given in given }
        )
        #expect(result.status == 0, "\(result.output)")
    }

    /// What curl, which stands for the application, prints of an answer with its head.
    func curl(_ url: String, host: String?, _ options: [String] = []) async throws -> String {
        let header = host.map { ["--header", "Host: \($0)"] } ?? []
        return try await EnvoyTests.curl(in: pod, url, header + options)
    }

    /// A number that the Pod's Envoy counts.
    func statistic(_ name: String) async throws -> Int {
        let response = try await client.response(
            to: HTTPRequest(
                "GET",
                "http://localhost/stats",
                unixSocketPath: "\(folder)/admin.sock"
            )
        )
        let line = response.text.split(separator: "\n").first { $0.hasPrefix("\(name): ") }
        return try #require(line?.split(separator: " ").last.flatMap { Int($0) }, "\(name)")
    }

    /// Ends all that runs in it.
    func end() { for process in processes { process.end() } }
}

/// What curl prints in `pod`, the answer's head and its own messages included.
func curl(
    in pod: TestPod,
    _ url: String,
    _ options: [String] = [],
    user: Int? = nil
) async throws -> String {
    let command = ["curl", "--silent", "--show-error", "--include", "--max-time", "20"]
    return try await pod.run(command + options + [url], user: user).output
}

/// A server that answers with its name and its port.
enum TestServer {
    /// Starts it on `ports` of every address of `pod`.
    static func start(in pod: TestPod, _ name: String, ports: [Int]) async throws -> PodProcess {
        let name = name.contains(" of ") ? name : "\(name) of \(name)"
        let arguments = [name] + ports.map(String.init)
        return try await pod.start(["python3", "-u", "-c", program] + arguments, until: "ready")
    }

    private static let program = #"""
        import http.server, os, socket, sys, threading
        name, ports = sys.argv[1], [int(port) for port in sys.argv[2:]]
        class Server(http.server.ThreadingHTTPServer):
            has_ipv6 = os.path.exists("/proc/net/if_inet6")
            address_family = socket.AF_INET6 if has_ipv6 else socket.AF_INET
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body = f"{name} {self.server.server_port}\n".encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            def log_message(self, *arguments): pass
        servers = [Server(("::" if Server.has_ipv6 else "", port), Handler) for port in ports]
        for server in servers: threading.Thread(target=server.serve_forever).start()
        print("ready")
        """#
}

/// Manifests with Pods.
enum PodManifests {
    static func mesh(allowsAll: Bool = false, ipPreference: String? = nil) -> String {
        """
        apiVersion: v1
        kind: Namespace
        metadata: {name: demo, labels: {mesh: demo}}
        ---
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: Mesh
        metadata: {name: demo}
        spec:
          namespaceSelector: {matchLabels: {mesh: demo}}
          egressFilter: {type: \(allowsAll ? "ALLOW_ALL" : "DROP_ALL")}
          \(ipPreference.map { "meshServiceDiscovery: {ipPreference: \($0)}" } ?? "")

        """
    }

    /// A client, a server and a gateway.
    static let colors =
        node("front", backend: "color") + node("color") + service("color") + gateway
        + pod("front-1", of: "front") + pod("color-1", of: "color") + pod("edge-1", of: "edge")

    /// A client and a server that prove each other who they are.
    static func secured(by certificate: TestCertificate, _ authority: String) -> String {
        let own =
            "certificate: {file: {certificateChain: \(certificate.chain), privateKey: \(certificate.key)}}"
        let trust = "validation: {trust: {file: {certificateChain: \(authority)}}}"
        return node(
            "front",
            backend: "color",
            "backendDefaults: {clientPolicy: {tls: {\(own), \(trust)}}}"
        )
            + node("color", listener: ", tls: {mode: STRICT, \(own), \(trust)}") + service("color")
            + pod("front-1", of: "front") + pod("color-1", of: "color")
    }

    private static func node(
        _ name: String,
        backend: String? = nil,
        listener: String = "",
        _ rest: String = ""
    ) -> String {
        let backends = backend.map { "{virtualService: {virtualServiceRef: {name: \($0)}}}" } ?? ""
        return """
            ---
            apiVersion: appmesh.k8s.aws/v1beta2
            kind: VirtualNode
            metadata: {name: \(name), namespace: demo}
            spec:
              podSelector: {matchLabels: {app: \(name)}}
              listeners: [{portMapping: {port: 8080, protocol: http}\(listener)}]
              serviceDiscovery: {dns: {hostname: \(name).demo}}
              backends: [\(backends)]
              \(rest)

            """
    }

    private static func service(_ name: String) -> String {
        """
        ---
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: VirtualService
        metadata: {name: \(name), namespace: demo}
        spec: {provider: {virtualNode: {virtualNodeRef: {name: \(name)}}}}

        """
    }

    private static let gateway = """
        ---
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: VirtualGateway
        metadata: {name: edge, namespace: demo}
        spec:
          namespaceSelector: {matchLabels: {mesh: demo}}
          podSelector: {matchLabels: {app: edge}}
          listeners: [{portMapping: {port: 80, protocol: http}}]
        ---
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: GatewayRoute
        metadata: {name: color, namespace: demo}
        spec:
          httpRoute:
            match: {prefix: "/"}
            action: {target: {virtualService: {virtualServiceRef: {name: color}}}}

        """

    private static func pod(_ name: String, of app: String) -> String {
        """
        ---
        apiVersion: v1
        kind: Pod
        metadata: {name: \(name), namespace: demo, labels: {app: \(app)}}
        spec: {containers: [{name: app}, {name: envoy}]}

        """
    }
}
