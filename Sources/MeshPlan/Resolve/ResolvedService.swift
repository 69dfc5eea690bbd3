internal import MeshModel

/// A virtual service as a caller meets it: ports, routes and targets, all references resolved.
struct ResolvedService: Hashable {
    /// The virtual service.
    var id: ObjectID
    /// `awsName`: the authority that callers use.
    var authority: String
    /// What answers on each port; empty when the provider is unknown or there is none.
    var ports: [Port: ResolvedPort]
    /// What answers on every port, when the provider does not say which ports there are.
    var fallback: ResolvedPort?
    /// The objects that the service was resolved from, with their generations.
    var origins: [ObjectID: Int]

    /// What answers HTTP requests on `port`; nil when the service does not listen there.
    func httpRoutes(on port: Port) -> [ResolvedRoute]? {
        switch ports[port] ?? fallback {
        case .http(let routes): routes
        case .tcp, nil: nil
        }
    }

    /// The domains by which it is called over HTTP on `port` of the egress address, each with the
    /// port of its own that they mean; on 15001 all its ports are called.
    func domains(on port: Port) -> [(domains: [String], port: Port)] {
        guard port == .egress else { return [([authority, "\(authority):\(port)"], port)] }
        if fallback != nil { return [([authority, "\(authority):*"], .http)] }
        let httpPorts = ports.keys.sorted().filter { httpRoutes(on: $0) != nil }
        let plain = httpPorts.contains(.http) ? .http : httpPorts.first
        return httpPorts.map { port in
            (port == plain ? [authority, "\(authority):\(port)"] : ["\(authority):\(port)"], port)
        }
    }
}

/// A virtual router as the services that use it meet it.
struct ResolvedRouter: Hashable {
    /// What answers on each of its listeners' ports.
    var ports: [Port: ResolvedPort] = [:]
    /// The router and the nodes that its routes target, with their generations.
    var origins: [ObjectID: Int]
}

/// What answers on one port of a virtual service.
enum ResolvedPort: Hashable {
    /// Routes in the order in which they are tried.
    case http([ResolvedRoute])
    /// One set of targets for every connection.
    case tcp([ResolvedTarget], idleTimeout: Duration?)
}

/// One route of a virtual service.
struct ResolvedRoute: Hashable {
    /// The route's name in its router; nil for the one route of a service that a node provides.
    var name: String?
    /// What it matches; never tcp.
    var match: RouteSpec.Match
    /// Where requests go.
    var targets: [ResolvedTarget]
    /// nil is App Mesh's default policy.
    var retryPolicy: RetryPolicySpec?
    /// Timeouts; nil members are App Mesh's defaults.
    var timeout: Timeouts
    /// What traffic policies add, but for the rate limit.
    var features = TrafficFeatures()
    /// The limit that it shares with the other routes of its router or service, or its own.
    var rateLimit: SharedRateLimit?
    /// Where copies of requests go.
    var mirror: ResolvedMirror?

    /// Whether every target with a share has endpoints: a retry that went to one without would end
    /// there, and retries of healthy targets go to it too.
    var canRetryOtherTargets: Bool {
        targets.allSatisfy { target in
            guard target.weight > 0 else { return true }
            switch target.destination {
            case .node(let node): return node.discovery != .none
            case .missing: return false
            }
        }
    }
}

/// Where copies of requests go, whose answers nobody waits for.
struct ResolvedMirror: Hashable {
    var target: NodePort
    /// The share of requests that is copied.
    var percentage: Percentage
}

/// One weighted target.
struct ResolvedTarget: Hashable {
    /// Where its share of requests goes.
    var destination: Destination
    /// Its share.
    var weight: UInt32
}

/// Where requests go.
enum Destination: Hashable {
    case node(NodePort)
    /// A target that does not exist; its share of requests is answered with 503.
    case missing(mesh: String, name: String)
}

/// One listener of a virtual node as its callers reach it.
struct NodePort: Hashable {
    /// The node.
    var node: ObjectReference
    /// The mesh's `awsName`.
    var mesh: String
    /// The node's `awsName`.
    var name: String
    /// The listener.
    var listener: ListenerSpec
    /// How callers find endpoints.
    var discovery: Discovery
    /// The TLS of the listener; nil when it takes plaintext only.
    var tls: TargetTLS?
    /// Who checks the listener's health.
    var healthChecks: HealthCheckMode
    /// How callers choose among endpoints; nil is round robin.
    var loadBalancing: LoadBalancing?
    /// The node's own host name; nil when its manifest has none.
    var hostname: String?
    /// The mesh, the node and its policies, with their generations.
    var origins: [ObjectID: Int]

    /// The listener's port and protocol.
    var mapping: PortMapping { listener.portMapping }

    /// The health check that callers do; nil when they do none.
    ///
    /// Without a workload there is no proxy that could check in their place.
    var probe: HealthCheck? {
        guard discovery != .none, healthChecks == .callers || discovery != .workloads else {
            return nil
        }
        return listener.possibleHealthCheck
    }
}

/// How callers find a node's endpoints.
enum Discovery: Hashable {
    /// Workloads here answer for the node: its own, or those that Cloud Map would find.
    case workloads
    /// The node's own DNS name.
    case dns(hostname: String, ServiceDiscovery.DNSResponseType, IPPreference?)
    /// No endpoint is known: Cloud Map without Workloads.
    case none

    /// Whether callers see one endpoint, whatever answers behind the name: leaving it out would leave
    /// nothing.
    var isOneLogicalEndpoint: Bool {
        switch self {
        case .dns(_, .loadBalancer, _): true
        case .dns(_, .endpoints, _), .workloads, .none: false
        }
    }
}
