internal import EnvoySupervisor
internal import MeshModel
internal import MeshPlan
internal import MeshSources
internal import ServiceLifecycle
internal import XDSServer

/// The proxies of a cluster: Kubernetes runs them, in Pods, and they connect by themselves.
struct PodProxies: ProxyHost {
    let source: KubernetesSource
    let store: SnapshotStore

    /// What the source knows with each world that it tells: a plan that knew of no ready Pod would leave
    /// every caller without endpoints.
    var current: [ProxyID: ProxyProcesses]? {
        source.currentPods.mapValues { ProxyProcesses(process: $0) }
    }

    func observe(_ tell: @Sendable ([ProxyID: ProxyProcesses]) -> Void) async {
        for await pods in source.pods.cancelOnGracefulShutdown() {
            tell(pods.mapValues { ProxyProcesses(process: $0) })
        }
    }

    /// Nothing is left of an earlier replica: what it chose stands in the objects (`meshRef`).
    func restore() -> EarlierRun { EarlierRun() }

    /// Tells the xDS server which Pods may ask for what.
    ///
    /// It is told before the plan is published: what another node selects now gets nothing of that node's
    /// on the stream that it has.
    func prepare(for plan: Plan, of world: World) {
        var proxies: [ProxyID: RemoteProxy] = [:]
        for (id, proxy) in plan.proxies {
            guard let pod = world.workloads[id.workload]?.spec.pod else { continue }
            proxies[id] = RemoteProxy(proxy, podUID: pod.uid)
        }
        store.admit(proxies)
    }

    func apply(_ plan: Plan, of world: World) {}

    func look(at plan: Plan) {}

    /// Addresses are the Pods' own.
    func keep(_ addresses: [ProxyID: ProxyAddresses]) -> Bool { true }
}
