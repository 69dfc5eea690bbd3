internal import EnvoySupervisor
internal import MeshModel
internal import MeshPlan

extension ProxyUpgradeStep {
    /// The step of an upgrade that the supervisor does, `since` it began.
    init(_ upgrade: ProxyUpgrade, _ serving: ProcessObservation?, since begin: Duration) {
        let progress: Progress
        switch upgrade.step {
        case .started: progress = .starting
        case .finished(_, let version):
            progress = .done(version: version, seconds: begin / .seconds(1))
        case .failed(let reason), .skipped(let reason):
            let version = serving?.version.map { " \($0)" } ?? ""
            let pid = serving?.pid.map { " (pid \($0))" } ?? ""
            progress = .failed(reason: reason, serving: "Envoy\(version)\(pid)")
        }
        var fromVersion = serving?.version
        if case .finished(let from, _) = upgrade.step { fromVersion = from }
        self.init(proxy: upgrade.proxy, fromVersion: fromVersion, progress: progress)
    }
}
