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
/// App Mesh used an `ORIGINAL_DST` cluster, which goes to the address that the application meant to
/// reach before its connection was redirected. Without redirection the host's name says that.
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
