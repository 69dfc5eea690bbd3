import MeshModel

/// `heddle get`: lists objects.
public struct GetCommand: Sendable {
    /// `-o`.
    public enum Format: String, CaseIterable, Sendable {
        case table
        case wide
        case json
        case yaml
        case name
    }

    /// The kinds, as the user wrote them.
    public var kinds: String
    /// The name of the one object to get.
    public var name: String?
    /// `-n`; nil chooses.
    public var namespace: String?
    /// `-A`.
    public var isAllNamespaces = false
    /// `-l`.
    public var selector: String?
    /// `-o`.
    public var format = Format.table
    /// `-w`.
    public var isWatching = false

    /// Makes the command that lists `kinds`.
    public init(kinds: String, name: String? = nil) {
        self.kinds = kinds
        self.name = name
    }

    /// Runs the command.
    public func run(
        _ transport: any LocalAPITransport,
        _ console: Console
    ) async throws -> ExitStatus {
        let client = LocalAPIClient(transport: transport)
        let kinds = try KindName.kinds(kinds)
        guard name == nil || (kinds.count == 1 && !isAllNamespaces && selector == nil) else {
            throw ClientFailure(.usage, "a name goes with one kind, and with neither -A nor -l")
        }
        guard !isWatching || kinds.count == 1 else {
            throw ClientFailure(.usage, "-w goes with one kind; name one")
        }
        let namespace = try await chosenNamespace(kinds, client)
        switch format {
        case .table, .wide: return try await printTables(kinds, namespace, client, console)
        case .json, .yaml, .name: return try await printObjects(kinds, namespace, client, console)
        }
    }

    private func chosenNamespace(_ kinds: [Kind], _ client: LocalAPIClient) async throws -> String?
    {
        if isAllNamespaces || !kinds.contains(where: \.isNamespaced) { return nil }
        return try await namespaceOrOnlyOne(namespace, client)
    }

    private func target(_ kind: Kind, _ namespace: String?) -> String {
        // A named object is listed by its name, so that it can be watched by the same query.
        let name = isWatching ? nil : name
        var target = LocalAPIClient.path(kind, namespace: namespace, name: name)
        var query: [String] = []
        if let selector { query.append("labelSelector=\(LocalAPIClient.queryValue(selector))") }
        if isWatching, let name = self.name {
            query.append("fieldSelector=\(LocalAPIClient.queryValue("metadata.name=\(name)"))")
        }
        if !query.isEmpty { target += "?" + query.joined(separator: "&") }
        return target
    }

    private func watchTarget(_ target: String, version: String) -> String {
        target + (target.contains("?") ? "&" : "?") + "watch=true&resourceVersion=\(version)"
    }

    // MARK: Tables

    private func printTables(
        _ kinds: [Kind],
        _ namespace: String?,
        _ client: LocalAPIClient,
        _ console: Console
    ) async throws -> ExitStatus {
        var isFirst = true
        for kind in kinds {
            let target = target(kind, namespace)
            let table = try await client.document(target, accept: LocalAPIClient.table)
            let showsNamespace = isAllNamespaces && kind.isNamespaced
            let columns = TableColumns(
                table,
                isWide: format == .wide,
                showsNamespace: showsNamespace
            )
            var widths: [Int] = []
            let rows = columns.rows(table, prefix: kinds.count > 1 ? kind : nil)
            if !rows.isEmpty {
                if !isFirst { console.print("\n") }
                isFirst = false
                let text = TextTable(headings: columns.headings, rows: rows)
                console.print(text.text(isColoured: console.isColoured, widths: &widths))
            }
            guard isWatching else { continue }
            let version = table["metadata"]?["resourceVersion"]?.string ?? "0"
            let watch = watchTarget(target, version: version)
            try await client.watch(watch, accept: LocalAPIClient.table) { _, table in
                let headings = widths.isEmpty ? columns.headings : []
                let text = TextTable(headings: headings, rows: columns.rows(table, prefix: nil))
                console.print(text.text(isColoured: console.isColoured, widths: &widths))
            }
        }
        if isFirst, !isWatching { try await noteNothing(kinds, namespace, client, console) }
        return .ok
    }

    /// Says that there is nothing, and where there is something.
    private func noteNothing(
        _ kinds: [Kind],
        _ namespace: String?,
        _ client: LocalAPIClient,
        _ console: Console
    ) async throws {
        guard let namespace else {
            console.note("No resources found.")
            return
        }
        var elsewhere: [String: Int] = [:]
        for kind in kinds where kind.isNamespaced {
            for object in try await client.objects(kind).items {
                elsewhere[object["metadata"]?["namespace"]?.string ?? "", default: 0] += 1
            }
        }
        elsewhere[namespace] = nil
        let count = elsewhere.values.reduce(0, +)
        guard count > 0 else {
            console.note("No resources found in namespace \(namespace).")
            return
        }
        let names = elsewhere.keys.sorted().joined(separator: ", ")
        console.note(
            "No resources found in namespace \(namespace); there \(count == 1 ? "is" : "are") "
                + "\(count) in \(names). Use -A for all namespaces."
        )
    }

    // MARK: Documents

    private func printObjects(
        _ kinds: [Kind],
        _ namespace: String?,
        _ client: LocalAPIClient,
        _ console: Console
    ) async throws -> ExitStatus {
        var items: [JSONValue] = []
        for kind in kinds {
            let target = target(kind, namespace)
            let document = try await client.document(target)
            if name != nil, !isWatching {
                console.print(try text(of: document))
                return .ok
            }
            let list = (document["items"]?.array ?? []).map { item in
                var item = item
                item["apiVersion"] = .string(kind.apiVersion)
                item["kind"] = .string(kind.rawValue)
                return item
            }
            items += list
            guard isWatching else { continue }
            for item in list { console.print(try text(of: item)) }
            let version = document["metadata"]?["resourceVersion"]?.string ?? "0"
            try await client.watch(watchTarget(target, version: version)) { _, object in
                console.print(try text(of: object))
            }
            return .ok
        }
        if format == .name {
            for item in items { console.print(try text(of: item)) }
        } else {
            let list: JSONValue = [
                "apiVersion": "v1", "kind": "List", "metadata": ["resourceVersion": ""],
                "items": .array(items),
            ]
            console.print(try text(of: list))
        }
        return .ok
    }

    private func text(of object: JSONValue) throws -> String {
        switch format {
        case .table, .wide, .json: return JSONText.pretty(object) + "\n"
        case .yaml: return (isWatching ? "---\n" : "") + (try yamlText(object))
        case .name:
            let name = object["metadata"]?["name"]?.string ?? ""
            guard let kind = object["kind"]?.string.flatMap(Kind.init) else { return "\(name)\n" }
            let group = kind.group.isEmpty ? "" : ".\(kind.group)"
            return "\(kind.singular)\(group)/\(name)\n"
        }
    }
}

/// The namespace to look into: the one named, else the only one there is, else `default`.
func namespaceOrOnlyOne(_ namespace: String?, _ client: LocalAPIClient) async throws -> String {
    if let namespace { return namespace }
    let all = try await client.objects(.namespace).items
    let names = all.compactMap { $0["metadata"]?["name"]?.string }
    return names.count == 1 ? names[0] : "default"
}

/// Which columns of a `Table` to print, and how.
private struct TableColumns {
    let headings: [String]
    private let indices: [Int]
    private let showsNamespace: Bool
    private let goodOrBad: Int?

    init(_ table: JSONValue, isWide: Bool, showsNamespace: Bool) {
        let columns = table["columnDefinitions"]?.array ?? []
        indices = columns.indices.filter { isWide || columns[$0]["priority"] == 0 }
        let names = indices.map { columns[$0]["name"]?.string?.uppercased() ?? "" }
        headings = (showsNamespace ? ["NAMESPACE"] : []) + names
        goodOrBad = columns.firstIndex { $0["name"] == "Ready" || $0["name"] == "State" }
        self.showsNamespace = showsNamespace
    }

    /// The rows; with `prefix`, names have their kind before them, as kubectl prints several kinds.
    func rows(_ table: JSONValue, prefix: Kind?) -> [[TextTable.Cell]] {
        (table["rows"]?.array ?? []).map { row in
            let cells = row["cells"]?.array ?? []
            var texts = indices.map { index -> TextTable.Cell in
                let text = index < cells.count ? plainText(cells[index]) : ""
                return TextTable.Cell(text, index == goodOrBad ? colour(ofState: text) : nil)
            }
            if let prefix, !texts.isEmpty {
                let group = prefix.group.isEmpty ? "" : ".\(prefix.group)"
                texts[0].text = "\(prefix.singular)\(group)/\(texts[0].text)"
            }
            guard showsNamespace else { return texts }
            return [TextTable.Cell(row["object"]?["metadata"]?["namespace"]?.string ?? "")] + texts
        }
    }

    private func colour(ofState text: String) -> Colour? {
        switch text {
        case "True", "Running": .green
        case "Unknown", "Pending", "Starting", "Syncing", "Draining": .yellow
        default: .red
        }
    }
}

/// A scalar without quotes; anything else as JSON.
func plainText(_ value: JSONValue) -> String {
    switch value {
    case .string(let text): text
    case .null: "<none>"
    case .bool, .integer, .number, .array, .object:
        String(decoding: JSONText.compact(value), as: UTF8.self)
    }
}
