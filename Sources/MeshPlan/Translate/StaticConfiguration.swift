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
    bootstrap.staticResources.clusters = try sorted(clusters).map { name, cluster in
        var cluster = cluster
        if cluster.hasTransportSocket { try detachSecrets(of: &cluster.transportSocket) }
        for index in cluster.transportSocketMatches.indices {
            try detachSecrets(of: &cluster.transportSocketMatches[index].transportSocket)
        }
        guard cluster.type == .eds else { return cluster }
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
            if listener.filterChains[chain].hasTransportSocket {
                try detachSecrets(of: &listener.filterChains[chain].transportSocket)
            }
            for filter in listener.filterChains[chain].filters.indices {
                try inline(routes, into: &listener.filterChains[chain].filters[filter])
            }
        }
        return listener
    }
    if !proxy.secrets.isEmpty {
        bootstrap.staticResources.clusters.append(
            try pipeCluster(controlPlaneCluster, "xds.sock")
        )
    }
    return bootstrap
}

/// Lets the secrets of `socket` come by a stream of their own.
///
/// Envoy 1.40 ends with a segmentation fault at a static cluster whose secrets come over ADS.
private func detachSecrets(of socket: inout Envoy_Config_Core_V3_TransportSocket) throws {
    typealias Downstream = Envoy_Extensions_TransportSockets_Tls_V3_DownstreamTlsContext
    typealias Upstream = Envoy_Extensions_TransportSockets_Tls_V3_UpstreamTlsContext
    if socket.typedConfig.isA(Downstream.self) {
        var context = try Downstream(unpackingAny: socket.typedConfig)
        context.commonTlsContext.detachSecrets()
        socket.typedConfig = try packed(context)
    } else if socket.typedConfig.isA(Upstream.self) {
        var context = try Upstream(unpackingAny: socket.typedConfig)
        context.commonTlsContext.detachSecrets()
        socket.typedConfig = try packed(context)
    }
}

extension Envoy_Extensions_TransportSockets_Tls_V3_CommonTlsContext {
    fileprivate mutating func detachSecrets() {
        for index in tlsCertificateSdsSecretConfigs.indices {
            tlsCertificateSdsSecretConfigs[index].detach()
        }
        switch validationContextType {
        case .validationContextSdsSecretConfig(var secret):
            secret.detach()
            validationContextSdsSecretConfig = secret
        case .combinedValidationContext(var context):
            context.validationContextSdsSecretConfig.detach()
            combinedValidationContext = context
        case .validationContext, nil: break
        }
    }
}

extension Envoy_Extensions_TransportSockets_Tls_V3_SdsSecretConfig {
    fileprivate mutating func detach() {
        guard case .ads = sdsConfig.configSourceSpecifier else { return }
        var service = Envoy_Config_Core_V3_GrpcService()
        service.envoyGrpc.clusterName = controlPlaneCluster
        sdsConfig.apiConfigSource.apiType = .deltaGrpc
        sdsConfig.apiConfigSource.transportApiVersion = .v3
        sdsConfig.apiConfigSource.grpcServices = [service]
    }
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
