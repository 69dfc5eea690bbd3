internal import MeshModel

/// The environment of a proxy's container: App Mesh's names, for whatever reads them beside Envoy.
struct ProxyEnvironment {
    /// Variables with a value.
    private(set) var values: [String: String]
    /// Variables with what kubelet knows, by the path of a Pod's field.
    private(set) var references: [String: String] = [:]

    /// The variables that the injector gives; those of `own` that have their names lose, but for
    /// `XRAY_SAMPLING_RATE`.
    init(
        _ owner: ProxyOwner,
        _ settings: InjectionSettings,
        hasSDS: Bool,
        own: [String: String]
    ) throws(PodRefusal) {
        var values: [String: String] = [
            "APPMESH_RESOURCE_ARN": owner.nodeID,
            "APPMESH_VIRTUAL_NODE_NAME": owner.nodeID,
            "ENVOY_LOG_LEVEL": settings.sidecar.logLevel,
            "ENVOY_ADMIN_ACCESS_PORT": "\(settings.sidecar.envoyAdminAccessPort)",
        ]
        let named = [
            ("AWS_REGION", settings.region),
            ("APPMESH_PLATFORM_K8S_VERSION", settings.kubernetesVersion),
            ("APPMESH_PLATFORM_APP_MESH_CONTROLLER_VERSION", settings.heddleVersion),
            ("APPMESH_SDS_SOCKET_PATH", hasSDS ? settings.sds.udsPath : ""),
        ]
        for (name, value) in named where !value.isEmpty { values[name] = value }
        self.values = own.merging(values) { _, given in given }
        references["APPMESH_PLATFORM_K8S_POD_UID"] = "metadata.uid"
        if settings.tracing.enabled {
            try addTracing(settings.tracing, ownRate: own["XRAY_SAMPLING_RATE"])
        }
        addStatistics(settings.stats)
    }

    /// The names of the variables in `own` that have another value in spite of it; sorted.
    ///
    /// A sampling rate that is written otherwise is the same.
    func overridden(_ own: [String: String]) -> [String] {
        own.filter { $0.key != "XRAY_SAMPLING_RATE" && values[$0.key] != $0.value }.keys.sorted()
    }

    /// `ref:status.hostIP` is the address of the Kubernetes node.
    private mutating func set(_ name: String, address: String) {
        if address == "ref:status.hostIP" {
            values[name] = nil
            references[name] = "status.hostIP"
        } else {
            values[name] = address
        }
    }

    private mutating func addTracing(
        _ tracing: InjectionSettings.Tracing,
        ownRate: String?
    ) throws(PodRefusal) {
        func or(_ given: String, _ fallback: String) -> String { given.isEmpty ? fallback : given }
        func or(_ given: Int, _ fallback: Int) -> String { "\(given == 0 ? fallback : given)" }
        switch tracing.provider {
        case .xRay:
            values["ENABLE_ENVOY_XRAY_TRACING"] = "1"
            values["XRAY_DAEMON_PORT"] = or(tracing.port, 2000)
            let text = ownRate ?? "\(tracing.samplingRate)"
            guard let rate = Double(text), (0...1).contains(rate) else {
                throw PodRefusal(
                    field: PodAnnotations.Name.sidecarEnv.field,
                    problem:
                        "tracing.samplingRate should be a decimal between 0 & 1.00, but instead "
                        + "got \(quoted(text))",
                    remedy: "give XRAY_SAMPLING_RATE a number from 0 to 1"
                )
            }
            let hundredths = Int((rate * 100).rounded())
            values["XRAY_SAMPLING_RATE"] =
                hundredths % 100 == 0 ? "\(hundredths / 100)" : "\(Double(hundredths) / 100)"
        case .jaeger:
            values["ENABLE_ENVOY_JAEGER_TRACING"] = "1"
            values["JAEGER_TRACER_PORT"] = or(tracing.port, 9411)
            set(
                "JAEGER_TRACER_ADDRESS",
                address: or(tracing.address, "appmesh-jaeger.appmesh-system")
            )
        case .datadog:
            values["ENABLE_ENVOY_DATADOG_TRACING"] = "1"
            values["DATADOG_TRACER_PORT"] = or(tracing.port, 8126)
            set("DATADOG_TRACER_ADDRESS", address: or(tracing.address, "datadog.appmesh-system"))
        }
    }

    private mutating func addStatistics(_ stats: InjectionSettings.Stats) {
        if stats.tagsEnabled { values["ENABLE_ENVOY_STATS_TAGS"] = "1" }
        guard stats.statsdEnabled else { return }
        values["ENABLE_ENVOY_DOG_STATSD"] = "1"
        values["STATSD_PORT"] = "\(stats.statsdPort)"
        set("STATSD_ADDRESS", address: stats.statsdAddress)
        if !stats.statsdSocketPath.isEmpty { values["STATSD_SOCKET_PATH"] = stats.statsdSocketPath }
    }

    /// `env` of a container, by name.
    var list: [JSONValue] { entries.sorted { $0.key < $1.key }.map(\.value) }

    /// The elements of `env` by their names.
    var entries: [String: JSONValue] {
        var entries: [String: JSONValue] = [:]
        for (name, value) in values {
            entries[name] = ["name": .string(name), "value": .string(value)]
        }
        for (name, path) in references {
            entries[name] = [
                "name": .string(name), "valueFrom": ["fieldRef": ["fieldPath": .string(path)]],
            ]
        }
        return entries
    }
}
