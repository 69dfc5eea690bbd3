import MeshModel

/// Amounts of processor time and memory as Kubernetes writes them.
enum ResourceQuantity {
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

    /// Reads what `SidecarResources.document` wrote; nil when a request is missing or is written in another way.
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
