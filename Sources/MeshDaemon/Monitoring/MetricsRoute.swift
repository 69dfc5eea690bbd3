internal import MeshModel
internal import MeshTelemetry

extension APIHandler {
    /// The answer to `/metrics`.
    func metricsResponse() -> APIResponse {
        var text = MetricsText()
        text.add(
            "heddle_build_info",
            .gauge,
            help: "1, with the version of Heddle.",
            [(["version": heddleVersion], 1)]
        )
        let (entries, problems) = state.everything
        text.addObjects(entries, problems: problems)
        text.addProxies(state.proxies.report, usage())
        text.addCertificates(state.certificates.report)
        text.addAccess(accessCounts())
        if let counts = monitoring.daemon() { text.add(counts) }
        text.addResponses(monitoring.apiResponses())
        text.addTelemetry(
            monitoring.spans(),
            notKept: monitoring.spansNotKept(),
            monitoring.exports()
        )
        monitoring.addTraffic(&text)
        monitoring.addCluster(&text)
        OwnProcess.current?.add(to: &text)
        return APIResponse(
            contentType: MetricsText.contentType,
            body: .bytes(Array(text.text.utf8))
        )
    }
}

extension MetricsText {
    /// Samples of one metric.
    typealias Samples = [Sample]
    /// One of them.
    typealias Sample = (labels: MetricLabels, value: Double)

    /// Adds what the daemon did.
    mutating func add(_ counts: DaemonMetrics.Counts) {
        addHistogram(
            "heddle_reconcile_duration_seconds",
            help: "How long it took to plan and to hand the plan on.",
            [([:], counts.reconciliations)]
        )
        func samples(_ counts: [ResourceType: Int]) -> Samples {
            counts.map { type, count in (["type": type.rawValue], Double(count)) }
        }
        add(
            "heddle_xds_updates_total",
            .counter,
            help: "Responses sent to proxies, by the type of their resources.",
            samples(counts.updates)
        )
        add(
            "heddle_xds_nacks_total",
            .counter,
            help: "Responses that proxies refused, by the type of their resources.",
            samples(counts.refusals)
        )
        addHistogram(
            "heddle_xds_ack_duration_seconds",
            help: "How long responses that proxies accepted waited for that.",
            [([:], counts.acknowledgements)]
        )
    }

    /// Adds how many objects there are and what is wrong with them.
    mutating func addObjects(_ entries: [APIEntry], problems: [String]) {
        let counts = Dictionary(grouping: entries, by: \.id.kind).mapValues(\.count)
        add(
            "heddle_objects",
            .gauge,
            help: "Objects of the mesh, by kind.",
            Kind.allCases.map { kind in
                (["kind": kind.rawValue], Double(counts[kind] ?? 0))
            }
        )
        add(
            "heddle_problems",
            .gauge,
            help: "Problems that no object's conditions show, as of a file that does not parse.",
            [([:], Double(problems.count))]
        )
        add(
            "heddle_object_condition_false",
            .gauge,
            help: "1 for each condition of an object that is False.",
            entries.flatMap { entry -> Samples in
                let conditions = entry.status?.conditions ?? []
                return conditions.filter { $0.status == .false }.map { condition in
                    let labels: MetricLabels = [
                        "kind": entry.id.kind.rawValue, "namespace": entry.id.namespace,
                        "name": entry.id.name, "condition": condition.type,
                        "reason": condition.reason,
                    ]
                    return (labels, 1)
                }
            }
        )
    }

    /// Adds how often the API answered.
    mutating func addResponses(_ counts: [Int: Int]) {
        add(
            "heddle_api_requests_total",
            .counter,
            help: "Requests that the local API answered, by HTTP status.",
            counts.map { code, count in (["code": String(code)], Double(count)) }
        )
    }

    /// Adds what came of traces, and what became of the telemetry that meshes export.
    mutating func addTelemetry(_ spans: [SpanCount], notKept: Int?, _ exports: [ExportCount]) {
        func bySource(_ value: (SpanCount) -> Int) -> Samples {
            spans.map { (["protocol": $0.protocolName], Double(value($0))) }
        }
        add(
            "heddle_spans_received_total",
            .counter,
            help: "Spans that the trace receiver took.",
            bySource(\.received)
        )
        add(
            "heddle_spans_malformed_total",
            .counter,
            help: "What came to the trace receiver, could not be read and was dropped.",
            bySource(\.malformed)
        )
        add(
            "heddle_spans_dropped_total",
            .counter,
            help: "Messages to the trace receiver that came faster than it takes them.",
            bySource(\.dropped)
        )
        add(
            "heddle_spans_not_kept_total",
            .counter,
            help: "Spans that were taken and not kept: beyond limits, or of a time to come.",
            [notKept].compactMap(\.self).map { count -> Sample in ([:], Double(count)) }
        )
        func byExport(_ value: (ExportCount) -> Int) -> Samples {
            exports.map { export in
                (["mesh": export.mesh, "exporter": export.exporter], Double(value(export)))
            }
        }
        add(
            "heddle_telemetry_sent_total",
            .counter,
            help: "Spans, data points and log events that were exported.",
            byExport(\.sent)
        )
        add(
            "heddle_telemetry_dropped_total",
            .counter,
            help: "Spans, data points and log events that could not be exported and were given up.",
            byExport(\.dropped)
        )
    }
}
