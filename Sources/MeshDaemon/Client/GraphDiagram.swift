import MeshModel
import MeshTelemetry

/// The service map in the languages of programs that draw.
struct GraphDiagram {
    private let map: ServiceMap
    /// All that an edge or a node names.
    private let ids: [String]

    init(_ map: ServiceMap) {
        self.map = map
        ids = Set(map.nodes.map(\.id) + map.edges.flatMap { [$0.source, $0.target] }).sorted()
    }

    /// The map for Graphviz.
    ///
    /// https://graphviz.org/doc/info/lang.html
    var dot: String {
        var text = "digraph mesh {\n  rankdir=LR;\n  node [shape=box, style=rounded];\n"
        for id in ids {
            let label = label(id).joined(separator: "\n")
            text += "  \(quoted(id)) [label=\(quoted(label)), color=\(colour(health(id)))];\n"
        }
        for edge in map.edges {
            let label = label(edge).joined(separator: "\n")
            text += "  \(quoted(edge.source)) -> \(quoted(edge.target)) "
            text += "[label=\(quoted(label)), color=\(colour(edge.health))"
            text += edge.security == .plaintext ? ", style=dashed];\n" : "];\n"
        }
        return text + "}\n"
    }

    /// The map for Mermaid, which pages in Markdown show.
    ///
    /// https://mermaid.js.org/syntax/flowchart.html
    var mermaid: String {
        // Names could mean something.
        let names = Dictionary(uniqueKeysWithValues: ids.enumerated().map { ($1, "n\($0)") })
        var text = "flowchart LR\n"
        for id in ids {
            let label = label(id).map(entities).joined(separator: "<br>")
            text += "  \(names[id] ?? "")[\"\(label)\"]:::\(health(id).rawValue)\n"
        }
        for edge in map.edges {
            let line = edge.security == .plaintext ? "-.->" : "-->"
            let label = label(edge).map(entities).joined(separator: "<br>")
            text += "  \(names[edge.source] ?? "") \(line)|\"\(label)\"| "
            text += "\(names[edge.target] ?? "")\n"
        }
        for health in [ServiceMap.Health.healthy, .degraded, .failing, .idle] {
            text += "  classDef \(health.rawValue) stroke:\(colour(health))\n"
        }
        return text
    }

    private func node(_ id: String) -> ServiceMap.Node? { map.nodes.first { $0.id == id } }

    private func health(_ id: String) -> ServiceMap.Health { node(id)?.health ?? .idle }

    private func label(_ id: String) -> [String] {
        let name = map.label(of: id, withNamespace: true).printable
        guard let traffic = node(id)?.traffic, traffic.successRate != nil else { return [name] }
        return [name, numbers(traffic)]
    }

    private func label(_ edge: ServiceMap.Edge) -> [String] {
        [edge.services.joined(separator: ", ").printable, numbers(edge.traffic)]
            .filter { !$0.isEmpty }
    }

    private func numbers(_ traffic: Traffic) -> String {
        let rate = "\(TrafficText.rate(traffic.requestsPerSecond)) rps"
        return traffic.successRate == nil
            ? rate : "\(rate), \(TrafficText.percent(traffic.successRate))"
    }

    private func colour(_ health: ServiceMap.Health) -> String {
        switch health {
        case .healthy: "green"
        case .degraded: "orange"
        case .failing: "red"
        case .idle: "gray"
        }
    }

    private func quoted(_ text: String) -> String {
        let escaped = text.map { character in
            switch character {
            case "\"": "\\\""
            case "\\": "\\\\"
            case "\n": "\\n"
            default: String(character)
            }
        }
        return "\"\(escaped.joined())\""
    }

    private func entities(_ text: String) -> String {
        let special: Set<Unicode.Scalar> = ["\"", "#", "&", "<", ">", "`", "|", ";"]
        return text.unicodeScalars
            .map { special.contains($0) ? "#\($0.value);" : String($0) }
            .joined()
    }
}
