/// `spec` of a VirtualRouter.
public struct VirtualRouterSpec: ObjectSpec {
    /// VirtualRouter.
    public static var kind: Kind { .virtualRouter }

    /// Default `<name>_<namespace>`.
    public var awsName: String
    /// `listeners[].portMapping`.
    public var listeners: [PortMapping]
    /// `routes`, in the order of the manifest.
    public var routes: [RouteSpec]
    /// `meshRef`, which only dumps of a cluster carry.
    public var meshRef: DesignatedReference?

    /// Makes a virtual router.
    public init(
        awsName: String,
        listeners: [PortMapping] = [],
        routes: [RouteSpec] = [],
        meshRef: DesignatedReference? = nil
    ) {
        self.awsName = awsName
        self.listeners = listeners
        self.routes = routes
        self.meshRef = meshRef
    }
}

/// One of a router's routes.
public struct RouteSpec: Hashable, Sendable {
    /// What a route matches, by its type.
    public enum Match: Hashable, Sendable {
        /// `httpRoute`.
        case http(HTTPRouteMatch)
        /// `http2Route`.
        case http2(HTTPRouteMatch)
        /// `grpcRoute`.
        case grpc(GRPCRouteMatch)
        /// `tcpRoute`; the port is that of the router's listener.
        case tcp(port: Port?)
    }

    /// Unique in the router.
    public var name: String
    /// 0 is tried first; nil after all that have one.
    public var priority: Int?
    /// Type and match.
    public var match: Match
    /// `action.weightedTargets`, one to ten.
    public var weightedTargets: [WeightedTarget]
    /// `retryPolicy`; nil means App Mesh's default policy, never set for tcp.
    public var retryPolicy: RetryPolicySpec?
    /// `timeout`.
    public var timeout: Timeouts

    /// Makes a route.
    public init(
        name: String,
        priority: Int? = nil,
        match: Match,
        weightedTargets: [WeightedTarget],
        retryPolicy: RetryPolicySpec? = nil,
        timeout: Timeouts = Timeouts()
    ) {
        self.name = name
        self.priority = priority
        self.match = match
        self.weightedTargets = weightedTargets
        self.retryPolicy = retryPolicy
        self.timeout = timeout
    }
}

/// `match` of an httpRoute or http2Route.
public struct HTTPRouteMatch: Hashable, Sendable {
    /// `prefix` or `path`.
    public var path: PathMatch
    /// `headers`.
    public var headers: [HeaderMatch]
    /// `method`.
    public var method: HTTPMethod?
    /// `scheme`, `http` or `https`.
    public var scheme: String?
    /// `queryParameters`.
    public var queryParameters: [QueryParameterMatch]
    /// `port` of the router's listener; nil means each.
    public var port: Port?

    /// Makes a match.
    public init(
        path: PathMatch,
        headers: [HeaderMatch] = [],
        method: HTTPMethod? = nil,
        scheme: String? = nil,
        queryParameters: [QueryParameterMatch] = [],
        port: Port? = nil
    ) {
        self.path = path
        self.headers = headers
        self.method = method
        self.scheme = scheme
        self.queryParameters = queryParameters
        self.port = port
    }
}

/// `match` of a grpcRoute.
public struct GRPCRouteMatch: Hashable, Sendable {
    /// `serviceName`, fully qualified.
    public var serviceName: String?
    /// `methodName`; needs `serviceName`.
    public var methodName: String?
    /// `metadata`.
    public var metadata: [HeaderMatch]
    /// `port` of the router's listener; nil means each.
    public var port: Port?

    /// Makes a match.
    public init(
        serviceName: String? = nil,
        methodName: String? = nil,
        metadata: [HeaderMatch] = [],
        port: Port? = nil
    ) {
        self.serviceName = serviceName
        self.methodName = methodName
        self.metadata = metadata
        self.port = port
    }
}

/// One of a route's targets.
public struct WeightedTarget: Hashable, Sendable {
    /// `virtualNodeRef` or `virtualNodeARN`.
    public var virtualNode: TargetReference
    /// Share among the route's targets.
    public var weight: Weight
    /// The node's listener port; nil when it has just one that fits.
    public var port: Port?

    /// Makes a target.
    public init(virtualNode: TargetReference, weight: Weight, port: Port? = nil) {
        self.virtualNode = virtualNode
        self.weight = weight
        self.port = port
    }
}

/// `retryPolicy`.
public struct RetryPolicySpec: Hashable, Sendable {
    /// `httpRetryEvents[]`.
    public enum HTTPEvent: String, CaseIterable, Hashable, Sendable {
        case serverError = "server-error"
        case gatewayError = "gateway-error"
        case clientError = "client-error"
        case streamError = "stream-error"
    }

    /// `grpcRetryEvents[]`.
    public enum GRPCEvent: String, CaseIterable, Hashable, Sendable {
        case cancelled
        case deadlineExceeded = "deadline-exceeded"
        case `internal`
        case resourceExhausted = "resource-exhausted"
        case unavailable
    }

    /// Retries after the first attempt; 0 switches retries off.
    public var maxRetries: Int
    /// Time for each attempt.
    public var perRetryTimeout: Duration
    /// `httpRetryEvents`.
    public var httpEvents: [HTTPEvent]
    /// Whether `tcpRetryEvents` holds `connection-error`, its only value.
    public var connectionError: Bool
    /// `grpcRetryEvents`; grpcRoute only.
    public var grpcEvents: [GRPCEvent]

    /// Makes a policy.
    public init(
        maxRetries: Int,
        perRetryTimeout: Duration,
        httpEvents: [HTTPEvent] = [],
        connectionError: Bool = false,
        grpcEvents: [GRPCEvent] = []
    ) {
        self.maxRetries = maxRetries
        self.perRetryTimeout = perRetryTimeout
        self.httpEvents = httpEvents
        self.connectionError = connectionError
        self.grpcEvents = grpcEvents
    }
}
