public import MeshModel

/// `heddle events`: what happened, the oldest first.
public struct EventsCommand: Sendable {
    /// `-o`.
    public enum Format: String, CaseIterable, Sendable {
        case table
        case wide
        case json
        case yaml
    }

    /// The objects' name; nil is any.
    public var name: String?
    /// `-n`; nil chooses.
    public var namespace: String?
    /// `-A`.
    public var isAllNamespaces = false
    /// `-o`.
    public var format = Format.table
    /// `-w`.
    public var isWatching = false
    /// `--types`.
    public var types = Set(MeshEvent.Severity.allCases)

    /// Makes the command that shows the events of objects named `name`, or of all.
    public init(name: String? = nil) { self.name = name }

    /// Runs the command.
    public func run(
        _ transport: any LocalAPITransport,
        _ console: Console
    ) async throws -> ExitStatus {
        let client = LocalAPIClient(transport: transport)
        // NAMESPACE/NAME, as other commands print and take it.
        let parts = (name ?? "").split(separator: "/", maxSplits: 1).map(String.init)
        let name = parts.count == 2 ? parts[1] : name
        let own = parts.count == 2 ? parts[0] : namespace
        let namespace = isAllNamespaces ? nil : try await namespaceOrOnlyOne(own, client)
        var target = Events.path(namespace: namespace)
        if let name {
            target += "?fieldSelector=" + LocalAPIClient.queryValue("involvedObject.name=\(name)")
        }
        let list = try await client.document(target)
        var widths: [Int] = []
        try show((list["items"]?.array ?? []).filter(isAsked), &widths, console)
        guard isWatching else {
            if format == .table || format == .wide, widths.isEmpty {
                try await noteNothing(namespace, client, console)
            }
            return .ok
        }
        let version = list["metadata"]?["resourceVersion"]?.string ?? "0"
        let watch =
            target + (target.contains("?") ? "&" : "?") + "watch=true&resourceVersion=\(version)"
        try await client.watch(watch) { _, event in
            if isAsked(event) { try show([event], &widths, console) }
        }
        return .ok
    }

    private func isAsked(_ event: JSONValue) -> Bool {
        event["type"]?.string.flatMap(MeshEvent.Severity.init).map(types.contains) ?? false
    }

    private func show(_ events: [JSONValue], _ widths: inout [Int], _ console: Console) throws {
        switch format {
        case .table, .wide:
            guard !events.isEmpty else { return }
            console.print(table(events, &widths, console))
        case .json, .yaml:
            let list: JSONValue = [
                "apiVersion": "v1", "kind": "List", "metadata": ["resourceVersion": ""],
                "items": .array(events),
            ]
            for document in isWatching ? events : [list] {
                console.print(
                    format == .json
                        ? JSONText.pretty(document) + "\n"
                        : (isWatching ? "---\n" : "") + (try yamlText(document))
                )
            }
        }
    }

    private func table(_ events: [JSONValue], _ widths: inout [Int], _ console: Console) -> String {
        let columns = EventColumn.columns.filter { format == .wide || $0.priority == 0 }
        let names = columns.map { $0.name.uppercased() }
        var table = TextTable(
            headings: widths.isEmpty ? (isAllNamespaces ? ["NAMESPACE"] : []) + names : []
        )
        let now = console.nowSeconds()
        table.rows = events.map { event in
            let namespace = event["metadata"]?["namespace"]?.string ?? ""
            return (isAllNamespaces ? [TextTable.Cell(namespace)] : [])
                + columns.map { column in
                    let text = column.cell(event, now)
                    let isWarning = text == MeshEvent.Severity.warning.rawValue
                    return TextTable.Cell(text, column.name == "Type" && isWarning ? .red : nil)
                }
        }
        return table.text(isColoured: console.isColoured, widths: &widths)
    }

    /// Says that there is nothing, and where there is something.
    private func noteNothing(
        _ namespace: String?,
        _ client: LocalAPIClient,
        _ console: Console
    ) async throws {
        let whose = name.map { " of \($0)" } ?? ""
        guard let namespace else { return console.note("No events\(whose).") }
        let all = try await client.document(Events.path())["items"]?.array ?? []
        let elsewhere = Set(all.compactMap { $0["metadata"]?["namespace"]?.string })
            .subtracting([namespace]).sorted()
        let hint =
            elsewhere.isEmpty
            ? "." : "; there are some in \(elsewhere.joined(separator: ", ")). Use -A for all."
        console.note("No events\(whose) in namespace \(namespace)\(hint)")
    }
}

extension Events {
    /// The path of the events of an object.
    static func path(of id: ObjectID) -> String {
        var fields = ["involvedObject.kind=\(id.kind.rawValue)", "involvedObject.name=\(id.name)"]
        if id.kind.isNamespaced { fields.append("involvedObject.namespace=\(id.namespace)") }
        return path() + "?fieldSelector="
            + LocalAPIClient.queryValue(fields.joined(separator: ","))
    }
}

extension ObjectID {
    /// The identity of an object of the API.
    init(_ kind: Kind, _ object: JSONValue) {
        self.init(
            kind,
            ObjectReference(
                namespace: object["metadata"]?["namespace"]?.string ?? "",
                name: object["metadata"]?["name"]?.string ?? ""
            )
        )
    }
}
