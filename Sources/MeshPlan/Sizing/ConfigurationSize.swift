internal import MeshModel

/// How much a proxy is configured with: what its memory depends on before it has seen a request.
public struct ConfigurationSize: Hashable, Sendable {
    /// Clusters.
    public var clusters = 0
    /// Endpoints of all clusters, as far as they are sent.
    public var endpoints = 0
    /// Listeners.
    public var listeners = 0
    /// Virtual hosts of all route configurations.
    public var virtualHosts = 0
    /// Routes of all virtual hosts.
    public var routes = 0
    /// Certificates and sets of trusted ones.
    public var secrets = 0

    /// Makes the size of an empty configuration.
    public init() {}

    /// The size of what `proxy` receives.
    ///
    /// It adds up what each resource counted when it was encoded.
    public init(of proxy: ProxyPlan) {
        for type in [ResourceType.clusters, .endpoints, .listeners, .routes] {
            for resource in proxy.snapshot[type].values { self += resource.size }
        }
        secrets = proxy.secrets.count
    }

    /// What one resource of `type` adds.
    init(of type: ResourceType, _ payload: [UInt8]) {
        switch type {
        case .clusters: clusters = 1
        case .endpoints:
            // envoy.config.endpoint.v3: ClusterLoadAssignment.endpoints, LocalityLbEndpoints.lb_endpoints
            forEachField(2, of: payload[...]) { locality in
                forEachField(2, of: locality) { _ in endpoints += 1 }
            }
        case .listeners: listeners = 1
        case .routes:
            // envoy.config.route.v3: RouteConfiguration.virtual_hosts, VirtualHost.routes
            forEachField(2, of: payload[...]) { host in
                virtualHosts += 1
                forEachField(3, of: host) { _ in routes += 1 }
            }
        case .secrets: secrets = 1
        }
    }

    static func += (left: inout ConfigurationSize, right: ConfigurationSize) {
        left.clusters += right.clusters
        left.endpoints += right.endpoints
        left.listeners += right.listeners
        left.virtualHosts += right.virtualHosts
        left.routes += right.routes
        left.secrets += right.secrets
    }
}

/// Calls `body` with each message that is the field `number` of `message`, without reading further.
private func forEachField(
    _ number: UInt64,
    of message: ArraySlice<UInt8>,
    _ body: (ArraySlice<UInt8>) -> Void
) {
    var rest = message
    while !rest.isEmpty {
        guard let tag = varint(&rest) else { return }
        switch tag & 7 {
        case 0: guard varint(&rest) != nil else { return }
        case 1: rest = rest.dropFirst(8)
        case 5: rest = rest.dropFirst(4)
        case 2:
            guard let length = varint(&rest), length <= rest.count else { return }
            if tag >> 3 == number { body(rest.prefix(Int(length))) }
            rest = rest.dropFirst(Int(length))
        default: return
        }
    }
}

private func varint(_ bytes: inout ArraySlice<UInt8>) -> UInt64? {
    var value: UInt64 = 0
    for shift in stride(from: UInt64(0), to: 64, by: 7) {
        guard let byte = bytes.popFirst() else { return nil }
        value |= UInt64(byte & 0x7f) << shift
        if byte & 0x80 == 0 { return value }
    }
    return nil
}
