internal import EnvoySupervisor
internal import Logging
internal import MeshModel
internal import MeshPlan
internal import ServiceLifecycle
internal import XDSServer

/// Keeps what each proxy accepted last in its folder, so that it can start while no daemon runs.
final class LastGoodKeeper: Service {
    private let store: SnapshotStore
    private let supervisor: EnvoySupervisor
    private let xdsSocketPath: String
    private let sdsSocketPath: String?
    private let logger: Logger
    private let plans: AsyncStream<[ProxyID: ProxyPlan]>
    private let newest: AsyncStream<[ProxyID: ProxyPlan]>.Continuation

    init(
        store: SnapshotStore,
        supervisor: EnvoySupervisor,
        xdsSocketPath: String,
        sdsSocketPath: String?,
        logger: Logger
    ) {
        self.store = store
        self.supervisor = supervisor
        self.xdsSocketPath = xdsSocketPath
        self.sdsSocketPath = sdsSocketPath
        self.logger = logger
        (plans, newest) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    /// Looks, soon, what the proxies of a plan have accepted since.
    func look(_ proxies: [ProxyID: ProxyPlan]) { newest.yield(proxies) }

    /// What makes the files of a proxy: another one makes other files.
    private struct Origin: Hashable {
        var acknowledgedVersion: String
        var nodeID: String
        var concurrency: Int
        var memoryLimitBytes: Int?
        var statistics: ProxyStatistics?
    }

    /// Runs until shut down.
    func run() async throws {
        var kept: [ProxyID: Origin] = [:]
        var warned: [ProxyID: String] = [:]
        for await proxies in plans.cancelOnGracefulShutdown() {
            let observations = store.currentObservations
            kept = kept.filter { proxies[$0.key] != nil }
            warned = warned.filter { proxies[$0.key] != nil }
            for (id, proxy) in proxies {
                guard let version = observations[id]?.acknowledgedVersion else { continue }
                let origin = Origin(
                    acknowledgedVersion: version,
                    nodeID: proxy.nodeID,
                    concurrency: proxy.concurrency,
                    memoryLimitBytes: proxy.resources.memoryLimitBytes,
                    statistics: proxy.statistics
                )
                guard origin != kept[id] else { continue }
                do {
                    guard try keep(proxy) else { continue }
                    kept[id] = origin
                    warned[id] = nil
                } catch {
                    let reason = "\(error)"
                    guard warned.updateValue(reason, forKey: id) != reason else { continue }
                    logger.warning(
                        "what a proxy accepted is not kept on disk",
                        metadata: ["proxy": "\(id)", "reason": "\(reason)"]
                    )
                }
            }
            // Changes come in rows, and a proxy seldom starts by hand.
            try? await Task.sleep(for: .milliseconds(500))
        }
    }

    /// Whether there was something good to keep.
    private func keep(_ proxy: ProxyPlan) throws -> Bool {
        guard let snapshot = store.lastGood(of: proxy.id) else { return false }
        let parameters = BootstrapParameters(
            xdsSocketPath: xdsSocketPath,
            adminSocketPath: supervisor.standaloneAdminSocketPath(of: proxy.id),
            // It asks nobody for anything.
            token: "none",
            sdsSocketPath: sdsSocketPath,
            memoryLimitBytes: proxy.resources.memoryLimitBytes,
            statistics: proxy.statistics
        )
        let bootstrap = try standaloneBootstrap(nodeID: proxy.nodeID, snapshot, parameters)
        try supervisor.saveLastGood(
            Array(try bootstrap.json.prettyText.utf8),
            of: proxy.id,
            concurrency: proxy.concurrency
        )
        return true
    }
}
