public import MeshModel
public import MeshTelemetry

/// What the local API shows of the traffic: where each part comes from.
public struct TelemetrySources: Sendable {
    /// Shows requests of proxies, which it asks for as they change, until the task ends.
    public typealias Tap =
        @Sendable (
            _ query: TapQuery,
            _ proxies: @escaping @Sendable () -> Set<ProxyID>,
            _ tell: ([TapLine]) async throws -> Void
        ) async throws -> Void
    /// Writes lines of access logs of proxies: the last of each, all without `tailLines`, and with
    /// `follow` what comes after them.
    public typealias AccessLog =
        @Sendable (
            _ proxies: Set<ProxyID>,
            _ tailLines: Int?,
            _ follow: Bool,
            _ write: ([UInt8]) async throws -> Void
        ) async throws -> Void

    /// The newest map.
    public var map: @Sendable () -> ServiceMap
    /// The map of now, then each when it is made.
    public var mapChanges: @Sendable () -> AsyncStream<ServiceMap>
    /// The traces that are asked for, newest first.
    public var traces: @Sendable (TraceQuery) async throws -> [TraceSummary]
    /// The spans of a trace, in the order of their begins; none of one that is not known.
    public var spans: @Sendable (_ traceID: String) async throws -> [Span]
    /// The IDs of a few traces that begin with these hexadecimal digits, sorted.
    public var traceIDs: @Sendable (_ prefix: String) async throws -> [String]
    /// Who called whom, the latest first.
    public var audit: @Sendable (AuditQuery) async throws -> [AuditRecord]
    /// Taps proxies; nil where none can be.
    public var tap: Tap?
    /// Whether one of the proxies has an access log.
    public var hasAccessLog: @Sendable (Set<ProxyID>) -> Bool
    /// Reads access logs.
    public var accessLog: AccessLog

    /// Makes sources; without arguments of nothing.
    public init(
        map: @escaping @Sendable () -> ServiceMap = { ServiceMap() },
        mapChanges: @escaping @Sendable () -> AsyncStream<ServiceMap> = {
            AsyncStream { $0.finish() }
        },
        traces: @escaping @Sendable (TraceQuery) async throws -> [TraceSummary] = { _ in [] },
        spans: @escaping @Sendable (_ traceID: String) async throws -> [Span] = { _ in [] },
        traceIDs: @escaping @Sendable (_ prefix: String) async throws -> [String] = { _ in [] },
        audit: @escaping @Sendable (AuditQuery) async throws -> [AuditRecord] = { _ in [] },
        tap: Tap? = nil,
        hasAccessLog: @escaping @Sendable (Set<ProxyID>) -> Bool = { _ in false },
        accessLog: @escaping AccessLog = { _, _, _, _ in }
    ) {
        self.map = map
        self.mapChanges = mapChanges
        self.traces = traces
        self.spans = spans
        self.traceIDs = traceIDs
        self.audit = audit
        self.tap = tap
        self.hasAccessLog = hasAccessLog
        self.accessLog = accessLog
    }
}
