/// What requests are counted by.
public struct RequestKind: Hashable, Sendable {
    /// The verb as RBAC names it: `list`, `watch`, `update`.
    public var verb: String
    /// The HTTP status code; 0 when no answer came.
    public var code: Int

    /// Makes a kind of requests.
    public init(verb: String, code: Int) {
        self.verb = verb
        self.code = code
    }
}
