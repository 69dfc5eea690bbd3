internal import EnvoySupervisor
internal import MeshModel
internal import MeshPlan

extension ProxyUpgradeStep {
    /// The step of a proxy's upgrade that the supervisor does, `since` that began.
    init(_ upgrade: ProxyUpgrade, _ serving: ProcessObservation?, since begin: Duration) {
        let progress: Progress
        switch upgrade.step {
        case .started: progress = .starting
        case .finished(_, let version):
            progress = .done(version: version, seconds: begin / .seconds(1))
        case .skipped(let reason): progress = .skipped(reason: reason)
        case .failed(let reason):
            let version = serving?.version.map { " \($0)" } ?? ""
            let envoy = serving?.pid.map { "Envoy\(version) (pid \($0))" }
            progress = .failed(reason: reason, serving: envoy ?? "")
        }
        var fromVersion = serving?.version
        if case .finished(let from, _) = upgrade.step { fromVersion = from }
        self.init(proxy: upgrade.proxy, fromVersion: fromVersion, progress: progress)
    }
}
