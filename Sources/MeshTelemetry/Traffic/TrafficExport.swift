import MeshModel
import Synchronization

/// Up to where an exporter has been told of traffic.
public struct TrafficCursor: Sendable {
    /// In seconds since 1970.
    var timeSeconds: Double
    var totals: TrafficSums
}

extension TrafficBoard {
    /// What happened since `cursor`, which moves to now; without one, since the daemon began.
    ///
    /// Each exporter has its own cursor, and so misses nothing and hears nothing twice.
    ///
    /// - Parameters:
    ///   - cursor: Up to where the exporter was told.
    ///   - timeSeconds: The time, in seconds since 1970.
    ///   - now: The same on a clock that nobody sets.
    /// - Returns: What happened.
    public func interval(
        since cursor: inout TrafficCursor?,
        timeSeconds: Double,
        now: ContinuousClock.Instant = .now
    ) -> TrafficInterval {
        let state = state.withLock { $0 }
        let previous = cursor?.totals ?? TrafficSums()
        let gauges = WindowTraffic(state.readings.values, now: now).gauges
        let places = state.topology.proxies.sorted { $0.key < $1.key }.map(\.value)
        let owners = places.reduce(into: [ObjectID: TrafficInterval.Owner]()) { owners, place in
            owners[place.owner] = TrafficInterval.Owner(place)
        }
        defer { cursor = TrafficCursor(timeSeconds: timeSeconds, totals: state.totals) }
        return TrafficInterval(
            fromSeconds: cursor?.timeSeconds ?? state.beganSeconds,
            toSeconds: timeSeconds,
            resources: owners.values.sorted().map { owner in
                let now = state.totals.inbound[owner.id] ?? .init()
                return TrafficInterval.Resource(
                    owner: owner,
                    now.since(previous.inbound[owner.id] ?? .init()),
                    gauges.inbound[owner.id]
                )
            },
            targets: Self.targets(places).compactMap { edge, target, owner in
                let now = state.totals.edges[edge] ?? .init()
                let change = now.since(previous.edges[edge] ?? .init())
                let gauge = gauges.edges[edge] ?? .init()
                if change.isEmpty, gauge[.activeConnections] == 0 { return nil }
                return TrafficInterval.Target(source: owner, target, change, gauge)
            }
        )
    }

    /// Who asks whom, once each, sorted.
    static func targets(
        _ places: [ProxyTopology]
    ) -> [(TrafficEdge, TrafficTarget, TrafficInterval.Owner)] {
        var result: [TrafficEdge: (target: TrafficTarget, owner: TrafficInterval.Owner)] = [:]
        for place in places {
            for target in place.targets.values {
                let edge = TrafficEdge(from: place.owner, to: target)
                guard var known = result[edge] else {
                    result[edge] = (target, TrafficInterval.Owner(place))
                    continue
                }
                if known.target.services != target.services {
                    known.target.services += target.services
                    result[edge] = known
                }
            }
        }
        return result.map { edge, value in
            var target = value.target
            target.services = Array(Set(target.services)).sorted()
            return (edge, target, value.owner)
        }
        .sorted {
            ($0.2, $0.1.destination.name, $0.1.port?.number ?? 0, $0.1.isHTTP ? 0 : 1)
                < ($1.2, $1.1.destination.name, $1.1.port?.number ?? 0, $1.1.isHTTP ? 0 : 1)
        }
    }
}

extension TrafficTarget.Destination {
    /// In App Mesh's dimensions.
    var name: String {
        switch self {
        case .virtualNode(_, let name), .external(let name), .missing(let name): name
        }
    }
}

extension TrafficInterval.Owner {
    init(_ place: ProxyTopology) {
        self.init(
            mesh: place.mesh,
            meshName: place.meshName,
            id: place.owner,
            name: place.ownerName
        )
    }
}

extension TrafficInterval.Resource {
    init(owner: TrafficInterval.Owner, _ change: TrafficCounters, _ gauges: TrafficCounters?) {
        self.init(owner: owner)
        grpcRequests = change[.grpcRequests]
        requests = change[.requests] &- grpcRequests
        newConnections = change[.connections]
        activeConnections = gauges?[.activeConnections] ?? 0
        processedBytes = change[.sentBytes] &+ change[.receivedBytes]
    }
}

extension TrafficInterval.Target {
    init(
        source: TrafficInterval.Owner,
        _ target: TrafficTarget,
        _ change: TrafficCounters,
        _ gauges: TrafficCounters
    ) {
        self.init(
            source: source,
            target: target.destination.name,
            services: target.services,
            isHTTP: target.isHTTP
        )
        requests = change[.requests]
        for (index, (_, counter)) in Traffic.classes.enumerated() where change[counter] > 0 {
            responses[index + 2] = change[counter]
        }
        latencies = change.latency.latencies
        newConnections = change[.connections]
        activeConnections = gauges[.activeConnections]
        sentBytes = change[.sentBytes]
        receivedBytes = change[.receivedBytes]
    }
}
