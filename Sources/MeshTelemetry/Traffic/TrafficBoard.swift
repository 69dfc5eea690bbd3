public import MeshModel
import Synchronization

/// What the statistics of all proxies say of the traffic between virtual nodes.
///
/// Each answer of a proxy is compared with the one before, and what was counted between them is added to
/// who was asked and to who asked whom, as the topology has it. So what is shown goes on growing when
/// proxies restart, are replaced or go, and holds nothing of before the daemon. What the topology does
/// not know is left out, so that a proxy cannot make it grow.
public final class TrafficBoard: Sendable {
    /// Over how long rates and latencies are measured.
    ///
    /// Proxies are asked every 2.5 s: so it is four answers of each, enough that the rate of one request
    /// a second is right, and short enough that a shift of weights is seen to move.
    public static let window = Duration.seconds(10)
    /// For how long a proxy that is no more in the topology still counts, as it finishes its requests.
    static let farewell = Duration.seconds(60)
    /// How many pairs of who asks and who is asked are kept, at the most.
    static let edgeLimit = 20_000

    /// A regular expression for the names of the statistics that are needed.
    public static var filter: String { EnvoyStatistics.filter }

    let state: Mutex<State>

    /// Makes a board that knows nobody.
    ///
    /// - Parameter timeSeconds: The time, in seconds since 1970.
    public init(timeSeconds: Double) { state = Mutex(State(beganSeconds: timeSeconds)) }

    /// Takes what a proxy answered.
    ///
    /// An answer to an earlier question than the one before is left out.
    ///
    /// - Parameters:
    ///   - proxy: The proxy.
    ///   - generation: Which of its processes answered.
    ///   - text: The answer, with `filter` and `histogram_buckets=detailed`.
    ///   - time: When it was asked.
    public func take(
        _ proxy: ProxyID,
        _ generation: ProxyGeneration,
        _ text: String,
        askedAt time: ContinuousClock.Instant
    ) {
        let statistics = EnvoyStatistics(text: text)
        state.withLock { $0.take(proxy, generation, statistics, time) }
    }

    /// Makes `topology` what proxies are compared with.
    ///
    /// - Parameters:
    ///   - topology: Who may call whom, of the newest plan.
    ///   - now: The time.
    public func update(_ topology: MeshTopology, now: ContinuousClock.Instant = .now) {
        state.withLock { $0.update(topology, now) }
    }
}

/// From one virtual node or gateway to another, or outside.
struct TrafficEdge: Hashable, Sendable {
    var source: ObjectID
    var destination: TrafficTarget.Destination
    var port: Port?
    var isHTTP: Bool

    init(from source: ObjectID, to target: TrafficTarget) {
        self.source = source
        destination = target.destination
        port = target.port
        isHTTP = target.isHTTP
    }
}

/// What happened, by who was asked and by who asked whom.
struct TrafficSums: Hashable, Sendable {
    var inbound: [ObjectID: TrafficCounters] = [:]
    var edges: [TrafficEdge: TrafficCounters] = [:]

    mutating func add(_ other: TrafficSums) {
        for (owner, counters) in other.inbound { inbound[owner, default: .init()].add(counters) }
        for (edge, counters) in other.edges { edges[edge, default: .init()].add(counters) }
    }
}

extension TrafficBoard {
    struct State: Sendable {
        /// When the daemon began to count, in seconds since 1970.
        let beganSeconds: Double
        var topology = MeshTopology()
        /// Proxies that left the topology, and until when they count.
        var departed: [ProxyID: (place: ProxyTopology, until: ContinuousClock.Instant)] = [:]
        var readings: [ProxyID: ProxyReadings] = [:]
        /// Everything since the daemon began to count.
        var totals = TrafficSums()
        /// The edges in the order in which something happened first.
        var order: [TrafficEdge] = []

        init(beganSeconds: Double) { self.beganSeconds = beganSeconds }

        mutating func update(_ newest: MeshTopology, _ now: ContinuousClock.Instant) {
            for (proxy, place) in topology.proxies where newest.proxies[proxy] == nil {
                departed[proxy] = (place, now + TrafficBoard.farewell)
            }
            topology = newest
            departed = departed.filter { newest.proxies[$0.key] == nil && $0.value.until > now }
            readings = readings.filter { proxy, _ in
                newest.proxies[proxy] != nil || departed[proxy] != nil
            }
        }

        mutating func take(
            _ proxy: ProxyID,
            _ generation: ProxyGeneration,
            _ statistics: EnvoyStatistics,
            _ time: ContinuousClock.Instant
        ) {
            guard let place = topology.proxies[proxy] ?? departed[proxy]?.place else { return }
            var readings = readings.removeValue(forKey: proxy) ?? ProxyReadings()
            let change = readings.take(generation, statistics, time, place)
            self.readings[proxy] = readings
            for (owner, counters) in change.inbound {
                totals.inbound[owner, default: .init()].add(counters)
            }
            for (edge, counters) in change.edges {
                if totals.edges[edge] == nil {
                    makeRoom()
                    order.append(edge)
                }
                totals.edges[edge, default: .init()].add(counters)
            }
        }

        /// Forgets the older half of the edges that are no more declared, once there are too many.
        private mutating func makeRoom() {
            guard order.count >= TrafficBoard.edgeLimit else { return }
            let declared = Set(
                topology.proxies.values.flatMap { place in
                    place.targets.values.map { TrafficEdge(from: place.owner, to: $0) }
                }
            )
            let old = order.filter { !declared.contains($0) }
            let gone = Set(old.prefix(old.count / 2 + 1))
            order.removeAll { gone.contains($0) }
            for edge in gone { totals.edges[edge] = nil }
        }
    }
}
