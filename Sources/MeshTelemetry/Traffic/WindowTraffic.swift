import MeshModel

/// What happened in the window, and what is of now.
struct WindowTraffic: Sendable {
    /// What is shown of it.
    struct Rates: Sendable {
        var requests = 0.0
        var failures = 0.0
        var retries = 0.0
        var bytes = 0.0
        var connections = 0.0
        var connectFailures = 0.0
        var latency = LatencyHistogram()

        /// Adds what was counted in so many seconds.
        mutating func add(_ counters: TrafficCounters, seconds: Double) {
            func rate(_ counter: TrafficCounters.Counter) -> Double {
                Double(counters[counter]) / seconds
            }
            requests += rate(.requests)
            failures += rate(.serverErrors)
            retries += rate(.retries)
            bytes += rate(.sentBytes) + rate(.receivedBytes)
            connections += rate(.connections)
            connectFailures += rate(.connectFailures)
            latency.add(counters.latency)
        }

        mutating func add(_ other: Rates) {
            requests += other.requests
            failures += other.failures
            retries += other.retries
            bytes += other.bytes
            connections += other.connections
            connectFailures += other.connectFailures
            latency.add(other.latency)
        }
    }

    var inbound: [ObjectID: Rates] = [:]
    var edges: [TrafficEdge: Rates] = [:]
    var gauges = TrafficSums()

    /// Adds up what all proxies answered in the window that ends at `now`; the rate of each is that of
    /// its own answers.
    init(_ readings: some Collection<ProxyReadings>, now: ContinuousClock.Instant) {
        for proxy in readings {
            guard let time = proxy.time, time > now - TrafficBoard.window else { continue }
            gauges.add(proxy.gauges)
            let (slices, seconds) = proxy.recent(now)
            guard seconds > 0 else { continue }
            for slice in slices {
                for (owner, counters) in slice.sums.inbound {
                    inbound[owner, default: Rates()].add(counters, seconds: seconds)
                }
                for (edge, counters) in slice.sums.edges {
                    edges[edge, default: Rates()].add(counters, seconds: seconds)
                }
            }
        }
    }
}

extension WindowTraffic.Rates {
    /// Which part fails, of requests or of connections; nil when there are none.
    ///
    /// - Parameter isHTTP: Whether requests are seen, or connections only.
    /// - Returns: The part, from 0 to 1.
    func failingPart(isHTTP: Bool) -> Double? {
        if isHTTP { return requests > 0 ? failures / requests : nil }
        let tried = connections + connectFailures
        return tried > 0 ? connectFailures / tried : nil
    }

    /// How that is: an edge's health, or a node's by its traffic alone.
    ///
    /// - Parameters:
    ///   - isHTTP: Whether requests are seen, or connections only.
    ///   - isOpen: Whether connections are open.
    /// - Returns: The health.
    func health(isHTTP: Bool, isOpen: Bool) -> ServiceMap.Health {
        guard let part = failingPart(isHTTP: isHTTP) else {
            // Without HTTP an old connection may be all there is.
            return !isHTTP && (isOpen || bytes > 0) ? .healthy : .idle
        }
        return part >= 0.1 ? .failing : part >= 0.01 ? .degraded : .healthy
    }
}

extension Traffic {
    /// What is shown of these.
    init(
        _ totals: TrafficCounters?,
        _ rates: WindowTraffic.Rates?,
        _ gauges: TrafficCounters?
    ) {
        self.init()
        let totals = totals ?? TrafficCounters()
        requests = totals[.requests]
        failures = totals[.serverErrors]
        for (name, counter) in Self.classes where totals[counter] > 0 {
            responses[name] = totals[counter]
        }
        retries = totals[.retries]
        timeouts = totals[.timeouts]
        connectFailures = totals[.connectFailures]
        ejections = totals[.ejections]
        connections = totals[.connections]
        sentBytes = totals[.sentBytes]
        receivedBytes = totals[.receivedBytes]
        ejectedHosts = gauges?[.ejectedHosts] ?? 0
        activeConnections = gauges?[.activeConnections] ?? 0
        guard let rates else { return }
        requestsPerSecond = rates.requests
        failuresPerSecond = rates.failures
        retriesPerSecond = rates.retries
        bytesPerSecond = rates.bytes
        if rates.requests > 0 { successRate = max(0, 1 - rates.failures / rates.requests) }
        latencyMilliseconds = rates.latency.quantiles
    }

    /// Classes of statuses by their names, growing.
    static let classes: [(name: String, counter: TrafficCounters.Counter)] = [
        ("2xx", .successes), ("3xx", .redirections), ("4xx", .clientErrors),
        ("5xx", .serverErrors),
    ]
}
