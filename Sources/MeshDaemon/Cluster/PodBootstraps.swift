public import MeshAdmission
public import MeshModel
internal import MeshPlan

/// Makes the bootstraps that injected Pods get.
public struct PodBootstraps: Sendable {
    /// How proxies reach the control plane.
    public struct ControlPlane: Hashable, Sendable {
        /// A DNS name or an IP address.
        public var host: String
        /// The port of its xDS.
        public var port: Port
        /// The name that its certificate has.
        public var serverName: String
        /// The address at which proxies answer kubelet; `::` in a cluster of IPv6.
        public var agentAddress: String

        /// Makes a control plane.
        public init(
            host: String,
            port: Port,
            serverName: String,
            agentAddress: String = "0.0.0.0"
        ) {
            self.host = host
            self.port = port
            self.serverName = serverName
            self.agentAddress = agentAddress
        }
    }

    private let controlPlane: ControlPlane
    private let roots: @Sendable () -> String?
    private let mesh: @Sendable (ObjectReference) -> Mesh?

    /// Makes bootstraps of proxies that reach `controlPlane`.
    ///
    /// - Parameters:
    ///   - controlPlane: How proxies reach the control plane.
    ///   - roots: The root certificates by which they know it, in PEM; nil while there are none.
    ///   - mesh: The mesh of a name, whose annotations count where the settings say nothing.
    public init(
        controlPlane: ControlPlane,
        roots: @escaping @Sendable () -> String?,
        mesh: @escaping @Sendable (ObjectReference) -> Mesh?
    ) {
        self.controlPlane = controlPlane
        self.roots = roots
        self.mesh = mesh
    }

    /// The bootstrap that `request` describes, as JSON.
    ///
    /// - Throws: `DaemonError` while there are no roots, or what making it throws.
    public func bootstrap(of request: ProxyBootstrapRequest) throws -> String {
        guard let roots = roots() else {
            throw DaemonError("there is no certificate authority yet; try again")
        }
        guard let adminPort = Port(request.adminPort), let agentPort = Port(request.readinessPort)
        else {
            throw DaemonError(
                "ports \(request.adminPort) and \(request.readinessPort) of the proxy: not in range; "
                    + "use 1 to 65535"
            )
        }
        return try podBootstrap(
            nodeID: request.nodeID,
            PodBootstrapParameters(
                xdsHost: controlPlane.host,
                xdsPort: controlPlane.port,
                serverName: controlPlane.serverName,
                rootCertificates: roots,
                tokenPath: request.tokenPath,
                adminPort: adminPort,
                agentAddress: controlPlane.agentAddress,
                agentPort: agentPort,
                drain: request.drainSecret.map {
                    PodBootstrapParameters.Drain(secret: $0, seconds: request.drainSeconds)
                },
                sdsSocketPath: request.sdsSocketPath,
                memoryLimitBytes: request.memoryLimitBytes,
                statistics: statistics(for: request)
            )
        )
    }

    private func statistics(for request: ProxyBootstrapRequest) -> ProxyStatistics? {
        let mesh = mesh(request.mesh)
        var statistics = ProxyStatistics(dogStatsD: mesh?.spec.dogStatsD)
        let stats = request.stats
        if stats.tagsEnabled, let mesh {
            let name = request.nodeID.split(separator: "/").last.map(String.init) ?? ""
            let kind = request.owner.kind == .virtualNode ? "virtual_node" : "virtual_gateway"
            statistics.tags = ["appmesh.mesh": mesh.spec.awsName, "appmesh.\(kind)": name]
        }
        if stats.statsdEnabled {
            if !stats.statsdSocketPath.isEmpty {
                statistics.dogStatsD = .unixSocket(stats.statsdSocketPath)
            } else if let port = Port(stats.statsdPort) {
                statistics.dogStatsD = .udp(
                    TelemetryEndpoint(host: stats.statsdAddress, port: port)
                )
            }
        }
        return statistics == ProxyStatistics() ? nil : statistics
    }
}
