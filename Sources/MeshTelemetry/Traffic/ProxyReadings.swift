import MeshModel

/// What one proxy answered lately.
struct ProxyReadings: Sendable {
    /// What was counted from one answer to the next.
    struct Slice: Sendable {
        var begin: ContinuousClock.Instant
        var end: ContinuousClock.Instant
        var sums: TrafficSums
    }

    private(set) var generation: ProxyGeneration?
    private(set) var time: ContinuousClock.Instant?
    private var clusters: [String: TrafficCounters] = [:]
    private var inbound: [String: TrafficCounters] = [:]
    /// The newest last; those in the window, and no more than `sliceLimit`.
    private(set) var slices: [Slice] = []
    /// Connections that are open, hosts that are ejected.
    private(set) var gauges = TrafficSums()

    /// Answers come every 2.5 s, and one more when a proxy ends.
    private static let sliceLimit = 8

    /// Takes an answer and returns what was counted since the one before.
    ///
    /// - Parameters:
    ///   - generation: Who answers.
    ///   - statistics: The answer.
    ///   - time: When it was asked.
    ///   - place: Where the proxy is among the others.
    /// - Returns: What was counted.
    mutating func take(
        _ generation: ProxyGeneration,
        _ statistics: EnvoyStatistics,
        _ time: ContinuousClock.Instant,
        _ place: ProxyTopology
    ) -> TrafficSums {
        let previous = self.time
        if let previous, time <= previous { return TrafficSums() }
        self.time = time
        gauges = TrafficSums()
        if self.generation != generation {
            self.generation = generation
            clusters = generation.isAdopted ? statistics.clusters : [:]
            inbound = generation.isAdopted ? statistics.inbound : [:]
        }
        var sums = TrafficSums()
        var application = TrafficCounters()
        for (name, counters) in statistics.clusters {
            if let target = place.targets[name] {
                let edge = TrafficEdge(from: place.owner, to: target)
                gauges.edges[edge, default: .init()].add(counters.gauges)
                let change = Self.change(of: name, counters, &clusters)
                if !change.isEmpty { sums.edges[edge, default: .init()].add(change) }
            } else if place.applicationClusters.contains(name) {
                application.add(Self.change(of: name, counters, &clusters))
                if Self.protocolName(cluster: name) == "tcp" {
                    gauges.inbound[place.owner, default: .init()].add(counters.gauges)
                }
            }
        }
        for (edge, counters) in sums.edges where !edge.isHTTP {
            // A connection for which there is no host is not even tried.
            sums.edges[edge]?[.connectFailures] =
                counters[.connectFailures] &+ counters[.noneHealthy]
        }
        let asked = takeInbound(statistics, application, place)
        if !asked.isEmpty { sums.inbound[place.owner] = asked }
        if let previous { keep(Slice(begin: previous, end: time, sums: sums)) }
        return sums
    }

    /// What the proxy was asked, and what its application did not answer.
    private mutating func takeInbound(
        _ statistics: EnvoyStatistics,
        _ application: TrafficCounters,
        _ place: ProxyTopology
    ) -> TrafficCounters {
        var asked = TrafficCounters()
        for counter in [TrafficCounters.Counter.timeouts, .connectFailures] {
            asked[counter] = application[counter]
        }
        // Of a gateway it is where its requests enter it again.
        let protocols = Set(
            statistics.clusters.keys.filter { $0.hasPrefix("cds_ingress_") }
                .map(Self.protocolName)
        )
        for (prefix, counters) in statistics.inbound {
            gauges.inbound[place.owner, default: .init()].add(counters.gauges)
            var change = Self.change(of: prefix, counters, &inbound)
            let words = prefix.split(separator: ".")
            if words.count > 2 ? words[2] == "grpc" : protocols == ["grpc"] {
                change[.grpcRequests] = change[.requests]
            }
            asked.add(change)
        }
        return asked
    }

    /// By how much counters grew; a cluster that is not shown any more keeps its place, as it may come
    /// back with what it had.
    private static func change(
        of name: String,
        _ counters: TrafficCounters,
        _ baselines: inout [String: TrafficCounters]
    ) -> TrafficCounters {
        let previous = baselines[name] ?? TrafficCounters()
        baselines[name] = counters.baseline(after: previous)
        return counters.since(previous)
    }

    /// `http` of `cds_ingress_<mesh>_<node>_http_8080`.
    private static func protocolName(cluster: String) -> Substring {
        let words = cluster.split(separator: "_")
        return words.count > 1 ? words[words.count - 2] : ""
    }

    private mutating func keep(_ slice: Slice) {
        slices.append(slice)
        let begin = slice.end - TrafficBoard.window
        slices.removeAll { $0.end <= begin }
        if slices.count > Self.sliceLimit { slices.removeFirst() }
    }

    /// Slices in the window that ends at `now`, and how many seconds they took together.
    func recent(_ now: ContinuousClock.Instant) -> (slices: ArraySlice<Slice>, seconds: Double) {
        let begin = now - TrafficBoard.window
        let recent = slices.drop { $0.end <= begin }
        let seconds = recent.reduce(0) { $0 + ($1.end - $1.begin) / .seconds(1) }
        return (recent, seconds)
    }
}
