internal import MeshModel
internal import MeshPlan

/// The few lines in which `heddle run` says what it does and what to try next.
///
/// It speaks of changes only: problems that are new, proxies that came, went, became ready or
/// refused something.
struct RunReport: Sendable {
    /// The paths as the user gave them.
    var paths: [String]
    /// What the client commands need to reach this daemon.
    var clientOptions: String
    /// How many proxies an earlier daemon left running.
    var adopted: Int
    /// Where the page is; nil is nowhere.
    var page: String?
    private var known: [ProxyID: String] = [:]
    private var problems: Set<Diagnostic> = []
    private var isFirst = true
    private var saidReady = false

    init(paths: [String], clientOptions: String = "", adopted: Int = 0, page: String? = nil) {
        self.paths = paths
        self.clientOptions = clientOptions
        self.adopted = adopted
        self.page = page
    }

    /// The lines for a new state of things.
    mutating func lines(
        _ world: World,
        _ plan: Plan,
        _ observations: Observations
    ) -> [String] {
        var lines: [String] = []
        if isFirst {
            isFirst = false
            let objects = world.objects.count
            lines.append(
                "\(objects) object\(objects == 1 ? "" : "s") in \(paths.joined(separator: ", ")), "
                    + "\(plan.proxies.count) workload\(plan.proxies.count == 1 ? "" : "s")"
            )
            if adopted > 0 {
                let them = adopted == 1 ? "1 proxy that runs" : "\(adopted) proxies that run"
                lines.append("took over \(them) since an earlier heddle")
            }
            if plan.proxies.isEmpty {
                lines.append(
                    "no proxy to run: add a Workload whose labels a VirtualNode's podSelector matches"
                )
            }
        }
        let now = Set(plan.diagnostics)
        lines += plan.diagnostics.filter { !problems.contains($0) }.map(\.description)
        let mended = problems.subtracting(now).filter { $0.severity == .error }.sorted()
        lines += mended.map { "mended: \($0.message)" }
        problems = now
        lines += proxyLines(plan, observations)
        if !saidReady, !plan.proxies.isEmpty, known.values.allSatisfy({ $0 == "ready" }) {
            saidReady = true
            lines += hints(plan)
        }
        return lines
    }

    private mutating func proxyLines(_ plan: Plan, _ observations: Observations) -> [String] {
        var lines: [String] = []
        for id in plan.proxies.keys.sorted() {
            let object = ObjectID(.workload, id.workload)
            guard let condition = plan.statuses[object]?.conditions.first else { continue }
            let state = condition.status == .true ? "ready" : condition.reason
            let before = known.updateValue(state, forKey: id)
            guard before != state else { continue }
            if state == "ready" {
                let address = plan.proxies[id].map { proxy in
                    proxy.ingressPorts.filter { $0 != .ingress }
                        .map { " \(proxy.addresses.ingress):\($0)" }.joined()
                }
                lines.append("ready: \(id)\(address ?? "")")
            } else if !transientWorkloadReasons.contains(state) {
                lines.append("not ready: \(id): \(condition.message)")
            }
        }
        for id in known.keys.sorted() where plan.proxies[id] == nil {
            known[id] = nil
            lines.append("removed: \(id)")
        }
        return lines
    }

    private func hints(_ plan: Plan) -> [String] {
        var lines = [
            "all \(plan.proxies.count) workloads are ready; save a file to change the mesh"
        ]
        if let page { lines.append("the mesh as a picture: \(page)") }
        lines.append("try: heddle status\(clientOptions)")
        if plan.proxies.values.contains(where: { !$0.secrets.isEmpty }) {
            lines.append("     heddle certificates\(clientOptions)")
        }
        // Who has secrets may take nothing in plaintext.
        let proxies = plan.proxies.values.filter(\.secrets.isEmpty).sorted { $0.id < $1.id }
        let serving =
            proxies.first { $0.owner.kind == .virtualGateway && !$0.ingressPorts.isEmpty }
            ?? proxies.first { $0.ingressPorts.count > 1 }
        if let serving, let port = serving.ingressPorts.last(where: { $0 != .ingress }) {
            lines.append("     curl http://\(serving.addresses.ingress):\(port)/")
        }
        return lines
    }
}
