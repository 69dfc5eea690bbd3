internal import EnvoyAPI
internal import MeshModel
internal import SwiftProtobuf

/// How the proxies of one node or gateway trace requests.
struct ProxyTracing: Hashable {
    /// Where spans go, and in whose format.
    var provider: TracingSpec.Provider
    /// The collector.
    var endpoint: TelemetryEndpoint
    /// What is traced of the requests of which no caller has decided.
    var sampling: TraceSampling
    /// The mesh's `awsName`.
    var mesh: String
    /// The node's or gateway's `awsName`.
    var owner: String

    /// The name under which App Mesh's proxies traced.
    var serviceName: String { "\(mesh)/\(owner)" }

    /// The cluster of the collector; nil when spans go without one.
    var collector: CollectorCluster? {
        let name =
            switch provider {
            case .xRay: nil as String?
            case .openTelemetry: "opentelemetry"
            case .zipkin, .jaeger: "jaeger"
            case .datadog: "datadog_agent"
            }
        return name.map {
            CollectorCluster(name: $0, endpoint: endpoint, isHTTP2: provider == .openTelemetry)
        }
    }
}

/// What the cluster of a collector of spans is made from.
struct CollectorCluster: Hashable {
    var name: String
    var endpoint: TelemetryEndpoint
    /// Whether it speaks HTTP/2, as gRPC has it.
    var isHTTP2: Bool
}

/// The cluster of a collector, as App Mesh's agent wrote it into the bootstrap; here a change of
/// collector needs no restart.
///
/// A name is looked up as IPv4 first: collectors on this host seldom listen on `::1`.
func cluster(for collector: CollectorCluster) throws -> Envoy_Config_Cluster_V3_Cluster {
    var cluster = Envoy_Config_Cluster_V3_Cluster()
    cluster.name = collector.name
    cluster.type = .strictDns
    cluster.dnsLookupFamily = .v4Preferred
    cluster.connectTimeout = Google_Protobuf_Duration(.seconds(1))
    cluster.lbPolicy = .roundRobin
    if collector.isHTTP2 {
        var options = Envoy_Extensions_Upstreams_Http_V3_HttpProtocolOptions()
        options.explicitHTTPConfig.http2ProtocolOptions = .init()
        cluster.typedExtensionProtocolOptions[httpProtocolOptionsName] = try packed(options)
    }
    let endpoint = Endpoint(
        address: collector.endpoint.host,
        port: collector.endpoint.port,
        isHealthy: true
    )
    cluster.loadAssignment = loadAssignment(collector.name, [endpoint])
    return cluster
}

extension ProxyTracing {
    typealias ManagerTracing =
        Envoy_Extensions_Filters_Network_HttpConnectionManager_V3_HttpConnectionManager.Tracing

    /// `tracing` of an HTTP connection manager.
    ///
    /// The listener's `traffic_direction` makes the spans of ingress those of a server and those of
    /// egress those of a client. X-Ray's tracer samples by its own rules and heeds no other setting, and
    /// that of OpenTelemetry has a sampler of its own.
    func managerTracing() throws -> ManagerTracing {
        var tracing = ManagerTracing()
        switch provider {
        case .xRay:
            tracing.provider.name = "envoy.tracers.xray"
            tracing.provider.typedConfig = try packed(xRayConfiguration)
        case .openTelemetry:
            var config = Envoy_Config_Trace_V3_OpenTelemetryConfig()
            config.serviceName = serviceName
            config.grpcService.envoyGrpc.clusterName = collector?.name ?? ""
            config.grpcService.envoyGrpc.authority = endpoint.description
            config.sampler = try parentBasedSampler()
            tracing.provider.name = "envoy.tracers.opentelemetry"
            tracing.provider.typedConfig = try packed(config)
        case .zipkin, .jaeger:
            tracing.provider.name = "envoy.tracers.zipkin"
            tracing.provider.typedConfig = try packed(zipkinConfiguration)
        case .datadog:
            var config = Envoy_Config_Trace_V3_DatadogConfig()
            config.collectorCluster = collector?.name ?? ""
            config.collectorHostname = endpoint.description
            config.serviceName = "envoy-\(serviceName)"
            tracing.provider.name = "envoy.tracers.datadog"
            tracing.provider.typedConfig = try packed(config)
        }
        switch provider {
        // They have samplers of their own.
        case .xRay, .openTelemetry: break
        case .zipkin, .jaeger, .datadog:
            // Envoy knows hundredths of a percent.
            tracing.randomSampling.value = (rate * 10_000).rounded() / 100
        }
        return tracing
    }

    private var rate: Double { sampling.rate ?? TraceSampling.defaultRate }

    /// Heeds what a caller decided, and decides by the trace's id where none did.
    ///
    /// Without a sampler Envoy would decide anew at each proxy, unless applications pass `x-request-id` on
    /// beside `traceparent`, and few traces would reach their end.
    private func parentBasedSampler() throws -> Envoy_Config_Core_V3_TypedExtensionConfig {
        typealias Ratio =
            Envoy_Extensions_Tracers_Opentelemetry_Samplers_V3_TraceIdRatioBasedSamplerConfig
        var ratio = Ratio()
        ratio.samplingPercentage.numerator = UInt32((rate * 1_000_000).rounded())
        ratio.samplingPercentage.denominator = .million
        var sampler = Envoy_Extensions_Tracers_Opentelemetry_Samplers_V3_ParentBasedSamplerConfig()
        sampler.wrappedSampler.name =
            "envoy.tracers.opentelemetry.samplers.trace_id_ratio_based"
        sampler.wrappedSampler.typedConfig = try packed(ratio)
        var result = Envoy_Config_Core_V3_TypedExtensionConfig()
        result.name = "envoy.tracers.opentelemetry.samplers.parent_based"
        result.typedConfig = try packed(sampler)
        return result
    }

    /// App Mesh's agent gave gateways' names as those of nodes too, as X-Ray knows no other field.
    private var xRayConfiguration: Envoy_Config_Trace_V3_XRayConfig {
        var config = Envoy_Config_Trace_V3_XRayConfig()
        config.daemonEndpoint.protocol = .udp
        config.daemonEndpoint.address = endpoint.host
        config.daemonEndpoint.portValue = UInt32(endpoint.port.number)
        config.segmentName = serviceName
        config.segmentFields.origin = "AWS::AppMesh::Proxy"
        var names = Google_Protobuf_Struct()
        names.fields["mesh_name"] = .init(stringValue: mesh)
        names.fields["virtual_node_name"] = .init(stringValue: owner)
        config.segmentFields.aws.fields["app_mesh"] = .init(structValue: names)
        config.samplingRuleManifest.inlineString = sampling.rules ?? samplingRules(rate: rate)
        return config
    }

    /// Jaeger takes what Zipkin takes.
    private var zipkinConfiguration: Envoy_Config_Trace_V3_ZipkinConfig {
        var config = Envoy_Config_Trace_V3_ZipkinConfig()
        config.collectorCluster = collector?.name ?? ""
        config.collectorEndpoint = "/api/v2/spans"
        config.collectorEndpointVersion = .httpProto
        config.collectorHostname = endpoint.description
        config.sharedSpanContext = .init(false)
        config.traceID128Bit = true
        return config
    }
}

/// X-Ray's sampling rules for `rate`, as App Mesh's agent wrote them: one request each second and this
/// share of the others, in whole percents.
///
/// Envoy traces where a number from 0 to 99 is less than a hundred times the rate, as it comes out in
/// binary: 0.07 would trace 8 %, so that the rate is a little less where needed.
func samplingRules(rate: Double) -> String {
    let percent = (rate * 100).rounded()
    var rate = percent / 100
    while rate * 100 > percent { rate = rate.nextDown }
    return #"{"version":2,"rules":[],"default":{"fixed_target":1,"rate":\#(rate)}}"#
}
