internal import EnvoyAPI
internal import MeshModel
internal import SwiftProtobuf

/// What one listener of a gateway is made from.
struct GatewayListener: Hashable {
    /// What it does with a connection.
    enum Filter: Hashable {
        /// HTTP, by the routes of its port.
        case http
        /// One set of targets for every connection; one at least has a weight over 0.
        case tcp([ResolvedTarget], idleTimeout: Duration?)
    }

    /// The listener of the gateway.
    var mapping: PortMapping
    /// Where it listens, at least one.
    var sockets: [ListeningSocket]
    /// `ingress`, or with several listeners `ingress.<protocol>.<port>`.
    var statPrefix: String
    var filter: Filter
    /// The gateway's access log.
    var accessLog: AccessLog?
    /// How requests are traced; nil is not at all.
    var tracing: ProxyTracing?
    /// What it does about TLS.
    var security = ListenerSecurity.plaintext

    /// App Mesh's name for it, whatever its address.
    var name: String { "lds_ingress_0.0.0.0_\(mapping.port)" }
}

/// One listener of a gateway, on the very ports that it names.
func listener(for gateway: GatewayListener) throws -> Envoy_Config_Listener_V3_Listener {
    var listener = Envoy_Config_Listener_V3_Listener()
    listener.name = gateway.name
    listener.trafficDirection = .inbound
    listener.bind(gateway.sockets)
    var chain = Envoy_Config_Listener_V3_FilterChain()
    chain.name = "ingress_\(gateway.mapping.protocol.rawValue)_\(gateway.mapping.port)"
    let mapping = gateway.mapping
    listener.filterChains = try filterChains(chain, gateway.security, mapping.protocol) { tls in
        switch gateway.filter {
        case .http:
            let manager = HTTPConnectionManager(
                statPrefix: gateway.statPrefix,
                routes: RouteConfigurationName.ingress(mapping.port),
                normalizesPaths: true,
                isEdge: true,
                direction: .inbound,
                accessLog: gateway.accessLog,
                tracing: gateway.tracing,
                tls: tls
            )
            return [try manager.filter()]
        case .tcp(let targets, let idleTimeout):
            return [
                try tcpProxy(
                    statPrefix: gateway.statPrefix,
                    clusters: merged(targets),
                    idleTimeout: idleTimeout,
                    direction: .inbound,
                    accessLog: gateway.accessLog,
                    hashesSource: hashesSource(of: targets),
                    tls: tls
                )
            ]
        }
    }
    // It may listen at another port on an address of the host.
    let ports = Set(gateway.sockets.map(\.port))
    try listener.inspect(
        Dictionary(
            uniqueKeysWithValues: ports.map { ($0, (mapping.protocol, gateway.security)) }
        )
    )
    return listener
}

/// What the cluster that leads from a gateway's listener back into its own egress is made from.
struct SelfRedirectCluster: Hashable {
    var name: String
    /// The proxy's egress address.
    var address: String
    /// What protects the gateway.
    var connectionPool: ConnectionPool?
}

/// The cluster through which a request re-enters the gateway, as in App Mesh.
///
/// It speaks the client's HTTP version, so that gRPC passes on any listener.
func cluster(for redirect: SelfRedirectCluster) throws -> Envoy_Config_Cluster_V3_Cluster {
    var options = Envoy_Extensions_Upstreams_Http_V3_HttpProtocolOptions()
    options.useDownstreamProtocolConfig.httpProtocolOptions = .init()
    options.useDownstreamProtocolConfig.http2ProtocolOptions = .init()
    var cluster = Envoy_Config_Cluster_V3_Cluster()
    cluster.name = redirect.name
    cluster.type = .static
    cluster.connectTimeout = Google_Protobuf_Duration(.milliseconds(250))
    cluster.lbPolicy = .roundRobin
    cluster.circuitBreakers = circuitBreakers(for: redirect.connectionPool)
    cluster.typedExtensionProtocolOptions[httpProtocolOptionsName] = try packed(options)
    let endpoint = Endpoint(address: redirect.address, port: .egress, isHealthy: true)
    cluster.loadAssignment = loadAssignment(redirect.name, [endpoint])
    return cluster
}
