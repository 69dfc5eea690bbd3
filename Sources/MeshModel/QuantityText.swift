/// Processor time as Kubernetes writes it: `31m`, or `2` for whole cores.
public func cpuQuantity(millicores: Int) -> String {
    millicores % 1000 == 0 ? "\(millicores / 1000)" : "\(millicores)m"
}

/// Memory as Kubernetes writes it, without loss: `256Mi`, `1536Ki`, or bytes.
public func memoryQuantity(bytes: Int) -> String {
    let units = [("Gi", 30), ("Mi", 20), ("Ki", 10)]
    for (unit, shift) in units where bytes != 0 && bytes % (1 << shift) == 0 {
        return "\(bytes >> shift)\(unit)"
    }
    return "\(bytes)"
}

extension UsageSummary.Spread {
    /// The spread of processor time as quantities, rounded up, so that small changes show nothing.
    public var cpuQuantities: JSONValue {
        quantities { cpuQuantity(millicores: max(1, Self.rounded($0))) }
    }

    /// The spread of memory as quantities in Mi, rounded up, so that small changes show nothing.
    public var memoryQuantities: JSONValue {
        quantities { "\(max(1, Self.rounded($0 / Double(1 << 20))))Mi" }
    }

    private func quantities(_ text: (Double) -> String) -> JSONValue {
        [
            "p50": .string(text(median)), "p95": .string(text(percentile95)),
            "max": .string(text(maximum)),
        ]
    }

    /// The next integer, of any number: what is none, or too large, is none of use.
    private static func rounded(_ value: Double) -> Int {
        Int(exactly: value.rounded(.up)) ?? 0
    }
}

extension SidecarResources {
    /// The resources as `sidecar.resources` of a manifest has them.
    public var document: JSONValue {
        var document: JSONValue = [
            "requests": [
                "cpu": .string(cpuQuantity(millicores: cpuRequestMillicores)),
                "memory": .string(memoryQuantity(bytes: memoryRequestBytes)),
            ]
        ]
        var limits: [String: JSONValue] = [:]
        if let cpuLimitMillicores {
            limits["cpu"] = .string(cpuQuantity(millicores: cpuLimitMillicores))
        }
        if let memoryLimitBytes {
            limits["memory"] = .string(memoryQuantity(bytes: memoryLimitBytes))
        }
        if !limits.isEmpty { document["limits"] = .object(limits) }
        return document
    }
}
