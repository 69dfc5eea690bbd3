import MeshModel
import MeshTelemetry

/// Which part of the service map a command is about.
struct MapSelection: Hashable, Sendable {
    /// Only nodes of this kind; nil is any, and a virtual service means splits.
    var kind: Kind?
    /// Only what is named so.
    var name: String?
    /// Only this namespace; nil is all.
    var namespace: String?

    /// Reads `KIND`, `KIND/NAME`, `NAMESPACE/NAME` or `NAME`.
    ///
    /// - Parameters:
    ///   - text: What the user wrote; nil is everything.
    ///   - namespace: `-n`, or what follows from the rest of the command line.
    /// - Throws: `ClientFailure` for a kind that has no traffic of its own.
    init(_ text: String?, namespace: String?) throws(ClientFailure) {
        self.namespace = namespace
        guard let text else { return }
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        let kind = try? KindName.kind(String(parts[0]))
        if parts.count == 2 {
            name = String(parts[1])
            if kind == nil { self.namespace = String(parts[0]) }
        } else if kind == nil {
            name = text
        }
        if let kind, ![.virtualNode, .virtualGateway, .virtualService].contains(kind) {
            throw ClientFailure(
                .usage,
                "\"\(text)\": traffic is counted for virtualnodes (vn), virtualgateways (vg) and "
                    + "virtualservices (vs)"
            )
        }
        self.kind = kind
    }

    /// Whether the text names a namespace of its own.
    static func namesNamespace(_ text: String?) -> Bool {
        guard let text, let slash = text.firstIndex(of: "/") else { return false }
        return (try? KindName.kind(String(text[..<slash]))) == nil
    }

    /// Whether splits are asked for.
    var isOfServices: Bool { kind == .virtualService }

    /// What of `map` is asked for: nodes, the edges from and to them, and splits.
    func part(of map: ServiceMap) -> ServiceMap {
        var part = map
        part.nodes = map.nodes.filter(matches)
        let ids = Set(part.nodes.map(\.id))
        part.edges = map.edges.filter { ids.contains($0.source) || ids.contains($0.target) }
        part.splits = splits(of: map, ids)
        return part
    }

    private func matches(_ node: ServiceMap.Node) -> Bool {
        if let namespace, node.namespace != namespace { return false }
        if let kind, !isOfServices, node.kind != kind.rawValue { return false }
        if let name, !isOfServices, node.name != name { return false }
        return true
    }

    private func splits(of map: ServiceMap, _ nodes: Set<String>) -> [ServiceMap.Split] {
        guard isOfServices else {
            return map.splits.filter { $0.target.map(nodes.contains) ?? (namespace == nil) }
        }
        let services = Set(map.splits.filter { isIn($0) }.map(\.service))
        return map.splits.filter { split in
            services.contains(split.service)
                && name.map { split.service == $0 || split.service.hasPrefix("\($0).") } ?? true
        }
    }

    /// A virtual service is where one of its targets is, or its name ends so.
    private func isIn(_ split: ServiceMap.Split) -> Bool {
        guard let namespace else { return true }
        if split.service.hasSuffix(".\(namespace)") { return true }
        let parts = (split.target ?? "").split(separator: "/")
        return parts.count == 3 && parts[1] == namespace
    }

    /// What is named and is not there.
    func failure(in map: ServiceMap) -> ClientFailure? {
        let part = part(of: map)
        guard let name, isOfServices ? part.splits.isEmpty : part.nodes.isEmpty else { return nil }
        let place = namespace.map { " in namespace \($0)" } ?? ""
        let what =
            switch kind {
            case .virtualService: "virtual service"
            case .virtualGateway: "virtual gateway"
            case .virtualNode: "virtual node"
            case .none, .some: "virtual node or virtual gateway"
            }
        let known = isOfServices ? map.splits.map(\.service) : map.nodes.map(\.name)
        let hint =
            nearestName(to: name, among: known).map { "did you mean \"\($0)\"?" }
            ?? "see \"heddle get \(isOfServices ? "vs" : "vn") -A\""
        return ClientFailure(.badNews, "no \(what) \"\(name)\"\(place); \(hint)")
    }
}
