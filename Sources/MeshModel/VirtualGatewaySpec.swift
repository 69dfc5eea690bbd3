/// `spec` of a VirtualGateway.
public struct VirtualGatewaySpec: ObjectSpec {
    /// VirtualGateway.
    public static var kind: Kind { .virtualGateway }

    /// Default `<name>_<namespace>`.
    public var awsName: String
    /// Namespaces whose GatewayRoutes may attach; nil selects none.
    public var namespaceSelector: LabelSelector?
    /// Workloads (pods) of the namespace that run the gateway; nil selects none.
    public var podSelector: LabelSelector?
    /// Labels that a GatewayRoute must carry; nil selects all.
    public var gatewayRouteSelector: LabelSelector?
    /// `listeners`.
    public var listeners: [ListenerSpec]
    /// `backendDefaults.clientPolicy.tls`.
    public var backendDefaults: ClientTLS?
    /// `logging.accessLog.file`.
    public var accessLog: AccessLog?
    /// `meshRef`, which only dumps of a cluster carry.
    public var meshRef: DesignatedReference?
    /// What is traced in place of what the mesh says (the annotations `heddle.dev/trace-sampling` and
    /// `heddle.dev/trace-sampling-rules`).
    public var traceSampling: TraceSampling

    /// Makes a virtual gateway.
    public init(
        awsName: String,
        namespaceSelector: LabelSelector? = nil,
        podSelector: LabelSelector? = nil,
        gatewayRouteSelector: LabelSelector? = nil,
        listeners: [ListenerSpec] = [],
        backendDefaults: ClientTLS? = nil,
        accessLog: AccessLog? = nil,
        meshRef: DesignatedReference? = nil,
        traceSampling: TraceSampling = TraceSampling()
    ) {
        self.awsName = awsName
        self.namespaceSelector = namespaceSelector
        self.podSelector = podSelector
        self.gatewayRouteSelector = gatewayRouteSelector
        self.listeners = listeners
        self.backendDefaults = backendDefaults
        self.accessLog = accessLog
        self.meshRef = meshRef
        self.traceSampling = traceSampling
    }
}

/// `spec` of a GatewayRoute.
public struct GatewayRouteSpec: ObjectSpec {
    /// GatewayRoute.
    public static var kind: Kind { .gatewayRoute }

    /// Type, match and rewrite.
    public enum Rule: Hashable, Sendable {
        /// `httpRoute`.
        case http(HTTPGatewayRouteMatch, GatewayRouteRewrite)
        /// `http2Route`.
        case http2(HTTPGatewayRouteMatch, GatewayRouteRewrite)
        /// `grpcRoute`, which rewrites the hostname only.
        case grpc(GRPCGatewayRouteMatch, GatewayRouteRewrite)
        /// `tcpRoute`, which App Mesh has not; the port is that of the gateway's listener.
        case tcp(port: Port?)
    }

    /// Default `<name>_<namespace>`.
    public var awsName: String
    /// 0 is tried first; default 1000.
    public var priority: Int
    /// Type, match and rewrite.
    public var rule: Rule
    /// `action.target.virtualService`.
    public var virtualService: TargetReference
    /// `action.target.port`.
    public var targetPort: Port?
    /// `meshRef`, which only dumps of a cluster carry.
    public var meshRef: DesignatedReference?
    /// `virtualGatewayRef`, which only dumps of a cluster carry.
    public var virtualGatewayRef: DesignatedReference?

    /// Makes a gateway route.
    public init(
        awsName: String,
        priority: Int = 1000,
        rule: Rule,
        virtualService: TargetReference,
        targetPort: Port? = nil,
        meshRef: DesignatedReference? = nil,
        virtualGatewayRef: DesignatedReference? = nil
    ) {
        self.awsName = awsName
        self.priority = priority
        self.rule = rule
        self.virtualService = virtualService
        self.targetPort = targetPort
        self.meshRef = meshRef
        self.virtualGatewayRef = virtualGatewayRef
    }
}

/// `match` of a gateway's httpRoute or http2Route.
public struct HTTPGatewayRouteMatch: Hashable, Sendable {
    /// `prefix` or `path`; nil matches every path.
    public var path: PathMatch?
    /// `hostname`; nil matches every host.
    public var hostname: HostnameMatch?
    /// `headers`.
    public var headers: [HeaderMatch]
    /// `method`.
    public var method: HTTPMethod?
    /// `queryParameters`.
    public var queryParameters: [QueryParameterMatch]
    /// `port` of the gateway's listener; nil means each.
    public var port: Port?

    /// Makes a match.
    public init(
        path: PathMatch? = nil,
        hostname: HostnameMatch? = nil,
        headers: [HeaderMatch] = [],
        method: HTTPMethod? = nil,
        queryParameters: [QueryParameterMatch] = [],
        port: Port? = nil
    ) {
        self.path = path
        self.hostname = hostname
        self.headers = headers
        self.method = method
        self.queryParameters = queryParameters
        self.port = port
    }
}

/// `match` of a gateway's grpcRoute.
public struct GRPCGatewayRouteMatch: Hashable, Sendable {
    /// `serviceName`, fully qualified.
    public var serviceName: String?
    /// `hostname`; nil matches every host.
    public var hostname: HostnameMatch?
    /// `metadata`.
    public var metadata: [HeaderMatch]
    /// `port` of the gateway's listener; nil means each.
    public var port: Port?

    /// Makes a match.
    public init(
        serviceName: String? = nil,
        hostname: HostnameMatch? = nil,
        metadata: [HeaderMatch] = [],
        port: Port? = nil
    ) {
        self.serviceName = serviceName
        self.hostname = hostname
        self.metadata = metadata
        self.port = port
    }
}

/// What a gateway changes in a request (`action.rewrite`).
public struct GatewayRouteRewrite: Hashable, Sendable {
    /// How the path changes.
    public enum Path: Hashable, Sendable {
        /// The matched prefix becomes `/`: `defaultPrefix: ENABLED`, the default.
        case defaultPrefix
        /// Nothing: `defaultPrefix: DISABLED`.
        case unchanged
        /// The matched prefix becomes this: `prefix.value`.
        case prefix(String)
        /// The whole path becomes this: `path.exact`.
        case exact(String)
    }

    /// Whether the host becomes the virtual service's name (`hostname.defaultTargetHostname`);
    /// default true.
    public var usesTargetHostname: Bool
    /// How the path changes.
    public var path: Path

    /// Makes a rewrite; without arguments App Mesh's default.
    public init(usesTargetHostname: Bool = true, path: Path = .defaultPrefix) {
        self.usesTargetHostname = usesTargetHostname
        self.path = path
    }
}
