public import EnvoyAPI
internal import MeshModel
internal import SwiftProtobuf

/// What a proxy's bootstrap needs beyond its plan.
public struct BootstrapParameters: Hashable, Sendable {
    /// The Unix socket on which the control plane serves xDS.
    public var xdsSocketPath: String
    /// The Unix socket on which Envoy's admin interface shall listen.
    public var adminSocketPath: String
    /// The token by which the proxy proves who it is.
    public var token: String
    /// The Unix socket of an SDS server beside Heddle; nil when there is none.
    public var sdsSocketPath: String?
    /// The memory that the proxy may take, in bytes; nil is any.
    public var memoryLimitBytes: Int?
    /// What goes with the proxy's statistics; nil is nothing.
    public var statistics: ProxyStatistics?

    /// Makes parameters.
    public init(
        xdsSocketPath: String,
        adminSocketPath: String,
        token: String,
        sdsSocketPath: String? = nil,
        memoryLimitBytes: Int? = nil,
        statistics: ProxyStatistics? = nil
    ) {
        self.xdsSocketPath = xdsSocketPath
        self.adminSocketPath = adminSocketPath
        self.token = token
        self.sdsSocketPath = sdsSocketPath
        self.memoryLimitBytes = memoryLimitBytes
        self.statistics = statistics
    }
}

/// The configuration with which the proxy `nodeID` starts: it takes everything else over delta ADS.
///
/// As in App Mesh the proxy waits for its first clusters and listeners for ever, and
/// regular expressions may be up to a program size of 1,000.
public func bootstrap(
    nodeID: String,
    _ parameters: BootstrapParameters
) throws -> Envoy_Config_Bootstrap_V3_Bootstrap {
    var bootstrap = try bootstrapOfAll(nodeID: nodeID, parameters)
    bootstrap.takeAll(from: controlPlaneService)
    return bootstrap
}

extension Envoy_Config_Bootstrap_V3_Bootstrap {
    /// Has the proxy take its resources, and what it shall check, from `service`.
    mutating func takeAll(from service: Envoy_Config_Core_V3_GrpcService) {
        dynamicResources.adsConfig.apiType = .deltaGrpc
        dynamicResources.adsConfig.transportApiVersion = .v3
        dynamicResources.adsConfig.grpcServices = [service]
        var source = aggregatedDiscovery
        source.initialFetchTimeout = Google_Protobuf_Duration(.zero)
        dynamicResources.cdsConfig = source
        dynamicResources.ldsConfig = source
        // Every proxy asks what to check: so it begins and ends to check without a restart.
        hdsConfig.apiType = .grpc
        hdsConfig.transportApiVersion = .v3
        hdsConfig.grpcServices = [service]
    }
}

/// The configuration with which the proxy `nodeID` starts while the control plane is away: the
/// resources of `snapshot`, secrets with their keys included, and nothing to fetch.
///
/// Whoever may read it has the proxy's keys.
///
/// - Parameters:
///   - nodeID: Envoy's `node.id`.
///   - snapshot: What the proxy accepted last.
///   - parameters: As for `bootstrap`.
/// - Returns: The configuration.
/// - Throws: what SwiftProtobuf throws when a resource can't be decoded or encoded.
public func standaloneBootstrap(
    nodeID: String,
    _ snapshot: Snapshot,
    _ parameters: BootstrapParameters
) throws -> Envoy_Config_Bootstrap_V3_Bootstrap {
    var bootstrap = try bootstrapOfAll(nodeID: nodeID, parameters)
    let resources = try staticResources(of: snapshot) { $0.makeStatic() }
    bootstrap.staticResources.clusters += resources.clusters
    bootstrap.staticResources.listeners = resources.listeners
    bootstrap.staticResources.secrets = try snapshot[.secrets].values.sorted { $0.name < $1.name }
        .map { try $0.secret() }
    return bootstrap
}

/// What every bootstrap has.
private func bootstrapOfAll(
    nodeID: String,
    _ parameters: BootstrapParameters
) throws -> Envoy_Config_Bootstrap_V3_Bootstrap {
    var bootstrap = Envoy_Config_Bootstrap_V3_Bootstrap()
    bootstrap.node.id = nodeID
    bootstrap.node.cluster = nodeID
    bootstrap.admin.address.pipe.path = parameters.adminSocketPath
    bootstrap.admin.address.pipe.mode = 0o600
    bootstrap.staticResources.clusters = [try controlPlane(parameters)]
    if let path = parameters.sdsSocketPath {
        bootstrap.staticResources.clusters.append(try pipeCluster(externalSecretsCluster, path))
    }
    bootstrap.clusterManager = clusterManager
    // Heddle asks every 2.5 s. So latencies are at most that old, and an Envoy that takes over by a hot
    // restart gets exactly what was counted since the last answer: nothing counts twice.
    bootstrap.statsFlushOnAdmin = true
    bootstrap.layeredRuntime = runtime
    if let statistics = parameters.statistics { try bootstrap.report(statistics) }
    bootstrap.overloadManager = try overloadManager(memoryLimitBytes: parameters.memoryLimitBytes)
    return bootstrap
}

/// The cluster of the control plane; its keepalive finds one that hangs.
private func controlPlane(
    _ parameters: BootstrapParameters
) throws -> Envoy_Config_Cluster_V3_Cluster {
    var cluster = try pipeCluster(controlPlaneCluster, parameters.xdsSocketPath) { options in
        options.explicitHTTPConfig.http2ProtocolOptions.connectionKeepalive.interval = .init(
            .seconds(30)
        )
        options.explicitHTTPConfig.http2ProtocolOptions.connectionKeepalive.timeout = .init(
            .seconds(5)
        )
        options.httpFilters = try proving(token: parameters.token)
    }
    cluster.connectTimeout = .init(.seconds(1))
    return cluster
}

/// How proxies reach the control plane: after it was away they are back within a second, where Envoy
/// would wait for up to 30.
private let controlPlaneService = grpcService(
    backOff: .milliseconds(100),
    upTo: .seconds(1)
)

/// The control plane, asked again after `backOff` at first, and `maximum` at last.
func grpcService(
    backOff: Duration,
    upTo maximum: Duration
) -> Envoy_Config_Core_V3_GrpcService {
    var service = Envoy_Config_Core_V3_GrpcService()
    service.envoyGrpc.clusterName = controlPlaneCluster
    service.envoyGrpc.retryPolicy.retryBackOff.baseInterval = .init(backOff)
    service.envoyGrpc.retryPolicy.retryBackOff.maxInterval = .init(maximum)
    return service
}

/// The cluster of the control plane in every bootstrap.
let controlPlaneCluster = "xds"

/// A cluster that speaks HTTP/2 to the Unix socket `path`.
func pipeCluster(
    _ name: String,
    _ path: String,
    _ adjust: (inout Envoy_Extensions_Upstreams_Http_V3_HttpProtocolOptions) throws -> Void = { _ in
    }
) throws -> Envoy_Config_Cluster_V3_Cluster {
    var options = Envoy_Extensions_Upstreams_Http_V3_HttpProtocolOptions()
    options.explicitHTTPConfig.http2ProtocolOptions = .init()
    try adjust(&options)
    var cluster = Envoy_Config_Cluster_V3_Cluster()
    cluster.name = name
    cluster.type = .static
    cluster.typedExtensionProtocolOptions[httpProtocolOptionsName] = try packed(options)
    var endpoint = Envoy_Config_Endpoint_V3_LbEndpoint()
    endpoint.endpoint.address.pipe.path = path
    var locality = Envoy_Config_Endpoint_V3_LocalityLbEndpoints()
    locality.lbEndpoints = [endpoint]
    cluster.loadAssignment.clusterName = name
    cluster.loadAssignment.endpoints = [locality]
    return cluster
}

/// Filters that put `token` into every request to a cluster: so no resource needs to hold it to speak
/// with the control plane.
private func proving(
    token: String
) throws -> [Envoy_Extensions_Filters_Network_HttpConnectionManager_V3_HttpFilter] {
    typealias Filter = Envoy_Extensions_Filters_Network_HttpConnectionManager_V3_HttpFilter
    var change = Envoy_Config_Common_MutationRules_V3_HeaderMutation()
    change.append.header.key = "authorization"
    change.append.header.value = "Bearer \(token)"
    change.append.appendAction = .overwriteIfExistsOrAdd
    var mutation = Envoy_Extensions_Filters_Http_HeaderMutation_V3_HeaderMutation()
    mutation.mutations.requestMutations = [change]
    var authorization = Filter()
    authorization.name = "envoy.filters.http.header_mutation"
    authorization.typedConfig = try packed(mutation)
    return [authorization, try upstreamCodec()]
}

/// The last filter of requests to a cluster.
func upstreamCodec() throws
    -> Envoy_Extensions_Filters_Network_HttpConnectionManager_V3_HttpFilter
{
    var codec = Envoy_Extensions_Filters_Network_HttpConnectionManager_V3_HttpFilter()
    codec.name = "envoy.filters.http.upstream_codec"
    codec.typedConfig = try packed(
        Envoy_Extensions_Filters_Http_UpstreamCodec_V3_UpstreamCodec()
    )
    return codec
}

/// Ejections go to the proxy's own log, as in App Mesh.
let clusterManager: Envoy_Config_Bootstrap_V3_ClusterManager = {
    var manager = Envoy_Config_Bootstrap_V3_ClusterManager()
    manager.outlierDetection.eventLogPath = "/dev/stdout"
    return manager
}()

/// Settings that are no field of any resource, for static configurations as well.
let runtime: Envoy_Config_Bootstrap_V3_LayeredRuntime = {
    var fixed = Envoy_Config_Bootstrap_V3_RuntimeLayer()
    fixed.name = "static"
    fixed.staticLayer.fields["re2.max_program_size.error_level"] = 1000
    var admin = Envoy_Config_Bootstrap_V3_RuntimeLayer()
    admin.name = "admin"
    admin.adminLayer = .init()
    var runtime = Envoy_Config_Bootstrap_V3_LayeredRuntime()
    runtime.layers = [fixed, admin]
    return runtime
}()
