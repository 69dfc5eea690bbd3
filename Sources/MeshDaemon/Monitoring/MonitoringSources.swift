public import MeshTelemetry

/// Where `/metrics` takes from what no object shows.
///
/// What is not given has no metrics.
public struct MonitoringSources: Sendable {
    /// What the daemon did so far.
    var daemon: @Sendable () -> DaemonMetrics.Counts? = { nil }
    /// How often the API answered, by HTTP status.
    public var apiResponses: @Sendable () -> [Int: Int] = { [:] }
    /// What each protocol of the trace receiver brought; one that is listened for has its entry from
    /// the beginning.
    public var spans: @Sendable () -> [SpanCount] = { [] }
    /// How many spans were not kept for lack of room.
    public var spansNotKept: @Sendable () -> Int? = { nil }
    /// What became of the telemetry that meshes export; each export has its entry from the beginning.
    public var exports: @Sendable () -> [ExportCount] = { [] }
    /// Adds what the controller of a cluster asked and wrote.
    var addCluster: @Sendable (inout MetricsText) -> Void = { _ in }
    /// Adds the traffic of services and edges.
    public var addTraffic: @Sendable (inout MetricsText) -> Void = { _ in }

    /// Makes sources of nothing.
    public init() {}
}

/// What came by one protocol of the trace receiver, since the daemon started.
public struct SpanCount: Hashable, Sendable {
    /// `x-ray` or `otlp`.
    public var protocolName: String
    /// Spans that were taken.
    public var received: Int
    /// What could not be read, and was dropped.
    public var malformed: Int
    /// Messages there was no room for, as more came than could be worked off.
    public var dropped: Int

    /// Makes a count.
    public init(protocolName: String, received: Int, malformed: Int, dropped: Int) {
        self.protocolName = protocolName
        self.received = received
        self.malformed = malformed
        self.dropped = dropped
    }
}
