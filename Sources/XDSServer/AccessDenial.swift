public import MeshModel
internal import Synchronization

/// What an access control decided about a caller.
public struct AccessDenial: Hashable, Sendable {
    /// Whether it was refused.
    public enum Verdict: String, CaseIterable, Hashable, Sendable {
        /// It was refused.
        case denied
        /// It went through, and would be refused if access control were enforced.
        case shadow
    }

    /// The caller's SPIFFE ID, else the subject of its certificate; `unknown` without one, and `other`
    /// of all that come after a proxy's first thousand.
    public var caller: String
    /// What was decided.
    public var verdict: Verdict

    /// Makes a denial.
    public init(caller: String, verdict: Verdict) {
        self.caller = caller
        self.verdict = verdict
    }
}

/// One request or connection that access control refused, or would have.
public struct DeniedCall: Hashable, Sendable {
    /// Who called, and what was decided.
    public var denial: AccessDenial
    /// The proxy that was called.
    public var proxy: ProxyID
    /// When it began, in seconds since 1970.
    public var timeSeconds: Double
    /// The method; nil of a connection without HTTP.
    public var method: String?
    /// The host that was asked for.
    public var authority: String?
    /// The path, without its query.
    public var path: String?

    /// Makes a call.
    public init(
        _ denial: AccessDenial,
        by proxy: ProxyID,
        timeSeconds: Double,
        method: String? = nil,
        authority: String? = nil,
        path: String? = nil
    ) {
        self.denial = denial
        self.proxy = proxy
        self.timeSeconds = timeSeconds
        self.method = method
        self.authority = authority
        self.path = path
    }
}

/// Where entries of proxies' access logs go.
struct AccessLogSinks: Sendable {
    /// Counts denials.
    let denials = DenialCounts()
    /// Takes what tapped proxies tell.
    let feed = RequestFeed()
    /// Takes each denial.
    let audit: @Sendable (DeniedCall) -> Void
}

/// How often each proxy refused whom.
final class DenialCounts: Sendable {
    /// How many callers of a proxy are told apart.
    static let callerLimit = 1000

    private let counts = Mutex<[ProxyID: [AccessDenial: Int]]>([:])

    /// Counts `denial`.
    ///
    /// - Returns: what it was counted as, and how often that happened so far.
    func note(_ denial: AccessDenial, by proxy: ProxyID) -> (denial: AccessDenial, count: Int) {
        counts.withLock { counts in
            var counted = denial
            let known = counts[proxy] ?? [:]
            if known[denial] == nil, known.count >= DenialCounts.callerLimit {
                counted.caller = "other"
            }
            counts[proxy, default: [:]][counted, default: 0] += 1
            return (counted, counts[proxy]?[counted] ?? 1)
        }
    }

    /// Forgets what `proxy` told.
    func forget(_ proxy: ProxyID) { counts.withLock { $0[proxy] = nil } }

    /// All counts.
    var current: [ProxyID: [AccessDenial: Int]] { counts.withLock { $0 } }
}
