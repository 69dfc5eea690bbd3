internal import MeshModel

/// Whether the certificates and the trust of `proxies`, which are those of one node or gateway, are
/// valid; nil when they have none.
///
/// `CertificateValid` is false while something newer can't be had, even though the last good one is in
/// use, so that nobody is surprised when that ends.
func certificateValid(
    _ proxies: [ProxyPlan],
    _ observations: Observations,
    nowSeconds: Int
) -> Condition? {
    var secrets: [(name: String, spec: SecretSpec)] = []
    var seen: Set<SecretSpec> = []
    for proxy in proxies.sorted(by: { $0.id < $1.id }) {
        for (name, spec) in proxy.secrets.sorted(by: { $0.key < $1.key })
        where seen.insert(spec).inserted {
            secrets.append((name, spec))
        }
    }
    guard !secrets.isEmpty else { return nil }
    let verdicts = secrets.map { name, spec in
        verdict(name, observations.identity.secrets[spec], nowSeconds: nowSeconds)
    }
    let worst = verdicts.min { $0.rank < $1.rank }
    let type = "CertificateValid"
    switch worst {
    case .missing(let message)?:
        return Condition(type: type, status: .false, reason: "CertificateMissing", message: message)
    case .ended(let message)?:
        return Condition(type: type, status: .false, reason: "CertificateExpired", message: message)
    case .stale(let message)?:
        return Condition(
            type: type,
            status: .false,
            reason: "CertificateNotRenewed",
            message: message
        )
    case .pending?:
        return Condition(
            type: type,
            status: .unknown,
            reason: "Pending",
            message: "Its certificates are being made."
        )
    case .valid?, nil:
        let ends = secrets.compactMap { observations.identity.secrets[$0.spec]?.notAfterSeconds }
        return Condition(
            type: type,
            status: .true,
            reason: "Valid",
            message: "The first of its certificates ends at "
                + "\(timestamp(secondsSince1970: ends.min() ?? nowSeconds))."
        )
    }
}

/// How one secret is.
private enum Verdict {
    case missing(String)
    case ended(String)
    case stale(String)
    case pending
    case valid

    /// The order in which one is told of, from the worst on.
    var rank: Int {
        switch self {
        case .missing: 0
        case .ended: 1
        case .stale: 2
        case .pending: 3
        case .valid: 4
        }
    }
}

private func verdict(
    _ name: String,
    _ observation: SecretObservation?,
    nowSeconds: Int
) -> Verdict {
    guard let observation else { return .pending }
    let problem = observation.problem.map { ": \($0)" } ?? ""
    guard let end = observation.notAfterSeconds else {
        return problem.isEmpty ? .pending : .missing("\(name) is not there\(problem).")
    }
    let time = timestamp(secondsSince1970: end)
    if end <= nowSeconds { return .ended("\(name) ended at \(time)\(problem).") }
    if let problem = observation.problem { return .stale(sentence(problem)) }
    return .valid
}
