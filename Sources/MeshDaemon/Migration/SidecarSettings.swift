internal import MeshModel

/// What a proxy of App Mesh was told by variables, and how Heddle is told the same.
private struct SidecarSetting: Hashable {
    var check: MigrationCheckName
    /// The annotation that matters.
    var field: String
    var problem: String
    var remedy: String
    var isSet: Bool
}

extension MigratingCluster {
    /// Tracing, statistics and metrics as the proxies of App Mesh have them, and other variables of its
    /// image.
    mutating func checkSidecarSettings() {
        var meshes: [ObjectID: [SidecarSetting: (pods: Int, isCounted: Bool)]] = [:]
        for group in groups where isOfMesh(group) {
            checkVariables(of: group)
            guard let mesh = owner(of: group).flatMap(mesh) else { continue }
            for pod in group.pods where pod.hasAWSProxy {
                guard let proxy = pod.proxy else { continue }
                for setting in settings(of: proxy, in: mesh) {
                    let known = meshes[mesh.id]?[setting]?.pods ?? 0
                    meshes[mesh.id, default: [:]][setting] = (known + 1, !group.isTemplate)
                }
            }
        }
        for (mesh, settings) in meshes.sorted(by: { $0.key < $1.key }) {
            for (setting, count) in settings.sorted(by: { $0.key.problem < $1.key.problem }) {
                report(
                    MigrationFinding(
                        setting.isSet ? .works : .changes,
                        setting.check,
                        MigrationObject(mesh),
                        field: setting.field,
                        pods: count.isCounted ? count.pods : nil,
                        setting.problem,
                        remedy: setting.isSet ? "" : setting.remedy
                    )
                )
            }
        }
    }

    private func settings(of proxy: MigratingPod.Container, in mesh: Mesh) -> [SidecarSetting] {
        [
            tracing(of: proxy, in: mesh), statistics(of: proxy, in: mesh),
            metrics(of: proxy),
        ]
        .compactMap { $0 }
    }

    // MARK: Tracing

    private func tracing(of proxy: MigratingPod.Container, in mesh: Mesh) -> SidecarSetting? {
        let name = mesh.metadata.name
        func setting(_ provider: String, _ place: String, _ remedy: String) -> SidecarSetting {
            SidecarSetting(
                check: .tracing,
                field: "metadata.annotations[\"heddle.dev/tracing\"]",
                problem: "proxies trace to \(place)",
                remedy: remedy,
                isSet: mesh.spec.tracing?.provider.rawValue == provider
            )
        }
        func annotate(_ values: String...) -> String {
            "kubectl annotate mesh \(name) " + values.joined(separator: " ")
        }
        if isOn("ENABLE_ENVOY_XRAY_TRACING", proxy) {
            let rate = proxy.environment["XRAY_SAMPLING_RATE"] ?? "0.05"
            let address = proxy.environment["AWS_XRAY_DAEMON_ADDRESS"]
            let port = proxy.environment["XRAY_DAEMON_PORT"] ?? "2000"
            let endpoint = address ?? "127.0.0.1:\(port)"
            var values = ["heddle.dev/tracing=x-ray", "heddle.dev/trace-sampling=\(rate)"]
            if endpoint != "127.0.0.1:2000" {
                values.append("heddle.dev/tracing-endpoint=\(endpoint)")
            }
            let rules =
                proxy.environment["XRAY_SAMPLING_RULE_MANIFEST"] == nil
                ? "" : ", and heddle.dev/trace-sampling-rules with the text of its rules"
            // The daemon that the chart adds is the Pod's own, and its clients are told no other address.
            let chart =
                address == nil
                ? "install the chart with tracing.enabled=true, tracing.provider=x-ray, "
                    + "tracing.samplingRate=\(rate) and region, which adds X-Ray's daemon to Pods; or, "
                    + "with a daemon of your own: " : ""
            return setting(
                "x-ray",
                "X-Ray at \(endpoint), \(rate) of the requests",
                "\(chart)kubectl annotate mesh \(name) \(values.joined(separator: " "))\(rules)"
            )
        }
        for (provider, defaultPort, host) in [
            ("jaeger", "9411", "appmesh-jaeger.appmesh-system"),
            ("datadog", "8126", "datadog.appmesh-system"),
        ] {
            let word = provider.uppercased()
            guard isOn("ENABLE_ENVOY_\(word)_TRACING", proxy) else { continue }
            let port = proxy.environment["\(word)_TRACER_PORT"] ?? defaultPort
            if let reference = proxy.references["\(word)_TRACER_ADDRESS"] {
                return setting(
                    provider,
                    "\(provider) at \(reference):\(port), of each Kubernetes node its own",
                    annotate(
                        "heddle.dev/tracing=\(provider)",
                        "heddle.dev/tracing-endpoint=HOST:\(port)"
                    )
                        + ", with the host of a Service before the agents, as one place holds for the mesh"
                )
            }
            let address = proxy.environment["\(word)_TRACER_ADDRESS"] ?? host
            return setting(
                provider,
                "\(provider) at \(address):\(port)",
                "install the chart with tracing.enabled=true, tracing.provider=\(provider), "
                    + "tracing.address=\(address) and tracing.port=\(port); or for this mesh: "
                    + annotate(
                        "heddle.dev/tracing=\(provider)",
                        "heddle.dev/tracing-endpoint=\(address):\(port)"
                    )
            )
        }
        return nil
    }

    // MARK: Statistics

    private func statistics(of proxy: MigratingPod.Container, in mesh: Mesh) -> SidecarSetting? {
        guard isOn("ENABLE_ENVOY_DOG_STATSD", proxy) else { return nil }
        let port = proxy.environment["STATSD_PORT"] ?? "8125"
        let reference = proxy.references["STATSD_ADDRESS"].map { "ref:\($0)" }
        let address = reference ?? proxy.environment["STATSD_ADDRESS"] ?? "127.0.0.1"
        let socket = proxy.environment["STATSD_SOCKET_PATH"].flatMap { $0.isEmpty ? nil : $0 }
        let place = socket.map { "unix:\($0)" } ?? "\(address):\(port)"
        let values =
            socket.map { ",stats.statsdSocketPath=\($0)" }
            ?? ",stats.statsdAddress=\(address),stats.statsdPort=\(port)"
        return SidecarSetting(
            check: .statistics,
            field: "",
            problem: "proxies send their statistics as DogStatsD to \(place)",
            remedy: "install the chart with --set stats.statsdEnabled=true\(values)",
            isSet: mesh.spec.dogStatsD != nil
        )
    }

    private func metrics(of proxy: MigratingPod.Container) -> SidecarSetting? {
        guard proxy.environment["APPMESH_METRIC_EXTENSION_VERSION"] != nil else { return nil }
        return SidecarSetting(
            check: .metricsExtension,
            field: "",
            problem:
                "proxies have App Mesh's metrics extension, which no stock Envoy has; in a cluster "
                + "Heddle leaves the statistics of proxies in their Pods",
            remedy: "let the CloudWatch agent, or Prometheus, ask each Pod at port 9902, path "
                + "/stats/prometheus; heddle.dev/export=cloudwatch is for proxies on one host",
            isSet: false
        )
    }

    private func isOn(_ variable: String, _ proxy: MigratingPod.Container) -> Bool {
        ["1", "true"].contains(proxy.environment[variable]?.lowercased())
    }

    // MARK: Other variables

    /// Variables of AWS' image that someone has set, and that a stock Envoy does not read.
    private mutating func checkVariables(of group: PodGroup) {
        for (variable, instead) in unreadVariables.sorted(by: { $0.key < $1.key }) {
            let count = group.count { pod in
                guard pod.hasAWSProxy, let value = pod.proxy?.environment[variable] else {
                    return false
                }
                return !["", "0"].contains(value)
            }
            guard count.holds else { continue }
            report(
                MigrationFinding(
                    .changes,
                    .environment,
                    group.controller,
                    field: "spec.containers[name=envoy].env",
                    value: variable,
                    pods: count.pods,
                    "a variable of AWS' image means nothing to a stock Envoy",
                    remedy: instead
                )
            )
        }
    }
}

/// Variables of AWS' image that its injector did not set by itself, and what there is instead.
private let unreadVariables = [
    "APPMESH_XDS_ENDPOINT": "take it from sidecarEnv: Heddle's injector says where proxies connect",
    "APPMESH_FIPS_ENDPOINT": "name an image of Envoy that was built for FIPS in sidecar.image",
    "APPMESH_PREVIEW": "take it away: there is no preview channel",
    "APPMESH_RESOURCE_CLUSTER": "nothing takes its place",
    "ENVOY_CONFIG_FILE": "Heddle makes the whole bootstrap; nothing is read beside it",
    "ENVOY_RESOURCES_CONFIG_FILE": "Heddle makes the whole bootstrap; nothing is read beside it",
    "ENVOY_STATS_CONFIG_FILE": "Heddle makes the whole bootstrap; nothing is read beside it",
    "ENVOY_STATS_SINKS_CFG_FILE":
        "Heddle makes the whole bootstrap; heddle.dev/dogstatsd is its one sink",
    "ENVOY_TRACING_CFG_FILE": "say it by the Mesh's annotation heddle.dev/tracing",
    "ENVOY_INITIAL_FETCH_TIMEOUT": "nothing takes its place",
    "MAX_REQUESTS_PER_IO_CYCLE": "nothing takes its place",
    "ENABLE_STATS_SNAPSHOT": "nothing: Heddle reads the statistics of proxies itself",
    "APPNET_ENABLE_RELAY_MODE_FOR_XDS": "nothing: proxies connect to Heddle",
    "APPNET_ENVOY_LOG_DESTINATION": "the proxy's log is that of its container",
]
