internal import MeshModel

/// Why a recommendation is what it is, in sentences.
struct SizingReasons {
    let requested: SidecarResources
    let recommended: SidecarResources
    let usage: UsageSummary?
    let configuration: ConfigurationSize
    let needs: Needs

    init(
        _ requested: SidecarResources,
        _ recommended: SidecarResources,
        _ usage: UsageSummary?,
        _ configuration: ConfigurationSize,
        _ needs: Needs
    ) {
        self.requested = requested
        self.recommended = recommended
        self.usage = usage
        self.configuration = configuration
        self.needs = needs
    }

    /// What happened, then what is to change, then what fits.
    var sentences: [String] {
        guard let usage else { return [expectation(begin: "no history yet: ")] }
        let memory = memorySentence(usage)
        let cpu = cpuSentence(usage)
        let isMemoryFitting = requested.memoryRequestBytes == recommended.memoryRequestBytes
        let amounts = isMemoryFitting ? [cpu, memory] : [memory, cpu]
        return (incidents(usage) + amounts + [limitSentence(usage), doubt(usage)])
            .compactMap(\.self)
    }

    private func incidents(_ usage: UsageSummary) -> [String] {
        var sentences: [String] = []
        if usage.outOfMemoryKills > 0 {
            let limit = usage.outOfMemoryLimitBytes.map { " under its limit of \(mebibytes($0))" }
            sentences.append(
                "was killed \(times(usage.outOfMemoryKills)) for memory\(limit ?? "")"
            )
        }
        if usage.sheddingPeriods > 0 {
            sentences.append(
                "refused work \(times(usage.sheddingPeriods)) as its memory ran short"
            )
        }
        if usage.throttledShare >= SizingRule.throttledShare,
            let limit = requested.cpuLimitMillicores
        {
            let percent = Int((min(usage.throttledShare, 1) * 100).rounded())
            sentences.append(
                "its CPU limit of \(limit)m held it up \(percent) % of the time lately"
                    + change(limit, recommended.cpuLimitMillicores ?? limit) { "\($0)m" }
            )
        }
        return sentences
    }

    private func memorySentence(_ usage: UsageSummary) -> String? {
        guard usage.memoryBytes.maximum >= 1 else { return nil }
        let peak = mebibytes(usage.memoryBytes.maximum)
        let usual = mebibytes(usage.memoryBytes.percentile95)
        return "used \(peak) at the most in \(duration(usage)) (p95 \(usual)); "
            + "\(mebibytes(requested.memoryRequestBytes)) is asked for"
            + change(requested.memoryRequestBytes, recommended.memoryRequestBytes) { mebibytes($0) }
    }

    private func cpuSentence(_ usage: UsageSummary) -> String? {
        guard usage.memoryBytes.maximum >= 1 else { return nil }
        let usual = millicores(usage.cpuMillicores.percentile90)
        let peak = millicores(usage.cpuMillicores.maximum)
        return "needed no more than \(usual) of CPU nine tenths of the time (\(peak) at the most); "
            + "\(requested.cpuRequestMillicores)m is asked for"
            + change(requested.cpuRequestMillicores, recommended.cpuRequestMillicores) { "\($0)m" }
    }

    private func limitSentence(_ usage: UsageSummary) -> String? {
        guard let limit = requested.memoryLimitBytes, let advised = recommended.memoryLimitBytes,
            limit != advised
        else { return nil }
        guard advised > limit else {
            return "its memory limit of \(mebibytes(limit)) could be \(mebibytes(advised))"
        }
        return "its memory limit of \(mebibytes(limit)) leaves too little room and should be "
            + mebibytes(advised)
    }

    private func doubt(_ usage: UsageSummary) -> String? {
        guard usage.confidence < 1 else { return nil }
        return "measured for \(duration(usage)) only, and other hours may need more: "
            + expectation(begin: "")
    }

    private func expectation(begin: String) -> String {
        let parts = [
            count(configuration.clusters, "cluster"), count(configuration.routes, "route"),
        ]
        let text =
            "\(begin)\(parts.joined(separator: " and ")) are expected to take "
            + mebibytes(needs.forecast.memoryBytes)
        guard usage == nil, requested.memoryRequestBytes != recommended.memoryRequestBytes else {
            return text
        }
        return text + "; \(mebibytes(requested.memoryRequestBytes)) is asked for"
            + change(requested.memoryRequestBytes, recommended.memoryRequestBytes) { mebibytes($0) }
    }

    /// What `amount` should become, as the end of a sentence.
    private func change(_ amount: Int, _ advised: Int, _ text: (Int) -> String) -> String {
        if advised > amount { return " and should be \(text(advised))" }
        return advised < amount ? ": \(text(amount - advised)) could be given back" : ""
    }

    /// For how long the proxy was measured, in words that seldom change; what is older than eight days
    /// counts no more.
    private func duration(_ usage: UsageSummary) -> String {
        let days = usage.confidence.isFinite ? min(max(usage.confidence, 0), 8) : 0
        if days >= 1 { return days < 2 ? "a day" : "\(Int(days)) days" }
        let hours = Int(days * 24)
        return hours == 0 ? "less than an hour" : hours == 1 ? "an hour" : "\(hours) hours"
    }
}

private func times(_ count: Int) -> String {
    count == 1 ? "once" : count == 2 ? "twice" : "\(count) times"
}

private func count(_ count: Int, _ noun: String) -> String {
    "\(count) \(noun)\(count == 1 ? "" : "s")"
}

private func mebibytes(_ bytes: Double) -> String {
    mebibytes(bytes.isFinite ? Int(min(max(bytes, 0), 1e15).rounded(.up)) : 0)
}

/// `31Mi`: whole mebibytes, begun ones counted.
private func mebibytes(_ bytes: Int) -> String { "\(bytes > 0 ? (bytes - 1) >> 20 + 1 : 0)Mi" }

/// `4m`: whole thousandths of a core, begun ones counted.
private func millicores(_ amount: Double) -> String {
    "\(amount.isFinite ? Int(min(max(amount, 0), 1e9).rounded(.up)) : 0)m"
}
