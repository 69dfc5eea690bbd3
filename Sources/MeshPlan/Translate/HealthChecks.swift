internal import EnvoyAPI
internal import MeshModel
internal import SwiftProtobuf

/// The active health check that Envoy does for `check`, a listener's `healthCheck`.
///
/// http and http2 ask `host`, by default the cluster's name, for `path`, by default `/`, and expect 200; grpc asks the standard gRPC
/// health service about the server as a whole; tcp connects. Envoy checks a cluster that gets no
/// requests once a minute unless told otherwise, whereas here it is always checked after `interval`.
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
    var http = Envoy_Config_Core_V3_HealthCheck.HttpHealthCheck()
    http.host = host ?? ""
    http.path = check.httpPath
    switch check.protocol {
    case .http:
        http.codecClientType = .http1
        result.httpHealthCheck = http
    case .http2:
        http.codecClientType = .http2
        result.httpHealthCheck = http
    case .grpc: result.grpcHealthCheck = .init()
    case .tcp: result.tcpHealthCheck = .init()
    }
    return result
}

extension HealthCheck {
    /// `path`, by default `/`.
    var httpPath: String { path.flatMap { $0.isEmpty ? nil : $0 } ?? "/" }
}
