internal import MeshModel

extension Planner {
    /// Plans the proxies of all workloads of `gateway`, which share all but their addresses.
    mutating func planProxies(
        of gateway: VirtualGateway,
        in mesh: Mesh,
        _ resolution: inout Resolution,
        _ observations: Observations,
        into plan: inout Plan
    ) {
        guard let calls = resolution.calls[gateway.id], var resolved = calls.gateway else { return }
        let workloads = resolution.workloads[gateway.id] ?? []
        let podPlace = resolution.podPlace(of: gateway.id, in: mesh)
        let outside =
            podPlace == nil ? workloads.map { sockets(of: $0, gateway, &resolution) } : []
        if podPlace == nil {
            // Without root a low port may still be had at another number.
            resolved.listeners.removeAll { listener in
                let port = listener.spec.portMapping.port
                return !options.allows(port) && outside.allSatisfy { $0[port] == nil }
            }
            reportForbiddenPorts(of: gateway, gateway.spec.listeners, &resolution) { port in
                outside.contains { $0[port] != nil }
            }
        }
        let shared: Snapshot
        do {
            shared = try sharedResources(
                of: gateway,
                resolved,
                calls.securities,
                in: mesh,
                resolution,
                plan.addresses,
                observations
            )
        } catch {
            resolution.report(
                gateway.diagnostic(.error, "", "cannot be encoded for Envoy: \(error)")
            )
            return
        }
        if let podPlace {
            // Whether it may listen on a port below 1024 is up to the Pod's user and its sysctls.
            planPods(workloads, of: gateway, &resolution, into: &plan) { planner, pod in
                try planner.proxy(of: pod, gateway, resolved, in: mesh, podPlace, shared) {
                    [podPlace.anywhere($0)]
                }
            }
            return
        }
        for (workload, sockets) in zip(workloads, outside) {
            if !workload.spec.command.isEmpty {
                resolution.report(
                    workload.diagnostic(
                        .warning,
                        "spec.command",
                        "it is not run, as \(gateway.id) selects the Workload, and a gateway has no "
                            + "application",
                        remedy: "remove it, or let a VirtualNode select the Workload"
                    )
                )
            }
            let secrets = resolution.secrets(of: gateway.id, workload)
            let options = options
            planProxy(of: workload, &resolution, into: &plan) { planner, addresses in
                let place = ListeningPlace.host(addresses)
                var proxy = try planner.proxy(
                    of: workload,
                    gateway,
                    resolved,
                    in: mesh,
                    place,
                    shared
                ) { port in
                    let ingress = options.allows(port) ? [place.anywhere(port)] : []
                    return ingress + (sockets[port].map { [$0] } ?? [])
                }
                proxy.secrets = secrets
                return proxy
            }
        }
    }

    /// Where the gateway of `workload` listens beside its ingress address, by listener port.
    private func sockets(
        of workload: Workload,
        _ gateway: VirtualGateway,
        _ resolution: inout Resolution
    ) -> [Port: ListeningSocket] {
        guard let address = workload.spec.address else {
            if !workload.spec.ports.isEmpty {
                resolution.report(
                    workload.diagnostic(
                        .warning,
                        "spec.ports",
                        "it has no effect without an address: the gateway listens on its own ports at its "
                            + "ingress address",
                        remedy: "give spec.address, such as 0.0.0.0, or remove it"
                    )
                )
            }
            return [:]
        }
        if options.addressRanges.contain(address) {
            resolution.report(
                workload.diagnostic(
                    .error,
                    "spec.address",
                    "\"\(address)\" is among the proxies' own addresses",
                    remedy: "give an address of this host, or 0.0.0.0 for all"
                )
            )
            return [:]
        }
        var sockets: [Port: ListeningSocket] = [:]
        for mapping in gateway.spec.listeners.map(\.portMapping) {
            let port = workload.spec.ports[mapping.port] ?? mapping.port
            if !options.allows(port) {
                resolution.report(
                    workload.diagnostic(
                        .error,
                        "spec.ports",
                        "only root may listen on port \(port) of \(address)",
                        remedy: "map port \(mapping.port) to one over 1023, or run as root"
                    )
                )
            } else if let other = resolution.outsideSockets[port]?.first(where: {
                overlap($0.address, address)
            }) {
                resolution.report(
                    workload.diagnostic(
                        .error,
                        "spec.ports",
                        "port \(port) of \(address) is taken by \(other.workload)"
                            + (other.workload == workload.id ? " itself" : ""),
                        remedy: "map port \(mapping.port) to another one"
                    )
                )
            } else {
                resolution.outsideSockets[port, default: []].append((address, workload.id))
                sockets[mapping.port] = ListeningSocket(address: address, port: port)
            }
        }
        return sockets
    }

    /// Whether the same connection could arrive at both addresses.
    func overlap(_ left: String, _ right: String) -> Bool {
        let all = ["0.0.0.0", "::"]
        return left == right || all.contains(left) || all.contains(right)
    }

    /// What all proxies of `gateway` receive alike: clusters, endpoints and routes.
    private mutating func sharedResources(
        of gateway: VirtualGateway,
        _ resolved: ResolvedGateway,
        _ securities: [Destination: CallerSecurity],
        in mesh: Mesh,
        _ resolution: Resolution,
        _ addresses: [ProxyID: ProxyAddresses],
        _ observations: Observations
    ) throws -> Snapshot {
        var snapshot = Snapshot()
        let origins = [mesh.id: mesh.metadata.generation]
            .merging(resolved.origins) { own, _ in own }
            .adding(resolved.services)
        for destination in destinations(of: resolved.services) {
            let security = securities[destination] ?? .plaintext
            try insert(
                destination,
                security,
                by: resolved.origins.merging([mesh.id: mesh.metadata.generation]) { own, _ in own },
                resolution,
                addresses,
                observations,
                into: &snapshot
            )
        }
        if let collector = tracing(of: gateway, in: mesh)?.collector {
            let origins = [mesh.id: mesh.metadata.generation]
            snapshot.insert(try resource(.collectorCluster(collector), origins))
        }
        var targets: Set<GatewayTarget> = []
        for listener in resolved.listeners {
            guard case .http(let routes) = listener.answer, listener.security != .unavailable else {
                continue
            }
            targets.formUnion(routes.compactMap(\.target))
            let input = GatewayRoutes(
                port: listener.spec.portMapping.port,
                routes: routes,
                cluster: selfRedirect(of: gateway, listener.spec.portMapping, in: mesh)
            )
            snapshot.insert(try resource(.gatewayRoutes(input), origins))
        }
        let egress = VirtualServiceRoutes(
            services: resolved.services,
            targets: targets.sorted { $0.key < $1.key }
        )
        if resolved.servesHTTP {
            snapshot.insert(
                try resource(.virtualServiceRoutes(egress), origins)
            )
        }
        return snapshot
    }

    private mutating func proxy(
        of workload: Workload,
        _ gateway: VirtualGateway,
        _ resolved: ResolvedGateway,
        in mesh: Mesh,
        _ place: ListeningPlace,
        _ shared: Snapshot,
        sockets: (Port) -> [ListeningSocket]
    ) throws -> ProxyPlan {
        var snapshot = shared
        var origins = resolved.origins
        origins[mesh.id] = mesh.metadata.generation
        if !place.isPod { origins[workload.id] = workload.metadata.generation }
        var ports: [Port] = []
        for listener in resolved.listeners {
            let mapping = listener.spec.portMapping
            let sockets = sockets(mapping.port)
            guard !sockets.isEmpty, listener.security != .unavailable else { continue }
            let filter: GatewayListener.Filter
            var listenerOrigins = origins
            switch listener.answer {
            case .http:
                filter = .http
                let cluster = SelfRedirectCluster(
                    name: selfRedirect(of: gateway, mapping, in: mesh),
                    address: place.egressAddress,
                    connectionPool: listener.spec.connectionPool
                )
                snapshot.insert(try resource(.selfRedirectCluster(cluster), origins))
            case .tcp(let targets, let idleTimeout):
                guard targets.contains(where: { $0.weight > 0 }) else { continue }
                filter = .tcp(targets, idleTimeout: idleTimeout)
                listenerOrigins = origins.adding(resolved.services)
            }
            let statPrefix =
                gateway.spec.listeners.count == 1
                ? "ingress" : "ingress.\(mapping.protocol.rawValue).\(mapping.port)"
            let input = GatewayListener(
                mapping: mapping,
                sockets: sockets,
                statPrefix: statPrefix,
                filter: filter,
                accessLog: gateway.spec.accessLog,
                tracing: tracing(of: gateway, in: mesh),
                security: listener.security
            )
            if sockets.contains(place.anywhere(mapping.port)) { ports.append(mapping.port) }
            snapshot.insert(try resource(.gatewayListener(input), listenerOrigins))
        }
        if resolved.servesHTTP {
            let egress = EgressListener(
                place: place,
                chains: [:],
                servesGateway: true,
                accessLog: gateway.spec.accessLog,
                tracing: tracing(of: gateway, in: mesh)
            )
            snapshot.insert(try resource(.egressListener(egress), origins))
        }
        return ProxyPlan(
            id: ProxyID(workload.reference),
            owner: gateway.id,
            nodeID: gateway.nodeID(in: mesh),
            addresses: place.addresses,
            ingressPorts: ports.sorted(),
            egressPorts: resolved.servesHTTP ? [.egress] : [],
            concurrency: workload.spec.sidecar.workerCount,
            resources: workload.spec.sidecar,
            snapshot: snapshot,
            accessLogPath: gateway.spec.accessLog?.path,
            statistics: ProxyStatistics(of: gateway, in: mesh)
        )
    }

    private func selfRedirect(
        of gateway: VirtualGateway,
        _ mapping: PortMapping,
        in mesh: Mesh
    ) -> String {
        ClusterName.selfRedirect(
            mesh: mesh.spec.awsName,
            gateway: gateway.spec.awsName,
            mapping,
            isOnlyListener: gateway.spec.listeners.count == 1
        )
    }
}

extension ResolvedGateway {
    /// Whether any listener speaks HTTP.
    var servesHTTP: Bool {
        listeners.contains { listener in
            if case .http = listener.answer { true } else { false }
        }
    }
}
