import FoundationEssentials
import MeshModel
import UnixSignals

/// `heddle tap`: the requests of a node's proxies as they happen.
public struct TapCommand: Sendable {
    /// `-o`.
    public enum Format: String, CaseIterable, Sendable {
        case table
        case wide
        case json
    }

    /// A virtual node, virtual gateway or Workload: `NAMESPACE/NAME`, or `NAME`.
    public var name: String
    /// `-n`; nil chooses.
    public var namespace: String?
    /// Which requests.
    public var query = TapQuery()
    /// `-o`.
    public var format = Format.table

    /// Makes the command for the node `name`.
    public init(name: String) { self.name = name }

    /// Runs the command until SIGINT, SIGTERM or SIGHUP.
    public func run(
        _ transport: any LocalAPITransport,
        _ console: Console
    ) async throws -> ExitStatus {
        let signals = await UnixSignalsSequence(trapping: [.sigint, .sigterm, .sighup])
        return try await run(transport, console, until: signals)
    }

    /// Runs the command until an element comes.
    func run<Ends: AsyncSequence & Sendable>(
        _ transport: any LocalAPITransport,
        _ console: Console,
        until ends: Ends
    ) async throws -> ExitStatus where Ends.Element: Sendable {
        let client = LocalAPIClient(transport: transport)
        let target = try await target(client)
        let isEnded = try await withThrowingTaskGroup(of: Bool.self) { group in
            group.addTask {
                var picture = TapPicture(name, format, isColoured: console.isColoured)
                defer { picture.summary.map(console.note) }
                try await client.lines(target) { lines in
                    for line in lines {
                        let output = try picture.show(line, client)
                        output.notes.forEach(console.note)
                        if !output.text.isEmpty { console.print(output.text) }
                    }
                }
                return false
            }
            group.addTask {
                for try await _ in ends { return true }
                return false
            }
            defer { group.cancelAll() }
            return try await group.next() ?? false
        }
        guard isEnded else {
            throw ClientFailure(.badNews, "heddle has ended, and the tap with it")
        }
        return .ok
    }

    private func target(_ client: LocalAPIClient) async throws -> String {
        // NAMESPACE/NAME, as other commands print and take it.
        let parts = name.split(separator: "/", maxSplits: 1).map(String.init)
        let own = parts.count == 2 ? parts[0] : namespace
        let namespace = try await namespaceOrOnlyOne(own, client)
        var target = "/tap/\(namespace)/\(parts.last ?? name)?maxRPS=\(query.maximumRate)"
        let statuses = query.statuses.map(\.text).joined(separator: ",")
        for (key, value) in [
            ("method", query.method), ("path", query.path), ("to", query.target),
            ("status", statuses),
        ] {
            guard let value, !value.isEmpty else { continue }
            target += "&\(key)=\(LocalAPIClient.queryValue(value))"
        }
        return target
    }
}

/// What a tap prints.
struct TapPicture {
    private let name: String
    private let format: TapCommand.Format
    private let isColoured: Bool
    private var widths: [Int] = []
    private var notice: TapNotice?
    private var count = 0

    init(_ name: String, _ format: TapCommand.Format, isColoured: Bool) {
        self.name = name
        self.format = format
        self.isColoured = isColoured
    }

    private struct NoticeLine: Decodable {
        var notice: TapNotice
    }

    /// Takes a line of the answer.
    ///
    /// - Parameters:
    ///   - line: JSON.
    ///   - client: Reads it.
    /// - Returns: What is printed, and beside it.
    /// - Throws: `ClientFailure` when it is no JSON.
    mutating func show(
        _ line: ArraySlice<UInt8>,
        _ client: LocalAPIClient
    ) throws -> (text: String, notes: [String]) {
        if line.starts(with: Array("{\"notice\"".utf8)) {
            let newest = try client.decode(NoticeLine.self, line).notice
            defer { notice = newest }
            return ("", notes(newest))
        }
        count += 1
        if format == .json { return (String(decoding: line, as: UTF8.self) + "\n", []) }
        let record = try client.decode(RequestRecord.self, line)
        let headings = widths.isEmpty ? Self.headings(isWide: format == .wide) : []
        let table = TextTable(headings: headings, rows: [cells(record)])
        return (table.text(isColoured: isColoured, widths: &widths), [])
    }

    /// What is said at the end; nil when it did not begin.
    var summary: String? {
        guard let notice else { return nil }
        var text = "\(count) \(count == 1 ? "request" : "requests") of \(name)"
        if notice.overRate > 0 {
            text += ", \(notice.overRate) more not shown as they were over --max-rps"
        }
        if notice.lost > 0 {
            text += ", \(notice.lost) lost as this was slower than they came"
        }
        return text
    }

    private func notes(_ newest: TapNotice) -> [String] {
        var notes: [String] = []
        if newest.proxies != notice?.proxies {
            let count = newest.proxies.count
            let proxies = newest.proxies.joined(separator: ", ").printable
            notes.append(
                count == 0
                    ? "no proxy of \(name) is there now; waiting for one"
                    : "tapping \(count) \(count == 1 ? "proxy" : "proxies") of \(name): \(proxies)"
            )
        }
        if newest.share != notice?.share ?? 1 {
            notes.append(
                newest.share < 1
                    ? "showing about \(TrafficText.percent(newest.share)) of its requests, so as not "
                        + "to be over --max-rps"
                    : "showing all of its requests"
            )
        }
        if newest.lost > notice?.lost ?? 0 {
            notes.append("\(newest.lost - (notice?.lost ?? 0)) requests lost, as this was slow")
        }
        return notes
    }

    private static func headings(isWide: Bool) -> [String] {
        ["TIME", "PROXY", "DIR", "STATUS", "TIME TAKEN", "PEER"]
            + (isWide ? ["TLS", "FLAGS", "TRIES", "IN", "OUT", "CLUSTER", "REQUEST ID"] : [])
            + ["REQUEST"]
    }

    private func cells(_ record: RequestRecord) -> [TextTable.Cell] {
        let isInbound = record.direction == .inbound
        let peer = isInbound ? record.source : record.destination
        let isWide = format == .wide
        let proxy = record.proxy.split(separator: "/").last.map(String.init) ?? record.proxy
        // What went wrong is said where the table is narrow, too.
        let status = record.status.map(String.init) ?? "none"
        let flags = record.flags.isEmpty || isWide ? "" : " \(record.flags)"
        var cells: [TextTable.Cell] = [
            TextTable.Cell(Self.time(record.timeSeconds)),
            TextTable.Cell(isWide ? record.proxy : proxy), isInbound ? "in" : "out",
            TextTable.Cell((record.method == nil ? "TCP" : status) + flags, colour(record)),
            TextTable.Cell(TrafficText.latency(record.durationMilliseconds)),
            TextTable.Cell(isWide ? peer : Self.short(peer)),
        ]
        if isWide {
            cells += [
                record.isTLS ? "yes" : "no",
                TextTable.Cell(record.flags.isEmpty ? TrafficText.none : record.flags),
                "\(record.attempts)", "\(record.receivedBytes)", "\(record.sentBytes)",
                TextTable.Cell(record.cluster.isEmpty ? TrafficText.none : record.cluster),
                TextTable.Cell(record.requestID ?? TrafficText.none),
            ]
        }
        let request = [record.method, (record.authority ?? "") + (record.path ?? "")]
        let text = request.compactMap(\.self).filter { !$0.isEmpty }.joined(separator: " ")
        let cause = record.status ?? 0 >= 500 || isWide ? record.details : nil
        let details = cause == "via_upstream" ? nil : cause
        return cells + [TextTable.Cell(text + (details.map { "  (\($0))" } ?? ""))]
    }

    private func colour(_ record: RequestRecord) -> Colour? {
        guard let status = record.status else { return record.flags.isEmpty ? nil : .red }
        return status >= 500 ? .red : status >= 400 ? .yellow : .green
    }

    /// `spiffe://demo/color-app/front` is `demo/color-app/front`.
    private static func short(_ peer: String) -> String {
        peer.hasPrefix("spiffe://") ? String(peer.dropFirst("spiffe://".count)) : peer
    }

    /// The time of day in UTC, such as `13:16:08.123`.
    static func time(_ seconds: Double) -> String {
        guard seconds.isFinite, (0..<1e11).contains(seconds) else { return TrafficText.none }
        let milliseconds = Int((seconds * 1000).rounded(.down))
        let time = timestamp(secondsSince1970: milliseconds / 1000).dropFirst(11).prefix(8)
        let fraction = String(milliseconds % 1000 + 1000).dropFirst()
        return "\(time).\(fraction)"
    }
}
