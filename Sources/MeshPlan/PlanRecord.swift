/// What is chosen and under way in a plan beside its proxies, for the plans of the next daemon.
///
/// With it and the plans of the proxies that still run, `Plan.init(restoring:_:)` makes a plan after
/// which the next daemon plans as this one would: nothing is chosen anew, and nobody is told of TLS or of
/// callers before its time.
public struct PlanRecord: Hashable, Codable, Sendable {
    private var designations: Designations
    private var transition: Transition

    /// The record of `plan`.
    public init(_ plan: Plan) {
        designations = plan.designations
        transition = plan.transition
    }

    fileprivate func restore(_ plan: inout Plan) {
        plan.designations = designations
        plan.transition = transition
    }
}

extension Plan {
    /// The part that outlives a daemon of the plan that `record` and `proxies` were taken from.
    public init(restoring record: PlanRecord, _ proxies: [ProxyPlan]) {
        record.restore(&self)
        for proxy in proxies {
            self.proxies[proxy.id] = proxy
            addresses[proxy.id] = proxy.addresses
        }
    }
}
