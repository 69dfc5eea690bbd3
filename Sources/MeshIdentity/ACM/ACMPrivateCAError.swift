public import AWSClient

/// Why an authority of ACM Private CA issued nothing; one line with its remedy.
///
/// It does not name the authority: whoever asks knows which it is, and names it.
public enum ACMPrivateCAError: Error, Hashable, Sendable {
    /// The ARN is not one of an authority.
    case malformedARN(String)
    /// The endpoint is not a URL.
    case malformedEndpoint(String)
    /// The authority does not sign at present: `DISABLED`, `EXPIRED`, `DELETED`, ...
    case notActive(status: String)
    /// AWS says that the authority's state does not allow what was asked.
    case wrongState(AWSError)
    /// The authority's key is of a kind that Envoy cannot verify.
    case unusableKey(algorithm: String)
    /// A certificate would be valid for longer than the authority may grant, or for no time.
    case lifetime(Duration, reason: String)
    /// A quota of the account is used up.
    case quota(AWSError)
    /// The certificate is not there after a while.
    case notIssuedInTime(Duration)
    /// The answer has no certificate.
    case malformedAnswer(String)
    /// What AWS says otherwise.
    case aws(AWSError)
}

extension ACMPrivateCAError: CustomStringConvertible {
    /// `it is DISABLED and signs nothing; enable it`.
    public var description: String {
        switch self {
        case .malformedARN(let arn):
            "\"\(arn)\" is no ARN of an authority; write "
                + "arn:aws:acm-pca:<region>:<account>:certificate-authority/<id>"
        case .malformedEndpoint(let endpoint):
            "the endpoint \"\(endpoint)\" is not a URL; write https://host[:port]"
        case .notActive(let status):
            "it is \(status) and signs nothing; \(Self.remedy(for: status))"
        case .wrongState(let error):
            "its state does not allow this (\(error.problem)); activate it, or map to another authority"
        case .unusableKey(let algorithm):
            "its key is of the kind \(algorithm), which Envoy cannot verify; take an authority with "
                + "an RSA or EC key"
        case .lifetime(let lifetime, let reason):
            "a lifetime of \(lifetime.components.seconds) s is refused: \(reason); "
                + "ask for one that the authority grants"
        case .quota(let error):
            "a quota of the account is used up (\(error.problem)); have it raised"
        case .notIssuedInTime(let limit):
            "the certificate is not there after \(limit.components.seconds) s; see the authority's "
                + "audit report"
        case .malformedAnswer(let operation):
            "\(operation) answers without a certificate; check that the endpoint speaks for acm-pca"
        case .aws(let error): "\(error)"
        }
    }

    private static func remedy(for status: String) -> String {
        switch status {
        case "DISABLED": "enable it"
        case "CREATING", "PENDING_CERTIFICATE": "install its certificate"
        case "EXPIRED": "renew its certificate, or map to another authority"
        case "DELETED": "restore it, or map to another authority"
        default: "map to another authority"
        }
    }
}
