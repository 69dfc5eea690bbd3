internal import MeshModel

/// A virtual gateway as its proxies serve it.
struct ResolvedGateway: Hashable {
    /// One listener of the gateway.
    struct Listener: Hashable {
        var spec: ListenerSpec
        var answer: Answer
        /// What it does about TLS.
        var security: ListenerSecurity
    }

    /// What answers on a listener.
    enum Answer: Hashable {
        /// Routes in the order in which they are tried.
        case http([ResolvedGatewayRoute])
        /// One set of targets for every connection; empty when no route leads anywhere.
        case tcp([ResolvedTarget], idleTimeout: Duration?)
    }

    /// The gateway's listeners in the order of the manifest.
    var listeners: [Listener] = []
    /// The virtual services that its routes lead to, each once.
    var services: [ResolvedService] = []
    /// The gateway, its routes and their policies, with their generations.
    var origins: [ObjectID: Int]
}

/// One GatewayRoute of HTTP or gRPC.
struct ResolvedGatewayRoute: Hashable {
    /// The route's `awsName`.
    var name: String
    var rule: GatewayRouteSpec.Rule
    /// Where it leads; nil when that does not exist, and requests are answered with 503.
    var target: GatewayTarget?
    /// What traffic policies add, but for the rate limit.
    var features = TrafficFeatures()
    /// The limit that it shares with the other routes of its gateway, or its own.
    var rateLimit: SharedRateLimit?
}

/// One port of a virtual service as a gateway reaches it.
struct GatewayTarget: Hashable {
    /// The virtual service's `awsName`.
    var authority: String
    var port: Port

    /// How the gateway's first hop names it to the second.
    var key: String { "\(authority):\(port)" }
}

extension Resolution {
    /// `gateway` with the targets of its routes resolved, and what is wrong with them reported.
    mutating func resolve(_ gateway: VirtualGateway, in mesh: Mesh) -> ResolvedGateway {
        var resolved = ResolvedGateway(origins: policies.origins(of: gateway.id))
        resolved.origins[gateway.id] = gateway.metadata.generation
        let routes = namedOnce(gatewayRoutes[gateway.reference] ?? []).sorted(by: isTriedBefore)
        let features = policies.features(of: gateway.id)
        let rateLimit = policies.rateLimit(of: gateway.id)
        var services: [ObjectReference: ResolvedService] = [:]
        for route in routes {
            resolved.origins[route.id] = route.metadata.generation
            resolved.origins.merge(policies.origins(of: route.id)) { own, _ in own }
            checkListener(of: route, gateway)
            if let service = targetService(of: route, in: mesh) {
                services[service.id.reference] = service
            }
        }
        resolved.services = services.sorted { $0.key < $1.key }.map(\.value)
        for (index, listener) in gateway.spec.listeners.enumerated() {
            let mapping = listener.portMapping
            let here = routes.filter { $0.spec.rule.applies(to: mapping) }
            let answer: ResolvedGateway.Answer
            switch mapping.protocol {
            case .http, .http2, .grpc:
                answer = .http(
                    here.map { route in
                        ResolvedGatewayRoute(
                            name: route.spec.awsName,
                            rule: route.spec.rule,
                            target: target(of: route, on: mapping.port, in: mesh),
                            features: policies.features(of: route.id).filled(by: features),
                            rateLimit: policies.rateLimit(of: route.id) ?? rateLimit
                        )
                    }
                )
            case .tcp: answer = connections(by: here, on: mapping.port, in: mesh)
            }
            let security = listener.tls.map { self.security($0, index, gateway, in: mesh) }
            resolved.listeners.append(
                ResolvedGateway.Listener(
                    spec: listener,
                    answer: answer,
                    security: security ?? .plaintext
                )
            )
        }
        return resolved
    }

    /// The routes that have their `awsName` for themselves at their gateway: of two the older.
    private mutating func namedOnce(_ routes: [GatewayRoute]) -> [GatewayRoute] {
        var names: [String: GatewayRoute] = [:]
        var result: [GatewayRoute] = []
        for route in routes.sorted(by: { $0.isOlder(than: $1) }) {
            let name = route.spec.awsName.lowercased()
            if let first = names[name] {
                report(
                    route.diagnostic(
                        .error,
                        "spec.awsName",
                        "\"\(route.spec.awsName)\" is also the name of \(first.id) at this gateway",
                        remedy: "give each GatewayRoute of a gateway a name of its own"
                    )
                )
            } else {
                names[name] = route
                result.append(route)
            }
        }
        return result
    }

    /// Warns of a route whose port or type fits no listener of its gateway.
    private mutating func checkListener(of route: GatewayRoute, _ gateway: VirtualGateway) {
        let mappings = gateway.spec.listeners.map(\.portMapping)
        guard !mappings.contains(where: route.spec.rule.applies) else { return }
        let rule = route.spec.rule
        let field = "spec.\(rule.fieldName)"
        let fitting = mappings.filter { rule.isTCP == ($0.protocol == .tcp) }.map(\.port)
        let ports = fitting.map(\.description).joined(separator: ", ")
        let type = rule.isTCP ? "TCP" : "HTTP"
        report(
            route.diagnostic(
                .warning,
                fitting.isEmpty ? field : "\(field).match.port",
                "it matches nothing, as \(gateway.id) has no \(type) listener"
                    + (fitting.isEmpty ? "" : rule.port.map { " on port \($0)" } ?? ""),
                remedy: fitting.isEmpty ? "give the gateway one" : "set port to one of \(ports)"
            )
        )
    }

    /// The virtual service and port that an HTTP route leads to; nil when there is no such.
    ///
    /// Without `target.port` it is the service's only HTTP port, or that of the gateway's listener,
    /// or 80, or the lowest.
    private mutating func target(
        of route: GatewayRoute,
        on listener: Port,
        in mesh: Mesh
    ) -> GatewayTarget? {
        guard let service = targetService(of: route, in: mesh) else { return nil }
        let port: Port
        if service.fallback != nil {
            port = route.spec.targetPort ?? listener
        } else {
            let ports = service.ports.keys.sorted().filter { service.httpRoutes(on: $0) != nil }
            guard let chosen = choose(among: ports, of: service, for: route, on: listener) else {
                return nil
            }
            port = chosen
        }
        return GatewayTarget(authority: service.authority, port: port)
    }

    /// What a TCP listener leads to: the first of its routes.
    private mutating func connections(
        by routes: [GatewayRoute],
        on listener: Port,
        in mesh: Mesh
    ) -> ResolvedGateway.Answer {
        for other in routes.dropFirst() where other.spec.rule.port != nil {
            report(
                other.diagnostic(
                    .warning,
                    "spec.\(other.spec.rule.fieldName).match.port",
                    "port \(listener) of the gateway is taken by \(routes[0].id)",
                    remedy: "a TCP listener has one route: give it a listener of its own"
                )
            )
        }
        // A service without a known provider says so itself.
        guard let route = routes.first, let service = targetService(of: route, in: mesh),
            service.fallback == nil
        else { return .tcp([], idleTimeout: nil) }
        let ports = service.ports.keys.sorted().filter { service.httpRoutes(on: $0) == nil }
        guard let port = choose(among: ports, of: service, for: route, on: listener),
            case .tcp(let targets, let idleTimeout) = service.ports[port]
        else { return .tcp([], idleTimeout: nil) }
        return .tcp(targets, idleTimeout: idleTimeout)
    }

    private func targetService(of route: GatewayRoute, in mesh: Mesh) -> ResolvedService? {
        let found = find(
            route.spec.virtualService,
            among: world.virtualServices,
            \.awsName,
            in: mesh
        )
        guard case .success(let service) = found else { return nil }
        return services[service.reference]
    }

    private mutating func choose(
        among ports: [Port],
        of service: ResolvedService,
        for route: GatewayRoute,
        on listener: Port
    ) -> Port? {
        if let port = route.spec.targetPort {
            if ports.contains(port) { return port }
        } else if let first = ports.first {
            if ports.count == 1 { return first }
            return ports.contains(listener) ? listener : ports.contains(.http) ? .http : first
        }
        let listening = ports.map(\.description).joined(separator: ", ")
        let field = "spec.\(route.spec.rule.fieldName).action.target"
        report(
            route.diagnostic(
                .error,
                route.spec.targetPort == nil ? field : "\(field).port",
                "\(service.id) has no \(route.spec.rule.isTCP ? "TCP" : "HTTP") listener"
                    + (route.spec.targetPort.map { " on port \($0)" } ?? ""),
                remedy: ports.isEmpty ? "give its provider one" : "set port to one of \(listening)"
            )
        )
        return nil
    }
}

/// Whether `left` is tried before `right`.
///
/// By priority; then exact host names, longer host suffixes, and routes for every host; then exact
/// paths, regular expressions, longer prefixes, more conditions; then the older one. App Mesh
/// documents priority and the longest prefix only.
private func isTriedBefore(_ left: GatewayRoute, _ right: GatewayRoute) -> Bool {
    let (leftRank, rightRank) = (left.spec.rank, right.spec.rank)
    return leftRank == rightRank
        ? left.isOlder(than: right) : leftRank.lexicographicallyPrecedes(rightRank)
}

extension GatewayRouteSpec {
    fileprivate var rank: [Int] {
        let host: [Int] =
            switch rule.hostname {
            case .exact: [0, 0]
            case .suffix(let suffix): [1, -suffix.utf8.count]
            case nil: [2, 0]
            }
        // Of connections the port is all that can be asked for.
        guard let (path, conditions) = rule.match?.specificity else {
            return [priority, rule.port == nil ? 1 : 0]
        }
        return [priority] + host + [path.rank, -path.length, -conditions]
    }
}

extension GatewayRouteSpec.Rule {
    /// The field of `spec` that holds the rule.
    var fieldName: String {
        switch self {
        case .http: "httpRoute"
        case .http2: "http2Route"
        case .grpc: "grpcRoute"
        case .tcp: "tcpRoute"
        }
    }

    /// Whether the rule is for connections, not for requests.
    var isTCP: Bool {
        switch self {
        case .tcp: true
        case .http, .http2, .grpc: false
        }
    }

    /// The port of the gateway that the rule asks for; nil means each.
    var port: Port? {
        switch self {
        case .http(let match, _), .http2(let match, _): match.port
        case .grpc(let match, _): match.port
        case .tcp(let port): port
        }
    }

    /// The host that the rule asks for; nil means each.
    var hostname: HostnameMatch? {
        switch self {
        case .http(let match, _), .http2(let match, _): match.hostname
        case .grpc(let match, _): match.hostname
        case .tcp: nil
        }
    }

    /// The rest of what a request must have, as routes of a router say it; nil for tcp.
    var match: RouteSpec.Match? {
        switch self {
        case .http(let match, _), .http2(let match, _):
            .http(
                HTTPRouteMatch(
                    path: match.path ?? .prefix("/"),
                    headers: match.headers,
                    method: match.method,
                    queryParameters: match.queryParameters
                )
            )
        case .grpc(let match, _):
            .grpc(GRPCRouteMatch(serviceName: match.serviceName, metadata: match.metadata))
        case .tcp: nil
        }
    }

    /// What the rule changes in a request.
    var rewrite: GatewayRouteRewrite {
        switch self {
        case .http(_, let rewrite), .http2(_, let rewrite), .grpc(_, let rewrite): rewrite
        case .tcp: GatewayRouteRewrite(usesTargetHostname: false, path: .unchanged)
        }
    }

    /// Whether the rule counts for a listener of the gateway.
    fileprivate func applies(to mapping: PortMapping) -> Bool {
        isTCP == (mapping.protocol == .tcp) && (port.map { $0 == mapping.port } ?? true)
    }
}
