internal import MeshModel

extension Planner {
    /// Who may call whom by `plan`, of which proxies and their owners are known.
    ///
    /// What is as it was in `previous` is handed back itself, so that comparing the two costs little.
    func topology(
        of plan: Plan,
        _ resolution: Resolution,
        after previous: MeshTopology
    ) -> MeshTopology {
        var topology = MeshTopology()
        topology.proxies.reserveCapacity(plan.proxies.count)
        var owners: [ObjectID: ProxyTopology] = [:]
        for (id, proxy) in plan.proxies {
            let known = previous.proxies[id]
            guard let owner = owners[proxy.owner] ?? resolution.topology(of: proxy.owner, known)
            else {
                // It stays as it was, as it can't be planned any more.
                topology.proxies[id] = known
                continue
            }
            owners[proxy.owner] = owner
            topology.proxies[id] = owner
        }
        topology.splits = resolution.splits()
        return topology == previous ? previous : topology
    }
}

extension Resolution {
    /// The place of a proxy of `owner`; `known` itself when it is the same.
    fileprivate func topology(of owner: ObjectID, _ known: ProxyTopology?) -> ProxyTopology? {
        guard let mesh = mesh(of: owner), let calls = calls[owner] else { return nil }
        var place = ProxyTopology(
            mesh: mesh.id,
            meshName: mesh.spec.awsName,
            owner: owner,
            ownerName: "",
            trustDomain: mesh.trustDomain
        )
        if let node = world.virtualNodes[owner.reference], node.id == owner {
            place.ownerName = node.spec.awsName
            place.targets = targets(of: calls.backends, calls.securities)
                .merging(
                    mesh.externalTargets(ofPods: podPlace(of: owner, in: mesh) != nil)
                ) { own, _ in own }
            place.applicationClusters = Set(
                node.spec.listeners.map {
                    ClusterName.ingress(
                        mesh: mesh.spec.awsName,
                        node: node.spec.awsName,
                        $0.portMapping
                    )
                }
            )
            place.accessLogPath = node.spec.accessLog?.path
        } else if let gateway = world.virtualGateways[owner.reference], gateway.id == owner {
            place.ownerName = gateway.spec.awsName
            // The clusters that lead back into the gateway lead nowhere else: its egress calls.
            place.targets = targets(of: calls.gateway?.services ?? [], calls.securities)
            place.accessLogPath = gateway.spec.accessLog?.path
        }
        return place == known ? known : place
    }

    /// What the clusters for `services` lead to, by their names.
    private func targets(
        of services: [ResolvedService],
        _ securities: [Destination: CallerSecurity]
    ) -> [String: TrafficTarget] {
        var targets: [String: TrafficTarget] = [:]
        for service in services {
            for port in Array(service.ports.values) + [service.fallback].compactMap({ $0 }) {
                for destination in port.destinations {
                    var target =
                        targets[destination.clusterName]
                        ?? self.target(destination, securities[destination] ?? .plaintext)
                    target.isHTTP = target.isHTTP || port.isHTTP
                    if !target.services.contains(service.authority) {
                        target.services.append(service.authority)
                    }
                    targets[destination.clusterName] = target
                }
            }
        }
        return targets.mapValues { target in
            var target = target
            target.services.sort()
            return target
        }
    }

    private func target(
        _ destination: Destination,
        _ security: CallerSecurity
    ) -> TrafficTarget {
        switch destination {
        case .missing(_, let name):
            return TrafficTarget(destination: .missing(name), isHTTP: false)
        case .node(let port):
            return TrafficTarget(
                destination: .virtualNode(ObjectID(.virtualNode, port.node), name: port.name),
                port: port.mapping.port,
                isHTTP: false,
                security: security.protection(of: port)
            )
        }
    }

    /// How the requests to each virtual service are split, by its route and target.
    fileprivate func splits() -> [ServiceSplit] {
        services.values.sorted { $0.id < $1.id }.flatMap { service in
            var routes: [(name: String?, targets: [ResolvedTarget])] = []
            for (port, answer) in service.ports.sorted(by: { $0.key < $1.key }) {
                switch answer {
                case .http(let own): routes += own.map { ($0.name, $0.targets) }
                case .tcp(let targets, _): routes.append((tcpRoute(of: service, on: port), targets))
                }
            }
            if case .http(let own)? = service.fallback {
                routes += own.map { ($0.name, $0.targets) }
            }
            // A route may answer on several ports.
            var known: Set<String?> = []
            return routes.filter { known.insert($0.name).inserted }.flatMap {
                splits(of: service, $0.name, $0.targets)
            }
        }
    }

    private func splits(
        of service: ResolvedService,
        _ route: String?,
        _ targets: [ResolvedTarget]
    ) -> [ServiceSplit] {
        let total = targets.reduce(0) { $0 + Int($1.weight) }
        var weights: [(target: ObjectID?, weight: Int)] = []
        for target in targets {
            let node: ObjectID? =
                switch target.destination {
                case .node(let port): ObjectID(.virtualNode, port.node)
                case .missing: nil
                }
            if let index = weights.firstIndex(where: { $0.target == node }) {
                weights[index].weight += Int(target.weight)
            } else {
                weights.append((node, Int(target.weight)))
            }
        }
        return weights.map { target, weight in
            ServiceSplit(
                service: service.id,
                serviceName: service.authority,
                route: route,
                target: target,
                share: total == 0 ? 0 : Double(weight) / Double(total)
            )
        }
    }

    /// The name of the TCP route on `port`; nil of a service without a router.
    private func tcpRoute(of service: ResolvedService, on port: Port) -> String? {
        guard
            case .virtualRouter(let reference)? = world.virtualServices[service.id.reference]?.spec
                .provider,
            let mesh = mesh(of: service.id),
            case .success(let router) = find(
                reference,
                among: world.virtualRouters,
                \.awsName,
                in: mesh
            )
        else { return nil }
        return inOrderOfTrial(router.spec.routes)
            .first { $0.route.match.isTCP && $0.route.match.applies(to: port) }?.route.name
    }
}

extension ResolvedPort {
    /// Where requests and their copies go.
    fileprivate var destinations: [Destination] {
        switch self {
        case .http(let routes):
            routes.flatMap { route in
                route.targets.map(\.destination) + (route.mirror.map { [.node($0.target)] } ?? [])
            }
        case .tcp(let targets, _): targets.map(\.destination)
        }
    }

    fileprivate var isHTTP: Bool {
        switch self {
        case .http: true
        case .tcp: false
        }
    }
}

extension CallerSecurity {
    /// How connections to `target` are protected.
    fileprivate func protection(of target: NodePort) -> TrafficTarget.Security {
        switch self {
        case .plaintext: .plaintext
        // Without what it needs for TLS it does not call.
        case .unavailable: .tls
        case .tls(let tls):
            tls.certificate != nil && target.tls?.callerNames != nil ? .mutualTLS : .tls
        }
    }
}

extension Mesh {
    /// What nodes reach beyond the mesh, by the clusters' names.
    fileprivate func externalTargets(ofPods isOfPods: Bool) -> [String: TrafficTarget] {
        var targets: [String: TrafficTarget] = [:]
        if !spec.alwaysAllowed.isEmpty {
            let name = AllowedDestination.amazonWebServices.host
            let cluster = ClusterName.amazonaws(mesh: spec.awsName)
            for cluster in [cluster] + (isOfPods ? [ClusterName.byHost(cluster)] : []) {
                targets[cluster] = TrafficTarget(destination: .external(name))
            }
        }
        if spec.egressFilter == .allowAll {
            let cluster = ClusterName.allowAll(mesh: spec.awsName)
            for cluster in [cluster] + (isOfPods ? [ClusterName.byHost(cluster)] : []) {
                targets[cluster] = TrafficTarget(destination: .external("external"))
            }
        }
        return targets
    }
}
