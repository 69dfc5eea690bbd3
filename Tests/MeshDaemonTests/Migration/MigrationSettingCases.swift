@testable import MeshDaemon

extension MigrationCase {
    static let settings = [
        MigrationCase(
            .environment,
            .changes,
            blue,
            "APPMESH_XDS_ENDPOINT",
            MigrationDump.pod(environment: variables("APPMESH_XDS_ENDPOINT", "example.com:443")),
            mended: MigrationDump.pod(environment: variables("ENVOY_LOG_LEVEL", "debug"))
        ),
        MigrationCase(
            .tracing,
            .changes,
            "Mesh demo",
            "kubectl annotate mesh demo heddle.dev/tracing=x-ray heddle.dev/trace-sampling=0.2",
            MigrationDump.pod(
                environment: variables(
                    "ENABLE_ENVOY_XRAY_TRACING",
                    "1",
                    "XRAY_SAMPLING_RATE",
                    "0.2"
                )
            ),
            mended: MigrationDump.pod()
        ),
        MigrationCase(
            .tracing,
            .changes,
            "Mesh demo",
            "heddle.dev/tracing=jaeger heddle.dev/tracing-endpoint=jaeger.tracing:9999",
            MigrationDump.pod(
                environment: variables(
                    "ENABLE_ENVOY_JAEGER_TRACING",
                    "1",
                    "JAEGER_TRACER_ADDRESS",
                    "jaeger.tracing",
                    "JAEGER_TRACER_PORT",
                    "9999"
                )
            ),
            mended: MigrationDump.pod(environment: variables("ENABLE_ENVOY_JAEGER_TRACING", "0"))
        ),
        MigrationCase(
            .tracing,
            .changes,
            "Mesh demo",
            "of each Kubernetes node its own",
            MigrationDump.pod(
                environment: variables("ENABLE_ENVOY_DATADOG_TRACING", "1")
                    + ", {name: DATADOG_TRACER_ADDRESS, valueFrom: "
                    + "{fieldRef: {fieldPath: status.hostIP}}}"
            ),
            mended: MigrationDump.pod(environment: variables("ENABLE_ENVOY_DATADOG_TRACING", "1"))
        ),
        MigrationCase(
            .statistics,
            .changes,
            "Mesh demo",
            "stats.statsdAddress=ref:status.hostIP",
            MigrationDump.pod(
                environment: variables("ENABLE_ENVOY_DOG_STATSD", "1")
                    + ", {name: STATSD_ADDRESS, valueFrom: {fieldRef: {fieldPath: status.hostIP}}}"
            ),
            mended: MigrationDump.pod()
        ),
        MigrationCase(
            .metricsExtension,
            .changes,
            "Mesh demo",
            "port 9902",
            MigrationDump.pod(environment: variables("APPMESH_METRIC_EXTENSION_VERSION", "1")),
            mended: MigrationDump.pod()
        ),
        MigrationCase(
            .statistics,
            .changes,
            blue,
            "let it ask port 9902",
            MigrationDump.pod(annotations: "prometheus.io/port: \"9901\""),
            mended: MigrationDump.pod(annotations: "prometheus.io/port: \"9902\"")
        ),
    ]

    /// Variables of a container, by names and values in turn.
    static func variables(_ texts: String...) -> String {
        stride(from: 0, to: texts.count - 1, by: 2)
            .map { ", {name: \(texts[$0]), value: \"\(texts[$0 + 1])\"}" }.joined()
    }
}
