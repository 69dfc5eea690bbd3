internal import EnvoyAPI
internal import MeshModel
internal import SwiftProtobuf

/// Names of clusters as App Mesh's management service gave them; dashboards and stats filters
/// depend on them.
enum ClusterName {
    /// The cluster through which callers reach a listener of a node.
    static func egress(_ target: NodePort) -> String {
        "cds_egress_\(target.mesh)_\(target.name)_\(target.mapping.protocol.rawValue)"
            + "_\(target.mapping.port)"
    }

    /// The cluster through which a proxy reaches its own application.
    static func ingress(mesh: String, node: String, _ mapping: PortMapping) -> String {
        "cds_ingress_\(mesh)_\(node)_\(mapping.protocol.rawValue)_\(mapping.port)"
    }

    /// The cluster through which a request re-enters its gateway.
    static func selfRedirect(
        mesh: String,
        gateway: String,
        _ mapping: PortMapping,
        isOnlyListener: Bool
    ) -> String {
        let port = isOnlyListener ? "" : "\(mapping.port)_"
        return "cds_ingress_\(mesh)_\(gateway)_self_redirect_\(port)"
            + "\(mapping.protocol.rawValue)_\(Port.egress)"
    }

    /// The cluster that stands for a target that does not exist, and has no endpoints.
    static func missing(mesh: String, name: String) -> String {
        "cds_egress_\(mesh)_\(name)_missing"
    }

    /// The cluster of the destinations that are always allowed.
    static func amazonaws(mesh: String) -> String { "cds_egress_\(mesh)_amazonaws" }

    /// The cluster of everything else, under `ALLOW_ALL`.
    static func allowAll(mesh: String) -> String { "cds_egress_\(mesh)_mesh-allow-all" }

    /// What leads to the same as the cluster `name` by the host that a request names.
    ///
    /// In a Pod the other goes by the address that the application meant to reach, which an HTTP proxy's
    /// client does not say.
    static func byHost(_ name: String) -> String { name + "_by_host" }
}

extension Destination {
    /// The name of the destination's cluster.
    var clusterName: String {
        switch self {
        case .node(let target): ClusterName.egress(target)
        case .missing(let mesh, let name): ClusterName.missing(mesh: mesh, name: name)
        }
    }
}

/// The cluster through which callers reach `destination`.
///
/// Round robin unless a traffic policy says otherwise, connect timeout 1 s and no limits, as in App
/// Mesh, where callers were never limited.
/// A node with Workloads takes its endpoints over EDS; else its DNS name holds, `LOADBALANCER` as
/// `LOGICAL_DNS` and `ENDPOINTS` as `STRICT_DNS`. App Mesh ended DNS names with a dot, which spares a
/// cluster's resolver its search list; here names are left as they are, since Envoy does not find a
/// name with a dot in the hosts file.
///
/// Guarantee: equal destinations and securities give equal clusters on every proxy.
func cluster(
    for destination: Destination,
    _ security: CallerSecurity = .plaintext
) throws -> Envoy_Config_Cluster_V3_Cluster {
    var cluster = Envoy_Config_Cluster_V3_Cluster()
    cluster.name = destination.clusterName
    cluster.connectTimeout = Google_Protobuf_Duration(.seconds(1))
    cluster.lbPolicy = .roundRobin
    cluster.circuitBreakers = unlimitedConnections
    switch destination {
    case .missing:
        cluster.type = .static
        cluster.loadAssignment.clusterName = cluster.name
    case .node(let target):
        try cluster.speak(target.mapping.protocol, security.connectionLifetime)
        if let loadBalancing = target.loadBalancing {
            cluster.lbPolicy = loadBalancing.algorithm.lbPolicy
            if let threshold = loadBalancing.panicThreshold {
                cluster.commonLbConfig.healthyPanicThreshold.value = Double(threshold)
            }
        }
        if let check = target.probe {
            cluster.healthChecks = [healthCheck(for: check, host: target.hostname)]
            // Else an endpoint that was removed gets requests for as long as its checks pass.
            cluster.ignoreHealthOnHostRemoval = true
        }
        if let outlierDetection = target.listener.outlierDetection,
            !target.discovery.isOneLogicalEndpoint
        {
            cluster.outlierDetection = MeshPlan.outlierDetection(for: outlierDetection)
        }
        switch target.discovery {
        case .workloads:
            cluster.type = .eds
            cluster.edsClusterConfig.edsConfig = aggregatedDiscovery
        case .none:
            cluster.type = .static
            cluster.loadAssignment.clusterName = cluster.name
        case .dns(let hostname, let responseType, let preference):
            switch responseType {
            case .endpoints: cluster.type = .strictDns
            case .loadBalancer: cluster.type = .logicalDns
            }
            cluster.dnsLookupFamily = lookupFamily(preference)
            cluster.loadAssignment = loadAssignment(
                cluster.name,
                [
                    Endpoint(
                        address: hostname,
                        port: target.mapping.port,
                        isHealthy: true,
                        healthCheckPort: target.probe?.port
                    )
                ]
            )
        }
        try cluster.secure(security, target.mapping.protocol)
    }
    return cluster
}

extension CallerSecurity {
    /// After what time a connection ends; nil is whenever it does.
    fileprivate var connectionLifetime: Duration? {
        switch self {
        case .tls(let tls): tls.connectionLifetime
        case .plaintext, .unavailable: nil
        }
    }
}

/// The cluster through which a proxy reaches its own application: connect timeout
/// 0.25 s, and the limits of the listener's `connectionPool`.
func cluster(for local: LocalCluster) throws -> Envoy_Config_Cluster_V3_Cluster {
    var cluster = Envoy_Config_Cluster_V3_Cluster()
    cluster.name = local.name
    cluster.type = .static
    cluster.connectTimeout = Google_Protobuf_Duration(.milliseconds(250))
    cluster.lbPolicy = .roundRobin
    cluster.circuitBreakers = circuitBreakers(for: local.connectionPool)
    try cluster.speak(local.mapping.protocol, nil)
    cluster.loadAssignment = loadAssignment(
        local.name,
        [Endpoint(address: local.address, port: local.port, isHealthy: true)]
    )
    return cluster
}

/// What the cluster of a proxy's own application is made from.
struct LocalCluster: Hashable {
    /// The cluster's name.
    var name: String
    /// The listener of the node.
    var mapping: PortMapping
    /// Where the application listens.
    var address: String
    var port: Port
    /// What protects the application.
    var connectionPool: ConnectionPool?
}

/// The endpoints of one cluster.
struct EndpointSet: Hashable {
    /// The cluster's name.
    var name: String
    var endpoints: [Endpoint]
}

/// One endpoint of a cluster.
struct Endpoint: Hashable {
    /// An IP address, or for DNS clusters a host name.
    var address: String
    var port: Port
    /// Unhealthy endpoints get requests only when most of their siblings are unhealthy too.
    var isHealthy: Bool
    /// Where health checks go; nil is `port`.
    var healthCheckPort: Port?
    /// Whether it is known to take TLS, where callers go by that.
    var takesTLS = false
    /// The zone of its Kubernetes node; nil when it is not known.
    var zone: String?
}

/// The endpoints of the cluster `name`, those of each zone together.
func loadAssignment(
    _ name: String,
    _ endpoints: [Endpoint]
) -> Envoy_Config_Endpoint_V3_ClusterLoadAssignment {
    var assignment = Envoy_Config_Endpoint_V3_ClusterLoadAssignment()
    assignment.clusterName = name
    let zones = Dictionary(grouping: endpoints, by: \.zone).sorted {
        ($0.key ?? "") < ($1.key ?? "")
    }
    assignment.endpoints = zones.map { zone, endpoints in
        var locality = Envoy_Config_Endpoint_V3_LocalityLbEndpoints()
        if let zone { locality.locality.zone = zone }
        locality.lbEndpoints = endpoints.map(lbEndpoint)
        return locality
    }
    return assignment
}

private func lbEndpoint(_ endpoint: Endpoint) -> Envoy_Config_Endpoint_V3_LbEndpoint {
    var result = Envoy_Config_Endpoint_V3_LbEndpoint()
    result.endpoint.address = socketAddress(endpoint.address, UInt32(endpoint.port.number))
    if let port = endpoint.healthCheckPort, port != endpoint.port {
        result.endpoint.healthCheckConfig.portValue = UInt32(port.number)
    }
    if endpoint.takesTLS { result.metadata = .ofTLSEndpoint }
    result.healthStatus = endpoint.isHealthy ? .unknown : .unhealthy
    // The first check shall come when it can pass: then one is enough, and after a failure it
    // takes `healthyThreshold` of them.
    if !endpoint.isHealthy { result.endpoint.healthCheckConfig.disableActiveHealthCheck = true }
    return result
}

extension Envoy_Config_Cluster_V3_Cluster {
    /// Makes upstream connections speak `protocol`: HTTP/2 for http2 and grpc, else Envoy's default.
    ///
    /// - Parameters:
    ///   - protocol: The protocol.
    ///   - lifetime: After what time a connection takes no more requests, and ends with the last; nil
    ///     is never. One of TCP stays.
    /// - Throws: what SwiftProtobuf throws.
    fileprivate mutating func speak(_ protocol: ListenerProtocol, _ lifetime: Duration?) throws {
        var options = Envoy_Extensions_Upstreams_Http_V3_HttpProtocolOptions()
        if let lifetime {
            options.commonHTTPProtocolOptions.maxConnectionDuration = .init(lifetime)
        }
        switch `protocol` {
        case .tcp: return
        case .http:
            if lifetime == nil { return }
            options.explicitHTTPConfig.httpProtocolOptions = .init()
        case .http2, .grpc: options.explicitHTTPConfig.http2ProtocolOptions = .init()
        }
        typedExtensionProtocolOptions[httpProtocolOptionsName] = try packed(options)
    }
}

/// The name of the extension that says which HTTP version a cluster speaks.
let httpProtocolOptionsName = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

/// Unset means IPv6 first, then IPv4.
func lookupFamily(
    _ preference: IPPreference?
) -> Envoy_Config_Cluster_V3_Cluster.DnsLookupFamily {
    switch preference {
    case nil: .auto
    case .ipv4Only: .v4Only
    case .ipv6Only: .v6Only
    case .ipv4Preferred: .v4Preferred
    case .ipv6Preferred: .auto
    }
}
