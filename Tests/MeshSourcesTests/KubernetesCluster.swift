import Foundation
import KubernetesAPI
import Logging
import MeshModel
import MeshSources
import MeshTesting
import ServiceLifecycle
import Synchronization

/// A real API server with Heddle's CRDs.
enum KubernetesCluster {
    /// The one that tests share which need no options.
    static func shared() async throws -> KubernetesServer { try await sharedCluster.value }

    private static let sharedCluster = Task {
        let server = try await KubernetesServer.shared()
        try await install(on: server)
        return server
    }

    /// Installs the CRDs, and waits until they are served.
    static func install(on server: KubernetesServer) async throws {
        let folder = URL(fileURLWithPath: #filePath)
            .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("Manifests/crds").path
        let files = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
            .filter { $0.hasSuffix(".yaml") }
        for file in files { try await server.kubectl("apply", "-f", "\(folder)/\(file)") }
        try await server.kubectl("wait", "--for=condition=Established", "crd", "--all")
    }

    /// A client, by default an administrator's.
    static func client(
        of server: KubernetesServer,
        as kubeconfig: String? = nil
    ) throws -> KubernetesClient {
        KubernetesClient(
            try .kubeconfig(path: kubeconfig ?? server.kubeconfig),
            logger: silentLogger
        )
    }
}

/// A logger that says nothing.
let silentLogger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

/// Time that passes so many times faster than the system's.
func hastyTime(_ factor: Int) -> SteadyTime {
    let system = SteadyTime.system
    return SteadyTime(now: { system.now() * factor }, sleep: { await system.sleep($0 / factor) })
}

/// What a source tells, one after the other.
struct ClusterWorlds {
    private var iterator: AsyncStream<World>.Iterator
    /// How many were told.
    private(set) var count = 0

    init(_ source: KubernetesSource) { iterator = source.worlds.makeAsyncIterator() }

    /// Waits for a world in which `condition` holds.
    @discardableResult
    mutating func next(where condition: (World) -> Bool = { _ in true }) async throws -> World {
        while let world = await iterator.next(isolation: #isolation) {
            count += 1
            if condition(world) { return world }
        }
        throw StreamEnded()
    }
}

/// Runs services while `body` runs.
func running(_ services: any Service..., body: () async throws -> Void) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
        for service in services { group.addTask { try await service.run() } }
        defer { group.cancelAll() }
        try await body()
    }
}

/// Whether a replica leads, as a test says.
final class Leadership: Sendable {
    private let end = Mutex<ContinuousClock.Instant?>(nil)

    /// Leads for long from now on.
    func begin() { end.withLock { $0 = .now + .seconds(3600) } }

    /// Led until a moment ago.
    func lapse() { end.withLock { $0 = .now - .milliseconds(1) } }

    /// What a writer asks.
    var leadershipEnd: @Sendable () -> ContinuousClock.Instant? {
        { self.end.withLock { $0 } }
    }
}

/// Manifests of a VirtualNode that selects the Pods of its own name.
func nodeManifest(_ name: String, port: Int = 8080, finalizers: [String] = []) -> String {
    """
    apiVersion: appmesh.k8s.aws/v1beta2
    kind: VirtualNode
    metadata: {name: \(name), finalizers: [\(finalizers.joined(separator: ", "))]}
    spec:
      podSelector: {matchLabels: {app: \(name)}}
      listeners: [{portMapping: {port: \(port), protocol: http}}]
      serviceDiscovery: {dns: {hostname: \(name).example.com}}
    """
}
