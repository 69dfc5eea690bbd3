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
    /// How many pairs of who asks and who is asked are kept, and how many who are asked, at the most;
    /// those that are declared are kept in any case.
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

    /// Makes `topology` what proxies are compared with; an equal one is soon done with.
    ///
    /// - Parameters:
    ///   - topology: Who may call whom, of the newest plan.
    ///   - now: The time.
    public func update(_ topology: MeshTopology, now: ContinuousClock.Instant = .now) {
        // On a copy, so that answers of proxies do not wait.
        let isSame = state.withLock({ $0.topology }) == topology
        let names = isSame ? nil : TrafficNames(topology.proxies.values)
        state.withLock { state in
            if let names { state.replace(topology, names, now) }
            state.expire(now)
        }
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
        /// The same of edges by their names at that time, for metrics: a counter of metrics never falls,
        /// whichever ports and targets come and go.
        var rows: [TrafficRow: TrafficRow.Totals] = [:]
        var edges = Declarations<TrafficEdge, NamedEdge>()
        var owners = Declarations<ObjectID, TrafficInterval.Owner>()
        private var edgeOrder = FirstSeen<TrafficEdge>()
        private var ownerOrder = FirstSeen<ObjectID>()
        private(set) var rowOrder = FirstSeen<TrafficRow>()

        init(beganSeconds: Double) { self.beganSeconds = beganSeconds }

        mutating func replace(
            _ newest: MeshTopology,
            _ names: TrafficNames,
            _ now: ContinuousClock.Instant
        ) {
            for (proxy, place) in topology.proxies where newest.proxies[proxy] == nil {
                departed[proxy] = (place, now + TrafficBoard.farewell)
            }
            departed = departed.filter { newest.proxies[$0.key] == nil }
            topology = newest
            edges.replace(with: names.edges, now)
            owners.replace(with: names.owners, now)
        }

        /// Forgets those who left a while ago, but for what was counted.
        mutating func expire(_ now: ContinuousClock.Instant) {
            for (proxy, _) in departed.filter({ $0.value.until <= now }) {
                departed[proxy] = nil
                readings[proxy] = nil
            }
            edges.expire(now) { totals.edges[$0] != nil }
            owners.expire(now) { totals.inbound[$0] != nil }
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
            for (owner, counters) in change.inbound { add(counters, to: owner) }
            for (edge, counters) in change.edges { add(counters, to: edge) }
        }

        private mutating func add(_ counters: TrafficCounters, to owner: ObjectID) {
            if totals.inbound[owner] == nil {
                let gone = ownerOrder.add(owner, limit: TrafficBoard.edgeLimit) {
                    Set(owners.current.keys)
                }
                for owner in gone { totals.inbound[owner] = nil }
            }
            totals.inbound[owner, default: .init()].add(counters)
        }

        private mutating func add(_ counters: TrafficCounters, to edge: TrafficEdge) {
            if totals.edges[edge] == nil {
                let gone = edgeOrder.add(edge, limit: TrafficBoard.edgeLimit) {
                    Set(edges.current.keys)
                }
                for edge in gone { totals.edges[edge] = nil }
            }
            totals.edges[edge, default: .init()].add(counters)
            guard let row = edges[edge]?.row else { return }
            if rows[row] == nil {
                let gone = rowOrder.add(row, limit: TrafficBoard.edgeLimit) {
                    Set(edges.current.values.map(\.row))
                }
                for row in gone { rows[row] = nil }
            }
            rows[row, default: .init()].counters.add(counters)
            if edge.isHTTP { rows[row]?.isHTTP = true }
        }
    }
}
