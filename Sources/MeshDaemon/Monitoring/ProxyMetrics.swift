internal import MeshModel
internal import MeshPlan
internal import MeshTelemetry

extension MetricsText {
    /// Adds what proxies are, how they are, and what they use.
    ///
    /// What changes with a proxy's version or owner is in `heddle_proxy_info` alone, to be joined by
    /// `proxy`: so that a series goes on when it does.
    mutating func addProxies(_ report: ProxyReport, _ usage: [ProxyID: ProxyUsage]) {
        let states = Dictionary(grouping: report.entries, by: \.state.word).mapValues(\.count)
        add(
            "heddle_proxies",
            .gauge,
            help: "Proxies, by state as heddle status shows it.",
            states.map { state, count in (["state": state], Double(count)) }
        )
        add(
            "heddle_proxy_info",
            .gauge,
            help: "1, with the mesh and the virtual node or gateway of a proxy.",
            report.entries.map { ($0.metricLabels, 1) }
        )
        func samples(_ value: (ProxyReport.Entry) -> Double?) -> Samples {
            report.entries.compactMap { entry in
                value(entry).map { (["proxy": "\(entry.id)"], $0) }
            }
        }
        add(
            "heddle_proxy_connected",
            .gauge,
            help: "1 when a proxy is connected for its configuration, else 0.",
            samples { $0.isConnected ? 1 : 0 }
        )
        add(
            "heddle_proxy_restarts_total",
            .counter,
            help: "How often a proxy was started again after it ended by itself.",
            samples { ($0.process?.restarts).map(Double.init) }
        )
        add(
            "heddle_proxy_out_of_memory_kills_total",
            .counter,
            help: "How often the kernel ended a proxy that went over its memory limit.",
            samples { ($0.process?.outOfMemoryKills).map(Double.init) }
        )
        addUse(samples, usage)
        addSizing(samples)
    }

    private mutating func addUse(
        _ samples: ((ProxyReport.Entry) -> Double?) -> Samples,
        _ usage: [ProxyID: ProxyUsage]
    ) {
        add(
            "heddle_proxy_cpu_cores",
            .gauge,
            help: "Processor time of a proxy, in cores.",
            samples { entry in (usage[entry.id]?.cpuMillicores).map { $0 / 1000 } }
        )
        add(
            "heddle_proxy_cpu_throttled_ratio",
            .gauge,
            help: "The share of time in which the CPU limit of a proxy held it up, from 0 to 1.",
            samples { usage[$0.id]?.throttledShare }
        )
        add(
            "heddle_proxy_memory_bytes",
            .gauge,
            help: "Memory that a proxy has of its own.",
            samples { entry in (usage[entry.id]?.memoryBytes).map(Double.init) }
        )
    }

    private mutating func addSizing(_ samples: ((ProxyReport.Entry) -> Double?) -> Samples) {
        func cores(_ millicores: Int) -> Double { Double(millicores) / 1000 }
        add(
            "heddle_proxy_cpu_request_cores",
            .gauge,
            help: "The CPU that a Workload requests for its proxy.",
            samples { cores($0.resources.cpuRequestMillicores) }
        )
        add(
            "heddle_proxy_cpu_limit_cores",
            .gauge,
            help: "The CPU limit of a proxy that has one.",
            samples { $0.resources.cpuLimitMillicores.map(cores) }
        )
        add(
            "heddle_proxy_cpu_recommended_cores",
            .gauge,
            help: "The CPU that a Workload should request for its proxy.",
            samples { entry in
                (entry.recommendation?.recommended.cpuRequestMillicores).map(cores)
            }
        )
        add(
            "heddle_proxy_memory_request_bytes",
            .gauge,
            help: "The memory that a Workload requests for its proxy.",
            samples { Double($0.resources.memoryRequestBytes) }
        )
        add(
            "heddle_proxy_memory_limit_bytes",
            .gauge,
            help: "The memory limit of a proxy that has one.",
            samples { $0.resources.memoryLimitBytes.map(Double.init) }
        )
        add(
            "heddle_proxy_memory_recommended_bytes",
            .gauge,
            help: "The memory that a Workload should request for its proxy.",
            samples { entry in
                (entry.recommendation?.recommended.memoryRequestBytes).map(Double.init)
            }
        )
        add(
            "heddle_proxy_undersized",
            .gauge,
            help: "1 when a proxy may run short of what its Workload asks for, else 0.",
            samples { entry in
                (entry.recommendation?.verdict).map { $0 == .undersized ? 1 : 0 }
            }
        )
    }
}

extension ProxyReport.Entry {
    /// The labels of `heddle_proxy_info`, by App Mesh's names, as those of traffic are.
    fileprivate var metricLabels: MetricLabels {
        // `mesh/<mesh>/virtualNode/<name>`, maybe at the end of an ARN.
        let parts = nodeID.split(separator: "/")
        let meshName = parts.count >= 4 ? String(parts[parts.count - 3]) : mesh ?? ""
        let name = parts.last.map(String.init) ?? owner.name
        let label =
            owner.kind == .virtualGateway ? "appmesh_virtual_gateway" : "appmesh_virtual_node"
        var labels: MetricLabels = [
            "proxy": "\(id)", "namespace": owner.namespace, "appmesh_mesh": meshName,
        ]
        labels.append(label, name)
        labels.append("envoy_version", process?.version ?? "")
        return labels
    }
}
