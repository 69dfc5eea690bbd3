import MeshTelemetry

/// Numbers of traffic as tables show them.
enum TrafficText {
    /// What stands for what is not known.
    static let none = "-"

    /// `99.42%`; all of it is `100.00%` only when nothing is missing.
    static func percent(_ part: Double?) -> String {
        guard let part, part.isFinite else { return none }
        let hundredths = (part * 10_000).rounded()
        let shown = hundredths >= 10_000 && part < 1 ? 9_999 : hundredths
        return "\(decimal(shown / 100, digits: 2))%"
    }

    /// `12.3`.
    static func rate(_ perSecond: Double) -> String {
        decimal(perSecond, digits: perSecond >= 1000 ? 0 : 1)
    }

    /// `0.4ms`, `12ms`, `1.2s`.
    static func latency(_ milliseconds: Double?) -> String {
        guard let milliseconds, milliseconds.isFinite, milliseconds >= 0 else { return none }
        if milliseconds < 9.95 { return "\(decimal(milliseconds, digits: 1))ms" }
        if milliseconds < 9_999.5 { return "\(decimal(milliseconds, digits: 0))ms" }
        return "\(decimal(milliseconds / 1000, digits: 1))s"
    }

    /// `1.2kB/s`.
    static func bytes(perSecond: Double) -> String {
        let units = [(1e9, "GB/s"), (1e6, "MB/s"), (1e3, "kB/s")]
        for (size, unit) in units where perSecond >= size {
            return decimal(perSecond / size, digits: 1) + unit
        }
        return decimal(perSecond, digits: 0) + "B/s"
    }

    /// `value` with so many digits after the point.
    static func decimal(_ value: Double, digits: Int) -> String {
        guard value.isFinite, abs(value) < 1e15 else { return none }
        let scale = digits == 0 ? 1.0 : digits == 1 ? 10 : 100
        let whole = Int((abs(value) * scale).rounded())
        let sign = value < 0 && whole > 0 ? "-" : ""
        guard digits > 0 else { return "\(sign)\(whole)" }
        let fraction = String(whole % Int(scale))
        let zeros = String(repeating: "0", count: digits - fraction.count)
        return "\(sign)\(whole / Int(scale)).\(zeros)\(fraction)"
    }
}

extension ServiceMap.Health {
    /// How a terminal shows it.
    var colour: Colour? {
        switch self {
        case .healthy: .green
        case .degraded: .yellow
        case .failing: .red
        case .idle: nil
        }
    }
}

extension Traffic {
    /// The success rate, coloured as `ServiceMap.Health` divides it.
    var successCell: TextTable.Cell {
        let colour: Colour? = successRate.map { $0 > 0.99 ? .green : $0 > 0.9 ? .yellow : .red }
        return TextTable.Cell(TrafficText.percent(successRate), colour)
    }

    /// The cells SUCCESS, RPS, P50, P95 and P99.
    var mainCells: [TextTable.Cell] {
        let latency = latencyMilliseconds
        return [successCell, TextTable.Cell(TrafficText.rate(requestsPerSecond))]
            + [latency?.p50, latency?.p95, latency?.p99].map {
                TextTable.Cell(TrafficText.latency($0))
            }
    }
}

extension ServiceMap {
    /// How a node is named in a table: with its namespace where several are shown.
    func label(of id: String, withNamespace: Bool) -> String {
        guard let node = nodes.first(where: { $0.id == id }) else {
            let parts = id.split(separator: "/", maxSplits: 2).map(String.init)
            guard parts.count == 3 else { return parts.last ?? id }
            return withNamespace ? "\(parts[1])/\(parts[2])" : parts[2]
        }
        return node.label(withNamespace: withNamespace)
    }
}

extension ServiceMap.Node {
    /// See `ServiceMap.label`.
    func label(withNamespace: Bool) -> String {
        withNamespace && !namespace.isEmpty ? "\(namespace)/\(name)" : name
    }
}
