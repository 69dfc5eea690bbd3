import Foundation
import KubernetesAPI
import Logging
import MeshAdmission
import MeshDaemon
import MeshModel
import MeshSources
import MeshTesting
import ServiceLifecycle
import Synchronization
import Testing

/// A cluster whose API server asks our webhooks.
final class AdmissionCluster: Sendable {
    let server: KubernetesServer
    /// What the webhooks serve with, and what the configurations shall have.
    private let certificate = Mutex<WebhookCertificate?>(nil)
    private let roots = Mutex<String?>(nil)
    private let isLeading = Mutex(true)
    private let world = NewestWorld()
    private let port = Mutex<Int?>(nil)
    private let keeper = Mutex<CABundleKeeper?>(nil)

    /// The one that the tests of a suite share.
    static func shared() async throws -> AdmissionCluster { try await cluster.value }
    private static let cluster = Task { try await AdmissionCluster() }

    private init() async throws {
        server = try await KubernetesServer()
        let definitions = repositoryRoot.appending(path: "Manifests/crds").path
        try await server.kubectl("apply", "-f", definitions)
        try await server.kubectl("wait", "--for=condition=Established", "crd", "--all")
        try await serve(as: "webhooks")
        let logger = Logger(label: "admission-tests") { _ in SwiftLogNoOpLogHandler() }
        let client = KubernetesClient(
            try .kubeconfig(path: server.kubeconfig),
            logger: logger
        )
        let source = KubernetesSource(client: client, logger: logger)
        run(source)
        Task { for await world in source.worlds { self.world.show(world) } }
        var settings = InjectionSettings(
            proxyImage: "envoyproxy/envoy:v1.40.0",
            heddleImage: "heddle:1"
        )
        settings.kubernetesVersion = "v1.20.2"
        let webhooks = WebhookServer(
            address: HostAndPort(host: "127.0.0.1", port: 0),
            controller: AdmissionController(settings: settings) { "{\"node\": \"\($0.nodeID)\"}" },
            certificate: { self.certificate.withLock { $0 } },
            world: world,
            patience: .seconds(20),
            logger: logger
        ) { port in self.port.withLock { $0 = port } }
        run(webhooks)
        let keeper = CABundleKeeper(
            client: client,
            roots: { self.roots.withLock { $0 } },
            leadershipEnd: { self.isLeading.withLock { $0 } ? .now + .seconds(60) : nil },
            logger: logger
        )
        self.keeper.withLock { $0 = keeper }
        run(keeper)
        try await poll({ self.port.withLock { $0 } }) { $0 != nil }
        try await poll({ self.world.current != nil }) { $0 }
        try await configureWebhooks()
        _ = try await poll(bundles) { $0.allSatisfy { $0 != nil } && $0.count == 17 }
    }

    private func run(_ service: some Service) {
        Task { try await service.run() }
    }

    /// Has the webhooks serve with a new certificate of a new authority `name`; gives its serial number.
    @discardableResult
    func serve(as name: String) async throws -> String {
        let authority = try await TestAuthority(name, in: server.folder.path)
        let issued = try await authority.issue("\(name)-server", for: ["localhost"])
        let certificate = WebhookCertificate(
            chain: try String(contentsOfFile: issued.chain, encoding: .utf8),
            privateKey: try String(contentsOfFile: issued.key, encoding: .utf8)
        )
        let root = try String(contentsOfFile: authority.certificate, encoding: .utf8)
        self.certificate.withLock { $0 = certificate }
        roots.withLock { $0 = root }
        keeper.withLock { $0 }?.look()
        return issued.serial
    }

    /// The serial number of the certificate that a new connection is served with.
    func servedSerial() async throws -> String? {
        let port = try #require(port.withLock { $0 })
        return try await presentedCertificate("localhost", port: port).serial
    }

    /// Has this replica lead, or not.
    func lead(_ leads: Bool) {
        isLeading.withLock { $0 = leads }
        keeper.withLock { $0 }?.look()
    }

    /// Applies the configurations as a chart does: without roots.
    func configureWebhooks() async throws {
        let port = try #require(port.withLock { $0 })
        for verb in ["mutate", "validate"] {
            let webhooks = AdmissionController.paths.filter { $0.hasPrefix("/\(verb)") }
                .map { webhook($0, port) }
            try await server.apply(
                """
                apiVersion: admissionregistration.k8s.io/v1
                kind: \(verb == "mutate" ? "Mutating" : "Validating")WebhookConfiguration
                metadata: {name: heddle}
                webhooks:
                \(webhooks.joined(separator: "\n"))
                """
            )
        }
    }

    private func webhook(_ path: String, _ port: Int) -> String {
        let kind = Kind.allCases.first { path.hasSuffix("-\($0.version)-\($0.singular)") }
        let selector = """
            , namespaceSelector: {matchExpressions: [{key: appmesh.k8s.aws/sidecarInjectorWebhook, \
            operator: In, values: [enabled, disabled]}]}
            """
        return """
            - {name: \(path.dropFirst()).heddle.dev, admissionReviewVersions: [v1], \
            sideEffects: None, failurePolicy: Fail, timeoutSeconds: 30, \
            clientConfig: {url: "https://localhost:\(port)\(path)"}, \
            rules: [{apiGroups: ["\(kind?.group ?? "")"], apiVersions: [\(kind?.version ?? "v1")], \
            operations: [\(kind == nil ? "CREATE" : "CREATE, UPDATE")], \
            resources: [\(kind?.plural ?? "pods")]}]\(kind == nil ? selector : "")}
            """
    }

    /// `caBundle` of each webhook; nil where there is none.
    func bundles() async throws -> [String?] {
        var bundles: [String?] = []
        for kind in ["mutatingwebhookconfiguration", "validatingwebhookconfiguration"] {
            let text = try await server.kubectl("get", kind, "heddle", "-o", "json")
            let document = try JSONDecoder().decode(JSONValue.self, from: Data(text.utf8))
            bundles += (document["webhooks"]?.array ?? []).map {
                $0["clientConfig"]?["caBundle"]?.string
            }
        }
        return bundles
    }

    /// The object as it is stored.
    func get(_ kind: String, _ name: String, in namespace: String? = nil) async throws -> JSONValue
    {
        let place = namespace.map { ["-n", $0] } ?? []
        let text = try await server.kubectl(["get", kind, name, "-o", "json"] + place)
        return try JSONDecoder().decode(JSONValue.self, from: Data(text.utf8))
    }
}

/// The repository's folder.
private let repositoryRoot = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent()
