internal import Logging
internal import MeshModel
internal import MeshPlan
internal import ServiceLifecycle
internal import Synchronization

/// Tells when Pods are ready and no proxy at all is connected to this replica.
///
/// A proxy connects to one replica, so that of a single one nothing follows from its absence here. But
/// where none comes though there are Pods, something keeps them all away: such as a root that they do not
/// know, with which Heddle was installed anew.
final class ConnectionWatch: Service {
    private let spell = Mutex(ConnectionSpell())
    private let logger: Logger

    init(logger: Logger) { self.logger = logger }

    /// Takes what is known of the Pods of a plan.
    func take(_ plan: Plan, _ observations: Observations) {
        let ready = plan.proxies.filter { id, proxy in
            proxy.pod != nil && observations.proxies[id]?.process?.phase == .running
        }
        let isConnected = ready.keys.contains {
            observations.proxies[$0]?.xds.isConnected ?? false
        }
        spell.withLock {
            $0.ready = ready.count
            $0.example = ready.keys.min()
            $0.isConnected = isConnected
        }
    }

    func run() async throws {
        let clock = ContinuousClock()
        let start = clock.now
        await cancelWhenGracefulShutdown {
            while (try? await clock.sleep(for: .seconds(5))) != nil {
                switch self.spell.withLock({ $0.next(at: clock.now - start) }) {
                case .nothing: break
                case .lost(let count, let example):
                    self.logger.warning(
                        "Pods are ready, and none of their proxies is connected to this replica",
                        metadata: [
                            "pods": "\(count)", "example": "\(example)",
                            "remedy": """
                            if heddle_proxy_connected is 0 at every replica, restart the Pods: they keep \
                            their configuration, and know no other root than the one they began with
                            """,
                        ]
                    )
                case .found: self.logger.notice("proxies are connected again")
                }
            }
        }
    }
}

/// For how long Pods are ready and no proxy is connected.
struct ConnectionSpell {
    enum Change: Hashable {
        case nothing
        /// So many Pods are ready, such as this one.
        case lost(Int, example: ProxyID)
        case found
    }

    /// As long as Envoys may take to come to another replica.
    static let patience = Duration.seconds(60)

    var ready = 0
    var example: ProxyID?
    var isConnected = false
    private var since: Duration?
    private var isTold = false

    /// What is to be told at `now`.
    mutating func next(at now: Duration) -> Change {
        guard let example, !isConnected else {
            defer { (since, isTold) = (nil, false) }
            return isTold && isConnected ? .found : .nothing
        }
        let begin = since ?? now
        since = begin
        guard !isTold, now - begin >= Self.patience else { return .nothing }
        isTold = true
        return .lost(ready, example: example)
    }
}
