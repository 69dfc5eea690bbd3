internal import EnvoySupervisor
internal import MeshModel
internal import MeshPlan

extension EnvoySupervisor {
    /// The steps of an upgrade as the local API tells them.
    func upgradeSteps(_ proxies: Set<ProxyID>?) -> AsyncStream<ProxyUpgradeStep> {
        let steps = upgrade(proxies)
        let begin = ContinuousClock.now
        return AsyncStream(unfolding: Steps(steps, begin).next)
    }
}
