/// Why the Kubernetes API did not do what it was asked.
public struct KubernetesError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The server's own `Status`, as far as it says anything.
    public struct Status: Hashable, Sendable {
        /// The HTTP status code.
        public var code: Int
        /// One word for programs: `Forbidden`, `Conflict`, `Expired`; empty when the server gave none.
        public var reason: String
        /// For people.
        public var message: String
        /// After how many seconds to ask again (`details.retryAfterSeconds` or `Retry-After`).
        public var retryAfterSeconds: Int?

        /// Makes a status.
        public init(
            code: Int,
            reason: String = "",
            message: String = "",
            retryAfterSeconds: Int? = nil
        ) {
            self.code = code
            self.reason = reason
            self.message = message
            self.retryAfterSeconds = retryAfterSeconds
        }
    }

    /// What kind of failure it is.
    public enum Kind: Hashable, Sendable {
        /// The server answered with a failure.
        case status(Status)
        /// No answer came: no connection, a time limit, a broken one.
        case unreachable
        /// An answer came that makes no sense.
        case malformed
        /// There are no credentials, or they can't be had.
        case credentials
    }

    /// What kind of failure it is.
    public var kind: Kind
    /// What was asked: `list virtualnodes.appmesh.k8s.aws`, `patch virtualnodes.appmesh.k8s.aws/status demo/blue`.
    public var request: String
    /// What went wrong, without a final period.
    public var problem: String

    /// Makes an error.
    public init(_ kind: Kind, request: String, problem: String) {
        self.kind = kind
        self.request = request
        self.problem = problem
    }

    /// `list pods: forbidden: ...`.
    public var description: String { "\(request): \(problem)" }

    /// The HTTP status code; nil when the server did not answer.
    public var code: Int? {
        guard case .status(let status) = kind else { return nil }
        return status.code
    }
    /// Whether the server says that such an object is not there.
    public var isNotFound: Bool { code == 404 }
    /// Whether another write came first, or the object is there already.
    public var isConflict: Bool { code == 409 }
    /// Whether the version asked for is no longer known (410).
    public var isExpired: Bool { code == 410 }
    /// Whether rights are missing.
    public var isForbidden: Bool { code == 403 }
}
