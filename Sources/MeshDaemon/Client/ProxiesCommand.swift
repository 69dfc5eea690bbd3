import MeshModel

/// `heddle proxies`: every proxy, its Envoy and what it uses.
public struct ProxiesCommand: Sendable {
    /// `-o`.
    public enum Format: String, CaseIterable, Sendable {
        case table
        case wide
        case json
        case yaml
    }

    /// One proxy: `namespace/name`, or a name alone; nil is all.
    public var name: String?
    /// `-n`; nil is all namespaces.
    public var namespace: String?
    /// `-o`.
    public var format = Format.table
    /// `-w`.
    public var isWatching = false

    /// Makes the command for all proxies.
    public init() {}

    /// Runs the command.
    public func run(
        _ transport: any LocalAPITransport,
        _ console: Console
    ) async throws -> ExitStatus {
        let client = LocalAPIClient(transport: transport)
        let selection = ProxySelection(names: name.map { [$0] } ?? [], namespace: namespace)
        let (_, list) = try await selection.proxies(client)
        try show(list, console, isFirst: true)
        guard isWatching else { return .ok }
        let version = list["metadata"]?["resourceVersion"]?.string ?? "0"
        var shown = version
        let path = Proxies.path(namespace: namespace)
        try await client.watch("\(path)?watch=true&resourceVersion=\(version)") { _, object in
            // One change of several proxies is several events.
            guard object["metadata"]?["resourceVersion"]?.string != shown else { return }
            // A proxy that is awaited by name may be gone for a while.
            let all = try await ProxySelection(names: [], namespace: namespace).proxies(client)
            var newest = all.list
            shown = newest["metadata"]?["resourceVersion"]?.string ?? shown
            newest["items"] = .array(all.proxies.filter(isNamed).map(\.document))
            try show(newest, console, isFirst: false)
        }
        return .ok
    }

    private func isNamed(_ proxy: ProxyDocument) -> Bool {
        name.map { $0 == proxy.reference.name || $0 == proxy.reference.description } ?? true
    }

    private func show(_ list: JSONValue, _ console: Console, isFirst: Bool) throws {
        let proxies = (list["items"]?.array ?? []).map(ProxyDocument.init(document:))
        switch format {
        case .table, .wide:
            if isWatching {
                // A terminal shows the newest in the same place, a file one after the other.
                console.print(console.isTerminal ? "\u{1B}[H\u{1B}[2J" : isFirst ? "" : "\n")
            }
            guard !proxies.isEmpty else {
                let place = namespace.map { " in namespace \($0)" } ?? ""
                return console.note("No proxies\(place): no Workload has one.")
            }
            console.print(table(proxies, console).text(isColoured: console.isColoured))
        case .json, .yaml:
            // As kubectl does: one that is named is shown as itself.
            let value = name == nil ? list : proxies.first?.document ?? list
            let text = format == .json ? JSONText.pretty(value) + "\n" : try yamlText(value)
            console.print(isWatching && format == .yaml ? "---\n\(text)" : text)
        }
    }

    private func table(_ proxies: [ProxyDocument], _ console: Console) -> TextTable {
        let columns = ProxyColumn.all.filter { format == .wide || $0.priority == 0 }
        var table = TextTable(
            headings: ["NAME"] + columns.map { $0.name.uppercased().replacing("-", with: " ") }
        )
        let now = console.nowSeconds()
        table.rows = proxies.map { proxy in
            [TextTable.Cell(proxy.reference.description)]
                + columns.map {
                    TextTable.Cell(
                        $0.cell(proxy.document, now),
                        $0.name == "State" ? proxy.colour : nil
                    )
                }
        }
        return table
    }
}
