/// Active health checking of a listener (`healthCheck`); `MeshSpec.healthChecks` says by whom.
public struct HealthCheck: Hashable, Codable, Sendable {
    /// Successes until healthy; 2 where a VirtualGateway omits it.
    public var healthyThreshold: Int
    /// Failures until unhealthy.
    public var unhealthyThreshold: Int
    /// Time between checks (`intervalMillis`).
    public var interval: Duration
    /// Time until a check counts as failed (`timeoutMillis`).
    public var timeout: Duration
    /// `path`, for http and http2.
    public var path: String?
    /// `port`; nil is the listener's.
    public var port: Port?
    /// `protocol`.
    public var `protocol`: ListenerProtocol

    /// Makes a health check.
    public init(
        healthyThreshold: Int = 2,
        unhealthyThreshold: Int,
        interval: Duration,
        timeout: Duration,
        path: String? = nil,
        port: Port? = nil,
        protocol: ListenerProtocol
    ) {
        self.healthyThreshold = healthyThreshold
        self.unhealthyThreshold = unhealthyThreshold
        self.interval = interval
        self.timeout = timeout
        self.path = path
        self.port = port
        self.protocol = `protocol`
    }
}

/// Passive health checking (`outlierDetection`), done by every client's proxy.
public struct OutlierDetection: Hashable, Sendable {
    /// Consecutive 5xx answers before an ejection.
    public var maxServerErrors: Int
    /// Time between sweeps.
    public var interval: Duration
    /// Ejection lasts this, times the number of ejections.
    public var baseEjectionDuration: Duration
    /// Share of hosts, in percent, that may be ejected; one always may.
    public var maxEjectionPercent: Int

    /// Makes an outlier detection.
    public init(
        maxServerErrors: Int,
        interval: Duration,
        baseEjectionDuration: Duration,
        maxEjectionPercent: Int
    ) {
        self.maxServerErrors = maxServerErrors
        self.interval = interval
        self.baseEjectionDuration = baseEjectionDuration
        self.maxEjectionPercent = maxEjectionPercent
    }
}

/// Limits on what reaches a node's own application (`connectionPool`).
public enum ConnectionPool: Hashable, Sendable {
    case tcp(maxConnections: Int)
    /// `maxPendingRequests` is unlimited (2147483647) when nil.
    case http(maxConnections: Int, maxPendingRequests: Int?)
    case http2(maxRequests: Int)
    case grpc(maxRequests: Int)
}

/// Timeouts of a listener or route.
///
/// Zero means none; nil means App Mesh's default.
public struct Timeouts: Hashable, Sendable {
    /// `perRequest`, by default 15 s; never set for tcp.
    public var perRequest: Duration?
    /// `idle`.
    public var idle: Duration?

    /// Makes timeouts.
    public init(perRequest: Duration? = nil, idle: Duration? = nil) {
        self.perRequest = perRequest
        self.idle = idle
    }
}

/// A listener of a VirtualNode or VirtualGateway.
public struct ListenerSpec: Hashable, Sendable {
    /// `portMapping`.
    public var portMapping: PortMapping
    /// `healthCheck`.
    public var healthCheck: HealthCheck?
    /// `outlierDetection`; never set for a gateway.
    public var outlierDetection: OutlierDetection?
    /// `connectionPool`.
    public var connectionPool: ConnectionPool?
    /// `timeout`, of the listener's own protocol; never set for a gateway.
    public var timeout: Timeouts
    /// `tls`.
    public var tls: ListenerTLS?

    /// Makes a listener.
    public init(
        portMapping: PortMapping,
        healthCheck: HealthCheck? = nil,
        outlierDetection: OutlierDetection? = nil,
        connectionPool: ConnectionPool? = nil,
        timeout: Timeouts = Timeouts(),
        tls: ListenerTLS? = nil
    ) {
        self.portMapping = portMapping
        self.healthCheck = healthCheck
        self.outlierDetection = outlierDetection
        self.connectionPool = connectionPool
        self.timeout = timeout
        self.tls = tls
    }
}
