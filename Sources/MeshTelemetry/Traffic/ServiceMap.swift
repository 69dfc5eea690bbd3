public import MeshModel

/// Who calls whom in the meshes of this daemon, and how that goes.
///
/// Made from the statistics of proxies, so that it is complete whatever share of requests is traced.
public struct ServiceMap: Hashable, Codable, Sendable {
    /// When it was made, in seconds since 1970.
    public var timeSeconds: Double
    /// Over how many seconds rates and latencies were measured.
    public var windowSeconds: Double
    /// Virtual nodes, virtual gateways and what is called outside, sorted by `id`.
    public var nodes: [Node]
    /// Calls that are declared or happen, sorted.
    public var edges: [Edge]
    /// How the requests to virtual services are split, sorted.
    public var splits: [Split]

    /// Makes a map.
    public init(
        timeSeconds: Double = 0,
        windowSeconds: Double = 0,
        nodes: [Node] = [],
        edges: [Edge] = [],
        splits: [Split] = []
    ) {
        self.timeSeconds = timeSeconds
        self.windowSeconds = windowSeconds
        self.nodes = nodes
        self.edges = edges
        self.splits = splits
    }

    /// How a node or an edge is.
    public enum Health: String, Hashable, Codable, Sendable {
        /// Nothing is known to be wrong.
        case healthy
        /// Some requests fail, 1 % or more.
        case degraded
        /// Every tenth request or more fails, no proxy is ready, or a configuration was refused.
        case failing
        /// Nothing happens.
        case idle
    }

    /// One that calls or is called.
    public struct Node: Hashable, Codable, Sendable {
        /// `<kind>/<namespace>/<name>` in lower case, such as `virtualnode/demo/blue`; of one outside
        /// `external/<host>`, of a target that does not exist `missing/<name>`; of clients of gateways
        /// `client/outside`.
        public var id: String
        /// `VirtualNode`, `VirtualGateway`, `External`, `Missing` or `Client`.
        public var kind: String
        /// The mesh's name; empty outside.
        public var mesh: String
        /// The object's namespace; empty outside.
        public var namespace: String
        /// The object's name.
        public var name: String
        /// How it is.
        public var health: Health
        /// Why it is not healthy: the first false condition's reason and message, or what fails.
        public var problem: String?
        /// How many proxies it has, and how many of them serve.
        public var proxies: Int
        /// See `proxies`.
        public var readyProxies: Int
        /// What it is asked, by all callers.
        public var traffic: Traffic

        /// Makes a node.
        public init(
            id: String,
            kind: String,
            mesh: String = "",
            namespace: String = "",
            name: String,
            health: Health = .idle,
            problem: String? = nil,
            proxies: Int = 0,
            readyProxies: Int = 0,
            traffic: Traffic = Traffic()
        ) {
            self.id = id
            self.kind = kind
            self.mesh = mesh
            self.namespace = namespace
            self.name = name
            self.health = health
            self.problem = problem
            self.proxies = proxies
            self.readyProxies = readyProxies
            self.traffic = traffic
        }
    }

    /// Calls from one node to another.
    public struct Edge: Hashable, Codable, Sendable {
        /// Who calls, a `Node.id`.
        public var source: String
        /// Who is called, a `Node.id`.
        public var target: String
        /// The virtual services through which that happens (`awsName`), sorted.
        public var services: [String]
        /// The port that is called; nil where it varies.
        public var port: Int?
        /// Whether requests are seen, or connections only.
        public var isHTTP: Bool
        /// How connections are protected.
        public var security: TrafficTarget.Security
        /// How it is.
        public var health: Health
        /// What is asked.
        public var traffic: Traffic

        /// Makes an edge.
        public init(
            source: String,
            target: String,
            services: [String] = [],
            port: Int? = nil,
            isHTTP: Bool = true,
            security: TrafficTarget.Security = .plaintext,
            health: Health = .idle,
            traffic: Traffic = Traffic()
        ) {
            self.source = source
            self.target = target
            self.services = services
            self.port = port
            self.isHTTP = isHTTP
            self.security = security
            self.health = health
            self.traffic = traffic
        }
    }

    /// A target's share of the requests to a virtual service that one route takes.
    public struct Split: Hashable, Codable, Sendable {
        /// The virtual service, `awsName`.
        public var service: String
        /// The route; nil without a router.
        public var route: String?
        /// The target's `Node.id`; nil of one that does not exist.
        public var target: String?
        /// Its declared share, from 0 to 1.
        public var share: Double
        /// Its part of the requests to the service's targets in the window, from 0 to 1; nil without
        /// requests.
        public var observedShare: Double?

        /// Makes a split.
        public init(
            service: String,
            route: String? = nil,
            target: String?,
            share: Double,
            observedShare: Double? = nil
        ) {
            self.service = service
            self.route = route
            self.target = target
            self.share = share
            self.observedShare = observedShare
        }
    }
}

/// Requests and connections in one direction.
public struct Traffic: Hashable, Codable, Sendable {
    /// Requests that were answered since the daemon began to count.
    public var requests = 0
    /// Those of them that failed: answered with a status of 500 or more, or not at all.
    public var failures = 0
    /// Requests by the class of their status: `2xx`, `3xx`, `4xx`, `5xx`.
    public var responses: [String: Int] = [:]
    /// Requests that were sent again, since the daemon began to count.
    public var retries = 0
    /// Requests that took too long.
    public var timeouts = 0
    /// Connections that could not be made.
    public var connectFailures = 0
    /// Hosts that outlier detection ejected, since the daemon began to count.
    public var ejections = 0
    /// Hosts that are ejected now.
    public var ejectedHosts = 0
    /// Connections made, since the daemon began to count.
    public var connections = 0
    /// Connections open now.
    public var activeConnections = 0
    /// Bytes to the target, and from it.
    public var sentBytes = 0
    /// See `sentBytes`.
    public var receivedBytes = 0

    /// Requests a second in the window.
    public var requestsPerSecond = 0.0
    /// Failures a second in the window.
    public var failuresPerSecond = 0.0
    /// Retries a second in the window.
    public var retriesPerSecond = 0.0
    /// Bytes a second in the window, both ways.
    public var bytesPerSecond = 0.0
    /// The part of the window's requests that did not fail, from 0 to 1; nil without requests.
    public var successRate: Double?
    /// Latency in the window, in milliseconds; nil without requests.
    public var latencyMilliseconds: Quantiles?

    /// Makes traffic of nothing.
    public init() {}

    /// Quantiles of a duration.
    public struct Quantiles: Hashable, Codable, Sendable {
        /// The median.
        public var p50: Double
        /// The 95th percentile.
        public var p95: Double
        /// The 99th percentile.
        public var p99: Double

        /// Makes quantiles.
        public init(p50: Double, p95: Double, p99: Double) {
            self.p50 = p50
            self.p95 = p95
            self.p99 = p99
        }
    }
}
