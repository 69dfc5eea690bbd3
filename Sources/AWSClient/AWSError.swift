/// Why AWS did not do what it was asked; one line with its remedy.
///
/// Guarantee: neither keys nor tokens are in it, even where the server repeats them.
public struct AWSError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What kind of failure it is, for those who act on it.
    public enum Kind: Hashable, CaseIterable, Sendable {
        /// No credentials were found, or they could not be read.
        case noCredentials
        /// The key is unknown, or the signature is not of its secret.
        case wrongCredentials
        /// The session of the credentials has ended.
        case expiredCredentials
        /// The clock of this machine differs from the server's.
        case clockSkew
        /// The credentials are right, and do not allow the operation.
        case accessDenied
        /// Too many requests; `retryAfter` may say when to ask again.
        case throttled
        /// What was asked about does not exist.
        case notFound
        /// No answer: no connection, or none in time.
        case unreachable
        /// The server failed; it may do better later.
        case serverFailed
        /// The server refused the request for what it says; `code` tells why.
        case refused
        /// The answer is not one of AWS.
        case notAWS
        /// It is not known where to ask: no region is set.
        case notConfigured
    }

    /// What kind of failure it is.
    public var kind: Kind
    /// What was asked: service, operation and place.
    public var request: String
    /// The name that AWS gives the error, such as `ThrottlingException`; nil where it gave none.
    public var code: String?
    /// The server's own words, or what happened; one line without a final period.
    public var problem: String
    /// What to do about it.
    public var remedy: String
    /// The status of the answer; nil without one.
    public var status: Int?
    /// After how long the server wants to be asked again.
    public var retryAfter: Duration?

    /// Whether the same request may succeed later without anybody doing anything.
    public var isTransient: Bool { [.throttled, .unreachable, .serverFailed].contains(kind) }

    /// `acm-pca IssueCertificate at https://acm-pca.eu-west-1.amazonaws.com: AccessDeniedException:
    /// User ... is not authorized; allow ...`.
    public var description: String {
        let words = [code, problem].compactMap(\.self).filter { !$0.isEmpty }
        return "\(request): \(words.joined(separator: ": ")); \(remedy)"
    }
}

extension AWSError.Kind {
    private static let byCode: [String: Self] = [
        "AccessDenied": .accessDenied,
        "AccessDeniedException": .accessDenied,
        "AuthFailure": .wrongCredentials,
        "ExpiredToken": .expiredCredentials,
        "ExpiredTokenException": .expiredCredentials,
        "IncompleteSignature": .wrongCredentials,
        "IncompleteSignatureException": .wrongCredentials,
        "InternalFailure": .serverFailed,
        "InternalServerException": .serverFailed,
        "InvalidAccessKeyId": .wrongCredentials,
        "InvalidClientTokenId": .wrongCredentials,
        "InvalidSignatureException": .wrongCredentials,
        "MissingAuthenticationToken": .wrongCredentials,
        "MissingAuthenticationTokenException": .wrongCredentials,
        "NotAuthorized": .accessDenied,
        "OptInRequired": .accessDenied,
        "RequestExpired": .clockSkew,
        "RequestLimitExceeded": .throttled,
        "RequestThrottled": .throttled,
        "RequestThrottledException": .throttled,
        "RequestTimeTooSkewed": .clockSkew,
        "ResourceNotFoundException": .notFound,
        "ServiceUnavailable": .serverFailed,
        "ServiceUnavailableException": .serverFailed,
        "SignatureDoesNotMatch": .wrongCredentials,
        "Throttling": .throttled,
        "ThrottlingException": .throttled,
        "ThrottledException": .throttled,
        "TooManyRequestsException": .throttled,
        "UnauthorizedOperation": .accessDenied,
        "UnrecognizedClientException": .wrongCredentials,
    ]

    /// The kind of an answer with `status` and the error `code`, explained by `message`.
    init(status: Int, code: String?, message: String) {
        let kind = code.flatMap { Self.byCode[$0] }
        if kind == .wrongCredentials,
            message.hasPrefix("Signature expired") || message.hasPrefix("Signature not yet current")
        {
            self = .clockSkew
        } else if let kind {
            self = kind
        } else if status == 429 {
            self = .throttled
        } else if status >= 500 {
            self = .serverFailed
        } else {
            self = code == nil ? .notAWS : .refused
        }
    }

    /// What to do about an error of this kind in `operation` of `service`.
    func remedy(service: String, operation: String) -> String {
        switch self {
        case .noCredentials, .wrongCredentials:
            "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the credentials file's profile"
        case .expiredCredentials:
            "renew the session, and AWS_SESSION_TOKEN or the credentials file with it"
        case .clockSkew: "set this machine's clock"
        case .accessDenied: "allow \(service):\(operation) to the user or role of the credentials"
        case .throttled: "ask less often, or raise the account's quota for \(operation)"
        case .notFound: "check the name, the region and the account of the credentials"
        case .unreachable: "check the endpoint and the way to it"
        case .serverFailed: "try again later"
        case .refused: "change what is asked for"
        case .notAWS: "check that the endpoint speaks for \(service)"
        case .notConfigured: "set AWS_REGION, or region in the profile of ~/.aws/config"
        }
    }
}
