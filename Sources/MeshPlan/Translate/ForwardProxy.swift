internal import EnvoyAPI
internal import SwiftProtobuf

/// The resolver cache that the forward proxy's filter and clusters share; Envoy asks that all
/// uses of one name have one configuration.
let forwardProxyDNSCache: Envoy_Extensions_Common_DynamicForwardProxy_V3_DnsCacheConfig = {
    var cache = Envoy_Extensions_Common_DynamicForwardProxy_V3_DnsCacheConfig()
    cache.name = "egress"
    cache.dnsLookupFamily = .v4Preferred
    return cache
}()

/// A cluster that reaches whatever host a request names.
///
/// Without redirection nothing but the host's name says where the application meant to go.
func forwardProxyCluster(named name: String) throws -> Envoy_Config_Cluster_V3_Cluster {
    var configuration = Envoy_Extensions_Clusters_DynamicForwardProxy_V3_ClusterConfig()
    configuration.dnsCacheConfig = forwardProxyDNSCache
    var cluster = Envoy_Config_Cluster_V3_Cluster()
    cluster.name = name
    cluster.connectTimeout = Google_Protobuf_Duration(.seconds(1))
    cluster.lbPolicy = .clusterProvided
    cluster.circuitBreakers = unlimitedConnections
    cluster.clusterType.name = "envoy.clusters.dynamic_forward_proxy"
    cluster.clusterType.typedConfig = try packed(configuration)
    return cluster
}

/// A cluster that reaches the address which the application meant to reach before its connection was
/// redirected, as App Mesh's did.
///
/// Of HTTP it speaks the version that the application does.
func originalDestinationCluster(named name: String) throws -> Envoy_Config_Cluster_V3_Cluster {
    var options = Envoy_Extensions_Upstreams_Http_V3_HttpProtocolOptions()
    options.useDownstreamProtocolConfig.httpProtocolOptions = .init()
    options.useDownstreamProtocolConfig.http2ProtocolOptions = .init()
    var cluster = Envoy_Config_Cluster_V3_Cluster()
    cluster.name = name
    cluster.type = .originalDst
    cluster.connectTimeout = Google_Protobuf_Duration(.seconds(1))
    cluster.lbPolicy = .clusterProvided
    cluster.circuitBreakers = unlimitedConnections
    cluster.typedExtensionProtocolOptions[httpProtocolOptionsName] = try packed(options)
    return cluster
}
