internal import MeshModel

extension Planner {
    /// Plans the proxies of all workloads of `node`, which share all but their addresses.
    mutating func planProxies(
        of node: VirtualNode,
        in mesh: Mesh,
        _ resolution: inout Resolution,
        _ observations: Observations,
        into plan: inout Plan
    ) {
        let calls = resolution.calls[node.id] ?? Calls()
        let backends = calls.backends
        let podPlace = resolution.podPlace(of: node.id, in: mesh)
        let chains =
            podPlace == nil
            ? calls.chains.filter { options.allows($0.key) }
            : mesh.passingChains.merging(calls.chains) { _, own in own }
        let securities = calls.listeners
        if podPlace == nil {
            reportForbiddenPorts(of: node, node.spec.listeners, &resolution)
            reportForbiddenPorts(ofBackends: backends, of: node, &resolution)
        }
        let shared: Snapshot
        do {
            shared = try sharedResources(
                of: node,
                in: mesh,
                calls,
                chains,
                securities,
                isInPod: podPlace != nil,
                resolution,
                plan.addresses,
                observations
            )
        } catch {
            resolution.report(node.diagnostic(.error, "", "cannot be encoded for Envoy: \(error)"))
            return
        }
        let accessControl = resolution.accessControl(of: node, in: mesh)
        let callers = resolution.callers[node.reference]?.origins ?? [:]
        let offersTLS =
            mesh.spec.mutualTLS != nil && node.spec.listeners.contains { $0.tls == nil }
        func noteTransition(_ id: ProxyID) {
            if offersTLS {
                plan.transition.offeringTLS.insert(id)
            } else if resolution.leavingTLS.contains(node.id) {
                plan.transition.leavingTLS.insert(id)
            }
        }
        let workloads = resolution.workloads[node.id] ?? []
        if let podPlace {
            for pod in workloads where pod.injectedPod != nil {
                noteTransition(ProxyID(pod.reference))
            }
            planPods(workloads, of: node, &resolution, into: &plan) { planner, pod in
                try planner.proxy(
                    of: pod,
                    node,
                    in: mesh,
                    podPlace,
                    backends,
                    chains,
                    securities,
                    accessControl,
                    accessControl == nil ? [:] : callers,
                    shared
                )
            }
            return
        }
        for workload in workloads {
            if options.addressRanges.contain(workload.spec.applicationAddress) {
                resolution.report(
                    workload.diagnostic(
                        .error,
                        "spec.address",
                        "\"\(workload.spec.applicationAddress)\" is among the proxies' own "
                            + "addresses, so that requests would come back for ever",
                        remedy: "let the application listen on 127.0.0.1"
                    )
                )
                continue
            }
            if let loop = loop(of: workload, node, resolution) {
                resolution.report(loop)
                continue
            }
            noteTransition(ProxyID(workload.reference))
            let secrets = resolution.secrets(of: node.id, workload)
            planProxy(of: workload, &resolution, into: &plan) { planner, addresses in
                var proxy = try planner.proxy(
                    of: workload,
                    node,
                    in: mesh,
                    .host(addresses),
                    backends,
                    chains,
                    securities,
                    accessControl,
                    accessControl == nil ? [:] : callers,
                    shared
                )
                proxy.secrets = secrets
                proxy.probes = planner.probes(of: workload, node, in: mesh, observations)
                return proxy
            }
        }
    }

    /// Why requests would come back for ever: a gateway listens where the application should.
    private func loop(
        of workload: Workload,
        _ node: VirtualNode,
        _ resolution: Resolution
    ) -> Diagnostic? {
        let address = workload.spec.applicationAddress
        for mapping in node.spec.listeners.map(\.portMapping) {
            let port = workload.spec.applicationPort(of: mapping.port)
            let owner = resolution.outsideSockets[port]?.first { overlap($0.address, address) }
            guard let owner else { continue }
            return workload.diagnostic(
                .error,
                "spec.ports",
                "the gateway of \(owner.workload) listens on port \(port) of \(address), so that "
                    + "requests would come back for ever",
                remedy: "map port \(mapping.port) to the port of the application"
            )
        }
        return nil
    }

    /// Reports backends' ports that only root may listen on, where Heddle is not root.
    private func reportForbiddenPorts(
        ofBackends backends: [ResolvedService],
        of node: VirtualNode,
        _ resolution: inout Resolution
    ) {
        let called = Set(backends.flatMap(\.ports.keys)).filter { !options.allows($0) }
        for port in called.sorted() {
            resolution.report(
                node.diagnostic(
                    .warning,
                    "spec.backends",
                    "only root may listen on port \(port), so that its backends there are reached "
                        + "through port 15001 alone",
                    remedy: remedyForForbiddenPorts
                )
            )
        }
    }

    /// What all proxies of `node` receive alike: backends' clusters and endpoints, and all routes.
    private mutating func sharedResources(
        of node: VirtualNode,
        in mesh: Mesh,
        _ calls: Calls,
        _ chains: [Port: EgressListener.Chain],
        _ securities: [Port: ListenerSecurity],
        isInPod: Bool,
        _ resolution: Resolution,
        _ addresses: [ProxyID: ProxyAddresses],
        _ observations: Observations
    ) throws -> Snapshot {
        var snapshot = Snapshot()
        let backends = calls.backends
        let meshOrigin = [mesh.id: mesh.metadata.generation]
        let origins = [mesh.id: mesh.metadata.generation, node.id: node.metadata.generation]
        for destination in destinations(of: backends) {
            let security = calls.securities[destination] ?? .plaintext
            try insert(
                destination,
                security,
                by: origins,
                resolution,
                addresses,
                observations,
                into: &snapshot
            )
        }
        for name in mesh.passingClusters {
            let byHost = isInPod ? ClusterName.byHost(name) : name
            snapshot.insert(try resource(.forwardProxyCluster(name: byHost), meshOrigin))
            if isInPod {
                snapshot.insert(try resource(.originalDestinationCluster(name: name), meshOrigin))
            }
        }
        if let collector = tracing(of: node, in: mesh)?.collector {
            snapshot.insert(try resource(.collectorCluster(collector), meshOrigin))
        }
        for port in httpPorts(chains) {
            let services = backends.filter {
                port == .egress || $0.fallback != nil || $0.httpRoutes(on: port) != nil
            }
            let routes = EgressRoutes(
                port: port,
                services: services,
                mesh: mesh.spec.awsName,
                egressFilter: mesh.spec.egressFilter,
                alwaysAllowed: mesh.spec.alwaysAllowed,
                isInPod: isInPod
            )
            snapshot.insert(try resource(.egressRoutes(routes), origins.adding(services)))
        }
        let control = resolution.accessControl(of: node, in: mesh)
        let callers = resolution.callers[node.reference]?.origins ?? [:]
        for listener in node.spec.listeners where listener.portMapping.protocol != .tcp {
            if securities[listener.portMapping.port] == .unavailable { continue }
            let cluster = ClusterName.ingress(
                mesh: mesh.spec.awsName,
                node: node.spec.awsName,
                listener.portMapping
            )
            let routes = IngressRoutes(
                listener: listener,
                cluster: cluster,
                features: resolution.policies.features(of: node.id),
                rateLimit: resolution.policies.rateLimit(of: node.id),
                accessControl: control
            )
            snapshot.insert(
                try resource(
                    .ingressRoutes(routes),
                    origins.merging(resolution.policies.origins(of: node.id)) { own, _ in own }
                        .merging(control == nil ? [:] : callers) { own, _ in own }
                )
            )
        }
        return snapshot
    }

    private mutating func proxy(
        of workload: Workload,
        _ node: VirtualNode,
        in mesh: Mesh,
        _ place: ListeningPlace,
        _ backends: [ResolvedService],
        _ chains: [Port: EgressListener.Chain],
        _ securities: [Port: ListenerSecurity],
        _ accessControl: AccessControl?,
        _ callers: [ObjectID: Int],
        _ shared: Snapshot
    ) throws -> ProxyPlan {
        var snapshot = shared
        var origins = [mesh.id: mesh.metadata.generation, node.id: node.metadata.generation]
        if !place.isPod { origins[workload.id] = workload.metadata.generation }
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
                address: workload.spec.applicationAddress(in: mesh),
                port: workload.spec.applicationPort(of: mapping.port),
                connectionPool: listener.connectionPool
            )
            clusters[mapping.port] = name
            snapshot.insert(try resource(.localCluster(local), origins))
        }
        let listeners = node.spec.listeners.filter {
            (place.isPod || options.allows($0.portMapping.port))
                && securities[$0.portMapping.port] != .unavailable
        }
        var ingress = IngressListener(
            place: place,
            listeners: listeners,
            clusters: clusters,
            accessLog: node.spec.accessLog,
            tracing: tracing(of: node, in: mesh),
            securities: securities
        )
        if let accessControl { ingress.control(accessControl) }
        if !listeners.isEmpty {
            let origins = origins.merging(callers) { own, _ in own }
            snapshot.insert(try resource(.ingressListener(ingress), origins))
        }
        let egress = EgressListener(
            place: place,
            chains: chains,
            passage: place.isPod ? mesh.egressPassage : EgressPassage(),
            forwardsEverywhere: !place.isPod && mesh.spec.egressFilter == .allowAll,
            accessLog: node.spec.accessLog,
            tracing: tracing(of: node, in: mesh)
        )
        snapshot.insert(try resource(.egressListener(egress), origins.adding(backends)))
        let nodeID = node.nodeID(in: mesh)
        let addresses = place.addresses
        return ProxyPlan(
            id: ProxyID(workload.reference),
            owner: node.id,
            nodeID: nodeID,
            addresses: addresses,
            ingressPorts: listeners.isEmpty ? [] : ingress.sockets.map(\.port),
            egressPorts: place.isPod ? [.egress] : egress.ports,
            concurrency: workload.spec.sidecar.workerCount,
            resources: workload.spec.sidecar,
            snapshot: snapshot,
            accessLogPath: node.spec.accessLog?.path,
            statistics: ProxyStatistics(of: node, in: mesh),
            application: applicationPlan(of: workload, node, addresses, nodeID: nodeID)
        )
    }
}

/// The ports on which HTTP is answered, 15001 among them.
private func httpPorts(_ chains: [Port: EgressListener.Chain]) -> Set<Port> {
    Set(chains.filter { $0.value == .http }.keys).union([.egress])
}

extension Mesh {
    /// The clusters through which connections leave the mesh.
    fileprivate var passingClusters: [String] {
        let allowed = spec.alwaysAllowed.isEmpty ? [] : [ClusterName.amazonaws(mesh: spec.awsName)]
        switch spec.egressFilter {
        case .allowAll: return allowed + [ClusterName.allowAll(mesh: spec.awsName)]
        case .dropAll: return allowed
        }
    }

    /// What passes a proxy in a Pod.
    fileprivate var egressPassage: EgressPassage {
        let clusters = passingClusters
        return EgressPassage(
            allowed: spec.alwaysAllowed,
            allowedCluster: ClusterName.amazonaws(mesh: spec.awsName),
            otherCluster: spec.egressFilter == .allowAll ? clusters.last : nil
        )
    }

    /// The ports on which plain requests for what is always allowed are looked for in a Pod: none when
    /// everything passes, whatever is spoken.
    fileprivate var passingChains: [Port: EgressListener.Chain] {
        if spec.egressFilter == .allowAll { return [:] }
        let ports = spec.alwaysAllowed.filter { !$0.isAddress && $0.port != .https }.map(\.port)
        return Dictionary(ports.map { ($0, .http) }) { first, _ in first }
    }
}
