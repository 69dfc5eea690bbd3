public import EnvoyAPI
internal import MeshModel
internal import SwiftProtobuf

/// What a proxy is asked to check over HDS, and how often to report.
///
/// The clusters of `ended` probes stay, with their checks and without an endpoint, as a cluster that
/// goes while its check fails can take Envoy with it: <https://github.com/envoyproxy/envoy/issues/40443>.
public func healthCheckSpecifier(
    for probes: [Probe],
    ended: [Probe] = [],
    reportingInterval: Duration
) -> Envoy_Service_Health_V3_HealthCheckSpecifier {
    var specifier = Envoy_Service_Health_V3_HealthCheckSpecifier()
    specifier.interval = Google_Protobuf_Duration(reportingInterval)
    specifier.clusterHealthChecks =
        probes.map { probe in
            var endpoint = Envoy_Config_Endpoint_V3_Endpoint()
            endpoint.address = socketAddress(probe.address, UInt32(probe.applicationPort.number))
            var endpoints = Envoy_Service_Health_V3_LocalityEndpoints()
            endpoints.endpoints = [endpoint]
            return cluster(for: probe, [endpoints])
        } + ended.map { cluster(for: $0, []) }
    return specifier
}

private func cluster(
    for probe: Probe,
    _ endpoints: [Envoy_Service_Health_V3_LocalityEndpoints]
) -> Envoy_Service_Health_V3_ClusterHealthCheck {
    var cluster = Envoy_Service_Health_V3_ClusterHealthCheck()
    cluster.clusterName = probe.cluster
    cluster.healthChecks = [healthCheck(for: probe)]
    cluster.localityEndpoints = endpoints
    return cluster
}

/// The health check of `probe`.
///
/// Over HDS Envoy's clusters speak no HTTP/2, so that it takes a gRPC check and calls the application
/// unhealthy without asking (<https://github.com/envoyproxy/envoy/issues/34570>). So the check is
/// written out as the HTTP request that it is, with an empty `HealthCheckRequest` in its frame, and
/// the answer's frame must say `SERVING`. Envoy sends such a body from 1.36 on.
private func healthCheck(for probe: Probe) -> Envoy_Config_Core_V3_HealthCheck {
    var result = healthCheck(for: probe.check, host: probe.host)
    guard probe.check.protocol == .grpc else { return result }
    var answer = Envoy_Config_Core_V3_HealthCheck.Payload()
    answer.text = "00000000020801"
    result.httpHealthCheck = .init()
    result.httpHealthCheck.host = probe.host ?? ""
    result.httpHealthCheck.codecClientType = .http2
    result.httpHealthCheck.method = .post
    result.httpHealthCheck.path = "/grpc.health.v1.Health/Check"
    result.httpHealthCheck.requestHeadersToAdd = [
        headerValue("content-type", "application/grpc"), headerValue("te", "trailers"),
    ]
    result.httpHealthCheck.send.text = "0000000000"
    result.httpHealthCheck.receive = [answer]
    return result
}

private func headerValue(_ key: String, _ value: String) -> Envoy_Config_Core_V3_HeaderValueOption {
    var option = Envoy_Config_Core_V3_HeaderValueOption()
    option.header.key = key
    option.header.value = value
    option.appendAction = .overwriteIfExistsOrAdd
    return option
}
