internal import EnvoyAPI
public import MeshModel
internal import SwiftProtobuf

/// What the bootstrap of a Pod's proxy needs beyond its `node.id`.
public struct PodBootstrapParameters: Hashable, Sendable {
    /// How a Pod's proxy is told to drain.
    public struct Drain: Hashable, Sendable {
        /// The last part of the path of `preStop`: letters, digits, `-` and `_`.
        ///
        /// Whoever reaches the Pod and knows it can drain the proxy, so nobody shall guess it.
        public var secret: String
        /// How long `preStop` takes, and the proxy answers on; the same as Envoy's `--drain-time-s`.
        public var seconds: Int

        /// Makes a drain.
        public init(secret: String, seconds: Int = 20) {
            self.secret = secret
            self.seconds = seconds
        }
    }

    /// The control plane: a DNS name or an IP address.
    public var xdsHost: String
    /// The port of its xDS.
    public var xdsPort: Port
    /// The DNS name or IP address that its certificate must have.
    public var serverName: String
    /// The authorities of which one must have signed that certificate, in PEM.
    public var rootCertificates: String
    /// The file of the service account's token; Envoy reads it for each stream.
    public var tokenPath: String
    /// The address of the admin interface; in App Mesh `0.0.0.0`.
    public var adminAddress: String
    /// The port of the admin interface.
    public var adminPort: Port
    /// The address that kubelet and Prometheus reach; `::` in a cluster of IPv6.
    public var agentAddress: String
    /// The port of `/ready`, `/stats/prometheus` and the drain; in App Mesh its agent's.
    public var agentPort: Port
    /// nil is no path by which it can be drained.
    public var drain: Drain?
    /// The Unix socket of an SDS server beside Heddle; nil when there is none.
    public var sdsSocketPath: String?
    /// The memory that the proxy may take, in bytes; nil is any.
    public var memoryLimitBytes: Int?
    /// What goes with the proxy's statistics; nil is nothing.
    public var statistics: ProxyStatistics?

    /// Makes parameters.
    public init(
        xdsHost: String,
        xdsPort: Port,
        serverName: String,
        rootCertificates: String,
        tokenPath: String,
        adminAddress: String = "127.0.0.1",
        adminPort: Port = .admin,
        agentAddress: String = "0.0.0.0",
        agentPort: Port = .agent,
        drain: Drain? = nil,
        sdsSocketPath: String? = nil,
        memoryLimitBytes: Int? = nil,
        statistics: ProxyStatistics? = nil
    ) {
        self.xdsHost = xdsHost
        self.xdsPort = xdsPort
        self.serverName = serverName
        self.rootCertificates = rootCertificates
        self.tokenPath = tokenPath
        self.adminAddress = adminAddress
        self.adminPort = adminPort
        self.agentAddress = agentAddress
        self.agentPort = agentPort
        self.drain = drain
        self.sdsSocketPath = sdsSocketPath
        self.memoryLimitBytes = memoryLimitBytes
        self.statistics = statistics
    }
}

/// Why there can be no bootstrap with the parameters given.
public struct PodBootstrapError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The parameter, what is wrong with it, and the remedy.
    public let description: String
}

/// The configuration, in JSON, with which the proxy `nodeID` of a Pod starts: it takes everything else
/// over delta ADS.
///
/// It is the same for all Pods of a virtual node but for the drain's secret, and holds neither token nor
/// key. As in App Mesh the proxy waits for its first clusters and listeners for ever.
///
/// - Parameters:
///   - nodeID: Envoy's `node.id`: `ProxyPlan.nodeID`.
///   - parameters: What else it needs.
/// - Returns: JSON that Envoy takes as `--config-yaml`, or in a file.
/// - Throws: `PodBootstrapError`, or what SwiftProtobuf throws.
public func podBootstrap(
    nodeID: String,
    _ parameters: PodBootstrapParameters
) throws -> String {
    if let problem = parameters.problem { throw PodBootstrapError(description: problem) }
    var bootstrap = Envoy_Config_Bootstrap_V3_Bootstrap()
    bootstrap.node.id = nodeID
    bootstrap.node.cluster = nodeID
    bootstrap.admin.address = socketAddress(
        parameters.adminAddress,
        UInt32(parameters.adminPort.number)
    )
    bootstrap.staticResources.clusters = [
        try remoteControlPlane(parameters), adminCluster(parameters),
    ]
    if let path = parameters.sdsSocketPath {
        bootstrap.staticResources.clusters.append(try pipeCluster(externalSecretsCluster, path))
    }
    bootstrap.staticResources.listeners = [try agentListener(parameters)]
    bootstrap.clusterManager = clusterManager
    bootstrap.layeredRuntime = runtime
    if let statistics = parameters.statistics { try bootstrap.report(statistics) }
    bootstrap.overloadManager = try overloadManager(memoryLimitBytes: parameters.memoryLimitBytes)
    // Of all proxies of a cluster that lost its control plane none is to wait long, and they are not to
    // come back in one instant.
    bootstrap.takeAll(
        from: grpcService(backOff: .milliseconds(250), upTo: .seconds(2))
    )
    return try bootstrap.json.prettyText
}

extension PodBootstrapParameters {
    /// What is wrong with the parameters that go into scripts and paths.
    fileprivate var problem: String? {
        if !tokenPath.hasPrefix("/") || tokenPath.unicodeScalars.contains(where: { $0.value < 32 })
        {
            return
                "tokenPath \"\(tokenPath)\": it must be an absolute path without control characters"
        }
        guard let drain else { return nil }
        let isPlain = drain.secret.utf8.allSatisfy {
            (UInt8(ascii: "a")...UInt8(ascii: "z")).contains($0)
                || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains($0)
                || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
                || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "_")
        }
        if !isPlain || !(16...128).contains(drain.secret.utf8.count) {
            return
                "drain.secret: it must be 16 to 128 letters, digits, - or _, which nobody can guess"
        }
        if !(0...3600).contains(drain.seconds) {
            return "drain.seconds \(drain.seconds): it must be from 0 to 3600"
        }
        return nil
    }
}
