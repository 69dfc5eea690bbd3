import MeshModel
import MeshPlan
import MeshTesting
import Testing

@testable import XDSServer

/// A world whose plans are published, with real Envoys: the daemon's loop without its processes.
final class PlannedMesh {
    var world: World
    private let store: SnapshotStore
    private let socketPath: String
    private var planner: Planner
    private var observations = Observations()
    private(set) var plan = Plan()
    private var envoys: [EnvoyProcess] = []

    /// Plans `world`, publishes the plan and starts its proxies.
    init(_ world: World, _ store: SnapshotStore, _ socketPath: String) throws {
        self.world = world
        self.store = store
        self.socketPath = socketPath
        let ranges = AddressRanges("127.90.0.0/16,127.91.0.0/16") ?? .loopback
        planner = Planner(options: PlanOptions(addressRanges: ranges))
        planWorld()
        for (id, proxy) in plan.proxies {
            store.authorize(token: "token of \(id)", for: id)
            let folder = try temporaryFolder()
            let parameters = BootstrapParameters(
                xdsSocketPath: socketPath,
                adminSocketPath: folder + "/admin.sock",
                token: "token of \(id)"
            )
            let bootstrap = try bootstrap(nodeID: proxy.nodeID, parameters).json.prettyText
            envoys.append(try EnvoyProcess(bootstrap: bootstrap, folder: folder))
        }
    }

    /// Follows what proxies report until `condition` holds and all proxies have their snapshots.
    func until(_ condition: (PlannedMesh) throws -> Bool) async throws {
        var changes = store.observations.makeAsyncIterator()
        while true {
            observe()
            if isSynced, try condition(self) { return }
            try #require(await changes.next(isolation: #isolation) != nil)
        }
    }

    /// Changes the world and follows it with a plan.
    func change(_ change: (inout World) -> Void) {
        change(&world)
        planWorld()
    }

    /// What the proxy of the workload `name` reported of `port`.
    func health(_ name: String, _ port: Int = 8080) -> ApplicationHealth? {
        Port(port).flatMap { observations.proxies[proxy(name)]?.xds.health[$0] }
    }

    /// The health of each endpoint of `cluster` in the snapshot of the workload `name`.
    func endpoints(_ cluster: String, of name: String) throws -> [String] {
        let resource = plan.proxies[proxy(name)]?.snapshot[.endpoints][cluster]
        let assignment = try #require(resource).json
        let endpoints = (assignment["endpoints"]?.array ?? []).flatMap {
            $0["lb_endpoints"]?.array ?? []
        }
        return endpoints.map { $0["health_status"]?.string ?? "UNKNOWN" }
    }

    /// The answers to `count` requests for `host` by the application of the workload `name`.
    func answers(to name: String, host: String, count: Int) -> [String] {
        let address = plan.proxies[proxy(name)]?.addresses.egress ?? ""
        return (0..<count).map { _ in
            let answer = get(address: address, port: 15001, host: host) ?? ""
            return answer.split(separator: "\r\n").last.map(String.init) ?? ""
        }
    }

    private var isSynced: Bool {
        plan.proxies.keys.allSatisfy { id in
            let sync = observations.proxies[id]?.xds.sync.values
            return sync?.count == ResourceType.allCases.count
                && sync?.allSatisfy { $0 == .synced } == true
        }
    }

    private func observe() {
        observations.proxies = store.currentObservations.mapValues { ProxyObservation(xds: $0) }
        if let same = planner.plan(observations, nowSeconds: 0) {
            plan = same
        } else {
            planWorld()
        }
    }

    private func planWorld() {
        plan = planner.plan(world, observations, after: plan, nowSeconds: 0)
        observations.addresses = plan.addresses
        store.publish(
            plan.proxies.mapValues(\.snapshot),
            probes: plan.proxies.mapValues(\.probes)
        )
        observations.proxies = store.currentObservations.mapValues { ProxyObservation(xds: $0) }
    }
}
