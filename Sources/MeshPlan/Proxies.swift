internal import MeshModel

extension Planner {
    /// Plans the proxy of one workload, or reports why that cannot be.
    mutating func planProxy(
        of workload: Workload,
        _ resolution: inout Resolution,
        into plan: inout Plan,
        _ make: (inout Planner, ProxyAddresses) throws -> ProxyPlan
    ) {
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
            return
        }
        do {
            plan.proxies[id] = try make(&self, addresses)
        } catch {
            resolution.report(
                workload.diagnostic(.error, "", "cannot be encoded for Envoy: \(error)")
            )
        }
    }

    /// Reports listeners of `owner` on ports that only root may have, where Heddle is not root: Envoy
    /// would refuse a listener with one of them as a whole.
    func reportForbiddenPorts<Spec: ObjectSpec>(
        of owner: Object<Spec>,
        _ listeners: [ListenerSpec],
        _ resolution: inout Resolution,
        unless isReachable: (Port) -> Bool = { _ in false }
    ) {
        for (index, listener) in listeners.enumerated() {
            let port = listener.portMapping.port
            if options.allows(port) || isReachable(port) { continue }
            resolution.report(
                owner.diagnostic(
                    .error,
                    "spec.listeners[\(index)].portMapping.port",
                    "only root may listen on port \(port), so that nothing reaches it there",
                    remedy: remedyForForbiddenPorts
                )
            )
        }
    }

    /// Adds the cluster of `destination`, and its endpoints where these are workloads.
    ///
    /// - Parameters:
    ///   - destination: What is called.
    ///   - security: How it is called.
    ///   - caller: The objects that say so.
    ///   - resolution: The world.
    ///   - addresses: Where proxies are.
    ///   - observations: Whether they serve.
    ///   - snapshot: What the caller has.
    /// - Throws: What SwiftProtobuf throws.
    mutating func insert(
        _ destination: Destination,
        _ security: CallerSecurity,
        by caller: [ObjectID: Int],
        _ resolution: Resolution,
        _ addresses: [ProxyID: ProxyAddresses],
        _ observations: Observations,
        into snapshot: inout Snapshot
    ) throws {
        let made =
            security == .plaintext
            ? destination.origins : destination.origins.merging(caller) { own, _ in own }
        snapshot.insert(try resource(.cluster(destination, security), made))
        guard case .node(let target) = destination, target.discovery == .workloads,
            security != .unavailable
        else { return }
        if let known = endpoints[target] {
            snapshot.insert(known)
            return
        }
        let port = target.mapping.port
        let workloads = (resolution.instances[target.node] ?? []).filter { workload in
            // Of instances that Cloud Map finds some may listen on other ports.
            resolution.node(of: workload.reference)?.spec.listeners
                .contains { $0.portMapping.port == port } ?? false
        }
        let members = workloads.compactMap { workload -> Endpoint? in
            if let pod = workload.spec.pod {
                return endpoint(in: pod, of: workload, target, observations)
            }
            let id = ProxyID(workload.reference)
            return addresses[id].map {
                Endpoint(
                    address: $0.ingress,
                    port: port,
                    isHealthy: observations.isHealthy(id, target) ?? options.assumesServing,
                    healthCheckPort: target.probe?.port,
                    takesTLS: takesTLS(id, target)
                )
            }
        }
        var origins = destination.origins
        for workload in workloads {
            // A Pod's address is no mistake of anybody.
            if workload.spec.pod == nil { origins[workload.id] = workload.metadata.generation }
            if let node = resolution.node(of: workload.reference) {
                origins[node.id] = node.metadata.generation
            }
        }
        let set = EndpointSet(name: destination.clusterName, endpoints: members)
        let resource = try resource(.endpoints(set), origins)
        endpoints[target] = resource
        snapshot.insert(resource)
    }

    /// Whether `proxy` is known to take TLS of a whole mesh: one that was there before waits until it
    /// has its new listener, so that a mesh turns to TLS without a request lost.
    func takesTLS(_ proxy: ProxyID, _ target: NodePort) -> Bool {
        guard let tls = target.tls else { return false }
        guard tls.isMeshWide else { return tls.hasPlainEndpoints }
        return !tls.takesPlaintext || !awaitingTLS.contains(proxy)
    }

    /// The resource that `input` makes, encoded once for all that receive it.
    mutating func resource(
        _ input: ResourceInput,
        _ origins: [ObjectID: Int]
    ) throws -> EncodedResource {
        try resources.value(for: ResourceKey(input: input, origins: origins)) {
            try input.encoded(origins: origins)
        }
    }
}

/// Every destination of `services`, each once.
func destinations(of services: [ResolvedService]) -> Set<Destination> {
    var destinations: Set<Destination> = []
    for service in services {
        for port in Array(service.ports.values) + [service.fallback].compactMap({ $0 }) {
            switch port {
            case .http(let routes):
                destinations.formUnion(routes.flatMap(\.targets).map(\.destination))
                destinations.formUnion(routes.compactMap { $0.mirror.map { .node($0.target) } })
            case .tcp(let targets, _): destinations.formUnion(targets.map(\.destination))
            }
        }
    }
    return destinations
}

extension [ObjectID: Int] {
    /// These origins and those of `services`.
    func adding(_ services: [ResolvedService]) -> [ObjectID: Int] {
        services.reduce(into: self) { $0.merge($1.origins) { first, _ in first } }
    }
}

extension Destination {
    var origins: [ObjectID: Int] {
        switch self {
        case .node(let target): target.origins
        case .missing: [:]
        }
    }
}

extension SidecarResources {
    /// Envoy's worker threads: one for each core begun, of the limit or else of the request.
    var workerCount: Int { (max(1, cpuLimitMillicores ?? cpuRequestMillicores) - 1) / 1000 + 1 }
}

/// What to do about ports that only root may listen on.
let remedyForForbiddenPorts = "run as root, or lower net.ipv4.ip_unprivileged_port_start"
