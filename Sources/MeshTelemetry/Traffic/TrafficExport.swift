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
        defer { cursor = TrafficCursor(timeSeconds: timeSeconds, totals: state.totals) }
        return TrafficInterval(
            fromSeconds: cursor?.timeSeconds ?? state.beganSeconds,
            toSeconds: timeSeconds,
            resources: state.resources(since: previous, gauges),
            targets: state.targets(since: previous, gauges)
        )
    }
}

extension TrafficBoard.State {
    /// What each was asked; of those who left only what is new.
    fileprivate func resources(
        since previous: TrafficSums,
        _ gauges: TrafficSums
    ) -> [TrafficInterval.Resource] {
        let asked = Set(owners.current.keys).union(totals.inbound.keys).union(gauges.inbound.keys)
        return asked.compactMap { id in
            guard let owner = owners[id] else { return nil }
            let change = (totals.inbound[id] ?? .init())
                .since(previous.inbound[id] ?? .init())
            let gauge = gauges.inbound[id]
            let isOver = change.isEmpty && gauge?[.activeConnections] ?? 0 == 0
            if isOver, owners.current[id] == nil { return nil }
            return TrafficInterval.Resource(owner: owner, change, gauge)
        }
        .sorted { $0.owner < $1.owner }
    }

    /// What each asked of others, also of what is no more declared.
    fileprivate func targets(
        since previous: TrafficSums,
        _ gauges: TrafficSums
    ) -> [TrafficInterval.Target] {
        let asked = Set(totals.edges.keys).union(gauges.edges.keys)
        let targets = asked.compactMap { id -> (edge: NamedEdge, target: TrafficInterval.Target)? in
            guard let edge = edges[id] else { return nil }
            let change = (totals.edges[id] ?? .init()).since(previous.edges[id] ?? .init())
            let gauge = gauges.edges[id] ?? .init()
            if change.isEmpty, gauge[.activeConnections] == 0 { return nil }
            return (edge, TrafficInterval.Target(source: edge.source, edge.target, change, gauge))
        }
        return targets.sorted { $0.edge < $1.edge }.map(\.target)
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
