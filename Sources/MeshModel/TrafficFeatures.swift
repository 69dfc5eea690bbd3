/// How many requests a proxy lets pass (`rateLimit`).
public struct RateLimit: Hashable, Sendable {
    /// `requests` in each interval, from 1.
    public var requests: Int
    /// `interval`, from 50 ms; default 1 s.
    public var interval: Duration
    /// `burst`, the most that pass at once after a pause; not below `requests`, its default.
    public var burst: Int

    /// Makes a limit.
    public init(requests: Int, interval: Duration = .seconds(1), burst: Int? = nil) {
        self.requests = requests
        self.interval = interval
        self.burst = burst ?? requests
    }
}

/// What changes in the headers of requests or responses (`requestHeaders`, `responseHeaders`).
///
/// Each header is changed once; values hold Envoy's command operators.
public struct HeaderChanges: Hashable, Sendable {
    /// `set`: values that replace those there are.
    public var set: [String: String]
    /// `add`: values beside those there are.
    public var add: [String: String]
    /// `remove`.
    public var remove: [String]

    /// Makes changes.
    public init(set: [String: String] = [:], add: [String: String] = [:], remove: [String] = []) {
        self.set = set
        self.add = add
        self.remove = remove
    }
}

/// Which other origins browsers may call from (`cors`).
public struct CORSPolicy: Hashable, Sendable {
    /// `allowOrigins`, at least one; the exact value `*` is every origin.
    public var allowOrigins: [StringMatch]
    /// `allowMethods`.
    public var allowMethods: [String]
    /// `allowHeaders`.
    public var allowHeaders: [String]
    /// `exposeHeaders`.
    public var exposeHeaders: [String]
    /// `maxAge`, in whole seconds; nil leaves it to the browser.
    public var maxAge: Duration?
    /// `allowCredentials`; default false.
    public var allowCredentials: Bool

    /// Makes a policy.
    public init(
        allowOrigins: [StringMatch],
        allowMethods: [String] = [],
        allowHeaders: [String] = [],
        exposeHeaders: [String] = [],
        maxAge: Duration? = nil,
        allowCredentials: Bool = false
    ) {
        self.allowOrigins = allowOrigins
        self.allowMethods = allowMethods
        self.allowHeaders = allowHeaders
        self.exposeHeaders = exposeHeaders
        self.maxAge = maxAge
        self.allowCredentials = allowCredentials
    }
}

/// How a text is compared.
public enum StringMatch: Hashable, Sendable {
    case exact(String)
    case prefix(String)
    case suffix(String)
    /// RE2, over the whole text.
    case regex(String)
}

/// What goes wrong on purpose (`fault`); at least one of the two.
public struct Fault: Hashable, Sendable {
    /// `delay`.
    public struct Delay: Hashable, Sendable {
        /// `duration`, above zero.
        public var duration: Duration
        /// `percentage`; default all.
        public var percentage: Percentage

        /// Makes a delay.
        public init(duration: Duration, percentage: Percentage = .all) {
            self.duration = duration
            self.percentage = percentage
        }
    }

    /// `abort`.
    public struct Abort: Hashable, Sendable {
        /// The answer instead of the application's.
        public enum Status: Hashable, Sendable {
            /// `httpStatus`, 200 to 599.
            case http(Int)
            /// `grpcStatus`, 0 to 16.
            case grpc(Int)
        }

        /// `httpStatus` or `grpcStatus`.
        public var status: Status
        /// `percentage`; default all.
        public var percentage: Percentage

        /// Makes an abort.
        public init(status: Status, percentage: Percentage = .all) {
            self.status = status
            self.percentage = percentage
        }
    }

    /// `delay`.
    public var delay: Delay?
    /// `abort`.
    public var abort: Abort?

    /// Makes a fault.
    public init(delay: Delay? = nil, abort: Abort? = nil) {
        self.delay = delay
        self.abort = abort
    }
}

/// Where a copy of requests goes, its answers thrown away (`mirror`).
public struct Mirror: Hashable, Sendable {
    /// `virtualNodeRef` or `virtualNodeARN`.
    public var virtualNode: TargetReference
    /// The node's listener port; nil when it has just one that fits.
    public var port: Port?
    /// `percentage`; default all.
    public var percentage: Percentage

    /// Makes a mirror.
    public init(virtualNode: TargetReference, port: Port? = nil, percentage: Percentage = .all) {
        self.virtualNode = virtualNode
        self.port = port
        self.percentage = percentage
    }
}

/// How long a proxy waits before retries (`retryBackOff`).
public struct RetryBackOff: Hashable, Sendable {
    /// `baseInterval`, from 1 ms.
    public var baseInterval: Duration
    /// `maxInterval`, not below `baseInterval`; default ten times that.
    public var maxInterval: Duration

    /// Makes a back-off.
    public init(baseInterval: Duration, maxInterval: Duration) {
        self.baseInterval = baseInterval
        self.maxInterval = maxInterval
    }
}

/// How proxies choose among a node's endpoints (`loadBalancing`).
public struct LoadBalancing: Hashable, Sendable {
    /// `algorithm`.
    public enum Algorithm: String, CaseIterable, Hashable, Sendable {
        case roundRobin = "ROUND_ROBIN"
        case leastRequest = "LEAST_REQUEST"
        case random = "RANDOM"
        case ringHash = "RING_HASH"
        case maglev = "MAGLEV"

        /// Whether equal requests reach equal endpoints, by `hashOn`.
        public var isByHash: Bool { self == .ringHash || self == .maglev }
    }

    /// `algorithm`; default round robin.
    public var algorithm: Algorithm
    /// `hashOn`: at least one for the algorithms by hash, and none for the others.
    public var hashOn: [HashKey]
    /// `panicThreshold`: with fewer healthy endpoints than this percentage, unhealthy ones get requests
    /// too; nil is Envoy's 50, as in App Mesh.
    public var panicThreshold: Int?

    /// Makes a choice.
    public init(algorithm: Algorithm, hashOn: [HashKey] = [], panicThreshold: Int? = nil) {
        self.algorithm = algorithm
        self.hashOn = hashOn
        self.panicThreshold = panicThreshold
    }
}

/// What of a request is hashed (`hashOn[]`).
public enum HashKey: Hashable, Sendable {
    /// `header`.
    case header(String)
    /// `cookie`; one with a `ttl` is set where the request has none, and zero ends it with the
    /// browser's session.
    case cookie(name: String, ttl: Duration?)
    /// `queryParameter`.
    case queryParameter(String)
    /// `sourceAddress`.
    case sourceAddress
}
