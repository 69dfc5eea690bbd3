import MeshModel
import MeshTelemetry

/// `heddle audit`: who called whom, and whether that was allowed.
public struct AuditCommand: Sendable {
    /// `-o`.
    public enum Format: String, CaseIterable, Sendable {
        case table
        case json
    }

    /// `--denied`: only what was denied, or would be.
    public var isDeniedOnly = false
    /// `-n`; nil is all namespaces.
    public var namespace: String?
    /// `-o`.
    public var format = Format.table
    /// `-w`.
    public var isWatching = false

    /// How often a watch looks.
    private static let interval = Duration.seconds(1)
    /// How far back a watch looks for what changed since it last looked, in seconds.
    private static let watchSeconds = 600

    /// Makes the command for all calls.
    public init() {}

    /// Runs the command.
    public func run(
        _ transport: any LocalAPITransport,
        _ console: Console
    ) async throws -> ExitStatus {
        let client = LocalAPIClient(transport: transport)
        var records = try await records(client)
        guard isWatching else {
            if format == .json {
                console.print(JSONText.pretty(try jsonValue(records)) + "\n")
            } else if records.isEmpty {
                console.note(nothing)
            } else {
                var widths: [Int] = []
                console.print(table(records, &widths, console))
            }
            return .ok
        }
        var widths: [Int] = []
        var shown: Set<AuditRecord> = []
        while true {
            try show(records.filter { !shown.contains($0) }, &widths, console)
            shown = Set(records)
            try await Task.sleep(for: Self.interval)
            let since = max(0, console.nowSeconds() - Self.watchSeconds)
            records = try await self.records(client, since: since)
        }
    }

    private var nothing: String {
        let place = namespace.map { " in namespace \($0)" } ?? ""
        return isDeniedOnly ? "No call was denied\(place)." : "No calls\(place) yet."
    }

    /// Prints what is new in a watch.
    private func show(
        _ records: [AuditRecord],
        _ widths: inout [Int],
        _ console: Console
    ) throws {
        guard format == .json else {
            if !records.isEmpty { console.print(table(records, &widths, console)) }
            return
        }
        for record in records {
            let line = JSONText.compact(try jsonValue(record))
            console.print(String(decoding: line, as: UTF8.self) + "\n")
        }
    }

    /// The records that are asked for, the latest last.
    private func records(
        _ client: LocalAPIClient,
        since sinceSeconds: Int? = nil
    ) async throws -> [AuditRecord] {
        let verdicts: [AuditRecord.Verdict?] = isDeniedOnly ? [.denied, .shadow] : [nil]
        // What is asked for may be the oldest of all that is kept.
        let limit =
            isDeniedOnly || namespace != nil ? AuditQuery.limits.upperBound : AuditQuery().limit
        var records: [AuditRecord] = []
        for verdict in verdicts {
            var target = "/audit?limit=\(limit)"
            if let verdict { target += "&verdict=\(verdict.rawValue)" }
            if let sinceSeconds { target += "&sinceSeconds=\(sinceSeconds)" }
            records += try await client.value([AuditRecord].self, target)
        }
        if let namespace {
            let names = try await names(in: namespace, client)
            // SPIFFE IDs of Heddle's own have the namespace in them.
            records = records.filter { record in
                isIn(names, record.caller) || isIn(names, record.target)
                    || record.caller.hasPrefix("spiffe://")
                        && record.caller.contains("/\(namespace)/")
            }
        }
        return records.sorted {
            ($0.lastSeconds, $0.caller, $0.target) < ($1.lastSeconds, $1.caller, $1.target)
        }
    }

    /// The names in App Mesh of all virtual nodes and virtual gateways of `namespace`.
    private func names(in namespace: String, _ client: LocalAPIClient) async throws -> Set<String> {
        var names: Set<String> = []
        for kind in [Kind.virtualNode, .virtualGateway] {
            for object in try await client.objects(kind, namespace: namespace).items {
                let name = object["metadata"]?["name"]?.string ?? ""
                names.insert(object["spec"]?["awsName"]?.string ?? "\(name)_\(namespace)")
            }
        }
        return names
    }

    /// Whether `<mesh>/<node>`, or what else is known of somebody, is one of `names`.
    private func isIn(_ names: Set<String>, _ text: String) -> Bool {
        let parts = text.split(separator: "/", maxSplits: 1).map(String.init)
        return parts.count == 2 && names.contains(parts[1])
    }

    private func table(
        _ records: [AuditRecord],
        _ widths: inout [Int],
        _ console: Console
    ) -> String {
        let headings = ["CALLER", "TARGET", "VERDICT", "COUNT", "FIRST", "LAST", "DETAIL"]
        var table = TextTable(headings: widths.isEmpty ? headings : [])
        let now = Double(console.nowSeconds())
        table.rows = records.map { record in
            [
                TextTable.Cell(record.caller), TextTable.Cell(record.target),
                TextTable.Cell(record.verdict.rawValue, record.verdict.colour),
                TextTable.Cell("\(record.count)"),
                TextTable.Cell(age(record.firstSeconds, now)),
                TextTable.Cell(age(record.lastSeconds, now)),
                TextTable.Cell(record.detail ?? ""),
            ]
        }
        return table.text(isColoured: console.isColoured, widths: &widths)
    }

    private func age(_ seconds: Double, _ now: Double) -> String {
        guard seconds.isFinite, abs(seconds) < 1e12 else { return TrafficText.none }
        return humanDuration(seconds: Int(max(0, now - seconds)))
    }
}

extension AuditRecord.Verdict {
    /// How a terminal shows it.
    var colour: Colour {
        switch self {
        case .allowed: .green
        case .denied: .red
        case .shadow: .yellow
        }
    }
}
