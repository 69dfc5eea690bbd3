internal import EnvoyAPI
internal import MeshModel
internal import SwiftProtobuf

/// The active health check that Envoy does for `check`, a listener's `healthCheck`.
///
/// http and http2 ask for `path`, `/` when none is given, and expect 200; grpc asks the standard gRPC
/// health service about the server as a whole; tcp connects. Envoy checks a cluster that gets no
/// requests once a minute unless told otherwise, whereas here it is always checked after `interval`.
///
/// - Parameters:
///   - check: The listener's `healthCheck`.
///   - host: The authority of its requests; nil is the cluster's name.
/// - Returns: The check.
func healthCheck(
    for check: HealthCheck,
    host: String? = nil
) -> Envoy_Config_Core_V3_HealthCheck {
    var result = Envoy_Config_Core_V3_HealthCheck()
    result.interval = Google_Protobuf_Duration(check.interval)
    result.noTrafficInterval = result.interval
    result.timeout = Google_Protobuf_Duration(check.timeout)
    result.healthyThreshold = .init(UInt32(check.healthyThreshold))
    result.unhealthyThreshold = .init(UInt32(check.unhealthyThreshold))
    switch check.protocol {
    case .http, .http2:
        result.httpHealthCheck.path = check.httpPath
        result.httpHealthCheck.codecClientType = check.protocol == .http ? .http1 : .http2
        result.httpHealthCheck.host = host ?? ""
        // Else one unexpected status counts as `unhealthyThreshold` of them.
        var range = Envoy_Type_V3_Int64Range()
        range.start = 201
        range.end = 600
        result.httpHealthCheck.retriableStatuses = [range]
    case .grpc: result.grpcHealthCheck.authority = host ?? ""
    case .tcp: result.tcpHealthCheck = .init()
    }
    return result
}

extension HealthCheck {
    /// `path`, by default `/`.
    var httpPath: String { path.flatMap { $0.isEmpty ? nil : $0 } ?? "/" }
}
