internal import MeshModel
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
