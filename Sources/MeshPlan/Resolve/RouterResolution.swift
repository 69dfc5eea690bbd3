internal import MeshModel

extension Resolution {
    func resolveNode(
        _ node: VirtualNode,
        in mesh: Mesh,
        into service: inout ResolvedService
    ) {
        service.origins[node.id] = node.metadata.generation
        for nodePort in nodePorts(of: node, in: mesh) {
            let targets = [ResolvedTarget(destination: .node(nodePort), weight: 100)]
            service.ports[nodePort.mapping.port] =
                switch nodePort.mapping.protocol {
                case .tcp: .tcp(targets, idleTimeout: nil)
                case .http, .http2, .grpc: .http([everyRequest(to: targets)])
                }
        }
    }

    /// `router` with its references resolved, and what is wrong with them reported.
    mutating func resolve(_ router: VirtualRouter, in mesh: Mesh) -> ResolvedRouter {
        var resolved = ResolvedRouter(
            origins: policies.origins(of: router.id, routes: router.spec.routes.map(\.name))
        )
        resolved.origins[router.id] = router.metadata.generation
        let ports = Dictionary(
            router.spec.listeners.map { ($0.port, $0.protocol) },
            uniquingKeysWith: { first, _ in first }
        )
        let routes = inOrderOfTrial(router.spec.routes)
        for (port, listenerProtocol) in ports {
            var http: [ResolvedRoute] = []
            var tcp: ResolvedPort?
            for (index, route) in routes where route.match.applies(to: port) {
                let targets = resolve(
                    route.weightedTargets,
                    of: router,
                    route: index,
                    on: port,
                    in: mesh,
                    origins: &resolved.origins
                )
                switch route.match {
                case .tcp:
                    guard listenerProtocol == .tcp else { continue }
                    if tcp != nil {
                        report(
                            router.diagnostic(
                                .warning,
                                "spec.routes[\(index)].tcpRoute",
                                "port \(port) has a TCP route already, and connections can't be told "
                                    + "apart",
                                remedy: "keep one, or give each a listener of its own in match.port"
                            )
                        )
                        continue
                    }
                    let features = policies.features(of: router.id, route: route.name)
                    tcp = .tcp(
                        targets,
                        idleTimeout: route.timeout.filled(by: features.timeout).idle
                    )
                case .http, .http2, .grpc:
                    guard listenerProtocol != .tcp else { continue }
                    let resolved = ResolvedRoute(
                        name: route.name,
                        match: route.match,
                        targets: targets,
                        retryPolicy: route.retryPolicy,
                        timeout: route.timeout
                    )
                    let features = policies.features(of: router.id, route: route.name)
                    let rateLimit =
                        policies.rateLimit(of: router.id, route: route.name)
                        ?? policies.rateLimit(of: router.id)
                    http.append(filled(resolved, by: features, rateLimit, in: mesh))
                }
            }
            resolved.ports[port] =
                listenerProtocol == .tcp ? tcp ?? .tcp([], idleTimeout: nil) : .http(http)
        }
        for (index, route) in router.spec.routes.enumerated() {
            checkListener(of: route, at: index, of: router)
        }
        return resolved
    }

    /// Warns of a route whose port or type fits no listener of its router.
    private mutating func checkListener(
        of route: RouteSpec,
        at index: Int,
        of router: VirtualRouter
    ) {
        let field = "spec.routes[\(index)].\(route.match.fieldName)"
        let onPort = router.spec.listeners.filter { route.match.applies(to: $0.port) }
        guard !onPort.isEmpty else {
            let ports = router.spec.listeners.map(\.port.description).joined(separator: ", ")
            report(
                router.diagnostic(
                    .warning,
                    ports.isEmpty ? field : "\(field).match.port",
                    "it matches nothing, as the router has no listener"
                        + (route.match.port.map { " on port \($0)" } ?? ""),
                    remedy: ports.isEmpty ? "give the router one" : "set port to one of \(ports)"
                )
            )
            return
        }
        guard !onPort.contains(where: { ($0.protocol == .tcp) == route.match.isTCP }) else {
            return
        }
        let protocols = Set(onPort.map(\.protocol.rawValue)).sorted().joined(separator: ", ")
        report(
            router.diagnostic(
                .warning,
                field,
                "it matches nothing, as the router's listeners speak \(protocols)",
                remedy: route.match.isTCP
                    ? "use httpRoute, http2Route or grpcRoute" : "use tcpRoute"
            )
        )
    }

    mutating func resolve(
        _ targets: [WeightedTarget],
        of router: VirtualRouter,
        route: Int,
        on port: Port,
        in mesh: Mesh,
        origins: inout [ObjectID: Int]
    ) -> [ResolvedTarget] {
        let type = router.spec.routes[route].match.fieldName
        return targets.enumerated().map { index, target in
            let field = "spec.routes[\(route)].\(type).action.weightedTargets[\(index)]"
            let destination: Destination
            switch find(target.virtualNode, among: world.virtualNodes, \.awsName, in: mesh) {
            case .success(let node):
                origins[node.id] = node.metadata.generation
                destination = self.destination(
                    node,
                    port: target.port,
                    routerPort: port,
                    of: router,
                    field: field,
                    in: mesh
                )
            case .failure(let failure):
                report(router, "\(field).virtualNode", failure)
                destination = .missing(mesh: mesh.spec.awsName, name: target.virtualNode.name)
            }
            return ResolvedTarget(destination: destination, weight: target.weight.share)
        }
    }

    /// The listener of `node` that a target means: the one on its `port`; without one the only
    /// listener there is, or the one on the router's port.
    mutating func destination(
        _ node: VirtualNode,
        port: Port?,
        routerPort: Port,
        of router: VirtualRouter,
        field: String,
        in mesh: Mesh
    ) -> Destination {
        let nodePorts = nodePorts(of: node, in: mesh)
        if let port {
            if let match = nodePorts.first(where: { $0.mapping.port == port }) {
                return .node(match)
            }
        } else if nodePorts.count == 1 {
            return .node(nodePorts[0])
        } else if let match = nodePorts.first(where: { $0.mapping.port == routerPort }) {
            return .node(match)
        }
        let listening = nodePorts.map(\.mapping.port.description).joined(separator: ", ")
        let problem =
            port.map { "VirtualNode \"\(node.reference)\" has no listener on port \($0)" }
            ?? "VirtualNode \"\(node.reference)\" has no listener on the router's port \(routerPort)"
        report(
            router.diagnostic(
                .error,
                port == nil ? field : "\(field).port",
                problem,
                remedy: nodePorts.isEmpty
                    ? "give the node a listener" : "set port to one of \(listening)"
            )
        )
        return .missing(mesh: mesh.spec.awsName, name: node.spec.awsName)
    }

    private func everyRequest(to targets: [ResolvedTarget]) -> ResolvedRoute {
        ResolvedRoute(
            name: nil,
            match: .http(HTTPRouteMatch(path: .prefix("/"))),
            targets: targets,
            retryPolicy: nil,
            timeout: Timeouts()
        )
    }

    /// A route that answers every request with 503.
    func unavailable(_ metadata: Metadata, _ mesh: Mesh) -> ResolvedRoute {
        let name = "\(metadata.name)_\(metadata.namespace)"
        let destination = Destination.missing(mesh: mesh.spec.awsName, name: name)
        return everyRequest(to: [ResolvedTarget(destination: destination, weight: 100)])
    }

    mutating func report(
        _ service: VirtualService,
        _ provider: TargetReference,
        hasNoListener id: ObjectID
    ) {
        let type = id.kind == .virtualNode ? "virtualNode" : "virtualRouter"
        let failure = ReferenceFailure(
            member: provider.member,
            problem: "\(id.kind.rawValue) \"\(id.reference)\" has no listener",
            remedy: "give it one"
        )
        report(service, "spec.provider.\(type).\(type)", failure)
    }

    mutating func report<Spec: ObjectSpec>(
        _ object: Object<Spec>,
        _ field: String,
        _ failure: ReferenceFailure
    ) {
        report(
            object.diagnostic(
                .error,
                field + failure.member,
                failure.problem,
                remedy: failure.remedy
            )
        )
    }
}

extension TargetReference {
    /// How the name of the field that holds the reference goes on.
    fileprivate var member: String {
        switch self {
        case .object: "Ref"
        case .arn: "ARN"
        }
    }

    /// The name that stands for a target that does not exist.
    fileprivate var name: String {
        switch self {
        case .object(let reference): "\(reference.name)_\(reference.namespace)"
        case .arn(let name, _): name
        }
    }
}
