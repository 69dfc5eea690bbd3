internal import MeshModel

/// Recommendations of the last plan, and what they were made from.
struct SizingMemo: Sendable {
    private struct Entry: Sendable {
        var resources: SidecarResources
        var usage: UsageSummary?
        var configuration: ConfigurationSize
        var recommendation: SizingRecommendation
    }

    private var entries: [ProxyID: Entry] = [:]

    /// What each proxy of `plan` should ask for.
    ///
    /// A recommendation is made anew only when what it is made from has changed.
    ///
    /// - Parameters:
    ///   - plan: The plan, whose proxies are done.
    ///   - observations: What the proxies used.
    ///   - previous: The recommendations before.
    ///   - isSame: Whether the proxies are those of the last call.
    /// - Returns: A recommendation for each.
    mutating func sizing(
        of plan: Plan,
        _ observations: Observations,
        after previous: [ProxyID: SizingRecommendation],
        isSame: Bool = false
    ) -> [ProxyID: SizingRecommendation] {
        var next: [ProxyID: Entry] = [:]
        next.reserveCapacity(plan.proxies.count)
        for (id, proxy) in plan.proxies {
            let usage = observations.proxies[id]?.usage
            let known = entries[id]
            let configuration =
                (isSame ? known?.configuration : nil) ?? ConfigurationSize(of: proxy)
            if let known, known.resources == proxy.resources, known.usage == usage,
                known.configuration == configuration, known.recommendation == previous[id]
            {
                next[id] = known
                continue
            }
            next[id] = Entry(
                resources: proxy.resources,
                usage: usage,
                configuration: configuration,
                recommendation: recommendation(
                    for: proxy.resources,
                    usage: usage,
                    configuration: configuration,
                    after: previous[id]
                )
            )
        }
        entries = next
        return next.mapValues(\.recommendation)
    }
}
