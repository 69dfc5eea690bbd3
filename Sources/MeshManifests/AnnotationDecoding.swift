import MeshModel

/// The annotations that Heddle reads, each on objects of some kinds.
enum Annotation: String, CaseIterable {
    case alwaysAllowed = "heddle.dev/always-allowed"
    case healthChecks = "heddle.dev/health-checks"
    case mutualTLS = "heddle.dev/mtls"
    case accessControl = "heddle.dev/access-control"
    case trustDomain = "heddle.dev/trust-domain"
    case tracing = "heddle.dev/tracing"
    case tracingEndpoint = "heddle.dev/tracing-endpoint"
    case traceSampling = "heddle.dev/trace-sampling"
    case traceSamplingRules = "heddle.dev/trace-sampling-rules"
    case export = "heddle.dev/export"
    case dogStatsD = "heddle.dev/dogstatsd"

    /// What the names of all of them begin with.
    static let prefix = "heddle.dev/"

    var kinds: [Kind] {
        switch self {
        case .alwaysAllowed, .healthChecks, .mutualTLS, .accessControl, .trustDomain, .tracing,
            .tracingEndpoint, .export, .dogStatsD:
            [.mesh]
        case .traceSampling, .traceSamplingRules: [.mesh, .virtualNode, .virtualGateway]
        }
    }
}

/// What a Mesh's annotations say.
struct MeshAnnotations {
    var alwaysAllowed: [AllowedDestination]?
    var healthChecks: HealthCheckMode?
    var mutualTLS: MutualTLSMode?
    var accessControl: AccessControlMode?
    var trustDomain: String?
    var tracing: TracingSpec?
    var export: TelemetryExport?
    var dogStatsD: DogStatsDAddress?
}

extension Fields {
    /// The annotations of a Mesh, from the fields of the whole object.
    func meshAnnotations() -> MeshAnnotations {
        let fields = annotationFields()
        return MeshAnnotations(
            alwaysAllowed: fields.allowedDestinations(Annotation.alwaysAllowed.rawValue),
            healthChecks: fields.choice(Annotation.healthChecks.rawValue),
            mutualTLS: fields.choice(Annotation.mutualTLS.rawValue),
            accessControl: fields.choice(Annotation.accessControl.rawValue),
            trustDomain: fields.trustDomain(Annotation.trustDomain.rawValue),
            tracing: fields.tracing(),
            export: fields.telemetryExport(Annotation.export.rawValue),
            dogStatsD: fields.dogStatsD(Annotation.dogStatsD.rawValue)
        )
    }

    /// The annotations as fields, from the fields of the whole object.
    func annotationFields() -> Fields {
        let annotations = entry("metadata")?.value["annotations"]
        // What is no string was reported with the metadata.
        let strings = (annotations?.entries ?? []).filter { $0.value.string != nil }
        return Fields(
            strings,
            path: "metadata.annotations",
            line: annotations?.line ?? line,
            report: report
        )
    }

    /// Warns of annotations under `metadata` that are named as Heddle's and that a `kind` has not.
    func checkAnnotations(of kind: Kind) {
        let names = Annotation.allCases.filter { $0.kinds.contains(kind) }.map(\.rawValue)
        for entry in entry("annotations")?.value.entries ?? []
        where entry.key.hasPrefix(Annotation.prefix) && !names.contains(entry.key) {
            let remedy: String
            if let elsewhere = Annotation(rawValue: entry.key) {
                remedy = "it acts on a \(alternatives(elsewhere.kinds.map(\.rawValue)))"
            } else if let nearest = nearestName(
                to: entry.key,
                among: Annotation.allCases.map(\.rawValue)
            ) {
                remedy = "did you mean \(quoted(nearest))?"
            } else {
                remedy = "known are \(enumeration(Annotation.allCases.map(\.rawValue)))"
            }
            report.warning(
                pathOfMember(entry.key, in: path(of: "annotations")),
                line: entry.line,
                "unknown annotation \(quoted(entry.key)) is ignored",
                remedy
            )
        }
    }

    /// A SPIFFE trust domain.
    ///
    /// https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE-ID.md#21-trust-domain
    private func trustDomain(_ key: String) -> String? {
        guard let name = string(key, length: 1...255) else { return nil }
        if name.utf8.allSatisfy(isTrustDomainCharacter) { return name }
        error(
            key,
            "\(quoted(name)) is not a SPIFFE trust domain",
            "use lower-case letters, digits, \".\", \"-\" and \"_\", without \"spiffe://\""
        )
        return nil
    }

    /// Hosts and ports with commas between them; a text of nothing but spaces is none.
    private func allowedDestinations(_ key: String) -> [AllowedDestination]? {
        guard let text = string(key) else { return nil }
        guard text.contains(where: { $0 != " " }) else { return [] }
        var destinations: [AllowedDestination] = []
        var known: Set<AllowedDestination> = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let part = trimmed(part)
            if let destination = AllowedDestination(part) {
                if known.insert(destination).inserted { destinations.append(destination) }
            } else {
                error(
                    key,
                    "\(quoted(part)) is no host",
                    "write host or host:port with commas between; the host may begin with \"*.\""
                )
            }
        }
        return destinations
    }
}

extension AllowedDestination {
    /// Reads `host` or `host:port`.
    fileprivate init?(_ text: String) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard let host = parts.first.map({ $0.lowercased() }), parts.count <= 2, isHost(host) else {
            return nil
        }
        guard parts.count == 2 else {
            self.init(host: host)
            return
        }
        guard parts[1].utf8.allSatisfy({ (48...57).contains($0) }),
            let port = Int(parts[1]).flatMap({ Port($0) })
        else { return nil }
        self.init(host: host, port: port)
    }
}

/// `text` without the spaces around it.
func trimmed(_ text: Substring) -> String {
    String(text.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
}

/// Whether `text` is a host's name, or `*.` and a domain.
private func isHost(_ text: String) -> Bool {
    isHostName(text.hasPrefix("*.") ? text.dropFirst(2) : text[...])
}

/// Whether `name` is a host's name in lower case.
func isHostName(_ name: Substring) -> Bool {
    guard name.utf8.count <= 253 else { return false }
    return name.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { label in
        (1...63).contains(label.utf8.count)
            && label.utf8.allSatisfy { $0 != UInt8(ascii: ".") && isTrustDomainCharacter($0) }
    }
}

private func isTrustDomainCharacter(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
        UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"):
        true
    default: false
    }
}
