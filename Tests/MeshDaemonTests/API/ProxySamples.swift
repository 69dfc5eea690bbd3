import MeshModel
import MeshPlan
import Synchronization

@testable import MeshDaemon

/// The proxy beside the Workload `demo/name`.
func proxyID(_ name: String) -> ProxyID {
    ProxyID(ObjectReference(namespace: "demo", name: name))
}

/// A Workload in a file, of which `lines` are known.
func filedWorkload(_ name: String, file: String?, lines: [String: Int] = ["": 1]) -> MeshObject {
    .workload(
        Workload(
            metadata: Metadata(name: name, namespace: "demo", labels: ["app": name]),
            spec: WorkloadSpec(),
            manifest: Manifest(document: [:], file: file, lines: lines)
        )
    )
}

/// A spread of measurements around `value`.
func spread(_ value: Double) -> UsageSummary.Spread {
    UsageSummary.Spread(
        median: value,
        percentile90: value * 1.5,
        percentile95: value * 2,
        maximum: value * 3
    )
}

/// What was planned and observed of three proxies, of which `red-1` starts, is outdated and has no
/// history.
struct ProxySample {
    var plan = Plan()
    var observations = Observations()
    var world = World()

    /// Blue runs and asks for too much; red starts; green asks for what it needs.
    init(folder: String = "/mesh") {
        add("blue-1", nodeID("blue"), file: "\(folder)/mesh.yaml", lines: ["": 3])
        add(
            "green-1",
            nodeID("green"),
            file: "mesh/green.yaml",
            lines: [
                "": 1, "spec.sidecar.resources": 9,
            ]
        )
        add("red-1", nodeID("red"), file: nil)
        observe("blue-1", pid: 4711)
        observe("green-1", pid: 4712)
        observations.proxies[proxyID("blue-1")]?.usage = UsageSummary(
            cpuMillicores: spread(4),
            memoryBytes: spread(20 * 1_048_576),
            requestsPerSecond: 12,
            confidence: 2.25
        )
        observations.proxies[proxyID("green-1")]?.usage = UsageSummary(
            cpuMillicores: spread(120),
            memoryBytes: spread(100 * 1_048_576),
            confidence: 7
        )
        observations.proxies[proxyID("blue-1")]?.enforcement = .controlGroup
        observations.proxies[proxyID("red-1")] = ProxyObservation(
            process: ProcessObservation(phase: .starting, version: "1.39.0", isOutdated: true)
        )
        plan.statuses[ObjectID(.workload, proxyID("red-1").workload)] = status(
            "WorkloadReady",
            .false,
            reason: "ProxyStarting"
        )
        recommend("blue-1", cpu: 25, memoryMi: 48, .oversized, ["used 12m at most"])
        recommend("green-1", cpu: 250, memoryMi: 256, .fitting, ["uses what it asks for"])
        recommend(
            "red-1",
            cpu: 25,
            memoryMi: 40,
            .oversized,
            isForecast: true,
            ["no history yet: 3 clusters"]
        )
    }

    private mutating func add(
        _ name: String,
        _ owner: ObjectID,
        file: String?,
        lines: [String: Int] = ["": 1]
    ) {
        let id = proxyID(name)
        plan.proxies[id] = ProxyPlan(
            id: id,
            owner: owner,
            nodeID: "mesh/colors/virtualNode/\(owner.name)_demo",
            addresses: ProxyAddresses(ingress: "127.66.0.1", egress: "127.67.0.1"),
            ingressPorts: [Port(15000)].compactMap(\.self),
            egressPorts: [Port(15001)].compactMap(\.self)
        )
        plan.statuses[ObjectID(.workload, id.workload)] = status("WorkloadReady")
        world.insert(filedWorkload(name, file: file, lines: lines))
    }

    private mutating func observe(_ name: String, pid: Int) {
        observations.proxies[proxyID(name)] = ProxyObservation(
            process: ProcessObservation(
                phase: .running,
                pid: pid,
                restarts: 1,
                startTimeSeconds: testNowSeconds - 300,
                upgrades: 2,
                version: "1.40.0"
            ),
            xds: XDSObservation(
                isConnected: true,
                sync: Dictionary(uniqueKeysWithValues: ResourceType.allCases.map { ($0, .synced) })
            )
        )
    }

    /// Gives the proxy `name` a recommendation.
    mutating func recommend(
        _ name: String,
        cpu: Int,
        memoryMi: Int,
        _ verdict: SizingRecommendation.Verdict,
        isForecast: Bool = false,
        _ reasons: [String] = []
    ) {
        plan.sizing[proxyID(name)] = SizingRecommendation(
            requested: SidecarResources(),
            recommended: SidecarResources(
                cpuRequestMillicores: cpu,
                memoryRequestBytes: memoryMi << 20
            ),
            verdict: verdict,
            isForecast: isForecast,
            reasons: reasons
        )
    }

    /// The report of it.
    var report: ProxyReport {
        ProxyReport(plan, observations, world, workingDirectory: "/home/me")
    }

    /// Shows it in `state`.
    func publish(in state: APIState) {
        state.publish(objects: world.objects, statuses: plan.statuses, proxies: report)
    }

    /// A handler that shows it.
    func handler(
        usage: [ProxyID: ProxyUsage] = sampleUsage,
        upgrade: UpgradeHandler? = nil
    ) -> APIHandler {
        let state = APIState(firstVersion: 100)
        publish(in: state)
        var handler = MeshDaemonTests.handler(state)
        handler.usage = { usage }
        handler.upgrade = upgrade
        return handler
    }
}

/// What blue and green use: green more of the processor and blue more memory.
let sampleUsage: [ProxyID: ProxyUsage] = [
    proxyID("blue-1"): ProxyUsage(
        timeSeconds: 10,
        intervalSeconds: 2,
        cpuMillicores: 30.6,
        memoryBytes: 64 << 20,
        heapBytes: 12 << 20,
        connections: 3,
        requestsPerSecond: 12.34
    ),
    proxyID("green-1"): ProxyUsage(
        timeSeconds: 10,
        intervalSeconds: 2,
        cpuMillicores: 125,
        memoryBytes: 27 << 20,
        heapBytes: 11 << 20,
        connections: 30,
        requestsPerSecond: 0.2
    ),
]

/// A handler of upgrades that hands out `steps` and keeps what it was asked.
func upgrading(
    _ steps: [ProxyUpgradeStep.Progress],
    asked: Asked<Set<ProxyID>?> = Asked()
) -> UpgradeHandler {
    { proxies, tell in
        asked.add(proxies)
        for proxy in (proxies ?? [proxyID("red-1")]).sorted() {
            for step in steps {
                try await tell(
                    ProxyUpgradeStep(proxy: proxy, fromVersion: "1.40.0", progress: step)
                )
            }
        }
    }
}

/// Keeps what something was asked for.
final class Asked<Value: Sendable>: Sendable {
    private let kept = Mutex<[Value]>([])

    /// What it was asked so far.
    var values: [Value] { kept.withLock { $0 } }

    /// Keeps one more.
    func add(_ value: Value) { kept.withLock { $0.append(value) } }
}
