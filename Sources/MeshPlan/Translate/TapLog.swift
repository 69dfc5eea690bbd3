internal import EnvoyAPI
internal import MeshModel
internal import SwiftProtobuf

/// Whose requests a filter sees, as `traffic_direction` of its listener says.
typealias TrafficDirection = RequestRecord.Direction

/// The setting of a proxy's runtime that turns its tap on: the share of requests in percent.
private let tapRuntimeKey = "heddle.tap"

/// The log that tells the control plane of each request while somebody taps the proxy.
///
/// It stands at every HTTP connection manager and costs nothing while `heddle.tap` is 0.
func tapLog(_ direction: TrafficDirection) throws -> Envoy_Config_Accesslog_V3_AccessLog {
    var config = Envoy_Extensions_AccessLoggers_Grpc_V3_HttpGrpcAccessLogConfig()
    config.commonConfig = configuration(direction)
    var log = Envoy_Config_Accesslog_V3_AccessLog()
    log.name = "envoy.access_loggers.http_grpc"
    log.typedConfig = try packed(config)
    log.filter = tapFilter
    return log
}

/// The log that tells the control plane of each connection while somebody taps the proxy.
func connectionTapLog(
    _ direction: TrafficDirection
) throws -> Envoy_Config_Accesslog_V3_AccessLog {
    var config = Envoy_Extensions_AccessLoggers_Grpc_V3_TcpGrpcAccessLogConfig()
    config.commonConfig = configuration(direction)
    var log = Envoy_Config_Accesslog_V3_AccessLog()
    log.name = "envoy.access_loggers.tcp_grpc"
    log.typedConfig = try packed(config)
    log.filter = tapFilter
    return log
}

/// Who taps wants to see requests as they come.
private func configuration(
    _ direction: TrafficDirection
) -> Envoy_Extensions_AccessLoggers_Grpc_V3_CommonGrpcAccessLogConfig {
    var config = Envoy_Extensions_AccessLoggers_Grpc_V3_CommonGrpcAccessLogConfig()
    config.logName = "tap.\(direction.rawValue)"
    config.transportApiVersion = .v3
    config.bufferFlushInterval = Google_Protobuf_Duration(.milliseconds(200))
    config.bufferSizeBytes = .init(4096)
    config.grpcService.envoyGrpc.clusterName = controlPlaneCluster
    return config
}

/// Chance of its own: by default Envoy would take the request's id, and log the requests that it
/// traces.
private let tapFilter: Envoy_Config_Accesslog_V3_AccessLogFilter = {
    var filter = Envoy_Config_Accesslog_V3_AccessLogFilter()
    filter.runtimeFilter.runtimeKey = tapRuntimeKey
    filter.runtimeFilter.percentSampled.numerator = 0
    filter.runtimeFilter.percentSampled.denominator = .hundred
    filter.runtimeFilter.useIndependentRandomness = true
    return filter
}()
