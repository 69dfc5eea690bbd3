/// How much a store keeps.
public struct TelemetryLimits: Hashable, Sendable {
    /// How many spans are kept; the oldest traces go first.
    public var spans = 200_000
    /// For how many seconds a trace is kept after it began to come.
    public var ageSeconds = 6.0 * 3600
    /// How many bytes of the file are used.
    public var fileBytes = 256 << 20
    /// How many spans are kept while there is no file.
    public var spansInMemory = 20_000
    /// How many spans wait to be written; more are dropped and counted.
    public var waitingSpans = 20_000
    /// How many bytes such spans take, about.
    public var waitingBytes = 32 << 20
    /// How many spans of one trace are kept; more are dropped and counted.
    public var spansOfTrace = 2_000
    /// How many records of who called whom are kept; those that were allowed go first, and the
    /// longest ago of them.
    public var auditRecords = 10_000

    /// The limits of a daemon.
    public init() {}
}
