public import EnvoyAPI
internal import MeshModel
internal import SwiftProtobuf

/// The configuration of `proxy` with nothing left to fetch.
///
/// It is what `heddle render` prints and `envoy --mode validate` accepts. Routes stand in their listeners, endpoints in their clusters.
/// Only secrets stay with the control plane, which a proxy that has any reaches by the socket `xds.sock`
/// in its folder.
public func staticConfiguration(
    of proxy: ProxyPlan
) throws -> Envoy_Config_Bootstrap_V3_Bootstrap {
    var bootstrap = Envoy_Config_Bootstrap_V3_Bootstrap()
    bootstrap.node.id = proxy.nodeID
    bootstrap.node.cluster = proxy.nodeID
    bootstrap.layeredRuntime = runtime
    let endpoints = try messages(
        Envoy_Config_Endpoint_V3_ClusterLoadAssignment.self,
        of: proxy.snapshot[.endpoints]
    )
    let routes = try messages(
        Envoy_Config_Route_V3_RouteConfiguration.self,
        of: proxy.snapshot[.routes]
    )
    let clusters = try messages(
        Envoy_Config_Cluster_V3_Cluster.self,
        of: proxy.snapshot[.clusters]
    )
    bootstrap.staticResources.clusters = sorted(clusters).map { name, cluster in
        guard cluster.type == .eds else { return cluster }
        var cluster = cluster
        cluster.type = .static
        cluster.clearEdsClusterConfig()
        cluster.loadAssignment = endpoints[name] ?? loadAssignment(name, [])
        return cluster
    }
    let listeners = try messages(
        Envoy_Config_Listener_V3_Listener.self,
        of: proxy.snapshot[.listeners]
    )
    bootstrap.staticResources.listeners = try sorted(listeners).map { _, listener in
        var listener = listener
        for chain in listener.filterChains.indices {
            for filter in listener.filterChains[chain].filters.indices {
                try inline(routes, into: &listener.filterChains[chain].filters[filter])
            }
        }
        return listener
    }
    if !proxy.secrets.isEmpty {
        var service = Envoy_Config_Core_V3_GrpcService()
        service.envoyGrpc.clusterName = controlPlaneCluster
        bootstrap.dynamicResources.adsConfig.apiType = .deltaGrpc
        bootstrap.dynamicResources.adsConfig.transportApiVersion = .v3
        bootstrap.dynamicResources.adsConfig.grpcServices = [service]
        bootstrap.staticResources.clusters.append(
            try pipeCluster(controlPlaneCluster, "xds.sock")
        )
    }
    return bootstrap
}

/// Puts the routes that an HTTP filter would fetch into the filter.
private func inline(
    _ routes: [String: Envoy_Config_Route_V3_RouteConfiguration],
    into filter: inout Envoy_Config_Listener_V3_Filter
) throws {
    typealias Manager =
        Envoy_Extensions_Filters_Network_HttpConnectionManager_V3_HttpConnectionManager
    guard filter.typedConfig.isA(Manager.self) else { return }
    var manager = try Manager(unpackingAny: filter.typedConfig)
    if let configuration = routes[manager.rds.routeConfigName] {
        manager.routeConfig = configuration
        filter.typedConfig = try packed(manager)
    }
}

private func messages<Resource: Message>(
    _ type: Resource.Type,
    of resources: [String: EncodedResource]
) throws -> [String: Resource] {
    try resources.mapValues { try Resource(serializedBytes: $0.payload) }
}

private func sorted<Value>(_ values: [String: Value]) -> [(key: String, value: Value)] {
    values.sorted { $0.key < $1.key }
}
