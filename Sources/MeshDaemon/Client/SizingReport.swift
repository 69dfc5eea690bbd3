import MeshModel
import MeshPlan

/// What proxies ask for, what they used, and what they should ask for.
struct SizingReport {
    /// The proxies, those without a recommendation too.
    let proxies: [ProxyDocument]

    /// One proxy's recommendation, as the API shows it.
    struct Advice {
        var reference: ObjectReference
        var verdict: SizingRecommendation.Verdict
        var isForecast: Bool
        var requested: SidecarResources
        var recommended: SidecarResources
        var reasons: [String]
        /// `status.history`, null when there is none.
        var history: JSONValue
        /// The file and line that ask for it.
        var source: SourceLocation?

        /// Reads what the API shows; nil when there is no recommendation yet.
        init?(_ proxy: ProxyDocument) {
            guard let advice = proxy.status["recommendation"],
                let verdict = advice["verdict"]?.string.flatMap(
                    SizingRecommendation.Verdict.init
                ),
                let recommended = ResourceQuantity.resources(advice["resources"])
            else { return nil }
            reference = proxy.reference
            self.verdict = verdict
            self.recommended = recommended
            requested = ResourceQuantity.resources(advice["requested"]) ?? proxy.resources
            isForecast = advice["forecast"] == true
            reasons = advice["reasons"]?.array?.compactMap(\.string) ?? []
            history = proxy.status["history"] ?? .null
            source = proxy.document["spec"]?["source"].flatMap { source in
                guard let file = source["file"]?.string, let line = source["line"]?.integer
                else { return nil }
                return SourceLocation(file: file, line: line)
            }
        }
    }

    /// The recommendations.
    var advice: [Advice] { proxies.compactMap(Advice.init) }

    /// Whether one that was measured may run short.
    var isAnyShort: Bool { advice.contains { $0.verdict == .undersized && !$0.isForecast } }

    /// The report for people; ends with a line break.
    ///
    /// - Parameters:
    ///   - isVerbose: With every reason, and where each is asked for.
    ///   - isColoured: Whether the verdicts are coloured.
    /// - Returns: The table with what explains it, and the sums.
    func text(isVerbose: Bool = false, isColoured: Bool = false) -> String {
        let advice = advice
        var table = TextTable(headings: [
            "NAME", "VERDICT", "RESOURCE", "REQUESTED", "P50", "P95", "MAX", "RECOMMENDED",
            "CHANGE",
        ])
        let rows = advice.map(\.rows)
        table.rows = rows.flatMap(\.self)
        var lines = table.text(isColoured: isColoured).split(separator: "\n")[...]
        var text = advice.isEmpty ? "" : "\(lines.removeFirst())\n"
        for (advice, rows) in zip(advice, rows) {
            for line in lines.prefix(rows.count) { text += "\(line)\n" }
            lines = lines.dropFirst(rows.count)
            text += advice.explanation(isVerbose: isVerbose)
        }
        return text + summary(advice)
    }

    private func summary(_ advice: [Advice]) -> String {
        var lines: [String] = []
        if !advice.isEmpty { lines.append(Self.total(advice)) }
        let missing = proxies.count - advice.count
        if missing > 0 {
            lines.append(
                "\(missing) \(missing == 1 ? "proxy has" : "proxies have") no recommendation yet"
            )
        }
        let changing = advice.filter { $0.verdict != .fitting }
        if changing.contains(where: { !$0.isForecast }) {
            lines.append("Next: heddle sizing --apply --dry-run")
        } else if !changing.isEmpty {
            lines.append(
                "All changes are forecasts; come back once the proxies have carried requests."
            )
        }
        return lines.isEmpty ? "" : "\n" + lines.joined(separator: "\n") + "\n"
    }

    private static func total(_ advice: [Advice]) -> String {
        func sum(_ value: (Advice) -> Int) -> Int { advice.reduce(0) { $0 + value($1) } }
        let cpu = sum { $0.requested.cpuRequestMillicores }
        let memory = sum { $0.requested.memoryRequestBytes }
        let neededCPU = sum { $0.recommended.cpuRequestMillicores }
        let neededMemory = sum { $0.recommended.memoryRequestBytes }
        let count = "\(advice.count) \(advice.count == 1 ? "proxy" : "proxies")"
        let verb = advice.count == 1 ? "needs" : "need"
        return "\(count) asked for \(cpuQuantity(millicores: cpu)) cpu and "
            + "\(memoryTotal(memory, beside: neededMemory)) memory, \(verb) "
            + "\(cpuQuantity(millicores: neededCPU)) cpu and "
            + "\(memoryTotal(neededMemory, beside: memory)) memory"
    }

    /// A sum in the unit of the larger of two, so that they compare at a glance.
    private static func memoryTotal(_ bytes: Int, beside other: Int) -> String {
        max(bytes, other) < 1 << 30
            ? ResourceQuantity.used(bytes: Double(bytes))
            : "\(ResourceQuantity.decimal(Double(bytes) / Double(1 << 30)))Gi"
    }

    /// The report for programs.
    var document: JSONValue {
        let advice = advice
        func sum(_ value: (SidecarResources) -> Int) -> (requested: Int, recommended: Int) {
            advice.reduce(into: (0, 0)) {
                $0.0 += value($1.requested)
                $0.1 += value($1.recommended)
            }
        }
        let cpu = sum(\.cpuRequestMillicores)
        let memory = sum(\.memoryRequestBytes)
        return [
            "proxies": .array(advice.map(\.document)),
            "withoutRecommendation": .array(
                proxies.filter { Advice($0) == nil }.map { .string("\($0.reference)") }
            ),
            "total": [
                "requested": [
                    "cpuMillicores": .integer(cpu.requested),
                    "memoryBytes": .integer(memory.requested),
                ],
                "recommended": [
                    "cpuMillicores": .integer(cpu.recommended),
                    "memoryBytes": .integer(memory.recommended),
                ],
            ],
        ]
    }
}

extension SizingReport.Advice {
    /// A row for each resource that it asks for or should.
    fileprivate var rows: [[TextTable.Cell]] {
        let verdict = isForecast ? "\(verdict.rawValue)?" : verdict.rawValue
        var rows = [
            row("cpu", history["cpu"], cpuQuantity(millicores:), \.cpuRequestMillicores),
            row("memory", history["memory"], memoryQuantity(bytes:), \.memoryRequestBytes),
            row("cpu limit", nil, cpuQuantity(millicores:), \.cpuLimitMillicores),
            row("memory limit", nil, memoryQuantity(bytes:), \.memoryLimitBytes),
        ].compactMap(\.self)
        rows[0][0] = TextTable.Cell("\(reference)")
        rows[0][1] = TextTable.Cell(verdict, colour)
        return rows
    }

    private var colour: Colour {
        switch verdict {
        case .fitting: .green
        case .oversized: .yellow
        case .undersized: .red
        }
    }

    private func row(
        _ resource: String,
        _ history: JSONValue?,
        _ text: (Int) -> String,
        _ value: (SidecarResources) -> Int?
    ) -> [TextTable.Cell]? {
        let (before, after) = (value(requested), value(recommended))
        guard before != nil || after != nil else { return nil }
        func used(_ key: String) -> String { history?[key]?.string ?? "-" }
        var change = "-"
        if let before, let after, before != after {
            change = (after > before ? "+" : "-") + text(abs(after - before))
        }
        return [
            "", "", TextTable.Cell(resource), TextTable.Cell(before.map(text) ?? "none"),
            TextTable.Cell(used("p50")), TextTable.Cell(used("p95")), TextTable.Cell(used("max")),
            TextTable.Cell(after.map(text) ?? "none"), TextTable.Cell(change),
        ]
    }

    /// How far to trust it, and why it is so, below the rows.
    fileprivate func explanation(isVerbose: Bool) -> String {
        var lines = [confidence + (reasons.first.map { "; \($0)" } ?? "")]
        if isVerbose {
            lines += reasons.dropFirst()
            if let source { lines.append("asked for at \(source)") }
        }
        return lines.map { "  \($0)\n" }.joined()
    }

    /// How far to trust it, in words: as much as the history is long.
    var confidence: String {
        guard !isForecast else { return "forecast from its configuration" }
        let days = history["confidenceDays"]?.double ?? 0
        let word = days < 0.5 ? "low" : days < 2 ? "medium" : "high"
        let time = humanDuration(seconds: ResourceQuantity.whole(days * 86_400))
        return "measured for \(time), \(word) confidence"
    }

    fileprivate var document: JSONValue {
        var document: JSONValue = [
            "namespace": .string(reference.namespace), "name": .string(reference.name),
            "verdict": .string(verdict.rawValue), "forecast": .bool(isForecast),
            "confidence": .string(confidence), "requested": requested.document,
            "recommended": recommended.document,
            "reasons": .array(reasons.map(JSONValue.string)),
        ]
        if history != .null { document["observed"] = history }
        document["source"] = source.map {
            ["file": .string($0.file), "line": .integer($0.line)]
        }
        return document
    }
}
