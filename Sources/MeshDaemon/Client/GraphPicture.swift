import MeshModel
import MeshTelemetry

/// The service map as a tree: who is called by nobody on top, and below each whom it calls.
///
/// One who is called by several is drawn whole at its first place, and marked at the others.
struct GraphPicture {
    private let map: ServiceMap
    private let withNamespace: Bool
    private let nodes: [String: ServiceMap.Node]
    private let calls: [String: [ServiceMap.Edge]]
    private(set) var rows: [[TextTable.Cell]] = []

    /// Deeper chains of calls are cut, as no screen is that wide.
    private static let depthLimit = 32

    /// Draws `map`.
    init(_ map: ServiceMap, withNamespace: Bool) {
        self.map = map
        self.withNamespace = withNamespace
        nodes = Dictionary(map.nodes.map { ($0.id, $0) }) { first, _ in first }
        calls = Dictionary(grouping: map.edges, by: \.source)
        let called = Set(map.edges.filter { $0.source != $0.target }.map(\.target))
        // Those whom nobody calls, then what is left of circles.
        let known = map.nodes.map(\.id)
        let roots = Set(map.edges.map(\.source)).union(known).subtracting(called).sorted()
        var drawn: Set<String> = []
        for id in roots + known where !drawn.contains(id) { draw(id, &drawn) }
    }

    /// The tree with its numbers.
    var table: TextTable {
        TextTable(
            headings: ["CALLS", "HEALTH", "SUCCESS", "RPS", "P50", "P99", "SECURED", "SERVICE"],
            rows: rows
        )
    }

    /// The picture for a screen of this size: a line of what it is, the table, and `note` at the end.
    func lines(
        _ size: LiveTerminal.Size,
        heading: String,
        note: String?,
        isColoured: Bool
    ) -> [String] {
        // The line above, the headings, and one for what does not fit.
        let room = max(0, size.rows - 2 - (note == nil ? 0 : 1))
        var table = table
        if table.rows.count > room {
            let hidden = table.rows.count - max(0, room - 1)
            table.rows = table.rows.prefix(max(0, room - 1)) + [["... \(hidden) more"]]
        }
        let lines =
            [heading]
            + table.text(isColoured: isColoured).split(separator: "\n").map(String.init)
            + (note.map { [$0.printable] } ?? [])
        return lines.prefix(max(1, size.rows)).map { cut($0, to: size.columns) }
    }

    private mutating func draw(_ id: String, _ drawn: inout Set<String>) {
        let node = nodes[id]
        rows.append(
            [TextTable.Cell(label(id))]
                + (node.map { node in
                    [TextTable.Cell(node.health.rawValue, node.health.colour)]
                        + numbers(node.traffic) + ["", TextTable.Cell(node.problem ?? "")]
                } ?? [])
        )
        drawn.insert(id)
        drawCalls(of: id, prefix: "", depth: 1, &drawn)
    }

    private mutating func drawCalls(
        of id: String,
        prefix: String,
        depth: Int,
        _ drawn: inout Set<String>
    ) {
        let edges = calls[id] ?? []
        for (index, edge) in edges.enumerated() {
            let isLast = index == edges.count - 1
            let isAgain = !drawn.insert(edge.target).inserted
            let isCut = depth >= Self.depthLimit
            let hasCalls = calls[edge.target] != nil
            let mark = hasCalls && (isAgain || isCut) ? " (above)" : ""
            let branch = prefix + (isLast ? "└─ " : "├─ ")
            rows.append(
                [
                    TextTable.Cell(branch + label(edge.target) + mark),
                    TextTable.Cell(edge.health.rawValue, edge.health.colour),
                ] + numbers(edge.traffic) + [
                    TextTable.Cell(edge.security.text, edge.security.colour),
                    TextTable.Cell(services(edge)),
                ]
            )
            guard !isAgain, !isCut else { continue }
            drawCalls(
                of: edge.target,
                prefix: prefix + (isLast ? "   " : "│  "),
                depth: depth + 1,
                &drawn
            )
        }
    }

    private func label(_ id: String) -> String {
        let label = map.label(of: id, withNamespace: withNamespace)
        return nodes[id]?.kind == Kind.virtualGateway.rawValue ? "\(label) (gateway)" : label
    }

    private func numbers(_ traffic: Traffic) -> [TextTable.Cell] {
        let latency = traffic.latencyMilliseconds
        return [
            traffic.successCell, TextTable.Cell(TrafficText.rate(traffic.requestsPerSecond)),
            TextTable.Cell(TrafficText.latency(latency?.p50)),
            TextTable.Cell(TrafficText.latency(latency?.p99)),
        ]
    }

    /// Through which services it is called, and with which share of their requests.
    private func services(_ edge: ServiceMap.Edge) -> String {
        edge.services.map { service in
            let splits = map.splits.filter { $0.service == service }
            let own = splits.filter { $0.target == edge.target }
            // All of a service's requests need no number.
            guard let split = own.first, own.count == 1, splits.count > 1 else { return service }
            let seen = split.observedShare.map { ", seen \(TrafficText.percent($0))" } ?? ""
            return "\(service) \(TrafficText.percent(split.share))\(seen)"
        }
        .joined(separator: ", ")
    }
}

/// `line` cut to so many characters that are seen; its colours end with it.
func cut(_ line: String, to columns: Int) -> String {
    var result = ""
    var count = 0
    var isEscape = false
    var isColoured = false
    for character in line {
        if isEscape {
            result.append(character)
            isEscape = character != "m"
        } else if character == "\u{1B}" {
            isColoured = true
            isEscape = true
            result.append(character)
        } else if count < columns {
            result.append(character)
            count += 1
        } else {
            return isColoured ? result + "\u{1B}[0m" : result
        }
    }
    return result
}
