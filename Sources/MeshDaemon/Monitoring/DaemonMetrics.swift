internal import MeshModel
internal import MeshTelemetry
internal import Synchronization
internal import XDSServer

/// Counts what the daemon does, since its start, for `/metrics`.
///
/// Every method may be called from any thread and returns at once.
final class DaemonMetrics: Sendable {
    /// What was counted.
    struct Counts: Sendable {
        /// How long it took to make plans and to hand them on, in seconds.
        var reconciliations = MetricHistogram(upperBounds: durationBounds)
        /// Responses to proxies, by type.
        var updates = Counts.zeros
        /// Responses that proxies refused, by type.
        var refusals = Counts.zeros
        /// How long responses that proxies accepted waited for that, in seconds.
        var acknowledgements = MetricHistogram(upperBounds: durationBounds)

        /// Each type has its zero: Prometheus sees no increase where a counter only begins.
        private static var zeros: [ResourceType: Int] {
            Dictionary(uniqueKeysWithValues: ResourceType.allCases.map { ($0, 0) })
        }

        /// From a millisecond to half a minute.
        private static let durationBounds = [
            0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30,
        ]
    }

    private let counts = Mutex(Counts())

    /// What was counted so far.
    var current: Counts { counts.withLock { $0 } }

    /// Counts a plan that took so long to make and to hand on.
    func reconciled(in duration: Duration) {
        counts.withLock { $0.reconciliations.record(duration / .seconds(1)) }
    }

    /// Counts what happened on the way to a proxy.
    func count(_ event: DiscoveryEvent) {
        counts.withLock { counts in
            switch event {
            case .sent(let type): counts.updates[type, default: 0] += 1
            case .refused(let type): counts.refusals[type, default: 0] += 1
            case .accepted(_, let duration):
                counts.acknowledgements.record(duration / .seconds(1))
            }
        }
    }
}
