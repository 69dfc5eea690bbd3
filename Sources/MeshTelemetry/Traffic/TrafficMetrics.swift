import MeshModel
import Synchronization

extension TrafficBoard {
    /// How many pairs of who asks and who is asked have samples, at the most.
    static let metricsEdgeLimit = 1000

    /// In seconds; each is the end of a range in which Envoy counts.
    private static let bounds = [
        0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60,
    ]

    private typealias Samples = [(labels: MetricLabels, value: Double)]
    private typealias Histograms = [(labels: MetricLabels, histogram: MetricHistogram)]

    /// Adds samples of the traffic in the meshes.
    ///
    /// Only what something happened to has samples, and of edges the first thousand; what is left out is
    /// told by `heddle_traffic_edges_left_out`.
    ///
    /// - Parameters:
    ///   - text: What Prometheus gets.
    ///   - now: The time.
    public func writeMetrics(to text: inout MetricsText, now: ContinuousClock.Instant = .now) {
        let state = state.withLock { $0 }
        let gauges = WindowTraffic(state.readings.values, now: now).gauges
        let owners = state.owners.current.values.sorted() + state.owners.late(now).values.sorted()
        Self.writeInbound(to: &text, state.totals, gauges, owners)
        var connected: [TrafficRow: TrafficCounters] = [:]
        for edges in [state.edges.current, state.edges.late(now)] {
            for (edge, names) in edges {
                connected[names.row, default: .init()].add(gauges.edges[edge] ?? .init())
            }
        }
        // In the order of their first traffic: no newcomer ends the samples of another.
        let shown = state.rowOrder.keys.filter { connected[$0] != nil }
        let rows = shown.prefix(Self.metricsEdgeLimit).map { row in
            OutboundRow(
                labels: row.labels,
                totals: state.rows[row]?.counters ?? .init(),
                gauges: connected[row] ?? .init(),
                isHTTP: state.rows[row]?.isHTTP ?? false
            )
        }
        Self.writeOutbound(to: &text, rows.sorted { $0.labels.text < $1.labels.text })
        text.add(
            "heddle_traffic_edges_left_out",
            .gauge,
            help: "Pairs of caller and target whose samples are left out, as there are too many.",
            [([:], Double(max(0, shown.count - Self.metricsEdgeLimit)))]
        )
    }

    private static func writeInbound(
        to text: inout MetricsText,
        _ totals: TrafficSums,
        _ gauges: TrafficSums,
        _ owners: [TrafficInterval.Owner]
    ) {
        var requests: Samples = []
        var durations: Histograms = []
        var connections: Samples = []
        // Another of the same name may have come in place of one that left.
        var seen: Set<MetricLabels> = []
        for owner in owners {
            let labels = owner.labels
            guard seen.insert(labels).inserted else { continue }
            let counters = totals.inbound[owner.id] ?? .init()
            if counters[.requests] > 0 {
                requests += byClass(labels, counters)
                durations.append((labels, histogram(counters.latency)))
            }
            let active = gauges.inbound[owner.id]?[.activeConnections] ?? 0
            connections.append((labels, Double(active)))
        }
        text.add(
            "heddle_inbound_requests_total",
            .counter,
            help: "Requests that a virtual node or gateway was asked, by the class of its answer.",
            requests
        )
        text.addHistogram(
            "heddle_inbound_request_duration_seconds",
            help: "How long the requests took that a virtual node or gateway was asked.",
            durations
        )
        text.add(
            "heddle_inbound_connections",
            .gauge,
            help: "Open connections to a virtual node or gateway.",
            connections
        )
    }

    /// What one asks of another, on all its ports.
    private struct OutboundRow {
        var labels: MetricLabels
        var totals: TrafficCounters
        var gauges: TrafficCounters
        var isHTTP: Bool
    }

    private static func writeOutbound(to text: inout MetricsText, _ rows: [OutboundRow]) {
        let calls = rows.filter(\.isHTTP)
        text.add(
            "heddle_outbound_requests_total",
            .counter,
            help: "Requests to a target, each counted once however often it was sent.",
            calls.flatMap { byClass($0.labels, $0.totals) }
        )
        text.addHistogram(
            "heddle_outbound_request_duration_seconds",
            help: "How long requests to a target took that it answered.",
            calls.map { ($0.labels, histogram($0.totals.latency)) }
        )
        for (name, counter, help) in outboundCounters {
            let rows = counter == .retries || counter == .timeouts ? calls : rows
            text.add(
                name,
                .counter,
                help: help,
                rows.map { ($0.labels, Double($0.totals[counter])) }
            )
        }
        text.add(
            "heddle_outbound_connections",
            .gauge,
            help: "Open connections to a target.",
            rows.map { ($0.labels, Double($0.gauges[.activeConnections])) }
        )
        text.add(
            "heddle_outbound_ejected_hosts",
            .gauge,
            help: "Hosts of a target that outlier detection has ejected at present.",
            rows.map { ($0.labels, Double($0.gauges[.ejectedHosts])) }
        )
        text.add(
            "heddle_outbound_bytes_total",
            .counter,
            help: "Bytes to a target (sent) and from it (received).",
            rows.flatMap { row -> Samples in
                [
                    (row.labels.adding("direction", "received"), row.totals[.receivedBytes]),
                    (row.labels.adding("direction", "sent"), row.totals[.sentBytes]),
                ].map { ($0.0, Double($0.1)) }
            }
        )
    }

    private static let outboundCounters:
        [(name: String, counter: TrafficCounters.Counter, help: String)] = [
            (
                "heddle_outbound_retries_total", .retries,
                "Requests to a target that were sent again."
            ),
            (
                "heddle_outbound_timeouts_total", .timeouts,
                "Requests to a target, or tries of them, that took too long."
            ),
            (
                "heddle_outbound_connect_failures_total", .connectFailures,
                "Connections to a target that could not be made."
            ),
            (
                "heddle_outbound_ejections_total", .ejections,
                "Hosts of a target that outlier detection ejected."
            ),
        ]

    private static func byClass(_ labels: MetricLabels, _ counters: TrafficCounters) -> Samples {
        Traffic.classes.map { name, counter in
            (labels.adding("response_code_class", name), Double(counters[counter]))
        }
    }

    private static func histogram(_ latency: LatencyHistogram) -> MetricHistogram {
        var histogram = MetricHistogram(upperBounds: bounds)
        for bin in latency.bins {
            let seconds = LatencyHistogram.middle(of: bin.index) / 1000
            histogram.record(seconds, count: bin.count)
        }
        return histogram
    }
}

extension MetricLabels {
    /// These and one more.
    func adding(_ name: String, _ value: String) -> MetricLabels {
        var result = self
        result.append(name, value)
        return result
    }
}
