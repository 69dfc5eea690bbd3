import MeshModel

extension Fields {
    /// `spec` of the VirtualRouter `metadata`.
    func virtualRouter(_ metadata: Metadata) -> VirtualRouterSpec? {
        var ports: [Port: Int] = [:]
        let listeners = objects("listeners", count: 1...Int.max) { listener in
            let mapping = listener.portMapping()
            listener.checkUnique(mapping?.port, &ports)
            return mapping
        }
        var names: [String: Int] = [:]
        let routes = objects("routes") { $0.route(metadata.namespace, &names) }
        return VirtualRouterSpec(
            awsName: awsName(default: "\(metadata.name)_\(metadata.namespace)"),
            listeners: listeners ?? [],
            routes: routes ?? [],
            meshRef: designatedReference("meshRef")
        )
    }

    /// One of `routes`; `names` holds the names that are taken and their lines.
    private func route(_ namespace: String, _ names: inout [String: Int]) -> RouteSpec? {
        let name = string("name", .required, length: 1...255)
        if let name, let first = names.updateValue(line(of: "name"), forKey: name) {
            error(
                "name",
                "duplicate route entries for \(quoted(name))\(lineWords(first))",
                "rename one"
            )
        }
        let priority = integer("priority", in: 0...1000)
        union(["httpRoute", "http2Route", "grpcRoute", "tcpRoute"])
        let http = object("httpRoute") { $0.httpRoute(namespace, RouteSpec.Match.http) }
        let http2 = object("http2Route") { $0.httpRoute(namespace, RouteSpec.Match.http2) }
        let grpc = object("grpcRoute") { $0.grpcRoute(namespace) }
        let tcp = object("tcpRoute") { $0.tcpRoute(namespace) }
        guard let name, var route = http ?? http2 ?? grpc ?? tcp else { return nil }
        route.name = name
        route.priority = priority
        return route
    }

    private func httpRoute(
        _ namespace: String,
        _ type: (HTTPRouteMatch) -> RouteSpec.Match
    ) -> RouteSpec? {
        let match = object("match", .required) { $0.httpRouteMatch() }
        let targets = weightedTargets(namespace)
        let policy = object("retryPolicy") { $0.retryPolicy(isGRPC: false) }
        let timeout = object("timeout") { $0.timeouts() }
        guard let match, let targets else { return nil }
        return RouteSpec(
            name: "",
            match: type(match),
            weightedTargets: targets,
            retryPolicy: policy,
            timeout: timeout ?? Timeouts()
        )
    }

    private func httpRouteMatch() -> HTTPRouteMatch? {
        let path = pathMatch()
        let headers = headerMatches("headers")
        let method: HTTPMethod? = choice("method")
        let scheme: Scheme? = choice("scheme")
        let parameters = queryParameters()
        let port = port("port")
        return path.map {
            HTTPRouteMatch(
                path: $0,
                headers: headers,
                method: method,
                scheme: scheme?.rawValue,
                queryParameters: parameters,
                port: port
            )
        }
    }

    private func grpcRoute(_ namespace: String) -> RouteSpec? {
        let match = object("match", .required) { $0.grpcRouteMatch() }
        let targets = weightedTargets(namespace)
        let policy = object("retryPolicy") { $0.retryPolicy(isGRPC: true) }
        let timeout = object("timeout") { $0.timeouts() }
        guard let match, let targets else { return nil }
        return RouteSpec(
            name: "",
            match: .grpc(match),
            weightedTargets: targets,
            retryPolicy: policy,
            timeout: timeout ?? Timeouts()
        )
    }

    private func grpcRouteMatch() -> GRPCRouteMatch? {
        if has("methodName"), !has("serviceName") {
            error("methodName", "methodName is given without serviceName", "add serviceName")
        }
        return GRPCRouteMatch(
            serviceName: string("serviceName", length: 1...Int.max),
            methodName: string("methodName", length: 1...50),
            metadata: headerMatches("metadata"),
            port: port("port")
        )
    }

    private func tcpRoute(_ namespace: String) -> RouteSpec? {
        let port = object("match") { $0.port("port") }
        let timeout = object("timeout") { Timeouts(idle: $0.duration("idle")) }
        return weightedTargets(namespace).map {
            RouteSpec(
                name: "",
                match: .tcp(port: port),
                weightedTargets: $0,
                timeout: timeout ?? Timeouts()
            )
        }
    }

    /// `action.weightedTargets`.
    private func weightedTargets(_ namespace: String) -> [WeightedTarget]? {
        object("action", .required) { action in
            let targets = action.objects("weightedTargets", .required, count: 1...10) { fields in
                let node = fields.targetReference("virtualNode", from: namespace)
                let weight = fields.integer("weight", .required, in: 0...100).flatMap { Weight($0) }
                let port = fields.port("port")
                guard let node, let weight else { return WeightedTarget?.none }
                return WeightedTarget(virtualNode: node, weight: weight, port: port)
            }
            let sum = targets?.reduce(0) { $0 + Int($1.weight.share) } ?? 0
            if sum > 100 {
                action.error(
                    "weightedTargets",
                    "the weights add up to \(sum)",
                    "use weights that add up to 100 at most"
                )
            }
            return targets
        }
    }

    /// `retryPolicy`; events of gRPC are for routes of gRPC alone.
    func retryPolicy(isGRPC: Bool) -> RetryPolicySpec? {
        let retries = integer("maxRetries", .required, in: 0...Int(UInt32.max))
        let timeout = duration("perRetryTimeout", .required)
        let http: [RetryPolicySpec.HTTPEvent]? = choices("httpRetryEvents", count: 1...25)
        let tcp: [TCPEvent]? = choices("tcpRetryEvents", count: 1...1)
        var grpc: [RetryPolicySpec.GRPCEvent]?
        var lists = ["httpRetryEvents", "tcpRetryEvents"]
        if isGRPC {
            grpc = choices("grpcRetryEvents", count: 1...5)
            lists.append("grpcRetryEvents")
        }
        if !lists.contains(where: has) {
            error("", "the retry policy names no event", "give one of \(alternatives(lists))")
        }
        guard let retries, let timeout else { return nil }
        return RetryPolicySpec(
            maxRetries: retries,
            perRetryTimeout: timeout,
            httpEvents: http ?? [],
            connectionError: tcp?.isEmpty == false,
            grpcEvents: grpc ?? []
        )
    }
}

/// `scheme` of a route's match.
private enum Scheme: String, CaseIterable {
    case http
    case https
}

/// `tcpRetryEvents[]`.
private enum TCPEvent: String, CaseIterable {
    case connectionError = "connection-error"
}
