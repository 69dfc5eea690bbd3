internal import EnvoyAPI
internal import MeshModel
internal import SwiftProtobuf

/// "Unlimited", as App Mesh has set it: 2147483647.
private let unlimited: UInt32 = 0x7fff_ffff

/// No limit at all, as App Mesh never limited callers.
let unlimitedConnections = circuitBreakers(for: nil)

/// The limits on what reaches an application from its own proxy, all four of Envoy's unlimited
/// but for those that `pool` sets.
///
/// `maxConnections` becomes `max_connections`, `maxPendingRequests` `max_pending_requests`, and the
/// `maxRequests` of http2 and grpc `max_requests`. Envoy answers 503 to what is over a limit.
func circuitBreakers(for pool: ConnectionPool?) -> Envoy_Config_Cluster_V3_CircuitBreakers {
    var thresholds = Envoy_Config_Cluster_V3_CircuitBreakers.Thresholds()
    thresholds.maxConnections = .init(unlimited)
    thresholds.maxPendingRequests = .init(unlimited)
    thresholds.maxRequests = .init(unlimited)
    thresholds.maxRetries = .init(unlimited)
    switch pool {
    case .tcp(let connections):
        thresholds.maxConnections = .init(UInt32(clamping: connections))
    case .http(let connections, let pending):
        thresholds.maxConnections = .init(UInt32(clamping: connections))
        if let pending { thresholds.maxPendingRequests = .init(UInt32(clamping: pending)) }
    case .http2(let requests), .grpc(let requests):
        thresholds.maxRequests = .init(UInt32(clamping: requests))
    case nil: break
    }
    var breakers = Envoy_Config_Cluster_V3_CircuitBreakers()
    breakers.thresholds = [thresholds]
    return breakers
}
