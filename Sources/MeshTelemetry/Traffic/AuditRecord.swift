/// How often one called another, and whether that was allowed.
public struct AuditRecord: Hashable, Codable, Sendable {
    /// What came of it.
    public enum Verdict: String, CaseIterable, Hashable, Codable, Sendable {
        case allowed
        case denied
        /// It went through, and would be denied if access control were enforced.
        case shadow
    }

    /// Who called: `<mesh>/<node>` where its own proxy tells, else the SPIFFE ID or what is known.
    public var caller: String
    /// Who was called: `<mesh>/<node>`, or a host outside.
    public var target: String
    /// What came of it.
    public var verdict: Verdict
    /// When it happened first, in seconds since 1970.
    public var firstSeconds: Double
    /// When it happened last.
    public var lastSeconds: Double
    /// How often.
    public var count: Int
    /// Of the last that was denied: method, host and path.
    public var detail: String?

    /// Makes a record.
    public init(
        caller: String,
        target: String,
        verdict: Verdict,
        firstSeconds: Double,
        lastSeconds: Double,
        count: Int,
        detail: String? = nil
    ) {
        self.caller = caller
        self.target = target
        self.verdict = verdict
        self.firstSeconds = firstSeconds
        self.lastSeconds = lastSeconds
        self.count = count
        self.detail = detail
    }
}
