/// Calls from one service to another, as traces tell of them.
public struct TraceEdge: Hashable, Codable, Sendable {
    /// Who called: the service of the calling span.
    public var source: String
    /// Who was called.
    public var target: String
    /// How many calls are in the traces that are kept.
    public var calls: Int
    /// How many of them failed.
    public var failures: Int

    /// Makes an edge.
    public init(source: String, target: String, calls: Int, failures: Int) {
        self.source = source
        self.target = target
        self.calls = calls
        self.failures = failures
    }
}
