import MeshModel

/// Amounts of processor time and memory as Kubernetes writes them.
enum ResourceQuantity {
    /// An amount as a manifest has it, exactly: `250m`, `2`.
    static func cpu(_ millicores: Int) -> String {
        millicores % 1000 == 0 ? String(millicores / 1000) : "\(millicores)m"
    }

    /// An amount as a manifest has it, exactly: `256Mi`, `1Gi`, `1000`.
    static func memory(_ bytes: Int) -> String {
        for (unit, size) in [("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)]
        where bytes != 0 && bytes % size == 0 {
            return "\(bytes / size)\(unit)"
        }
        return String(bytes)
    }

    /// An amount that was measured, in thousandths of a core; `1m` is the least above nothing.
    static func used(millicores: Double) -> String { "\(whole(millicores))m" }

    /// An amount that was measured, in mebibytes; `1Mi` is the least above nothing.
    static func used(bytes: Double) -> String { "\(whole(bytes / 1_048_576))Mi" }

    /// A number with one digit after the point.
    static func decimal(_ value: Double) -> String {
        guard value.isFinite, abs(value) < 1e15 else { return "0.0" }
        let tenths = Int((value * 10).rounded())
        return "\(tenths < 0 ? "-" : "")\(abs(tenths) / 10).\(abs(tenths) % 10)"
    }

    /// The whole number nearest to a measurement; one when it is near nothing and not nothing.
    static func whole(_ value: Double) -> Int {
        guard value.isFinite, value > 0 else { return 0 }
        return max(1, Int(min(value, 1e15).rounded()))
    }

    /// `requests` and `limits` as `spec.sidecar.resources` has them.
    static func document(_ resources: SidecarResources) -> JSONValue {
        var document: JSONValue = [
            "requests": [
                "cpu": .string(cpu(resources.cpuRequestMillicores)),
                "memory": .string(memory(resources.memoryRequestBytes)),
            ]
        ]
        if let limit = resources.cpuLimitMillicores {
            document["limits"] = ["cpu": .string(cpu(limit))]
        }
        if let limit = resources.memoryLimitBytes {
            var limits = document["limits"] ?? [:]
            limits["memory"] = .string(memory(limit))
            document["limits"] = limits
        }
        return document
    }

    /// Reads what `document` wrote; nil when a request is missing or is written in another way.
    static func resources(_ document: JSONValue?) -> SidecarResources? {
        guard let cpu = millicores(document?["requests"]?["cpu"]),
            let memory = bytes(document?["requests"]?["memory"])
        else { return nil }
        return SidecarResources(
            cpuRequestMillicores: cpu,
            memoryRequestBytes: memory,
            cpuLimitMillicores: millicores(document?["limits"]?["cpu"]),
            memoryLimitBytes: bytes(document?["limits"]?["memory"])
        )
    }

    private static func millicores(_ value: JSONValue?) -> Int? {
        guard let text = value?.string else { return nil }
        return text.hasSuffix("m") ? Int(text.dropLast()) : Int(text).map { $0 * 1000 }
    }

    private static func bytes(_ value: JSONValue?) -> Int? {
        guard let text = value?.string else { return nil }
        for (unit, size) in [("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)]
        where text.hasSuffix(unit) {
            return Int(text.dropLast(2)).map { $0 * size }
        }
        return Int(text)
    }
}
