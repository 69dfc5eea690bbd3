internal import EnvoySupervisor
internal import MeshModel
internal import MeshPlan

/// The wait of a new daemon for the proxies that an earlier one left running.
///
/// They tell within a second which configuration they have and how their applications are. Without
/// that the first plan would take them for proxies that have just started.
struct Reunion {
    private var expected: [ProxyID: Set<Port>]
    private let deadline: ContinuousClock.Instant

    /// Waits for those of `adopted` that run, not longer than until `deadline`.
    ///
    /// - Parameters:
    ///   - adopted: What an earlier daemon left.
    ///   - plan: Its last plan, by which they check their applications.
    ///   - deadline: When the first plan is made whoever is missing.
    init(
        of adopted: [ProxyID: ProxyProcesses],
        _ plan: Plan,
        until deadline: ContinuousClock.Instant
    ) {
        expected = adopted.filter { $0.value.process.phase == .running }.reduce(into: [:]) {
            $0[$1.key] = Set(plan.proxies[$1.key]?.probes.map(\.port) ?? [])
        }
        self.deadline = deadline
    }

    /// Whether all have told, or it is too late.
    mutating func isOver(
        _ observations: [ProxyID: XDSObservation],
        now: ContinuousClock.Instant
    ) -> Bool {
        expected = expected.filter { proxy, ports in
            guard let xds = observations[proxy], xds.isConnected else { return true }
            return !ports.isSubset(of: xds.health.keys)
        }
        if now >= deadline { expected = [:] }
        return expected.isEmpty
    }
}
