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

    /// Makes parameters.
    public init(
        xdsSocketPath: String,
        adminSocketPath: String,
        token: String,
        sdsSocketPath: String? = nil
    ) {
        self.xdsSocketPath = xdsSocketPath
        self.adminSocketPath = adminSocketPath
        self.token = token
        self.sdsSocketPath = sdsSocketPath
    }
}

/// The configuration with which the proxy `nodeID` starts: it takes everything else over delta ADS.
///
/// As in App Mesh the proxy waits for its first clusters and listeners for ever, and
/// regular expressions may be up to a program size of 1,000. The keepalive finds a control plane
/// that hangs.
public func bootstrap(
    nodeID: String,
    _ parameters: BootstrapParameters
) throws -> Envoy_Config_Bootstrap_V3_Bootstrap {
    var bootstrap = Envoy_Config_Bootstrap_V3_Bootstrap()
    bootstrap.node.id = nodeID
    bootstrap.node.cluster = nodeID
    bootstrap.admin.address.pipe.path = parameters.adminSocketPath
    bootstrap.admin.address.pipe.mode = 0o600

    var service = Envoy_Config_Core_V3_GrpcService()
    service.envoyGrpc.clusterName = controlPlaneCluster
    bootstrap.dynamicResources.adsConfig.apiType = .deltaGrpc
    bootstrap.dynamicResources.adsConfig.transportApiVersion = .v3
    bootstrap.dynamicResources.adsConfig.grpcServices = [service]
    var source = aggregatedDiscovery
    source.initialFetchTimeout = Google_Protobuf_Duration(.zero)
    bootstrap.dynamicResources.cdsConfig = source
    bootstrap.dynamicResources.ldsConfig = source
    // Every proxy asks what to check: so it begins and ends to check without a restart.
    bootstrap.hdsConfig.apiType = .grpc
    bootstrap.hdsConfig.transportApiVersion = .v3
    bootstrap.hdsConfig.grpcServices = [service]

    var controlPlane = try pipeCluster(controlPlaneCluster, parameters.xdsSocketPath) { options in
        options.explicitHTTPConfig.http2ProtocolOptions.connectionKeepalive.interval = .init(
            .seconds(30)
        )
        options.explicitHTTPConfig.http2ProtocolOptions.connectionKeepalive.timeout = .init(
            .seconds(5)
        )
        options.httpFilters = try proving(token: parameters.token)
    }
    controlPlane.connectTimeout = .init(.seconds(1))
    bootstrap.staticResources.clusters = [controlPlane]
    if let path = parameters.sdsSocketPath {
        bootstrap.staticResources.clusters.append(try pipeCluster(externalSecretsCluster, path))
    }

    bootstrap.clusterManager = clusterManager
    bootstrap.layeredRuntime = runtime
    bootstrap.overloadManager = try overloadManager()
    return bootstrap
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
    var codec = Filter()
    codec.name = "envoy.filters.http.upstream_codec"
    codec.typedConfig = try packed(
        Envoy_Extensions_Filters_Http_UpstreamCodec_V3_UpstreamCodec()
    )
    return [authorization, codec]
}

/// Ejections go to the proxy's own log, as in App Mesh.
private let clusterManager: Envoy_Config_Bootstrap_V3_ClusterManager = {
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

/// Says outright that downstream connections are not limited, as in App Mesh; Envoy warns of a
/// proxy that leaves it open.
private func overloadManager() throws -> Envoy_Config_Overload_V3_OverloadManager {
    var limit =
        Envoy_Extensions_ResourceMonitors_DownstreamConnections_V3_DownstreamConnectionsConfig()
    limit.maxActiveDownstreamConnections = Int64(Int32.max)
    var monitor = Envoy_Config_Overload_V3_ResourceMonitor()
    monitor.name = "envoy.resource_monitors.global_downstream_max_connections"
    monitor.typedConfig = try packed(limit)
    var manager = Envoy_Config_Overload_V3_OverloadManager()
    manager.resourceMonitors = [monitor]
    return manager
}
