import MeshModel
public import MeshTelemetry

/// `heddle traces`: what was traced, or one trace step by step.
public struct TracesCommand: Sendable {
    /// `-o`.
    public enum Format: String, CaseIterable, Sendable {
        case table
        case wide
        case json
    }

    /// A trace's ID, as `heddle traces` or X-Ray writes it, or its first digits; nil lists.
    public var id: String?
    /// Which traces.
    public var query = TraceQuery()
    /// `--since`: those that began so long ago or later; nil is all.
    public var age: Duration?
    /// `-o`.
    public var format = Format.table
    /// `-w`.
    public var isWatching = false

    /// How often a watch looks.
    private static let interval = Duration.seconds(1)
    /// How many traces a watch remembers, so as to show each once.
    private static let memory = 10_000

    /// Makes the command that shows the trace `id`, or lists.
    public init(id: String? = nil) { self.id = id }

    /// Runs the command.
    public func run(
        _ transport: any LocalAPITransport,
        _ console: Console
    ) async throws -> ExitStatus {
        let client = LocalAPIClient(transport: transport)
        if let id {
            try await show(id, client, console)
        } else if isWatching {
            try await watch(client, console)
        } else {
            try await list(client, console)
        }
        return .ok
    }

    private func show(_ text: String, _ client: LocalAPIClient, _ console: Console) async throws {
        guard let id = traceDigits(text) else {
            throw ClientFailure(
                .usage,
                "\"\(text)\" is no trace ID, which has 32 hexadecimal digits; write them or the first "
                    + "of them, 4 at least, as \"heddle traces\" shows them"
            )
        }
        let target = "/traces/\(id)"
        if format == .json {
            return console.print(JSONText.pretty(try await client.document(target)) + "\n")
        }
        let spans = try await client.value([Span].self, target)
        guard let trace = Trace(spans) else {
            throw ClientFailure(.badNews, "trace \"\(id)\" has no spans")
        }
        let waterfall = Waterfall(trace, isWide: format == .wide)
        console.print(waterfall.text(columns: console.columns(), isColoured: console.isColoured))
    }

    private func list(_ client: LocalAPIClient, _ console: Console) async throws {
        let target = target(since: age.map { console.nowSeconds() - Int($0 / .seconds(1)) })
        if format == .json {
            return console.print(JSONText.pretty(try await client.document(target)) + "\n")
        }
        let traces = try await client.value([TraceSummary].self, target)
        guard !traces.isEmpty else { return try await noteNothing(client, console) }
        var widths: [Int] = []
        console.print(table(traces, &widths, console))
    }

    /// Shows each trace once, from those of the last seconds on, the oldest first.
    private func watch(_ client: LocalAPIClient, _ console: Console) async throws {
        var widths: [Int] = []
        var shown: [String] = []
        var known: Set<String> = []
        let begin = console.nowSeconds() - Int((age ?? .seconds(10)) / .seconds(1))
        while true {
            // What begins first may be over last, and be known last.
            let since = max(begin, console.nowSeconds() - 600)
            let traces = try await client.value([TraceSummary].self, target(since: since))
            let new = traces.reversed().filter { known.insert($0.traceID).inserted }
            shown += new.map(\.traceID)
            if shown.count > 2 * Self.memory {
                known.subtract(shown.prefix(shown.count - Self.memory))
                shown.removeFirst(shown.count - Self.memory)
            }
            if format == .json {
                for trace in new {
                    let line = JSONText.compact(try jsonValue(trace))
                    console.print(String(decoding: line, as: UTF8.self) + "\n")
                }
            } else if !new.isEmpty {
                console.print(table(new, &widths, console))
            }
            try await Task.sleep(for: Self.interval)
        }
    }

    private func target(since: Int?) -> String {
        var target = "/traces?limit=\(query.limit)"
        if let service = query.service {
            target += "&service=\(LocalAPIClient.queryValue(service))"
        }
        if let duration = query.minimumDurationMicroseconds {
            target += "&minimumDurationMicroseconds=\(duration)"
        }
        if query.errorsOnly { target += "&errorsOnly=true" }
        if let since { target += "&sinceMicroseconds=\(max(0, since) * 1_000_000)" }
        return target
    }

    private func table(
        _ traces: [TraceSummary],
        _ widths: inout [Int],
        _ console: Console
    ) -> String {
        let headings =
            ["TRACE", "START", "TIME TAKEN", "SPANS", "STATUS", "SERVICE", "NAME"]
            + (format == .wide ? ["SERVICES"] : [])
        var table = TextTable(headings: widths.isEmpty ? headings : [])
        table.rows = traces.map { trace in
            let status = trace.status.map(String.init) ?? (trace.isError ? "error" : "-")
            let cells = [
                TextTable.Cell(trace.traceID),
                TextTable.Cell(TapPicture.time(Double(trace.startMicroseconds) / 1e6)),
                TextTable.Cell(TrafficText.latency(Double(trace.durationMicroseconds) / 1000)),
                TextTable.Cell("\(trace.spanCount)"),
                TextTable.Cell(
                    trace.isError && trace.status ?? 500 < 400 ? "\(status) error" : status,
                    trace.isError ? .red : .green
                ),
                TextTable.Cell(trace.service), TextTable.Cell(trace.name),
            ]
            let services = trace.services.joined(separator: ", ")
            return cells + (format == .wide ? [TextTable.Cell(services)] : [])
        }
        return table.text(isColoured: console.isColoured, widths: &widths)
    }

    /// Says that there is nothing, and how tracing is turned on where it is off.
    private func noteNothing(_ client: LocalAPIClient, _ console: Console) async throws {
        let isNarrow =
            query.service != nil || query.minimumDurationMicroseconds != nil || query.errorsOnly
            || age != nil
        if isNarrow, !(try await client.value([TraceSummary].self, "/traces?limit=1")).isEmpty {
            return console.note("No trace matches; without options all are shown.")
        }
        let meshes = try await client.objects(.mesh).items
        let off = meshes.filter { mesh in
            let tracing = mesh["metadata"]?["annotations"]?["heddle.dev/tracing"]?.string
            return [nil, "", "off"].contains(tracing)
        }
        guard !off.isEmpty else {
            return console.note(
                "No traces yet: send requests, of which 5 % are traced unless "
                    + "heddle.dev/trace-sampling says otherwise. Only x-ray and otlp come here."
            )
        }
        let names = off.compactMap { $0["metadata"]?["name"]?.string }.sorted()
            .joined(separator: ", ")
        console.note(
            "No traces: tracing is off in \(off.count == 1 ? "mesh" : "meshes") \(names). "
                + "Turn it on with the annotation heddle.dev/tracing: x-ray (or otlp) on the Mesh; "
                + "heddle.dev/trace-sampling: \"1\" traces every request."
        )
    }
}
