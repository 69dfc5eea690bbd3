public import EnvoyAPI
internal import MeshModel
internal import SwiftProtobuf

/// The configuration of `proxy` with nothing left to fetch.
///
/// It is what `heddle render` prints and `envoy --mode validate` accepts. Routes stand in their listeners, endpoints in their clusters.
/// Only secrets stay with the control plane, and who taps a proxy sits there: the proxy reaches it by the
/// socket `xds.sock` in its folder.
public func staticConfiguration(
    of proxy: ProxyPlan
) throws -> Envoy_Config_Bootstrap_V3_Bootstrap {
    var bootstrap = Envoy_Config_Bootstrap_V3_Bootstrap()
    bootstrap.node.id = proxy.nodeID
    bootstrap.node.cluster = proxy.nodeID
    bootstrap.layeredRuntime = runtime
    if let statistics = proxy.statistics { try bootstrap.report(statistics) }
    let resources = try staticResources(of: proxy.snapshot) { $0.detachSecrets() }
    bootstrap.staticResources.clusters =
        resources.clusters + [try pipeCluster(controlPlaneCluster, "xds.sock")]
    bootstrap.staticResources.listeners = resources.listeners
    return bootstrap
}

/// Where the secrets of a static resource come from is said by a change of its TLS context.
typealias SecretChange = (inout Envoy_Extensions_TransportSockets_Tls_V3_CommonTlsContext) -> Void

/// The clusters and listeners of `snapshot`, with their endpoints and routes in them.
func staticResources(
    of snapshot: Snapshot,
    _ change: SecretChange
) throws -> (
    clusters: [Envoy_Config_Cluster_V3_Cluster], listeners: [Envoy_Config_Listener_V3_Listener]
) {
    let endpoints = try messages(
        Envoy_Config_Endpoint_V3_ClusterLoadAssignment.self,
        of: snapshot[.endpoints]
    )
    let routes = try messages(
        Envoy_Config_Route_V3_RouteConfiguration.self,
        of: snapshot[.routes]
    )
    let clusters = try messages(Envoy_Config_Cluster_V3_Cluster.self, of: snapshot[.clusters])
    let listeners = try messages(Envoy_Config_Listener_V3_Listener.self, of: snapshot[.listeners])
    return (
        try sorted(clusters).map { name, cluster in
            var cluster = cluster
            if cluster.hasTransportSocket {
                try changeSecrets(of: &cluster.transportSocket, change)
            }
            for index in cluster.transportSocketMatches.indices {
                try changeSecrets(
                    of: &cluster.transportSocketMatches[index].transportSocket,
                    change
                )
            }
            guard cluster.type == .eds else { return cluster }
            cluster.type = .static
            cluster.clearEdsClusterConfig()
            cluster.loadAssignment = endpoints[name] ?? loadAssignment(name, [])
            return cluster
        },
        try sorted(listeners).map { _, listener in
            var listener = listener
            for chain in listener.filterChains.indices {
                if listener.filterChains[chain].hasTransportSocket {
                    try changeSecrets(of: &listener.filterChains[chain].transportSocket, change)
                }
                for filter in listener.filterChains[chain].filters.indices {
                    try inline(routes, into: &listener.filterChains[chain].filters[filter])
                }
            }
            return listener
        }
    )
}

private func changeSecrets(
    of socket: inout Envoy_Config_Core_V3_TransportSocket,
    _ change: SecretChange
) throws {
    typealias Downstream = Envoy_Extensions_TransportSockets_Tls_V3_DownstreamTlsContext
    typealias Upstream = Envoy_Extensions_TransportSockets_Tls_V3_UpstreamTlsContext
    if socket.typedConfig.isA(Downstream.self) {
        var context = try Downstream(unpackingAny: socket.typedConfig)
        change(&context.commonTlsContext)
        socket.typedConfig = try packed(context)
    } else if socket.typedConfig.isA(Upstream.self) {
        var context = try Upstream(unpackingAny: socket.typedConfig)
        change(&context.commonTlsContext)
        socket.typedConfig = try packed(context)
    }
}

extension Envoy_Extensions_TransportSockets_Tls_V3_CommonTlsContext {
    /// Lets its secrets come by a stream of their own.
    ///
    /// Envoy 1.40 ends with a segmentation fault at a static cluster whose secrets come over ADS.
    mutating func detachSecrets() { changeSecrets { $0.detach() } }

    /// Takes its secrets from those of the bootstrap; those of a server beside Heddle stay there.
    mutating func makeStatic() { changeSecrets { $0.makeStatic() } }

    private mutating func changeSecrets(
        _ change: (inout Envoy_Extensions_TransportSockets_Tls_V3_SdsSecretConfig) -> Void
    ) {
        for index in tlsCertificateSdsSecretConfigs.indices {
            change(&tlsCertificateSdsSecretConfigs[index])
        }
        switch validationContextType {
        case .validationContextSdsSecretConfig(var secret):
            change(&secret)
            validationContextSdsSecretConfig = secret
        case .combinedValidationContext(var context):
            change(&context.validationContextSdsSecretConfig)
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

extension Envoy_Extensions_TransportSockets_Tls_V3_SdsSecretConfig {
    fileprivate mutating func makeStatic() {
        guard case .ads = sdsConfig.configSourceSpecifier else { return }
        clearSdsConfig()
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
