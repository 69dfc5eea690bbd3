internal import MeshModel
internal import MeshPlan

/// One change of the world on its way to the proxies, from its arrival to the last answer.
struct Rollout: Sendable {
    private let start: ContinuousClock.Instant
    /// Proxies whose resources the change touched.
    let proxies: Set<ProxyID>

    /// The rollout of what differs between two plans; nil when no running proxy is concerned.
    init?(from old: Plan, to new: Plan, at start: ContinuousClock.Instant) {
        let changed = new.proxies.filter { id, proxy in
            old.proxies[id].map { $0.snapshot != proxy.snapshot } ?? false
        }
        guard !changed.isEmpty else { return nil }
        self.start = start
        proxies = Set(changed.keys)
    }

    /// The line that tells of the rollout's end; nil while a connected proxy has not answered.
    func summary(
        _ observations: [ProxyID: XDSObservation],
        now: ContinuousClock.Instant
    ) -> String? {
        let connected = proxies.compactMap { observations[$0] }.filter(\.isConnected)
        guard !connected.isEmpty, connected.allSatisfy(\.isAnswered) else { return nil }
        let refused = connected.count { !$0.refusals.isEmpty }
        let (seconds, attoseconds) = (now - start).components
        let milliseconds = seconds * 1000 + attoseconds / 1_000_000_000_000_000
        let proxyCount = "\(connected.count) prox\(connected.count == 1 ? "y" : "ies")"
        let refusal = refused == 0 ? "" : ", \(refused) of them refused it"
        return "in force: \(proxyCount) updated in \(milliseconds) ms\(refusal)"
    }
}

extension XDSObservation {
    /// Whether the proxy has answered all that it was sent.
    var isAnswered: Bool { sync.values.allSatisfy { $0 == .synced || $0 == .refused } }
}
