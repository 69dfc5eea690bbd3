import MeshModel

/// What every proxy uses, as `heddle top` shows it.
struct TopPicture {
    /// The proxies, the first on top.
    let proxies: [TopProxy]
    /// All together.
    let total: TopProxy

    /// One proxy, or all together.
    struct TopProxy {
        var name: String
        var owner: String
        var state: String
        var colour: Colour?
        /// Nil when it was not measured yet, as one that does not run.
        var usage: Usage?
        /// What is asked for.
        var cpuRequestMillicores: Int
        /// What is asked for, or the limit where there is one.
        var memoryAllowedBytes: Int
    }

    /// One measurement, or the sum of several.
    struct Usage: Hashable {
        var cpuMillicores = 0.0
        var memoryBytes = 0.0
        var heapBytes = 0.0
        var connections = 0
        var requestsPerSecond = 0.0
    }

    /// Reads what the API shows.
    init(_ documents: [ProxyDocument], sortedBy sort: TopCommand.Sort) {
        let proxies = documents.map(TopProxy.init(_:))
        self.proxies = proxies.sorted { left, right in
            guard let column = sort.column else { return left.name < right.name }
            let values = (left.usage.map(column) ?? -1, right.usage.map(column) ?? -1)
            return values.0 == values.1 ? left.name < right.name : values.0 > values.1
        }
        let measured = proxies.filter { $0.usage != nil }
        total = TopProxy(
            name: "TOTAL",
            owner: "\(proxies.count) \(proxies.count == 1 ? "proxy" : "proxies")",
            state: "\(documents.count { $0.verdict == .good }) of \(proxies.count) running",
            usage: measured.compactMap(\.usage).reduce(into: Usage()) { $0.add($1) },
            // What is not measured uses nothing that the shares could count.
            cpuRequestMillicores: measured.reduce(0) { $0 + $1.cpuRequestMillicores },
            memoryAllowedBytes: measured.reduce(0) { $0 + $1.memoryAllowedBytes }
        )
    }

    /// The table of the first `count` proxies, and the total below.
    func table(first count: Int = .max) -> TextTable {
        var table = TextTable(headings: [
            "NAME", "OWNER", "CPU", "CPU%", "MEMORY", "MEM%", "HEAP", "CONNS", "REQ/S", "STATE",
        ])
        table.rows = proxies.prefix(count).map(\.cells)
        if count < proxies.count {
            table.rows.append([TextTable.Cell("... \(proxies.count - count) more")])
        }
        table.rows.append(total.cells)
        return table
    }

    /// The picture for a screen of this size, without colours: a line of what it is, the table, and
    /// `note` at the end.
    func lines(_ size: LiveTerminal.Size, heading: String, note: String?) -> [String] {
        // The line above, the headings and the total, and one for what does not fit.
        let room = size.rows - 3 - (note == nil ? 0 : 1)
        let count = proxies.count <= room ? proxies.count : max(0, room - 1)
        let text = table(first: count).text()
        let lines =
            [heading] + text.split(separator: "\n").map(String.init) + (note.map { [$0] } ?? [])
        return lines.prefix(max(1, size.rows)).map { String($0.prefix(size.columns)) }
    }

    /// The picture for programs.
    var document: JSONValue {
        ["proxies": .array(proxies.map(\.document)), "total": total.document]
    }
}

extension TopPicture.Usage {
    fileprivate mutating func add(_ other: TopPicture.Usage) {
        cpuMillicores += other.cpuMillicores
        memoryBytes += other.memoryBytes
        heapBytes += other.heapBytes
        connections += other.connections
        requestsPerSecond += other.requestsPerSecond
    }
}

extension TopPicture.TopProxy {
    fileprivate init(_ proxy: ProxyDocument) {
        let resources = proxy.resources
        name = proxy.reference.description
        owner = proxy.owner
        state = proxy.state
        colour = proxy.colour
        cpuRequestMillicores = resources.cpuRequestMillicores
        memoryAllowedBytes = resources.memoryLimitBytes ?? resources.memoryRequestBytes
        guard let live = proxy.status["usage"] else { return }
        usage = TopPicture.Usage(
            cpuMillicores: live["cpuMillicores"]?.double ?? 0,
            memoryBytes: live["memoryBytes"]?.double ?? 0,
            heapBytes: live["heapBytes"]?.double ?? 0,
            connections: live["connections"]?.integer ?? 0,
            requestsPerSecond: live["requestsPerSecond"]?.double ?? 0
        )
    }

    fileprivate var cells: [TextTable.Cell] {
        func cell(_ text: (TopPicture.Usage) -> String) -> TextTable.Cell {
            TextTable.Cell(usage.map(text) ?? "-")
        }
        return [
            TextTable.Cell(name), TextTable.Cell(owner),
            cell { ResourceQuantity.used(millicores: $0.cpuMillicores) },
            cell { percent($0.cpuMillicores, of: cpuRequestMillicores) },
            cell { ResourceQuantity.used(bytes: $0.memoryBytes) },
            cell { percent($0.memoryBytes, of: memoryAllowedBytes) },
            cell { ResourceQuantity.used(bytes: $0.heapBytes) }, cell { String($0.connections) },
            cell { ResourceQuantity.decimal($0.requestsPerSecond) }, TextTable.Cell(state, colour),
        ]
    }

    fileprivate var document: JSONValue {
        var document: JSONValue = [
            "name": .string(name), "owner": .string(owner), "state": .string(state),
            "cpuRequestMillicores": .integer(cpuRequestMillicores),
            "memoryAllowedBytes": .integer(memoryAllowedBytes),
        ]
        guard let usage else { return document }
        document["cpuMillicores"] = .number(usage.cpuMillicores)
        document["memoryBytes"] = .integer(ResourceQuantity.whole(usage.memoryBytes))
        document["heapBytes"] = .integer(ResourceQuantity.whole(usage.heapBytes))
        document["connections"] = .integer(usage.connections)
        document["requestsPerSecond"] = .number(usage.requestsPerSecond)
        return document
    }
}

/// `12%`; `-` of nothing.
private func percent(_ value: Double, of whole: Int) -> String {
    whole > 0 ? "\(ResourceQuantity.whole(100 * value / Double(whole)))%" : "-"
}
