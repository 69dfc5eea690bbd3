internal import EnvoySupervisor
internal import Foundation
internal import Logging
internal import MeshModel
internal import MeshPlan
internal import ServiceLifecycle

/// Where the proxies of plans run: on this host, or in the Pods of a cluster.
protocol ProxyHost: Sendable {
    /// Tells what is known of their processes, each time that it changes, until graceful shutdown.
    func observe(_ tell: @Sendable ([ProxyID: ProxyProcesses]) -> Void) async

    /// What is known of their processes now; nil when only `observe` knows.
    var current: [ProxyID: ProxyProcesses]? { get }

    /// What an earlier daemon left.
    ///
    /// - Throws: what makes it unsafe to begin without.
    func restore() throws -> EarlierRun

    /// Gets ready what proxies need before they hear of `plan`.
    func prepare(for plan: Plan, of world: World)

    /// Runs the proxies of `plan` and no others; what is broken in `world` is no reason to end one.
    func apply(_ plan: Plan, of world: World)

    /// Takes each plan, and each change of what was observed of its proxies.
    func look(at plan: Plan)

    /// Keeps `addresses` for the next daemon, and tells whether that was possible.
    func keep(_ addresses: [ProxyID: ProxyAddresses]) -> Bool
}

/// What an earlier daemon left.
struct EarlierRun {
    /// Addresses given to proxies, of removed ones too.
    var addresses: [ProxyID: ProxyAddresses] = [:]
    /// Its last plan.
    var plan = Plan()
    /// The processes that it left running.
    var adopted: [ProxyID: ProxyProcesses] = [:]
}

/// Runs proxies as processes of this host.
struct LocalProxies: ProxyHost {
    let supervisor: EnvoySupervisor
    let state: StateDirectory
    /// Keeps plans for the next daemon.
    let plans: PlanKeeper
    /// Keeps what proxies accepted for starts without a daemon.
    let lastGood: LastGoodKeeper
    /// Knows what proxies used so far.
    let sizing: SizingKeeper
    /// The processes that an earlier daemon left running.
    let adopted: [ProxyID: ProxyProcesses]
    let logger: Logger
    var current: [ProxyID: ProxyProcesses]? { nil }

    func observe(_ tell: @Sendable ([ProxyID: ProxyProcesses]) -> Void) async {
        for await processes in supervisor.observations.cancelOnGracefulShutdown() {
            tell(processes)
        }
    }

    func restore() throws -> EarlierRun {
        EarlierRun(addresses: try state.addresses(), plan: plans.restore(), adopted: adopted)
    }

    /// Makes the folders of access logs: Envoy refuses a listener whose log it can't open.
    ///
    /// If a folder can't be made, that refusal says so.
    func prepare(for plan: Plan, of world: World) {
        let paths = Set(plan.proxies.values.compactMap(\.accessLogPath))
        for path in paths where path.hasPrefix("/") && !path.hasPrefix("/dev/") {
            let folder = path[..<(path.lastIndex(of: "/") ?? path.startIndex)]
            guard !folder.isEmpty else { continue }
            do {
                try FileManager.default.createDirectory(
                    atPath: String(folder),
                    withIntermediateDirectories: true
                )
            } catch {
                logger.warning(
                    "folder of an access log not made",
                    metadata: ["path": "\(folder)", "error": "\(error)"]
                )
            }
        }
    }

    func apply(_ plan: Plan, of world: World) {
        // What a broken file says nothing of is not gone.
        let isBroken = world.diagnostics.contains { $0.severity == .error }
        supervisor.apply(plan.proxies, keepsUnowned: isBroken)
        sizing.forget(notIn: Set(plan.proxies.keys))
        plans.keep(plan)
    }

    func look(at plan: Plan) { lastGood.look(plan.proxies) }

    func keep(_ addresses: [ProxyID: ProxyAddresses]) -> Bool {
        state.keep("addresses of proxies", logger) { try state.save(addresses) }
    }
}
