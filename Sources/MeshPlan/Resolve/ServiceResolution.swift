internal import MeshModel

extension Resolution {
    /// `service` as its callers meet it.
    mutating func resolve(_ service: VirtualService, in mesh: Mesh) -> ResolvedService {
        var resolved = ResolvedService(
            id: service.id,
            authority: service.spec.awsName,
            ports: [:],
            fallback: nil,
            origins: [service.id: service.metadata.generation]
        )
        switch service.spec.provider {
        case nil:
            // As in App Mesh: a virtual host without routes, which answers 404.
            resolved.fallback = .http([])
            return resolved
        case .virtualNode(let target):
            switch find(target, among: world.virtualNodes, \.awsName, in: mesh) {
            case .success(let node):
                resolveNode(node, in: mesh, into: &resolved)
                if resolved.ports.isEmpty { report(service, target, hasNoListener: node.id) }
            case .failure(let failure):
                report(service, "spec.provider.virtualNode.virtualNode", failure)
            }
        case .virtualRouter(let target):
            switch find(target, among: world.virtualRouters, \.awsName, in: mesh) {
            case .success(let found):
                guard let router = routers[found.reference] else { break }
                resolved.ports = router.ports
                resolved.origins.merge(router.origins) { own, _ in own }
                if resolved.ports.isEmpty { report(service, target, hasNoListener: found.id) }
            case .failure(let failure):
                report(service, "spec.provider.virtualRouter.virtualRouter", failure)
            }
        }
        if resolved.ports.isEmpty {
            resolved.fallback = .http([unavailable(service.metadata, mesh)])
        }
        resolved.origins.merge(policies.origins(of: service.id)) { own, _ in own }
        let features = policies.features(of: service.id)
        let rateLimit = policies.rateLimit(of: service.id)
        resolved.ports = resolved.ports.mapValues { port in
            switch port {
            case .http(let routes):
                .http(routes.map { filled($0, by: features, rateLimit, in: mesh) })
            case .tcp(let targets, let idle):
                .tcp(targets, idleTimeout: idle ?? features.timeout?.idle)
            }
        }
        checkTimeouts(of: resolved)
        for destination in destinations(of: [resolved]) {
            resolved.origins.merge(destination.origins) { own, _ in own }
        }
        return resolved
    }

    /// Warns of requests that a node ends before its callers would: the most frequent trap of App Mesh's
    /// timeouts, where each hop has 15 s of its own.
    private mutating func checkTimeouts(of service: ResolvedService) {
        for port in service.ports.keys.sorted() {
            for route in service.httpRoutes(on: port) ?? [] {
                guard let wanted = route.timeout.perRequest else { continue }
                for case .node(let node) in route.targets.map(\.destination) {
                    let own = node.listener.timeout.perRequest ?? defaultRequestTimeout
                    guard own > .zero, wanted == .zero || wanted > own,
                        let object = world.virtualNodes[node.node], instances[node.node] != nil
                    else { continue }
                    let listeners = object.spec.listeners.map(\.portMapping.port)
                    let index = listeners.firstIndex(of: node.mapping.port) ?? 0
                    report(
                        object.diagnostic(
                            .warning,
                            "spec.listeners[\(index)].timeout",
                            "requests end after \(own.components.seconds) s here, though \(service.id) gives "
                                + (wanted == .zero
                                    ? "them no limit" : "them \(wanted.components.seconds) s"),
                            remedy:
                                "set \(node.mapping.protocol.rawValue).perRequest of the listener too"
                        )
                    )
                }
            }
        }
    }

    /// `route`, and what traffic policies say where it is silent.
    func filled(
        _ route: ResolvedRoute,
        by features: TrafficFeatures,
        _ rateLimit: SharedRateLimit?,
        in mesh: Mesh
    ) -> ResolvedRoute {
        var route = route
        route.rateLimit = route.rateLimit ?? rateLimit
        route.features = route.features.filled(by: features)
        route.retryPolicy = route.retryPolicy ?? features.retryPolicy
        route.timeout = route.timeout.filled(by: features.timeout)
        route.mirror =
            route.mirror
            ?? features.mirror.flatMap { mirror in
                destination(of: mirror, in: mesh).map {
                    ResolvedMirror(target: $0, percentage: mirror.percentage)
                }
            }
        return route
    }

    /// The virtual services that `node` may call: its backends and those of its backend groups,
    /// each once, in the order of the manifest.
    mutating func backends(of node: VirtualNode, in mesh: Mesh) -> [ResolvedService] {
        var backends: [ResolvedService] = []
        var seen: Set<ObjectReference> = []
        for (index, backend) in node.spec.backends.enumerated() {
            switch find(backend.virtualService, among: world.virtualServices, \.awsName, in: mesh) {
            case .success(let service):
                if seen.insert(service.reference).inserted,
                    let resolved = services[service.reference]
                {
                    backends.append(resolved)
                }
            case .failure(let failure):
                report(node, "spec.backends[\(index)].virtualService.virtualService", failure)
            }
        }
        for (index, group) in node.spec.backendGroups.enumerated() {
            for reference in members(of: group, usedBy: node, at: index)
            where seen.insert(reference).inserted {
                if let resolved = services[reference], self.mesh(of: resolved.id)?.id == mesh.id {
                    backends.append(resolved)
                }
            }
        }
        checkAuthorities(of: backends, usedBy: node)
        return backends
    }

    /// Warns of backends that are called by one and the same authority, as a service named `a:80`
    /// and one named `a` that listens on port 80 are.
    private mutating func checkAuthorities(of backends: [ResolvedService], usedBy node: VirtualNode)
    {
        var owners: [String: ResolvedService] = [:]
        for service in backends {
            for domain in service.domains(on: .egress).flatMap(\.domains) {
                let first = owners[domain.lowercased(), default: service]
                owners[domain.lowercased()] = first
                guard first.id != service.id else { continue }
                report(
                    node.diagnostic(
                        .warning,
                        "spec.backends",
                        "requests to \"\(domain)\" go to \(first.id), and not to \(service.id)",
                        remedy: "give one of them another awsName"
                    )
                )
            }
        }
    }

    private mutating func members(
        of group: BackendGroupReference,
        usedBy node: VirtualNode,
        at index: Int
    ) -> [ObjectReference] {
        switch group {
        case .everything(let namespace):
            return services.keys.filter { $0.namespace == namespace }.sorted()
        case .group(let reference):
            guard let group = world.backendGroups[reference] else {
                report(
                    node.diagnostic(
                        .error,
                        "spec.backendGroups[\(index)]",
                        "no BackendGroup \"\(reference)\"",
                        remedy: "add it or correct the reference"
                    )
                )
                return []
            }
            return group.spec.virtualServices
        }
    }

    /// Reports the references of backend groups that lead nowhere.
    mutating func checkBackendGroups() {
        for group in world.backendGroups.values {
            guard let mesh = mesh(of: group.id) else { continue }
            for (index, reference) in group.spec.virtualServices.enumerated() {
                if case .failure(let failure) = find(
                    .object(reference),
                    among: world.virtualServices,
                    \.awsName,
                    in: mesh
                ) {
                    report(
                        group.diagnostic(
                            .error,
                            "spec.virtualservices[\(index)]",
                            failure.problem,
                            remedy: failure.remedy
                        )
                    )
                }
            }
        }
    }

    /// The listeners of `node` as callers reach them.
    func nodePorts(of node: VirtualNode, in mesh: Mesh) -> [NodePort] {
        let discovery: Discovery
        if instances[node.reference] != nil {
            discovery = .workloads
        } else {
            switch node.spec.serviceDiscovery {
            case .dns(let hostname, let responseType, let preference):
                discovery = .dns(
                    hostname: hostname,
                    responseType,
                    preference ?? mesh.spec.ipPreference
                )
            case .awsCloudMap, nil: discovery = .none
            }
        }
        let loadBalancing = policies.features(of: node.id).loadBalancing
        let origins = policies.origins(of: node.id).merging(
            [mesh.id: mesh.metadata.generation, node.id: node.metadata.generation]
        ) { own, _ in own }
        let ports = node.spec.listeners.map(\.portMapping.port)
        return node.spec.listeners.enumerated().map { index, listener in
            let tls = targetTLS(of: listener, index, node, discovery, in: mesh)
            var listener = listener
            // Of its TLS no more matters to callers.
            listener.tls = nil
            // A proxy listens on the ports of its node only.
            if discovery == .workloads, let port = listener.healthCheck?.port, !ports.contains(port)
            {
                listener.healthCheck?.port = nil
            }
            return NodePort(
                node: node.reference,
                mesh: mesh.spec.awsName,
                name: node.spec.awsName,
                listener: listener,
                discovery: discovery,
                tls: tls,
                healthChecks: options.healthChecks(of: listener, in: mesh),
                loadBalancing: loadBalancing,
                hostname: node.spec.serviceDiscovery?.hostname,
                origins: origins
            )
        }
    }
}

extension ServiceDiscovery {
    /// The name under which the node is looked up, in DNS or in Cloud Map.
    var hostname: String {
        switch self {
        case .dns(let hostname, _, _): hostname
        case .awsCloudMap(let namespaceName, let serviceName, _, _):
            "\(serviceName).\(namespaceName)"
        }
    }
}
