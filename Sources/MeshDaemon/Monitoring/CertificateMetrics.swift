public import MeshModel
internal import MeshTelemetry

/// How often a proxy judged a caller in one way.
public struct AccessCount: Hashable, Sendable {
    /// The proxy that was called.
    public var proxy: ProxyID
    /// The caller's SPIFFE ID, or what else is known of it.
    public var caller: String
    /// What came of it: `denied`, or `shadow` where it was let through.
    public var verdict: String
    /// How often, since the daemon started.
    public var count: Int

    /// Makes a count.
    public init(proxy: ProxyID, caller: String, verdict: String, count: Int) {
        self.proxy = proxy
        self.caller = caller
        self.verdict = verdict
        self.count = count
    }
}

extension MetricsText {
    /// Adds when certificates and authorities end.
    mutating func addCertificates(_ report: CertificateReport) {
        var ends: Samples = []
        var problems: Samples = []
        var authorities: Samples = []
        for entry in report.entries {
            let name = entry.namespace.isEmpty ? entry.name : "\(entry.namespace)/\(entry.name)"
            let labels: MetricLabels = [
                "name": name, "identity": entry.identity, "mesh": entry.mesh ?? "",
                "source": entry.source,
            ]
            problems.append((labels, entry.observation.problem == nil ? 0 : 1))
            guard let end = entry.observation.notAfterSeconds else { continue }
            if let phase = entry.phase {
                let labels: MetricLabels = [
                    "mesh": entry.mesh ?? "", "serial": entry.observation.serial ?? "",
                    "phase": phase.rawValue,
                ]
                authorities.append((labels, Double(end)))
            } else {
                ends.append((labels, Double(end)))
            }
        }
        add(
            "heddle_certificate_expiry_timestamp_seconds",
            .gauge,
            help: "When a certificate or trust ends, in seconds since 1970.",
            ends
        )
        add(
            "heddle_authority_expiry_timestamp_seconds",
            .gauge,
            help:
                "When an authority of Heddle's own ends, in seconds since 1970; without mesh the root.",
            authorities
        )
        add(
            "heddle_certificate_problem",
            .gauge,
            help: "1 when the newest of a certificate, trust or authority could not be had.",
            problems
        )
    }

    /// Adds what access control has done.
    mutating func addAccess(_ counts: [AccessCount]) {
        add(
            "heddle_access_denied_total",
            .counter,
            help: "Requests and connections whose caller has no backend for what it calls.",
            counts.map { access in
                let labels: MetricLabels = [
                    "proxy": "\(access.proxy)", "caller": access.caller,
                    "verdict": access.verdict,
                ]
                return (labels, Double(access.count))
            }
        )
    }
}
