public import MeshModel

/// A health check that a proxy does of its own application, once for all callers.
public struct Probe: Hashable, Codable, Sendable {
    /// The listener's port, for which the result holds.
    public var port: Port
    /// The cluster through which the proxy reaches its application: Envoy counts the checks under
    /// this name.
    public var cluster: String
    /// The IP address at which the application is checked.
    public var address: String
    /// The port at which it is checked.
    public var applicationPort: Port
    /// The host that an HTTP check asks for; nil is the cluster's name.
    public var host: String?
    /// The check.
    public var check: HealthCheck

    /// Makes a probe.
    public init(
        port: Port,
        cluster: String,
        address: String,
        applicationPort: Port,
        host: String? = nil,
        check: HealthCheck
    ) {
        self.port = port
        self.cluster = cluster
        self.address = address
        self.applicationPort = applicationPort
        self.host = host
        self.check = check
    }
}

extension Planner {
    /// What the proxy of `workload` checks for all callers: nothing when they do that themselves.
    ///
    /// An application is checked once it runs. It would fail while it starts, and then need
    /// `healthyThreshold` checks, where the first one decides.
    func probes(
        of workload: Workload,
        _ node: VirtualNode,
        in mesh: Mesh,
        _ observations: Observations
    ) -> [Probe] {
        let observation = observations.proxies[ProxyID(workload.reference)]
        guard observation?.isServing ?? options.assumesServing else { return [] }
        return node.spec.listeners.compactMap { listener in
            let mapping = listener.portMapping
            guard let check = listener.possibleHealthCheck,
                options.allows(mapping.port),
                options.healthChecks(of: listener, in: mesh) == .once
            else { return nil }
            return Probe(
                port: mapping.port,
                cluster: ClusterName.ingress(
                    mesh: mesh.spec.awsName,
                    node: node.spec.awsName,
                    mapping
                ),
                address: workload.spec.applicationAddress(in: mesh),
                applicationPort: workload.spec.applicationPort(of: check.port ?? mapping.port),
                host: node.spec.serviceDiscovery?.hostname,
                check: check
            )
        }
    }
}

extension ListenerSpec {
    /// `healthCheck`; nil when it asks for gRPC of a listener without HTTP/2, which Envoy can't.
    var possibleHealthCheck: HealthCheck? {
        guard let healthCheck else { return nil }
        switch (healthCheck.protocol, portMapping.protocol) {
        case (.grpc, .http), (.grpc, .tcp): return nil
        case (.grpc, .http2), (.grpc, .grpc), (.http, _), (.http2, _), (.tcp, _):
            return healthCheck
        }
    }
}

/// What the endpoints of a proxy depend on.
struct Reachability: Hashable {
    /// Whether its processes run.
    var isServing: Bool
    /// Whether its Pod is ready.
    var isReady: Bool?
    /// The listeners' ports whose health checks fail.
    var failingPorts: Set<Port>

    init(_ observation: ProxyObservation) {
        isServing = observation.isServing
        isReady = observation.isReady
        failingPorts = Set(observation.xds.health.filter { $0.value != .healthy }.keys)
    }
}

extension Observations {
    /// All that endpoints depend on.
    var reachability: [ProxyID: Reachability] { proxies.mapValues(Reachability.init) }

    /// Whether requests to `target` at `proxy` are answered, as far as processes and, where callers
    /// don't check it themselves, the proxy's own checks tell.
    func isHealthy(_ proxy: ProxyID, _ target: NodePort) -> Bool? {
        guard let reachability = proxies[proxy].map(Reachability.init) else { return nil }
        let isFailing =
            target.healthChecks == .once && reachability.failingPorts.contains(target.mapping.port)
        return reachability.isServing && !isFailing
    }
}
