internal import EnvoyAPI
internal import MeshModel
internal import SwiftProtobuf

/// The name of the HTTP filter for access control.
let accessControlFilter = "envoy.filters.http.rbac"

extension AccessControl {
    /// The rules for HTTP requests, as a route configuration has them: a change of callers costs no
    /// connection.
    func routeRules() throws -> Google_Protobuf_Any {
        var perRoute = Envoy_Extensions_Filters_Http_Rbac_V3_RBACPerRoute()
        if isEnforced {
            perRoute.rbac.rules = rules
        } else {
            perRoute.rbac.shadowRules = rules
        }
        return try packed(perRoute)
    }

    /// The names that a client's certificate may have, of those that `names` allow by themselves.
    ///
    /// It is how connections are refused. Envoy's filter for access control sees a connection after its first
    /// byte, when the application has been connected to long since.
    func names(among names: [PeerName]) -> [PeerName] {
        let allowed = callers.filter { caller in
            names.isEmpty || names.contains(.exact(caller.spiffeID))
                || caller.dnsNames.contains { names.contains(.exact($0)) }
        }
        .map { PeerName.exact($0.spiffeID) }
        // Without a name every one would do. This is no SPIFFE ID, so that no certificate has it.
        return allowed.isEmpty ? [.exact("none://")] : allowed
    }

    /// The network filter that tells of connections which would be refused.
    func shadowFilter(statPrefix: String) throws -> Envoy_Config_Listener_V3_Filter {
        var control = Envoy_Extensions_Filters_Network_Rbac_V3_RBAC()
        control.statPrefix = statPrefix
        control.shadowRules = rules
        var filter = Envoy_Config_Listener_V3_Filter()
        filter.name = networkFilter
        filter.typedConfig = try packed(control)
        return filter
    }

    /// Lets `callers` pass and nobody else.
    private var rules: Envoy_Config_Rbac_V3_RBAC {
        var rules = Envoy_Config_Rbac_V3_RBAC()
        rules.action = .allow
        guard !callers.isEmpty else { return rules }
        var anything = Envoy_Config_Rbac_V3_Permission()
        anything.any = true
        var policy = Envoy_Config_Rbac_V3_Policy()
        policy.permissions = [anything]
        policy.principals = callers.map { caller in
            var principal = Envoy_Config_Rbac_V3_Principal()
            principal.authenticated.principalName.exact = caller.spiffeID
            return principal
        }
        rules.policies["callers"] = policy
        return rules
    }
}

private let networkFilter = "envoy.filters.network.rbac"

/// The logs that tell the control plane of requests which were refused, or would have been.
func denialLogs() throws -> [Envoy_Config_Accesslog_V3_AccessLog] {
    var config = Envoy_Extensions_AccessLoggers_Grpc_V3_HttpGrpcAccessLogConfig()
    config.commonConfig = denialLogConfiguration
    var log = Envoy_Config_Accesslog_V3_AccessLog()
    log.name = "envoy.access_loggers.http_grpc"
    log.typedConfig = try packed(config)
    log.filter.orFilter.filters = ["enforced_engine_result", "shadow_engine_result"].map {
        denied(accessControlFilter, $0)
    }
    return [log]
}

/// The logs that tell the control plane of connections which were refused, or would have been.
func connectionDenialLogs(
    _ control: AccessControl
) throws -> [Envoy_Config_Accesslog_V3_AccessLog] {
    var config = Envoy_Extensions_AccessLoggers_Grpc_V3_TcpGrpcAccessLogConfig()
    config.commonConfig = denialLogConfiguration
    var log = Envoy_Config_Accesslog_V3_AccessLog()
    log.name = "envoy.access_loggers.tcp_grpc"
    log.typedConfig = try packed(config)
    if control.isEnforced {
        var expression = Envoy_Extensions_AccessLoggers_Filters_Cel_V3_ExpressionFilter()
        expression.expression = "connection.transport_failure_reason.contains('SAN')"
        log.filter.extensionFilter.name = "envoy.access_loggers.extension_filters.cel"
        log.filter.extensionFilter.typedConfig = try packed(expression)
    } else {
        log.filter = denied(networkFilter, "shadow_engine_result")
    }
    return [log]
}

private func denied(
    _ filter: String,
    _ key: String
) -> Envoy_Config_Accesslog_V3_AccessLogFilter {
    var segment = Envoy_Type_Matcher_V3_MetadataMatcher.PathSegment()
    segment.key = key
    var result = Envoy_Config_Accesslog_V3_AccessLogFilter()
    result.metadataFilter.matcher.filter = filter
    result.metadataFilter.matcher.path = [segment]
    result.metadataFilter.matcher.value.stringMatch.exact = "denied"
    result.metadataFilter.matchIfKeyNotFound = .init(false)
    return result
}

private let denialLogConfiguration:
    Envoy_Extensions_AccessLoggers_Grpc_V3_CommonGrpcAccessLogConfig = {
        var config = Envoy_Extensions_AccessLoggers_Grpc_V3_CommonGrpcAccessLogConfig()
        config.logName = "denials"
        config.transportApiVersion = .v3
        config.bufferFlushInterval = Google_Protobuf_Duration(.milliseconds(200))
        config.grpcService.envoyGrpc.clusterName = controlPlaneCluster
        return config
    }()
