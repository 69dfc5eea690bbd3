internal import EnvoyAPI
internal import MeshModel
internal import SwiftProtobuf

/// The network filter that carries each connection to one of `clusters`, by weight; at least one
/// has a weight over 0.
func tcpProxy(
    statPrefix: String,
    clusters: [(cluster: String, weight: UInt32)],
    idleTimeout: Duration?,
    direction: TrafficDirection,
    accessLog: AccessLog?,
    hashesSource: Bool = false,
    tls: ServerTLS? = nil,
    accessControl: AccessControl? = nil
) throws -> Envoy_Config_Listener_V3_Filter {
    typealias Proxy = Envoy_Extensions_Filters_Network_TcpProxy_V3_TcpProxy
    var proxy = Proxy()
    proxy.statPrefix = statPrefix
    proxy.accessLog = try accessLogs(for: accessLog)
    if let accessControl { proxy.accessLog += try connectionDenialLogs(accessControl) }
    proxy.accessLog.append(try connectionTapLog(direction))
    if let tls, tls.validation != nil, tls.connectsAfterHandshake {
        // Else the application is connected to before it is known who calls.
        proxy.upstreamConnectMode = .onDownstreamTlsHandshake
        proxy.maxEarlyDataBytes = .init(4096)
    }
    if hashesSource {
        var policy = Envoy_Type_V3_HashPolicy()
        policy.sourceIp = .init()
        proxy.hashPolicy = [policy]
    }
    let weighted = clusters.filter { $0.weight > 0 }
    if weighted.count > 1 {
        proxy.weightedClusters.clusters = weighted.map { name, weight in
            var cluster = Proxy.WeightedCluster.ClusterWeight()
            cluster.name = name
            cluster.weight = weight
            return cluster
        }
    } else if let only = weighted.first {
        proxy.cluster = only.cluster
    }
    if let idleTimeout { proxy.idleTimeout = Google_Protobuf_Duration(idleTimeout) }
    var filter = Envoy_Config_Listener_V3_Filter()
    filter.name = "envoy.filters.network.tcp_proxy"
    filter.typedConfig = try packed(proxy)
    return filter
}
