internal import FoundationEssentials
internal import KubernetesAPI
internal import MeshAdmission
internal import MeshModel
internal import MeshPlan

/// The bootstrap of the proxy that the injector describes.
///
/// - Parameters:
///   - request: The proxy.
///   - xdsHost: The DNS name of Heddle's Service.
///   - xdsPort: The port of its xDS.
///   - rootCertificates: What signed its certificate, in PEM.
///   - world: The mesh of the proxy is in it.
/// - Returns: JSON.
/// - Throws: `PodBootstrapError`, or what SwiftProtobuf throws.
func podBootstrap(
    of request: ProxyBootstrapRequest,
    xdsHost: String,
    xdsPort: Int,
    rootCertificates: String,
    in world: World?
) throws -> String {
    guard let port = Port(xdsPort), let adminPort = Port(request.adminPort),
        let agentPort = Port(request.readinessPort)
    else {
        throw DaemonError(
            "ports \(xdsPort), \(request.adminPort) and \(request.readinessPort): a port is 1 to 65535"
        )
    }
    return try podBootstrap(
        nodeID: request.nodeID,
        PodBootstrapParameters(
            xdsHost: xdsHost,
            xdsPort: port,
            serverName: xdsHost,
            rootCertificates: rootCertificates,
            tokenPath: request.tokenPath,
            adminPort: adminPort,
            agentPort: agentPort,
            drain: request.drainSecret.map {
                PodBootstrapParameters.Drain(secret: $0, seconds: request.drainSeconds)
            },
            sdsSocketPath: request.sdsSocketPath,
            memoryLimitBytes: request.memoryLimitBytes,
            statistics: statistics(of: request, in: world)
        )
    )
}

/// The tags of App Mesh, and the sink that the settings or the mesh ask for.
private func statistics(of request: ProxyBootstrapRequest, in world: World?) -> ProxyStatistics? {
    guard let mesh = world?.meshes[request.mesh] else { return nil }
    let name = request.nodeID.split(separator: "/").last.map(String.init) ?? ""
    let tag =
        request.owner.kind == .virtualGateway ? "appmesh.virtual_gateway" : "appmesh.virtual_node"
    var statistics = ProxyStatistics(
        tags: ["appmesh.mesh": mesh.spec.awsName, tag: name],
        dogStatsD: mesh.spec.dogStatsD
    )
    if statistics.dogStatsD == nil { statistics.dogStatsD = request.stats.dogStatsD }
    return statistics
}

extension InjectionSettings {
    /// The settings of a file; the defaults without one.
    init(at path: String?) throws {
        self.init()
        guard let path else { return }
        let bytes: Data
        do {
            bytes = try Data(contentsOf: URL(filePath: path))
        } catch {
            throw DaemonError("--injection-settings \(path): cannot be read; \(error)")
        }
        do {
            self = try JSONDecoder().decode(InjectionSettings.self, from: bytes)
        } catch {
            throw DaemonError("--injection-settings \(path): \(error)")
        }
    }
}

extension ControllerConfiguration {
    /// The API server to ask, and as whom.
    func cluster() throws -> KubernetesConfiguration {
        do {
            if kubeconfig == nil, context == nil, let own = try KubernetesConfiguration.inCluster() {
                return own
            }
            return try .kubeconfig(path: kubeconfig, context: context)
        } catch {
            throw DaemonError("\(error.request): \(error.problem)")
        }
    }
}
