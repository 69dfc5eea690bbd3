import FoundationEssentials
import MeshModel
import MeshTelemetry

/// `heddle stats`: requests, failures and latencies of nodes, edges or virtual services.
public struct StatsCommand: Sendable {
    /// `-o`.
    public enum Format: String, CaseIterable, Sendable {
        case table
        case wide
        case json
        case yaml
    }

    /// `KIND`, `KIND/NAME`, `NAMESPACE/NAME` or `NAME`; nil is all nodes.
    public var subject: String?
    /// `-n`; nil chooses.
    public var namespace: String?
    /// `-A`.
    public var isAllNamespaces = false
    /// `--edges`.
    public var showsEdges = false
    /// `-o`.
    public var format = Format.table
    /// `-w`.
    public var isWatching = false

    /// Makes the command for `subject`.
    public init(_ subject: String? = nil) { self.subject = subject }

    /// Runs the command.
    public func run(
        _ transport: any LocalAPITransport,
        _ console: Console
    ) async throws -> ExitStatus {
        let client = LocalAPIClient(transport: transport)
        let selection = try MapSelection(subject, namespace: try await chosenNamespace(client))
        if showsEdges, selection.isOfServices {
            throw ClientFailure(.usage, "--edges goes with nodes, not with virtual services")
        }
        let map = try await client.value(ServiceMap.self, "/map")
        if let failure = selection.failure(in: map) { throw failure }
        guard isWatching else {
            try show(map, selection, console)
            return .ok
        }
        try await client.maps { map in
            switch format {
            case .table, .wide:
                // A terminal shows the newest in the same place, a file one after the other.
                console.print(console.isTerminal ? "\u{1B}[H\u{1B}[2J" : "\n")
            case .json, .yaml: break
            }
            try show(map, selection, console)
        }
        return .ok
    }

    private func chosenNamespace(_ client: LocalAPIClient) async throws -> String? {
        if isAllNamespaces || MapSelection.namesNamespace(subject) { return nil }
        return try await namespaceOrOnlyOne(namespace, client)
    }

    private func show(
        _ map: ServiceMap,
        _ selection: MapSelection,
        _ console: Console
    ) throws {
        let part = selection.part(of: map)
        switch format {
        case .json: console.print(JSONText.pretty(try jsonValue(part)) + "\n")
        case .yaml:
            console.print((isWatching ? "---\n" : "") + (try yamlText(jsonValue(part))))
        case .table, .wide:
            let tables = StatsTables(
                map: map,
                part: part,
                withNamespace: selection.namespace == nil,
                isWide: format == .wide
            )
            let table =
                selection.isOfServices
                ? tables.splits : showsEdges ? tables.edges : tables.nodes
            guard !table.rows.isEmpty else { return console.note(nothing(selection, map)) }
            console.print(table.text(isColoured: console.isColoured))
        }
    }

    private func nothing(_ selection: MapSelection, _ map: ServiceMap) -> String {
        let what =
            selection.isOfServices ? "virtual services" : showsEdges ? "calls" : "virtual nodes"
        guard let namespace = selection.namespace else { return "No \(what)." }
        let elsewhere = Set(map.nodes.map(\.namespace)).subtracting([namespace, ""]).sorted()
        let hint =
            elsewhere.isEmpty
            ? "." : "; there are some in \(elsewhere.joined(separator: ", ")). Use -A for all."
        return "No \(what) in namespace \(namespace)\(hint)"
    }
}

/// The tables of `heddle stats`.
struct StatsTables {
    /// All that is known, for names.
    var map: ServiceMap
    /// What is shown.
    var part: ServiceMap
    /// Whether several namespaces are shown.
    var withNamespace: Bool
    /// `-o wide`.
    var isWide: Bool

    private static let main = ["SUCCESS", "RPS", "P50", "P95", "P99"]

    /// A row for each node.
    var nodes: TextTable {
        var table = TextTable(
            headings: (withNamespace ? ["NAMESPACE"] : []) + ["NAME", "PROXIES"] + Self.main
                + ["TCP_CONN"]
                + (isWide ? ["KIND", "HEALTH", "REQUESTS", "FAILED", "RETRIES", "PROBLEM"] : [])
        )
        table.rows = part.nodes.map { node in
            let traffic = node.traffic
            let hasProxies = node.kind.hasPrefix("Virtual")
            let place = withNamespace ? [TextTable.Cell(node.namespace)] : []
            let all: [TextTable.Cell] =
                place
                + [
                    TextTable.Cell(node.name, isWide ? nil : node.health.colourOfTrouble),
                    TextTable.Cell(
                        hasProxies ? "\(node.readyProxies)/\(node.proxies)" : TrafficText.none,
                        hasProxies && node.readyProxies < node.proxies ? .red : nil
                    ),
                ] + traffic.mainCells + ["\(traffic.activeConnections)"]
            guard isWide else { return all }
            return all + [
                TextTable.Cell(node.kind), TextTable.Cell(node.health.rawValue, node.health.colour),
                "\(traffic.requests)", "\(traffic.failures)", "\(traffic.retries)",
                TextTable.Cell(node.problem ?? ""),
            ]
        }
        return table
    }

    /// A row for each edge.
    var edges: TextTable {
        var table = TextTable(
            headings: ["SOURCE", "TARGET", "SERVICE", "SECURED"] + Self.main + ["RETRIES"]
                + (isWide
                    ? [
                        "PORT", "PROTOCOL", "HEALTH", "REQUESTS", "FAILED", "TIMEOUTS",
                        "CONN_FAILED", "EJECTED", "TCP_CONN", "TRAFFIC",
                    ] : [])
        )
        table.rows = part.edges.map { edge in
            let traffic = edge.traffic
            let all: [TextTable.Cell] =
                [
                    TextTable.Cell(map.label(of: edge.source, withNamespace: withNamespace)),
                    TextTable.Cell(map.label(of: edge.target, withNamespace: withNamespace)),
                    TextTable.Cell(
                        edge.services.isEmpty
                            ? TrafficText.none : edge.services.joined(separator: ",")
                    ),
                    TextTable.Cell(edge.security.text, edge.security.colour),
                ] + traffic.mainCells + [
                    TextTable.Cell("\(TrafficText.rate(traffic.retriesPerSecond))/s")
                ]
            guard isWide else { return all }
            return all + [
                TextTable.Cell(edge.port.map(String.init) ?? TrafficText.none),
                edge.isHTTP ? "HTTP" : "TCP",
                TextTable.Cell(edge.health.rawValue, edge.health.colour), "\(traffic.requests)",
                "\(traffic.failures)", "\(traffic.timeouts)", "\(traffic.connectFailures)",
                "\(traffic.ejectedHosts)", "\(traffic.activeConnections)",
                TextTable.Cell(TrafficText.bytes(perSecond: traffic.bytesPerSecond)),
            ]
        }
        return table
    }

    /// A row for each target of each route of a virtual service.
    var splits: TextTable {
        var table = TextTable(
            headings: ["SERVICE", "ROUTE", "TARGET", "WEIGHT", "OBSERVED"] + Self.main
        )
        table.rows = part.splits.map { split in
            let target = split.target.map { map.label(of: $0, withNamespace: withNamespace) }
            return [
                TextTable.Cell(split.service), TextTable.Cell(split.route ?? TrafficText.none),
                TextTable.Cell(target ?? "missing", target == nil ? .red : nil),
                TextTable.Cell(TrafficText.percent(split.share)),
                TextTable.Cell(TrafficText.percent(split.observedShare)),
            ] + traffic(of: split).mainCells
        }
        return table
    }

    /// The calls to the target by all that reach it through the service.
    private func traffic(of split: ServiceMap.Split) -> Traffic {
        let edges = map.edges.filter {
            $0.target == split.target && $0.services.contains(split.service)
        }
        if edges.count == 1 { return edges[0].traffic }
        var sum = Traffic()
        for traffic in edges.map(\.traffic) {
            sum.requestsPerSecond += traffic.requestsPerSecond
            sum.failuresPerSecond += traffic.failuresPerSecond
            // The slowest caller's: quantiles have no sum.
            if let latency = traffic.latencyMilliseconds,
                latency.p99 > sum.latencyMilliseconds?.p99 ?? -1
            {
                sum.latencyMilliseconds = latency
            }
        }
        if sum.requestsPerSecond > 0 {
            sum.successRate = 1 - sum.failuresPerSecond / sum.requestsPerSecond
        }
        return sum
    }
}

extension ServiceMap.Health {
    /// The colour of what someone has to look at.
    var colourOfTrouble: Colour? { self == .degraded || self == .failing ? colour : nil }
}

extension TrafficTarget.Security {
    /// The column SECURED.
    var text: String {
        switch self {
        case .plaintext: "no"
        case .tls: "TLS"
        case .mutualTLS: "mTLS"
        }
    }

    var colour: Colour? { self == .mutualTLS ? .green : nil }
}

/// A value as the API would show it.
func jsonValue(_ value: some Encodable) throws -> JSONValue {
    try JSONDecoder().decode(JSONValue.self, from: JSONEncoder().encode(value))
}
