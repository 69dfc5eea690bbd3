import MeshModel

extension Description {
    /// The proxies of a node or a gateway; empty without any.
    func sidecarsSection(_ sidecars: [JSONValue]) -> String {
        guard !sidecars.isEmpty else { return "" }
        var table = TextTable(
            headings: ["NAME", "STATE", "ADDRESS", "VERSION", "ENVOY", "RESTARTS", "CPU", "MEMORY"]
        )
        table.rows = sidecars.map { sidecar in
            func text(_ value: JSONValue?) -> TextTable.Cell {
                TextTable.Cell(value.map(plainText) ?? "<none>")
            }
            let isReady = sidecar["state"] == "Running"
            let observed = sidecar["resources"]?["observed"]
            return [
                text(sidecar["name"]),
                TextTable.Cell(sidecar["state"]?.string ?? "", isReady ? .green : .red),
                text(sidecar["address"]), text(sidecar["version"]), text(sidecar["envoyVersion"]),
                text(sidecar["restarts"]), text(observed?["cpu"]?["p95"]),
                text(observed?["memory"]?["p95"]),
            ]
        }
        return section("Sidecars", table)
    }

    /// What a proxy asks for, uses and should ask for, one line each.
    func resources(_ resources: JSONValue) -> String {
        func amounts(_ values: JSONValue?) -> String {
            let cpu = values?["cpu"].map { "cpu \(plainText($0))" }
            let memory = values?["memory"].map { "memory \(plainText($0))" }
            return [cpu, memory].compactMap { $0 }.joined(separator: ", ")
        }
        func asked(_ values: JSONValue?) -> String {
            let limits = amounts(values?["limits"])
            return amounts(values?["requests"]) + (limits.isEmpty ? "" : "; limits: \(limits)")
        }
        var lines = ["asks for \(asked(resources["requested"]))"]
        if let observed = resources["observed"] {
            let high = JSONValue.object([
                "cpu": observed["cpu"]?["p95"] ?? .null,
                "memory": observed["memory"]?["p95"] ?? .null,
            ])
            lines.append("uses \(amounts(high)) at the 95th percentile")
        }
        if let recommended = resources["recommended"] {
            let verdict = resources["verdict"]?.string ?? ""
            lines.append("should ask for \(asked(recommended)) (\(verdict))")
        }
        return lines.joined(separator: "\n")
    }

    private func section(_ title: String, _ table: TextTable) -> String {
        let lines = table.text(isColoured: isColoured).split(separator: "\n")
        return "\(title):\n" + lines.map { "  \($0)\n" }.joined()
    }

    /// The newest events of the object, as kubectl shows them; empty without any.
    func eventsSection(_ events: [JSONValue]) -> String {
        guard !events.isEmpty else { return "" }
        var table = TextTable(headings: ["TYPE", "REASON", "AGE", "MESSAGE"])
        table.rows = events.suffix(20).map { event in
            func age(_ key: String) -> String {
                let seconds = event[key]?.string.flatMap(secondsSince1970)
                return seconds.map { humanDuration(seconds: max(0, nowSeconds - $0)) } ?? ""
            }
            let type = event["type"]?.string ?? ""
            let count = event["count"]?.integer ?? 1
            let times = count > 1 ? " (x\(count) over \(age("firstTimestamp")))" : ""
            return [
                TextTable.Cell(type, type == MeshEvent.Severity.warning.rawValue ? .red : nil),
                TextTable.Cell(event["reason"]?.string ?? ""),
                TextTable.Cell(age("lastTimestamp") + times),
                TextTable.Cell(event["message"]?.string ?? ""),
            ]
        }
        return section("Events", table)
    }
}
