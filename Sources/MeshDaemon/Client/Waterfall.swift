import MeshModel
import MeshTelemetry

/// A trace as bars, one below the other, each as long as its span took.
struct Waterfall {
    private let trace: Trace
    private let isWide: Bool

    /// The narrowest bar column that shows anything.
    private static let minimumBar = 10
    /// Deeper spans are not set in further.
    private static let depthLimit = 16

    /// Draws `trace`; `isWide` adds the spans' attributes.
    init(_ trace: Trace, isWide: Bool = false) {
        self.trace = trace
        self.isWide = isWide
    }

    /// The text for a screen of that width.
    func text(columns: Int, isColoured: Bool) -> String {
        let summary = trace.summary
        let start = summary.startMicroseconds / 1_000_000
        let time = Double(summary.startMicroseconds) / 1e6
        var text = "Trace \(summary.traceID.printable)\n"
        text +=
            "Start \(timestamp(secondsSince1970: start).prefix(10)) \(TapPicture.time(time)) UTC"
        text += ", took \(duration(summary.durationMicroseconds)), \(summary.spanCount) "
        text += summary.spanCount == 1 ? "span" : "spans"
        text += summary.isError ? ", with errors\n\n" : "\n\n"
        let names = trace.rows.map(name)
        let times = trace.rows.map { row in
            row.span.durationMicroseconds == nil ? "not over" : duration(row.durationMicroseconds)
        }
        let statuses = trace.rows.map(status)
        let (timeWidth, statusWidth) = (width(times), width(statuses))
        // Three columns of two blanks between.
        let room = columns - timeWidth - statusWidth - 6
        let nameWidth = min(width(names), max(20, room - max(Self.minimumBar, room / 2)))
        let barWidth = max(Self.minimumBar, room - nameWidth)
        for (index, row) in trace.rows.enumerated() {
            let line =
                padded(names[index], to: nameWidth) + "  "
                + padded(statuses[index], to: statusWidth) + "  "
                + String(repeating: " ", count: timeWidth - times[index].count) + times[index]
                + "  "
            let bar = bar(row, width: barWidth)
            let colour: Colour = row.span.isError ? .red : .green
            let shown = isColoured ? colour.applied(to: bar) : bar
            text += cut(line + shown, to: columns) + "\n"
            if isWide { text += attributes(row) }
        }
        return text
    }

    private func name(_ row: Trace.Row) -> String {
        let indentation = String(repeating: "  ", count: min(row.depth, Self.depthLimit))
        let side =
            switch row.span.kind {
            case .server: "<"
            case .client: ">"
            case .other: " "
            }
        let service = row.span.service.isEmpty ? "" : row.span.service + " "
        let name = row.span.name == row.span.service ? "" : row.span.name
        let note = row.isOrphan ? " (its parent is not known)" : ""
        return "\(indentation)\(side) \(service)\(name)\(note)".printable
    }

    private func status(_ row: Trace.Row) -> String {
        let status = row.span.status.map(String.init) ?? ""
        guard row.span.isError else { return status }
        return status.isEmpty ? "error" : "\(status) !"
    }

    private func duration(_ microseconds: Int) -> String {
        microseconds < 1000
            ? "\(microseconds)us" : TrafficText.latency(Double(microseconds) / 1000)
    }

    private func bar(_ row: Trace.Row, width: Int) -> String {
        let total = Double(max(1, trace.summary.durationMicroseconds))
        func place(_ microseconds: Double) -> Int {
            min(width, max(0, Int((microseconds / total * Double(width)).rounded())))
        }
        let offset = Double(row.offsetMicroseconds)
        let begin = min(place(offset), width - 1)
        guard row.span.durationMicroseconds != nil else {
            return String(repeating: " ", count: begin)
                + String(repeating: "░", count: width - begin)
        }
        let end = max(begin + 1, place(offset + Double(row.durationMicroseconds)))
        return String(repeating: " ", count: begin) + String(repeating: "█", count: end - begin)
    }

    private func attributes(_ row: Trace.Row) -> String {
        let indentation = String(repeating: "  ", count: min(row.depth, Self.depthLimit) + 2)
        return row.span.attributes.sorted { $0.key < $1.key }
            .map { "\(indentation)\($0.key.printable)=\($0.value.printable)\n" }.joined()
    }

    private func width(_ texts: [String]) -> Int { texts.map(\.count).max() ?? 0 }

    private func padded(_ text: String, to width: Int) -> String {
        guard text.count > width else {
            return text + String(repeating: " ", count: width - text.count)
        }
        return text.prefix(max(0, width - 1)) + "…"
    }
}
