internal import EnvoyAPI
internal import MeshModel
internal import MeshPlan
internal import SwiftProtobuf

/// The health discovery protocol of one proxy, without I/O.
///
/// The server says what to check, and the proxy reports all results time and again. There are no
/// nonces and no refusals: of a specifier that is not valid Envoy takes nothing and says nothing.
///
/// For Envoy an endpoint is unhealthy until it was checked, and some reports of that do not tell
/// whether it was. So they are doubted until a first check must have ended, on each stream anew, as
/// the Envoy may be another.
///
/// Guarantee: the result of an endpoint holds until a report replaces it or the endpoint is no
/// longer checked, however often streams end.
///
/// See <https://www.envoyproxy.io/docs/envoy/latest/api-v3/service/health/v3/hds.proto>.
struct HealthSession: Sendable {
    /// What the proxy shall check; nil until it is known.
    private(set) var probes: [Probe]?
    /// What is known of each port.
    private(set) var health: [Port: ApplicationHealth] = [:]
    /// The ports of which this stream has told nothing certain.
    private var doubts: [Port: Doubt] = [:]
    /// How many reports came since the newest doubt.
    private var doubtfulReports = 0
    /// Probes that the proxy no longer does, in order of their clusters, which it has for good:
    /// Envoy keeps them also when a stream ends.
    private var ended: [Probe] = []
    private var sent: Sent?

    private struct Sent: Equatable {
        var probes: [Probe]
        var ended: [Probe]
        var interval: Duration
    }

    private struct Doubt {
        var timeout: Duration
        /// When a check must have ended; nil before the first report.
        var end: ContinuousClock.Instant?
    }

    init(probes: [Probe]?) {
        if let probes { probesChanged(to: probes) }
    }
}

extension HealthSession {
    /// Takes the newest probes.
    ///
    /// What is known of an endpoint stays known when only its check changes, as in Envoy.
    mutating func probesChanged(to probes: [Probe]) {
        let known = Set((self.probes ?? []).map(Target.init))
        let kept = probes.filter { known.contains(Target($0)) }
        let ports = Set(kept.map(\.port))
        health = health.filter { ports.contains($0.key) }
        doubts = doubts.filter { ports.contains($0.key) }
        for probe in probes where !ports.contains(probe.port) { doubt(probe) }
        let clusters = Set(probes.map(\.cluster))
        ended = (ended + (self.probes ?? [])).filter { !clusters.contains($0.cluster) }
            .sorted { $0.cluster < $1.cluster }
        self.probes = probes
    }

    /// Begins a new stream, of another Envoy, that has no cluster yet, or of the same.
    mutating func restart(asAnother isAnother: Bool = false) {
        sent = nil
        if isAnother { ended = [] }
        for probe in probes ?? [] { doubt(probe) }
    }

    private mutating func doubt(_ probe: Probe) {
        doubts[probe.port] = Doubt(timeout: probe.check.timeout)
        doubtfulReports = 0
    }

    /// Whether there is a specifier to send.
    var hasSpecifier: Bool { wanted != sent }

    private var wanted: Sent? {
        probes.map { Sent(probes: $0, ended: ended, interval: interval(for: $0)) }
    }

    /// The specifier to send now; nil when the proxy has it.
    mutating func nextSpecifier() -> Envoy_Service_Health_V3_HealthCheckSpecifier? {
        guard let next = wanted, sent != next else { return nil }
        sent = next
        return healthCheckSpecifier(
            for: next.probes,
            ended: next.ended,
            reportingInterval: next.interval
        )
    }

    /// Takes a report that came at `now`.
    mutating func received(
        _ report: Envoy_Service_Health_V3_EndpointHealthResponse,
        at now: ContinuousClock.Instant
    ) {
        doubtfulReports += 1
        let probes = Dictionary(
            (self.probes ?? []).map { ($0.cluster, $0) },
            uniquingKeysWith: { first, _ in first }
        )
        for cluster in report.clusterEndpointsHealth {
            guard let probe = probes[cluster.clusterName] else { continue }
            let endpoints = cluster.localityEndpointsHealth.flatMap(\.endpointsHealth)
            guard let endpoint = endpoints.first(where: { $0.isTarget(of: probe) }) else {
                continue
            }
            take(endpoint, of: probe, at: now)
        }
    }

    private mutating func take(
        _ endpoint: Envoy_Service_Health_V3_EndpointHealth,
        of probe: Probe,
        at now: ContinuousClock.Instant
    ) {
        let port = probe.port
        let news = endpoint.health(of: probe, after: health[port])
        if news == .unhealthy(.unknown), let doubt = doubts[port] {
            let end = doubt.end ?? now + doubt.timeout
            doubts[port]?.end = end
            if now < end { return }
        }
        doubts[port] = nil
        health[port] = news
    }

    /// The time between two reports.
    ///
    /// At first it is short, so that a server that was just started soon knows what the one before
    /// knew. It grows as long as something is in doubt: an application may need a minute to start.
    private func interval(for probes: [Probe]) -> Duration {
        guard let shortest = probes.map(\.check.interval).min() else {
            return HealthSession.idleInterval
        }
        // Reports tell only what checks found.
        let settled = min(max(shortest / 5, .seconds(1)), .seconds(5))
        guard !doubts.isEmpty else { return settled }
        return min(HealthSession.firstInterval * (1 << min(doubtfulReports, 6)), settled)
    }

    static let firstInterval = Duration.milliseconds(100)
    /// Reports of nothing.
    static let idleInterval = Duration.seconds(3600)
}

/// What the result of a check belongs to.
private struct Target: Hashable {
    var port: Port
    var cluster: String
    var address: String
    var applicationPort: Port

    init(_ probe: Probe) {
        port = probe.port
        cluster = probe.cluster
        address = probe.address
        applicationPort = probe.applicationPort
    }
}

extension Envoy_Service_Health_V3_EndpointHealth {
    /// Whether this is what `probe` checks.
    ///
    /// An IPv6 address has several spellings.
    fileprivate func isTarget(of probe: Probe) -> Bool {
        let socket = endpoint.address.socketAddress
        return socket.portValue == UInt32(probe.applicationPort.number)
            && (socket.address == probe.address || probe.address.contains(":"))
    }

    /// What the report says of the application that `probe` checks.
    fileprivate func health(
        of probe: Probe,
        after previous: ApplicationHealth?
    ) -> ApplicationHealth {
        switch healthStatus {
        case .healthy, .degraded: return .healthy
        case .timeout: return .unhealthy(.timeout)
        case .unknown, .unhealthy, .draining, .UNRECOGNIZED: break
        }
        let status = healthMetadata.fields["http_status_code"]?.numberValue
        guard let status = status.flatMap(Int.init(exactly:)), (100...599).contains(status) else {
            return .unhealthy(.unknown)
        }
        guard status == 200 else { return .unhealthy(.status(status)) }
        if probe.check.protocol == .grpc { return .unhealthy(.unknown) }
        // It recovers: it must answer so `healthyThreshold` times.
        if case .unhealthy = previous { return previous ?? .healthy }
        return .unhealthy(.status(status))
    }
}
