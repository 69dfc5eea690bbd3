/// One step of a request: what a proxy or an application did for it, and for how long.
public struct Span: Hashable, Codable, Sendable {
    /// On which side of a call it was recorded.
    public enum Kind: String, Hashable, Codable, Sendable {
        case server
        case client
        case other
    }

    /// 32 hexadecimal digits; X-Ray's `1-58406520-a006649127e371903a2de979` without `1-` and `-`.
    public var traceID: String
    /// 16 hexadecimal digits.
    public var spanID: String
    /// The span in which it happened; nil of the first.
    public var parentID: String?
    /// What was done.
    public var name: String
    /// Who did it: `<mesh>/<node>` of a proxy.
    public var service: String
    /// On which side.
    public var kind: Kind
    /// When it began, in microseconds since 1970.
    public var startMicroseconds: Int
    /// For how long, in microseconds; nil of one that is not over.
    public var durationMicroseconds: Int?
    /// The HTTP status; nil without one.
    public var status: Int?
    /// Whether it failed.
    public var isError: Bool
    /// What else is known of it.
    public var attributes: [String: String]

    /// Makes a span.
    public init(
        traceID: String,
        spanID: String,
        parentID: String? = nil,
        name: String,
        service: String,
        kind: Kind = .other,
        startMicroseconds: Int,
        durationMicroseconds: Int?,
        status: Int? = nil,
        isError: Bool = false,
        attributes: [String: String] = [:]
    ) {
        self.traceID = traceID
        self.spanID = spanID
        self.parentID = parentID
        self.name = name
        self.service = service
        self.kind = kind
        self.startMicroseconds = startMicroseconds
        self.durationMicroseconds = durationMicroseconds
        self.status = status
        self.isError = isError
        self.attributes = attributes
    }
}

/// A trace in a list: what is known of it at a glance.
public struct TraceSummary: Hashable, Codable, Sendable {
    /// See `Span.traceID`.
    public var traceID: String
    /// What its first span did.
    public var name: String
    /// Who took the request first.
    public var service: String
    /// When it began, in microseconds since 1970.
    public var startMicroseconds: Int
    /// From the begin of the first span to the end of the last, in microseconds.
    public var durationMicroseconds: Int
    /// How many spans are known.
    public var spanCount: Int
    /// Who took part, sorted.
    public var services: [String]
    /// The first span's HTTP status; nil without one.
    public var status: Int?
    /// Whether any span failed.
    public var isError: Bool

    /// Makes a summary.
    public init(
        traceID: String,
        name: String,
        service: String,
        startMicroseconds: Int,
        durationMicroseconds: Int,
        spanCount: Int,
        services: [String],
        status: Int? = nil,
        isError: Bool = false
    ) {
        self.traceID = traceID
        self.name = name
        self.service = service
        self.startMicroseconds = startMicroseconds
        self.durationMicroseconds = durationMicroseconds
        self.spanCount = spanCount
        self.services = services
        self.status = status
        self.isError = isError
    }
}

/// Which traces are asked for, newest first.
public struct TraceQuery: Hashable, Codable, Sendable {
    /// Only those in which this service took part: `<mesh>/<node>`, or `<node>` alone.
    public var service: String?
    /// Only those that took so long or longer, in microseconds.
    public var minimumDurationMicroseconds: Int?
    /// Only those in which something failed.
    public var errorsOnly: Bool
    /// Only those that began at or after this, in microseconds since 1970.
    public var sinceMicroseconds: Int?
    /// How many at most.
    public var limit: Int

    /// Makes a query; without arguments for the newest 50.
    public init(
        service: String? = nil,
        minimumDurationMicroseconds: Int? = nil,
        errorsOnly: Bool = false,
        sinceMicroseconds: Int? = nil,
        limit: Int = 50
    ) {
        self.service = service
        self.minimumDurationMicroseconds = minimumDurationMicroseconds
        self.errorsOnly = errorsOnly
        self.sinceMicroseconds = sinceMicroseconds
        self.limit = limit
    }
}
