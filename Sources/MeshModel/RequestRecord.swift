/// One request or connection that a proxy told of while it was tapped.
public struct RequestRecord: Hashable, Codable, Sendable {
    /// On which side of its application the proxy saw it.
    public enum Direction: String, Hashable, Codable, Sendable {
        case inbound
        case outbound
    }

    /// When it began, in seconds since 1970.
    public var timeSeconds: Double
    /// `namespace/name` of the proxy's Workload.
    public var proxy: String
    /// On which side.
    public var direction: Direction
    /// The caller's SPIFFE ID or address.
    public var source: String
    /// The address that served it, or the cluster where none did.
    public var destination: String
    /// The cluster.
    public var cluster: String
    /// How the caller's connection is protected.
    public var isTLS: Bool
    /// The method; nil of a connection without HTTP.
    public var method: String?
    /// The host that was asked for.
    public var authority: String?
    /// The path, without its query.
    public var path: String?
    /// The answer's status; nil without one.
    public var status: Int?
    /// Envoy's response flags, such as `UF,URX`; empty when all went well.
    public var flags: String
    /// Why Envoy answered as it did (`%RESPONSE_CODE_DETAILS%`).
    public var details: String?
    /// From its first byte to its last, in milliseconds.
    public var durationMilliseconds: Double
    /// Bytes of the request's and the answer's body, or of the connection.
    public var receivedBytes: Int
    /// See `receivedBytes`.
    public var sentBytes: Int
    /// How often it was sent upstream.
    public var attempts: Int
    /// `x-request-id`, or the connection's.
    public var requestID: String?

    /// Makes a record.
    public init(
        timeSeconds: Double,
        proxy: String,
        direction: Direction,
        source: String,
        destination: String,
        cluster: String,
        isTLS: Bool = false,
        method: String? = nil,
        authority: String? = nil,
        path: String? = nil,
        status: Int? = nil,
        flags: String = "",
        details: String? = nil,
        durationMilliseconds: Double = 0,
        receivedBytes: Int = 0,
        sentBytes: Int = 0,
        attempts: Int = 0,
        requestID: String? = nil
    ) {
        self.timeSeconds = timeSeconds
        self.proxy = proxy
        self.direction = direction
        self.source = source
        self.destination = destination
        self.cluster = cluster
        self.isTLS = isTLS
        self.method = method
        self.authority = authority
        self.path = path
        self.status = status
        self.flags = flags
        self.details = details
        self.durationMilliseconds = durationMilliseconds
        self.receivedBytes = receivedBytes
        self.sentBytes = sentBytes
        self.attempts = attempts
        self.requestID = requestID
    }
}
