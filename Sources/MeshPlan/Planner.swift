public import MeshModel

/// Settings of a plan that come from no object.
public struct PlanOptions: Hashable, Sendable {
    /// Where proxies take their addresses from.
    public var addressRanges: AddressRanges
    /// Whether a proxy of which nothing was observed counts as serving: so it is where nothing
    /// runs, as in `heddle render`.
    public var assumesServing: Bool
    /// The lowest port that proxies may listen on, as only root may have those below 1024; nil is any.
    public var lowestPort: Port?

    /// Makes options; without arguments the defaults.
    public init(
        addressRanges: AddressRanges = .loopback,
        assumesServing: Bool = true,
        lowestPort: Port? = nil
    ) {
        self.addressRanges = addressRanges
        self.assumesServing = assumesServing
        self.lowestPort = lowestPort
    }

    /// Whether proxies may listen on `port`.
    func allows(_ port: Port) -> Bool { lowestPort.map { port >= $0 } ?? true }
}

/// What to do for `world`: the function that is the program.
///
/// Guarantee: equal inputs give equal plans, whatever the order of objects; it reads no clock, disk
/// or network. A wrong object affects only itself and the parts of others that refer to it.
///
/// - Parameters:
///   - world: All objects.
///   - observations: What proxies answered so far, addresses given, and the last conditions.
///   - previous: The last plan. What it chose stays chosen while it fits, and a proxy whose Workload
///     is there and can't be planned any more stays as it was.
///   - nowSeconds: The time in seconds since 1970, for conditions that change.
///   - options: Settings that come from no object.
/// - Returns: Proxies, statuses and problems.
public func plan(
    _ world: World,
    _ observations: Observations = Observations(),
    after previous: Plan = Plan(),
    nowSeconds: Int,
    options: PlanOptions = PlanOptions()
) -> Plan {
    var planner = Planner(options: options)
    return planner.plan(world, observations, after: previous, nowSeconds: nowSeconds)
}

/// `plan` with a memory: what the last plan made from the same inputs is not made again.
///
/// Guarantee: each plan equals the one that `plan` makes of the same arguments.
public struct Planner: Sendable {
    private let options: PlanOptions
    private var resources = Memo<ResourceKey, EncodedResource>()
    private var last: (resolution: Resolution, plan: Plan, serving: [ProxyID: Bool])?

    /// Makes a planner that remembers nothing.
    public init(options: PlanOptions = PlanOptions()) {
        self.options = options
    }

    /// What to do for `world`; see the function of that name.
    public mutating func plan(
        _ world: World,
        _ observations: Observations,
        after previous: Plan = Plan(),
        nowSeconds: Int
    ) -> Plan {
        resources.turn()
        var resolution = Resolution(of: world, after: previous.designations)
        resolution.checkBackendGroups()
        resolution.designateGateways()
        var plan = Plan()
        plan.addresses = assignAddresses(
            to: resolution.nodes.keys.map(ProxyID.init),
            keeping: observations.addresses,
            from: options.addressRanges
        )
        resolution.checkApplicationPorts()
        for reference in resolution.workloads.keys.sorted() {
            guard let node = world.virtualNodes[reference], let mesh = resolution.mesh(of: node.id)
            else { continue }
            planProxies(of: node, in: mesh, &resolution, observations, into: &plan)
        }
        // Nodes without workloads have no proxy, and their references count all the same.
        for node in world.virtualNodes.values where resolution.workloads[node.reference] == nil {
            guard let mesh = resolution.mesh(of: node.id) else { continue }
            let backends = resolution.backends(of: node, in: mesh)
            _ = resolution.egressChains(of: node, to: backends)
        }
        for reference in world.workloads.keys {
            let id = ProxyID(reference)
            if plan.proxies[id] == nil { plan.proxies[id] = previous.proxies[id] }
        }
        plan.designations = resolution.designations
        plan.diagnostics =
            (world.diagnostics + resolution.diagnostics + featuresWithoutEffect(in: resolution))
            .sorted()
        plan.statuses = statuses(of: resolution, plan, observations, nowSeconds: nowSeconds)
        last = (resolution, plan, observations.proxies.mapValues(\.isServing))
        return plan
    }

    /// The last plan with the statuses that `observations` give; nil when they change more than
    /// that, which is when a proxy begins or ends to serve.
    ///
    /// Guarantee: it equals the plan that `plan` would make of the last world.
    public mutating func plan(_ observations: Observations, nowSeconds: Int) -> Plan? {
        guard var last, last.serving == observations.proxies.mapValues(\.isServing),
            last.plan.addresses == observations.addresses
        else { return nil }
        last.plan.statuses = statuses(
            of: last.resolution,
            last.plan,
            observations,
            nowSeconds: nowSeconds
        )
        self.last = last
        return last.plan
    }
}

// MARK: - Proxies

extension Planner {
    /// Plans the proxies of all workloads of `node`, which share all but their addresses.
    private mutating func planProxies(
        of node: VirtualNode,
        in mesh: Mesh,
        _ resolution: inout Resolution,
        _ observations: Observations,
        into plan: inout Plan
    ) {
        let backends = resolution.backends(of: node, in: mesh)
        let chains = resolution.egressChains(of: node, to: backends)
            .filter { options.allows($0.key) }
        reportForbiddenPorts(of: node, backends, &resolution)
        let shared: Snapshot
        do {
            shared = try sharedResources(
                of: node,
                in: mesh,
                backends,
                chains,
                resolution,
                plan.addresses,
                observations
            )
        } catch {
            resolution.report(node.diagnostic(.error, "", "cannot be encoded for Envoy: \(error)"))
            return
        }
        for workload in resolution.workloads[node.reference] ?? [] {
            let id = ProxyID(workload.reference)
            guard let addresses = plan.addresses[id] else {
                resolution.report(
                    workload.diagnostic(
                        .error,
                        "",
                        "no address is left for its proxy in \(options.addressRanges)",
                        remedy: "pass a different --proxy-addresses"
                    )
                )
                continue
            }
            if options.addressRanges.contain(workload.spec.address) {
                resolution.report(
                    workload.diagnostic(
                        .error,
                        "spec.address",
                        "\"\(workload.spec.address)\" is among the proxies' own addresses, so that "
                            + "requests would come back for ever",
                        remedy: "let the application listen on 127.0.0.1"
                    )
                )
                continue
            }
            do {
                plan.proxies[id] = try proxy(
                    of: workload,
                    node,
                    in: mesh,
                    addresses,
                    backends,
                    chains,
                    shared
                )
            } catch {
                resolution.report(
                    workload.diagnostic(.error, "", "cannot be encoded for Envoy: \(error)")
                )
            }
        }
    }

    /// Reports ports that only root may listen on, where Heddle is not root: Envoy would refuse a
    /// listener with one of them as a whole.
    private func reportForbiddenPorts(
        of node: VirtualNode,
        _ backends: [ResolvedService],
        _ resolution: inout Resolution
    ) {
        let remedy = "run as root, or lower net.ipv4.ip_unprivileged_port_start"
        for (index, listener) in node.spec.listeners.enumerated() {
            let port = listener.portMapping.port
            if options.allows(port) { continue }
            resolution.report(
                node.diagnostic(
                    .error,
                    "spec.listeners[\(index)].portMapping.port",
                    "only root may listen on port \(port), so that nothing reaches it there",
                    remedy: remedy
                )
            )
        }
        let called = Set(backends.flatMap(\.ports.keys)).filter { !options.allows($0) }
        for port in called.sorted() {
            resolution.report(
                node.diagnostic(
                    .warning,
                    "spec.backends",
                    "only root may listen on port \(port), so that its backends there are reached "
                        + "through port 15001 alone",
                    remedy: remedy
                )
            )
        }
    }

    /// What all proxies of `node` receive alike: backends' clusters and endpoints, and all routes.
    private mutating func sharedResources(
        of node: VirtualNode,
        in mesh: Mesh,
        _ backends: [ResolvedService],
        _ chains: [Port: EgressListener.Chain],
        _ resolution: Resolution,
        _ addresses: [ProxyID: ProxyAddresses],
        _ observations: Observations
    ) throws -> Snapshot {
        var snapshot = Snapshot()
        let meshOrigin = [mesh.id: mesh.metadata.generation]
        let origins = [mesh.id: mesh.metadata.generation, node.id: node.metadata.generation]
        for destination in destinations(of: backends) {
            snapshot.insert(try resource(.cluster(destination), destination.origins))
            guard case .node(let target) = destination, target.discovery == .workloads else {
                continue
            }
            let workloads = resolution.workloads[target.node] ?? []
            let endpoints = workloads.compactMap { workload -> Endpoint? in
                let id = ProxyID(workload.reference)
                return addresses[id].map {
                    Endpoint(
                        address: $0.ingress,
                        port: target.mapping.port,
                        isHealthy: observations.proxies[id]?.isServing ?? options.assumesServing
                    )
                }
            }
            var endpointOrigins = destination.origins
            for workload in workloads {
                endpointOrigins[workload.id] = workload.metadata.generation
            }
            let set = EndpointSet(name: destination.clusterName, endpoints: endpoints)
            snapshot.insert(try resource(.endpoints(set), endpointOrigins))
        }
        snapshot.insert(
            try resource(
                .forwardProxyCluster(name: ClusterName.amazonaws(mesh: mesh.spec.awsName)),
                meshOrigin
            )
        )
        if mesh.spec.egressFilter == .allowAll {
            let name = ClusterName.allowAll(mesh: mesh.spec.awsName)
            snapshot.insert(try resource(.forwardProxyCluster(name: name), meshOrigin))
        }
        for port in httpPorts(chains) {
            let services = backends.filter {
                port == .egress || $0.fallback != nil || $0.httpRoutes(on: port) != nil
            }
            let routes = EgressRoutes(
                port: port,
                services: services,
                mesh: mesh.spec.awsName,
                egressFilter: mesh.spec.egressFilter
            )
            snapshot.insert(try resource(.egressRoutes(routes), origins.adding(services)))
        }
        for listener in node.spec.listeners where listener.portMapping.protocol != .tcp {
            let cluster = ClusterName.ingress(
                mesh: mesh.spec.awsName,
                node: node.spec.awsName,
                listener.portMapping
            )
            let routes = IngressRoutes(listener: listener, cluster: cluster)
            snapshot.insert(try resource(.ingressRoutes(routes), origins))
        }
        return snapshot
    }

    private mutating func proxy(
        of workload: Workload,
        _ node: VirtualNode,
        in mesh: Mesh,
        _ addresses: ProxyAddresses,
        _ backends: [ResolvedService],
        _ chains: [Port: EgressListener.Chain],
        _ shared: Snapshot
    ) throws -> ProxyPlan {
        var snapshot = shared
        let origins = [
            mesh.id: mesh.metadata.generation, node.id: node.metadata.generation,
            workload.id: workload.metadata.generation,
        ]
        var clusters: [Port: String] = [:]
        for listener in node.spec.listeners {
            let mapping = listener.portMapping
            let name = ClusterName.ingress(
                mesh: mesh.spec.awsName,
                node: node.spec.awsName,
                mapping
            )
            let local = LocalCluster(
                name: name,
                mapping: mapping,
                address: workload.spec.address,
                port: workload.spec.applicationPort(of: mapping.port)
            )
            clusters[mapping.port] = name
            snapshot.insert(try resource(.localCluster(local), origins))
        }
        let listeners = node.spec.listeners.filter { options.allows($0.portMapping.port) }
        let ingress = IngressListener(
            address: addresses.ingress,
            listeners: listeners,
            clusters: clusters
        )
        if !listeners.isEmpty {
            snapshot.insert(try resource(.ingressListener(ingress), origins))
        }
        let egress = EgressListener(
            address: addresses.egress,
            chains: chains,
            egressFilter: mesh.spec.egressFilter
        )
        snapshot.insert(try resource(.egressListener(egress), origins.adding(backends)))
        let nodeID = mesh.resourceName + "/virtualNode/" + node.spec.awsName
        return ProxyPlan(
            id: ProxyID(workload.reference),
            owner: node.id,
            nodeID: nodeID,
            addresses: addresses,
            ingressPorts: listeners.isEmpty ? [] : ingress.ports,
            egressPorts: egress.ports,
            concurrency: workload.spec.sidecar.workerCount,
            snapshot: snapshot,
            application: applicationPlan(of: workload, node, addresses, nodeID: nodeID)
        )
    }

    private mutating func resource(
        _ input: ResourceInput,
        _ origins: [ObjectID: Int]
    ) throws -> EncodedResource {
        try resources.value(for: ResourceKey(input: input, origins: origins)) {
            try input.encoded(origins: origins)
        }
    }
}

/// The ports on which HTTP is answered, 15001 among them.
private func httpPorts(_ chains: [Port: EgressListener.Chain]) -> Set<Port> {
    Set(chains.filter { $0.value == .http }.keys).union([.egress])
}

/// Every destination of `services`, each once.
private func destinations(of services: [ResolvedService]) -> Set<Destination> {
    var destinations: Set<Destination> = []
    for service in services {
        for port in Array(service.ports.values) + [service.fallback].compactMap({ $0 }) {
            switch port {
            case .http(let routes):
                destinations.formUnion(routes.flatMap(\.targets).map(\.destination))
            case .tcp(let targets, _): destinations.formUnion(targets.map(\.destination))
            }
        }
    }
    return destinations
}

extension [ObjectID: Int] {
    /// These origins and those of `services`.
    fileprivate func adding(_ services: [ResolvedService]) -> [ObjectID: Int] {
        services.reduce(into: self) { $0.merge($1.origins) { first, _ in first } }
    }
}

extension Destination {
    fileprivate var origins: [ObjectID: Int] {
        switch self {
        case .node(let target): target.origins
        case .missing: [:]
        }
    }
}

extension Mesh {
    /// `mesh/<name>`, or `mesh/<name>@<owner>` for a shared mesh, as in Envoy's `node.id`.
    var resourceName: String {
        "mesh/" + spec.awsName + (spec.meshOwner.map { "@\($0)" } ?? "")
    }
}

extension SidecarResources {
    /// Envoy's worker threads: one for each core begun, of the limit or else of the request.
    var workerCount: Int { (max(1, cpuLimitMillicores ?? cpuRequestMillicores) - 1) / 1000 + 1 }
}
