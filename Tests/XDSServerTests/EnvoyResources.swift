import EnvoyAPI
import MeshModel
import MeshPlan
import SwiftProtobuf

private var ads: Envoy_Config_Core_V3_ConfigSource {
    var source = Envoy_Config_Core_V3_ConfigSource()
    source.ads = Envoy_Config_Core_V3_AggregatedConfigSource()
    source.resourceApiVersion = .v3
    return source
}

private func address(_ host: String, _ port: UInt16) -> Envoy_Config_Core_V3_Address {
    var address = Envoy_Config_Core_V3_Address()
    address.socketAddress.address = host
    address.socketAddress.portValue = UInt32(port)
    return address
}

/// The names of the secrets of a side of a connection.
struct TLSNames {
    var certificate: String
    var trust: String

    fileprivate var context: Envoy_Extensions_TransportSockets_Tls_V3_CommonTlsContext {
        var context = Envoy_Extensions_TransportSockets_Tls_V3_CommonTlsContext()
        context.tlsCertificateSdsSecretConfigs = [secret(certificate)]
        context.validationContextSdsSecretConfig = secret(trust)
        return context
    }

    private func secret(
        _ name: String
    ) -> Envoy_Extensions_TransportSockets_Tls_V3_SdsSecretConfig {
        var secret = Envoy_Extensions_TransportSockets_Tls_V3_SdsSecretConfig()
        secret.name = name
        secret.sdsConfig = ads
        // For ever, so that a server that does not send shows.
        secret.sdsConfig.initialFetchTimeout = .init()
        return secret
    }
}

/// Rules that let nobody in, and the log that tells of whom they refuse.
struct TestAccessControl {
    var isEnforced: Bool
    /// The token with which the log is sent.
    var token: String

    fileprivate typealias Filter =
        Envoy_Extensions_Filters_Network_HttpConnectionManager_V3_HttpFilter

    fileprivate var filter: Filter {
        get throws {
            var control = Envoy_Extensions_Filters_Http_Rbac_V3_RBAC()
            if isEnforced { control.rules = .init() } else { control.shadowRules = .init() }
            var filter = Filter()
            filter.name = "envoy.filters.http.rbac"
            filter.typedConfig = try Google_Protobuf_Any(message: control)
            return filter
        }
    }

    fileprivate var log: Envoy_Config_Accesslog_V3_AccessLog {
        get throws {
            var config = Envoy_Extensions_AccessLoggers_Grpc_V3_HttpGrpcAccessLogConfig()
            config.commonConfig.logName = "denials"
            config.commonConfig.transportApiVersion = .v3
            config.commonConfig.bufferFlushInterval = .init(rounding: .milliseconds(100))
            config.commonConfig.grpcService.envoyGrpc.clusterName = "heddle_xds"
            var proof = Envoy_Config_Core_V3_HeaderValue()
            proof.key = "authorization"
            proof.value = "Bearer \(token)"
            config.commonConfig.grpcService.initialMetadata = [proof]
            var log = Envoy_Config_Accesslog_V3_AccessLog()
            log.name = "envoy.access_loggers.http_grpc"
            log.typedConfig = try Google_Protobuf_Any(message: config)
            return log
        }
    }
}

/// The log of all requests, for while somebody taps.
struct TestTap {
    /// `tap.inbound` or `tap.outbound`.
    var name: String
    /// The token with which the log is sent.
    var token: String

    fileprivate var log: Envoy_Config_Accesslog_V3_AccessLog {
        get throws {
            var config = Envoy_Extensions_AccessLoggers_Grpc_V3_HttpGrpcAccessLogConfig()
            config.commonConfig.logName = name
            config.commonConfig.transportApiVersion = .v3
            config.commonConfig.bufferFlushInterval = .init(rounding: .milliseconds(50))
            config.commonConfig.grpcService.envoyGrpc.clusterName = "heddle_xds"
            var proof = Envoy_Config_Core_V3_HeaderValue()
            proof.key = "authorization"
            proof.value = "Bearer \(token)"
            config.commonConfig.grpcService.initialMetadata = [proof]
            var log = Envoy_Config_Accesslog_V3_AccessLog()
            log.name = "envoy.access_loggers.http_grpc"
            log.typedConfig = try Google_Protobuf_Any(message: config)
            log.filter.runtimeFilter.runtimeKey = "heddle.tap"
            log.filter.runtimeFilter.percentSampled.numerator = 0
            log.filter.runtimeFilter.useIndependentRandomness = true
            return log
        }
    }
}

private func socket(_ context: some Message) throws -> Envoy_Config_Core_V3_TransportSocket {
    var socket = Envoy_Config_Core_V3_TransportSocket()
    socket.name = "envoy.transport_sockets.tls"
    socket.typedConfig = try Google_Protobuf_Any(message: context)
    return socket
}

/// A cluster that takes the endpoints of its own name.
func edsCluster(_ name: String, tls: TLSNames? = nil) throws -> EncodedResource {
    var cluster = Envoy_Config_Cluster_V3_Cluster()
    cluster.name = name
    cluster.type = .eds
    if let tls {
        var context = Envoy_Extensions_TransportSockets_Tls_V3_UpstreamTlsContext()
        context.commonTlsContext = tls.context
        cluster.transportSocket = try socket(context)
    }
    cluster.edsClusterConfig.edsConfig = ads
    cluster.connectTimeout.seconds = 1
    return try EncodedResource(
        .clusters,
        name: name,
        message: cluster,
        origins: [:],
        endpointsName: name
    )
}

/// A cluster that Envoy refuses: a name is where a static cluster has an address.
func badCluster(_ name: String) throws -> EncodedResource {
    var cluster = Envoy_Config_Cluster_V3_Cluster()
    cluster.name = name
    cluster.type = .static
    var endpoint = Envoy_Config_Endpoint_V3_LbEndpoint()
    endpoint.endpoint.address = address("not-an-address", 1)
    var group = Envoy_Config_Endpoint_V3_LocalityLbEndpoints()
    group.lbEndpoints = [endpoint]
    cluster.loadAssignment.clusterName = name
    cluster.loadAssignment.endpoints = [group]
    return try EncodedResource(.clusters, name: name, message: cluster, origins: [:])
}

func endpoints(_ name: String, port: UInt16) throws -> EncodedResource {
    var endpoint = Envoy_Config_Endpoint_V3_LbEndpoint()
    endpoint.endpoint.address = address("127.0.0.1", port)
    var group = Envoy_Config_Endpoint_V3_LocalityLbEndpoints()
    group.lbEndpoints = [endpoint]
    var assignment = Envoy_Config_Endpoint_V3_ClusterLoadAssignment()
    assignment.clusterName = name
    assignment.endpoints = [group]
    return try EncodedResource(.endpoints, name: name, message: assignment, origins: [:])
}

func listener(
    _ name: String,
    port: UInt16,
    route: String,
    address host: String = "127.0.0.1",
    tls: TLSNames? = nil,
    control: TestAccessControl? = nil,
    tap: TestTap? = nil
) throws -> EncodedResource {
    var router = Envoy_Extensions_Filters_Network_HttpConnectionManager_V3_HttpFilter()
    router.name = "envoy.filters.http.router"
    router.typedConfig = try Google_Protobuf_Any(
        message: Envoy_Extensions_Filters_Http_Router_V3_Router()
    )
    var manager = Envoy_Extensions_Filters_Network_HttpConnectionManager_V3_HttpConnectionManager()
    manager.statPrefix = name
    manager.rds.configSource = ads
    manager.rds.routeConfigName = route
    manager.httpFilters = [router]
    if let control {
        manager.httpFilters = [try control.filter, router]
        manager.accessLog = [try control.log]
    }
    if let tap { manager.accessLog.append(try tap.log) }
    var filter = Envoy_Config_Listener_V3_Filter()
    filter.name = "envoy.filters.network.http_connection_manager"
    filter.typedConfig = try Google_Protobuf_Any(message: manager)
    var chain = Envoy_Config_Listener_V3_FilterChain()
    chain.filters = [filter]
    if let tls {
        var context = Envoy_Extensions_TransportSockets_Tls_V3_DownstreamTlsContext()
        context.commonTlsContext = tls.context
        context.requireClientCertificate = .init(true)
        chain.transportSocket = try socket(context)
    }
    var listener = Envoy_Config_Listener_V3_Listener()
    listener.name = name
    listener.address = address(host, port)
    listener.filterChains = [chain]
    return try EncodedResource(
        .listeners,
        name: name,
        message: listener,
        origins: [:],
        secretNames: Set(tls.map { [$0.certificate, $0.trust] } ?? [])
    )
}

/// Where all requests go.
enum Destination {
    case cluster(String)
    case text(String)
}

func routes(
    _ name: String,
    to destination: Destination,
    domains: [String] = ["*"]
) throws -> EncodedResource {
    var route = Envoy_Config_Route_V3_Route()
    route.match.prefix = "/"
    switch destination {
    case .cluster(let cluster): route.route.cluster = cluster
    case .text(let text):
        route.directResponse.status = 200
        route.directResponse.body.inlineString = text
    }
    var configuration = Envoy_Config_Route_V3_RouteConfiguration()
    configuration.name = name
    configuration.virtualHosts = domains.enumerated().map { index, domain in
        var host = Envoy_Config_Route_V3_VirtualHost()
        host.name = "host\(index)"
        host.domains = [domain]
        host.routes = [route]
        return host
    }
    return try EncodedResource(.routes, name: name, message: configuration, origins: [:])
}
