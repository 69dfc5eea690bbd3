public import MeshModel
import Synchronization

extension TrafficBoard {
    /// Who calls whom, and how that goes.
    ///
    /// Rates and latencies are those of the last 10 s; the latencies lag behind by one answer of each
    /// proxy, as Envoy adds them up when it is asked. A request that got no answer has no latency.
    ///
    /// - Parameters:
    ///   - nodes: Virtual nodes and gateways as they are known beside their traffic.
    ///   - timeSeconds: The time, in seconds since 1970.
    ///   - now: The same on a clock that nobody sets.
    /// - Returns: The map; equal input gives an equal map.
    public func map(
        nodes: [ObjectID: TrafficNodeStatus],
        timeSeconds: Double,
        now: ContinuousClock.Instant = .now
    ) -> ServiceMap {
        // A copy, so that answers of proxies do not wait for this.
        let state = state.withLock { $0 }
        let window = WindowTraffic(state.readings.values, now: now)
        let mapping = ServiceMapping(state, window, nodes)
        return ServiceMap(
            timeSeconds: timeSeconds,
            windowSeconds: Self.window / .seconds(1),
            nodes: mapping.nodes.values.sorted { $0.id < $1.id },
            edges: mapping.sortedEdges,
            splits: mapping.splits(of: state.topology)
        )
    }
}

extension ServiceMap.Node {
    /// The `id` of an object's node.
    public static func id(of object: ObjectID) -> String {
        "\(object.kind.rawValue.lowercased())/\(object.namespace)/\(object.name)"
    }

    /// The `id` of what is called.
    static func id(of destination: TrafficTarget.Destination) -> String {
        switch destination {
        case .virtualNode(let object, _): id(of: object)
        case .external(let host): "external/\(host)"
        case .missing(let name): "missing/\(name)"
        }
    }

    /// The `id` of the clients of gateways.
    public static let outside = "client/outside"
}

/// Builds a map: first its edges, declared ones too, then its nodes.
private struct ServiceMapping {
    private let state: TrafficBoard.State
    private let window: WindowTraffic
    /// By the node's `id`.
    private let statuses: [String: TrafficNodeStatus]
    /// What is declared, by what it is.
    private var declared: [TrafficEdge: ServiceMap.Edge] = [:]
    private var gateways: [ServiceMap.Edge] = []
    private(set) var nodes: [String: ServiceMap.Node] = [:]

    init(
        _ state: TrafficBoard.State,
        _ window: WindowTraffic,
        _ statuses: [ObjectID: TrafficNodeStatus]
    ) {
        self.state = state
        self.window = window
        self.statuses = Dictionary(
            uniqueKeysWithValues: statuses.map { (ServiceMap.Node.id(of: $0.key), $0.value) }
        )
        for (_, place) in state.topology.proxies.sorted(by: { $0.key < $1.key }) {
            addOwner(place.owner, mesh: place.meshName)
            for (_, target) in place.targets.sorted(by: { $0.key < $1.key }) {
                addEdge(target, from: place)
            }
        }
        for (object, status) in statuses { addOwner(object, mesh: status.mesh) }
        addCallersOfWhatHasNoProxies()
    }

    var sortedEdges: [ServiceMap.Edge] {
        (Array(declared.values) + gateways).sorted {
            ($0.source, $0.target, $0.port ?? 0, $0.isHTTP ? 0 : 1)
                < ($1.source, $1.target, $1.port ?? 0, $1.isHTTP ? 0 : 1)
        }
    }

    private mutating func addEdge(_ target: TrafficTarget, from place: ProxyTopology) {
        let key = TrafficEdge(from: place.owner, to: target)
        if var edge = declared[key] {
            edge.services = Array(Set(edge.services + target.services)).sorted()
            declared[key] = edge
            return
        }
        let totals = state.totals.edges[key]
        // Every node may call outside, and few do.
        if case .external = target.destination, totals == nil { return }
        let rates = window.edges[key]
        let traffic = Traffic(totals, rates, window.gauges.edges[key])
        let isOpen = traffic.activeConnections > 0
        declared[key] = ServiceMap.Edge(
            source: ServiceMap.Node.id(of: place.owner),
            target: ServiceMap.Node.id(of: target.destination),
            services: target.services.sorted(),
            port: target.port.map { Int($0.number) },
            isHTTP: target.isHTTP,
            security: target.security,
            health: (rates ?? .init()).health(isHTTP: target.isHTTP, isOpen: isOpen),
            traffic: traffic
        )
        switch target.destination {
        case .virtualNode(let object, _): addOwner(object, mesh: place.meshName)
        case .external(let host): add("External", host, ServiceMap.Node.id(of: target.destination))
        case .missing(let name):
            let id = ServiceMap.Node.id(of: target.destination)
            add("Missing", name, id)
            nodes[id]?.mesh = place.meshName
            nodes[id]?.health = .failing
            nodes[id]?.problem = "There is no virtual node of this name."
        }
    }

    private mutating func add(_ kind: String, _ name: String, _ id: String) {
        if nodes[id] == nil { nodes[id] = ServiceMap.Node(id: id, kind: kind, name: name) }
    }

    /// Adds a virtual node or gateway; a gateway is called from outside.
    private mutating func addOwner(_ object: ObjectID, mesh: String) {
        let id = ServiceMap.Node.id(of: object)
        guard nodes[id] == nil else { return }
        let totals = state.totals.inbound[object]
        let rates = window.inbound[object] ?? .init()
        let gauges = window.gauges.inbound[object]
        var node = ServiceMap.Node(
            id: id,
            kind: object.kind.rawValue,
            mesh: mesh,
            namespace: object.namespace,
            name: object.name,
            traffic: Traffic(totals, rates, gauges)
        )
        let isHTTP = rates.requests > 0 || (totals?[.requests] ?? 0) > 0
        let health = rates.health(isHTTP: isHTTP, isOpen: node.traffic.activeConnections > 0)
        judge(&node, health, rates, isHTTP: isHTTP, statuses[id])
        nodes[id] = node
        guard object.kind == .virtualGateway else { return }
        add("Client", "outside", ServiceMap.Node.outside)
        gateways.append(
            ServiceMap.Edge(
                source: ServiceMap.Node.outside,
                target: id,
                isHTTP: isHTTP || node.traffic.connections == 0,
                security: totals?.hasSecureConnections ?? false ? .tls : .plaintext,
                health: health,
                traffic: node.traffic
            )
        )
        if health != .idle { nodes[ServiceMap.Node.outside]?.health = .healthy }
    }

    /// What is known of a node first, then what happens to it.
    private func judge(
        _ node: inout ServiceMap.Node,
        _ health: ServiceMap.Health,
        _ rates: WindowTraffic.Rates,
        isHTTP: Bool,
        _ status: TrafficNodeStatus?
    ) {
        node.health = health
        if let part = rates.failingPart(isHTTP: isHTTP), health != .healthy {
            node.problem = Self.problem(part, isHTTP: isHTTP)
        }
        guard let status else { return }
        node.proxies = status.proxies
        node.readyProxies = status.readyProxies
        node.problem = status.problem ?? node.problem
        if status.isRefused {
            node.health = .failing
            node.problem = node.problem ?? "A proxy refused its configuration."
        } else if status.proxies > 0, status.readyProxies == 0 {
            node.health = .failing
            node.problem = node.problem ?? "No proxy is ready."
        } else if status.problem != nil, health != .failing {
            node.health = .degraded
        }
    }

    private static func problem(_ part: Double, isHTTP: Bool) -> String {
        let permille = Int((min(max(part, 0), 1) * 1000).rounded())
        let what = isHTTP ? "requests" : "connections"
        return "\(permille / 10).\(permille % 10) % of \(what) fail."
    }

    /// What has no proxies is asked what its callers say.
    private mutating func addCallersOfWhatHasNoProxies() {
        var sums: [String: (TrafficCounters, WindowTraffic.Rates, TrafficCounters, isHTTP: Bool)] =
            [:]
        let served = Set(state.topology.proxies.values.map(\.owner))
        for key in declared.keys {
            if case .virtualNode(let object, _) = key.destination, served.contains(object) {
                continue
            }
            let id = ServiceMap.Node.id(of: key.destination)
            var sum = sums[id] ?? (.init(), .init(), .init(), false)
            sum.0.add(state.totals.edges[key] ?? .init())
            sum.1.add(window.edges[key] ?? .init())
            sum.2.add(window.gauges.edges[key] ?? .init())
            if key.isHTTP { sum.isHTTP = true }
            sums[id] = sum
        }
        for (id, (totals, rates, gauges, isHTTP)) in sums {
            guard var node = nodes[id] else { continue }
            node.traffic = Traffic(totals, rates, gauges)
            let isOpen = gauges[.activeConnections] > 0
            let health = rates.health(isHTTP: isHTTP, isOpen: isOpen)
            if node.kind == "Missing" {
                nodes[id] = node
                continue
            }
            judge(&node, health, rates, isHTTP: isHTTP, statuses[id])
            nodes[id] = node
        }
    }

    /// Declared shares, and what part of the requests to each service's targets came to each.
    ///
    /// A target that serves several services in one cluster counts for each of them.
    func splits(of topology: MeshTopology) -> [ServiceMap.Split] {
        var rates: [String: [String?: Double]] = [:]
        for (key, edge) in declared {
            let requests = window.edges[key]?.requests ?? 0
            var target: String? = edge.target
            if case .missing = key.destination { target = nil }
            for service in edge.services {
                rates[service, default: [:]][target, default: 0] += requests
            }
        }
        let splits = topology.splits.map { split in
            let target = split.target.map { ServiceMap.Node.id(of: $0) }
            let ofService = rates[split.serviceName] ?? [:]
            let sum = ofService.values.reduce(0, +)
            return ServiceMap.Split(
                service: split.serviceName,
                route: split.route,
                target: target,
                share: split.share,
                observedShare: sum > 0 ? (ofService[target] ?? 0) / sum : nil
            )
        }
        return splits.sorted {
            ($0.service, $0.route ?? "", $0.target ?? "")
                < ($1.service, $1.route ?? "", $1.target ?? "")
        }
    }
}
