public import EnvoyAPI
internal import FoundationEssentials
public import MeshModel
internal import SwiftProtobuf

extension EncodedResource {
    /// The resource as Envoy's own JSON: snake_case names, as in `config_dump`.
    public var json: JSONValue {
        get throws {
            switch type {
            case .clusters:
                try Envoy_Config_Cluster_V3_Cluster(serializedBytes: payload).envoyJSON
            case .endpoints:
                try Envoy_Config_Endpoint_V3_ClusterLoadAssignment(serializedBytes: payload)
                    .envoyJSON
            case .listeners:
                try Envoy_Config_Listener_V3_Listener(serializedBytes: payload).envoyJSON
            case .routes:
                try Envoy_Config_Route_V3_RouteConfiguration(serializedBytes: payload).envoyJSON
            case .secrets:
                try fileSecretJSON
            }
        }
    }
}

extension EncodedResource {
    private var fileSecretJSON: JSONValue {
        get throws {
            // Of other secrets the bytes are not here.
            guard !payload.isEmpty else { throw SecretsHaveNoText() }
            return try Envoy_Extensions_TransportSockets_Tls_V3_Secret(serializedBytes: payload)
                .envoyJSON
        }
    }
}

extension Envoy_Config_Bootstrap_V3_Bootstrap {
    /// The bootstrap as Envoy's own JSON.
    public var json: JSONValue { get throws { try envoyJSON } }
}

extension Envoy_Service_Health_V3_HealthCheckSpecifier {
    /// The specifier as Envoy's own JSON.
    public var json: JSONValue { get throws { try envoyJSON } }
}

extension JSONValue {
    /// The value as text with sorted keys, indented for reading, without a final newline.
    public var prettyText: String {
        get throws {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            return String(decoding: try encoder.encode(self), as: UTF8.self)
        }
    }
}

extension Message {
    fileprivate var envoyJSON: JSONValue {
        get throws {
            _ = packedTypesAreRegistered
            var options = JSONEncodingOptions()
            options.preserveProtoFieldNames = true
            let text: [UInt8] = try jsonUTF8Bytes(options: options)
            return try JSONDecoder().decode(JSONValue.self, from: Data(text))
        }
    }
}

/// SwiftProtobuf prints the content of an Any only of types that it was told of.
private let packedTypesAreRegistered: Bool = {
    let types: [any Message.Type] = [
        Envoy_Config_Metrics_V3_DogStatsdSink.self,
        Envoy_Config_Trace_V3_DatadogConfig.self,
        Envoy_Config_Trace_V3_OpenTelemetryConfig.self,
        Envoy_Config_Trace_V3_XRayConfig.self,
        Envoy_Config_Trace_V3_ZipkinConfig.self,
        Envoy_Extensions_AccessLoggers_File_V3_FileAccessLog.self,
        Envoy_Extensions_AccessLoggers_Filters_Cel_V3_ExpressionFilter.self,
        Envoy_Extensions_AccessLoggers_Grpc_V3_HttpGrpcAccessLogConfig.self,
        Envoy_Extensions_AccessLoggers_Grpc_V3_TcpGrpcAccessLogConfig.self,
        Envoy_Extensions_AccessLoggers_Stream_V3_StderrAccessLog.self,
        Envoy_Extensions_AccessLoggers_Stream_V3_StdoutAccessLog.self,
        Envoy_Extensions_Clusters_DynamicForwardProxy_V3_ClusterConfig.self,
        Envoy_Extensions_Filters_Http_Cors_V3_Cors.self,
        Envoy_Extensions_Filters_Http_Cors_V3_CorsPolicy.self,
        Envoy_Extensions_Filters_Http_DynamicForwardProxy_V3_FilterConfig.self,
        Envoy_Extensions_Filters_Http_Fault_V3_HTTPFault.self,
        Envoy_Extensions_Filters_Http_HeaderMutation_V3_HeaderMutation.self,
        Envoy_Extensions_Filters_Http_LocalRatelimit_V3_LocalRateLimit.self,
        Envoy_Extensions_Filters_Http_Lua_V3_Lua.self,
        Envoy_Extensions_Filters_Http_Lua_V3_LuaPerRoute.self,
        Envoy_Extensions_Filters_Http_Rbac_V3_RBAC.self,
        Envoy_Extensions_Filters_Http_Rbac_V3_RBACPerRoute.self,
        Envoy_Extensions_Filters_Http_Router_V3_Router.self,
        Envoy_Extensions_Filters_Http_UpstreamCodec_V3_UpstreamCodec.self,
        Envoy_Extensions_Filters_Listener_OriginalDst_V3_OriginalDst.self,
        Envoy_Extensions_Filters_Listener_TlsInspector_V3_TlsInspector.self,
        Envoy_Extensions_Filters_Network_HttpConnectionManager_V3_HttpConnectionManager.self,
        Envoy_Extensions_Filters_Network_Rbac_V3_RBAC.self,
        Envoy_Extensions_Filters_Network_TcpProxy_V3_TcpProxy.self,
        Envoy_Extensions_ResourceMonitors_DownstreamConnections_V3_DownstreamConnectionsConfig.self,
        Envoy_Extensions_ResourceMonitors_FixedHeap_V3_FixedHeapConfig.self,
        Envoy_Extensions_Retry_Host_PreviousHosts_V3_PreviousHostsPredicate.self,
        Envoy_Extensions_Tracers_Opentelemetry_Samplers_V3_ParentBasedSamplerConfig.self,
        Envoy_Extensions_Tracers_Opentelemetry_Samplers_V3_TraceIdRatioBasedSamplerConfig.self,
        Envoy_Extensions_TransportSockets_Tls_V3_DownstreamTlsContext.self,
        Envoy_Extensions_TransportSockets_Tls_V3_UpstreamTlsContext.self,
        Envoy_Extensions_Upstreams_Http_V3_HttpProtocolOptions.self,
    ]
    return types.allSatisfy { Google_Protobuf_Any.register(messageType: $0) }
}()

/// Thrown where a secret would be shown.
private struct SecretsHaveNoText: Error {}
