import MeshModel

/// Who asks whom in metrics: a pair of them, on all its ports, is one series.
struct TrafficRow: Hashable, Sendable {
    var meshName: String
    var isGateway: Bool
    var source: String
    var namespace: String
    var target: String
    var services: [String]

    /// What was counted of it.
    struct Totals: Sendable {
        var counters = TrafficCounters()
        var isHTTP = false
    }

    var labels: MetricLabels {
        var labels: MetricLabels = ["appmesh_mesh": meshName]
        labels.append(isGateway ? "appmesh_virtual_gateway" : "appmesh_virtual_node", source)
        labels.append("namespace", namespace)
        labels.append("target_virtual_node", target)
        labels.append("target_virtual_service", services.joined(separator: ","))
        return labels
    }
}

extension TrafficInterval.Owner {
    /// App Mesh's names for a virtual node or gateway.
    var labels: MetricLabels {
        var labels: MetricLabels = ["appmesh_mesh": meshName]
        let isGateway = id.kind == .virtualGateway
        labels.append(isGateway ? "appmesh_virtual_gateway" : "appmesh_virtual_node", name)
        labels.append("namespace", id.namespace)
        return labels
    }
}

/// An edge by the names of who asks and who is asked.
struct NamedEdge: Hashable, Sendable {
    var source: TrafficInterval.Owner
    /// With the services of all proxies of the source, sorted.
    var target: TrafficTarget

    var row: TrafficRow {
        TrafficRow(
            meshName: source.meshName,
            isGateway: source.id.kind == .virtualGateway,
            source: source.name,
            namespace: source.id.namespace,
            target: target.destination.name,
            services: target.services
        )
    }

    static func < (left: NamedEdge, right: NamedEdge) -> Bool {
        func key(_ edge: NamedEdge) -> (TrafficInterval.Owner, String, UInt16, Int) {
            let target = edge.target
            let port = target.port?.number ?? 0
            return (edge.source, target.destination.name, port, target.isHTTP ? 0 : 1)
        }
        return key(left) < key(right)
    }
}

/// What the topology calls those who ask and those who are asked.
struct TrafficNames: Sendable {
    var owners: [ObjectID: TrafficInterval.Owner] = [:]
    var edges: [TrafficEdge: NamedEdge] = [:]

    init(_ places: some Sequence<ProxyTopology>) {
        for place in places {
            let owner = TrafficInterval.Owner(place)
            owners[place.owner] = owner
            for target in place.targets.values {
                let edge = TrafficEdge(from: place.owner, to: target)
                if let known = edges[edge]?.target.services, known != target.services {
                    edges[edge]?.target.services = Array(Set(known + target.services)).sorted()
                } else {
                    edges[edge] = NamedEdge(source: owner, target: target)
                }
            }
        }
    }
}

/// What is declared, and what was until lately or has been counted, by its key.
struct Declarations<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private(set) var current: [Key: Value] = [:]
    private var former: [Key: (value: Value, until: ContinuousClock.Instant)] = [:]

    subscript(key: Key) -> Value? { current[key] ?? former[key]?.value }

    /// Makes `newest` what is declared.
    ///
    /// - Parameters:
    ///   - newest: The declared.
    ///   - now: The time.
    mutating func replace(with newest: [Key: Value], _ now: ContinuousClock.Instant) {
        for (key, value) in current where newest[key] == nil {
            former[key] = (value, now + TrafficBoard.farewell)
        }
        current = newest
        former = former.filter { newest[$0.key] == nil }
    }

    /// Forgets what is no more declared, once it says farewell no more, unless it is needed.
    mutating func expire(_ now: ContinuousClock.Instant, unless isNeeded: (Key) -> Bool) {
        former = former.filter { $0.value.until > now || isNeeded($0.key) }
    }

    /// What was declared until lately.
    func late(_ now: ContinuousClock.Instant) -> [Key: Value] {
        former.filter { $0.value.until > now }.mapValues(\.value)
    }
}

/// Keys in the order in which something happened first, so many at the most.
struct FirstSeen<Key: Hashable & Sendable>: Sendable {
    private(set) var keys: [Key] = []

    /// Adds a key that is new.
    ///
    /// - Parameters:
    ///   - key: The key.
    ///   - limit: How many there may be.
    ///   - declared: Those that stay in any case.
    /// - Returns: What is forgotten for it: the older half of those that are not declared.
    mutating func add(_ key: Key, limit: Int, declared: () -> Set<Key>) -> Set<Key> {
        var gone: Set<Key> = []
        if keys.count >= limit {
            let declared = declared()
            let old = keys.filter { !declared.contains($0) }
            gone = Set(old.prefix(old.count / 2 + 1))
            keys.removeAll { gone.contains($0) }
        }
        keys.append(key)
        return gone
    }
}
