import MeshModel

extension Fields {
    /// `spec` of the GatewayRoute `metadata`.
    func gatewayRoute(_ metadata: Metadata) -> GatewayRouteSpec? {
        let awsName = awsName(default: "\(metadata.name)_\(metadata.namespace)")
        let priority = integer("priority", in: 0...1000)
        let meshRef = designatedReference("meshRef")
        let gatewayRef = designatedReference("virtualGatewayRef")
        union(["httpRoute", "http2Route", "grpcRoute", "tcpRoute"])
        let http = object("httpRoute") { $0.httpGatewayRoute(metadata.namespace) { .http($0, $1) } }
        let http2 = object("http2Route") {
            $0.httpGatewayRoute(metadata.namespace) { .http2($0, $1) }
        }
        let grpc = object("grpcRoute") { $0.grpcGatewayRoute(metadata.namespace) }
        let tcp = object("tcpRoute") { $0.tcpGatewayRoute(metadata.namespace) }
        return (http ?? http2 ?? grpc ?? tcp).map { route in
            GatewayRouteSpec(
                awsName: awsName,
                priority: priority ?? 1000,
                rule: route.rule,
                virtualService: route.target.virtualService,
                targetPort: route.target.port,
                meshRef: meshRef,
                virtualGatewayRef: gatewayRef
            )
        }
    }

    private func httpGatewayRoute(
        _ namespace: String,
        _ rule: (HTTPGatewayRouteMatch, GatewayRouteRewrite) -> GatewayRouteSpec.Rule
    ) -> GatewayRouteDraft? {
        let match = object("match", .required) { $0.httpGatewayRouteMatch() }
        let action = object("action", .required) { action in
            let rewrite = action.object("rewrite") { $0.httpRewrite() }
            return action.target(namespace).map { ($0, rewrite) }
        }
        guard let match, let (target, rewrite) = action else { return nil }
        return GatewayRouteDraft(
            rule: rule(match, rewrite ?? GatewayRouteRewrite()),
            target: target
        )
    }

    private func httpGatewayRouteMatch() -> HTTPGatewayRouteMatch? {
        if !has("prefix"), !has("path"), !has("hostname") {
            error("", "none of prefix, path and hostname is given", "give at least one of them")
        }
        checkReserved("prefix", ["/aws-appmesh", "/aws-app-mesh"])
        return HTTPGatewayRouteMatch(
            path: pathMatch(isOptional: true),
            hostname: hostnameMatch(),
            headers: headerMatches("headers"),
            method: choice("method"),
            queryParameters: queryParameters(),
            port: port("port")
        )
    }

    private func grpcGatewayRoute(_ namespace: String) -> GatewayRouteDraft? {
        let match = object("match", .required) { match -> GRPCGatewayRouteMatch? in
            if !match.has("serviceName"), !match.has("hostname") {
                match.error(
                    "",
                    "neither serviceName nor hostname is given",
                    "give at least one of them"
                )
            }
            match.checkReserved(
                "serviceName",
                ["aws.app-mesh", "aws.appmesh", "/aws.app-mesh", "/aws.appmesh"]
            )
            return GRPCGatewayRouteMatch(
                serviceName: match.string("serviceName", length: 1...Int.max),
                hostname: match.hostnameMatch(),
                metadata: match.headerMatches("metadata"),
                port: match.port("port")
            )
        }
        let action = object("action", .required) { action in
            let usesTargetHostname = action.object("rewrite") { $0.hostnameRewrite() }
            return action.target(namespace).map { ($0, usesTargetHostname) }
        }
        guard let match, let (target, usesTargetHostname) = action else { return nil }
        let rewrite = GatewayRouteRewrite(usesTargetHostname: usesTargetHostname ?? true)
        return GatewayRouteDraft(rule: .grpc(match, rewrite), target: target)
    }

    private func tcpGatewayRoute(_ namespace: String) -> GatewayRouteDraft? {
        let port = object("match") { $0.port("port") }
        let target = object("action", .required) { $0.target(namespace) }
        return target.map { GatewayRouteDraft(rule: .tcp(port: port), target: $0) }
    }

    /// Reports a `key` that begins as names do which App Mesh keeps for itself.
    private func checkReserved(_ key: String, _ prefixes: [String]) {
        guard let text = entry(key)?.value.string,
            let prefix = prefixes.first(where: text.hasPrefix)
        else { return }
        error(
            key,
            "\(quoted(text)) begins with \(quoted(prefix)), which App Mesh reserves",
            "use another name"
        )
    }

    /// `action.target`.
    private func target(_ namespace: String) -> GatewayRouteTarget? {
        object("target", .required) { target in
            let port = target.port("port")
            let service = target.object("virtualService", .required) {
                $0.targetReference("virtualService", from: namespace)
            }
            return service.map { GatewayRouteTarget(virtualService: $0, port: port) }
        }
    }

    /// `rewrite.hostname`, and whether it asks for the target's hostname.
    private func hostnameRewrite() -> Bool? {
        object("hostname") { hostname in
            let toggle: Toggle? = hostname.choice("defaultTargetHostname")
            return toggle.map { $0 == .enabled }
        }
    }

    private func httpRewrite() -> GatewayRouteRewrite? {
        if !has("prefix"), !has("path"), !has("hostname") {
            error("", "none of prefix, path and hostname is given", "give one, or remove rewrite")
        }
        if has("prefix"), has("path") {
            error("path", "both prefix and path are given, and only one is allowed", "keep one")
        }
        let usesTargetHostname = hostnameRewrite() ?? true
        let prefix = object("prefix") { $0.prefixRewrite() }
        let path = object("path") { path -> GatewayRouteRewrite.Path? in
            let exact = path.oneLine("exact", .required, length: 1...255)
            if let exact, !exact.hasPrefix("/") {
                path.error(
                    "exact",
                    "\(quoted(exact)) does not start with \"/\"",
                    "put \"/\" before it"
                )
            }
            return exact.map { GatewayRouteRewrite.Path.exact($0) }
        }
        return GatewayRouteRewrite(
            usesTargetHostname: usesTargetHostname,
            path: prefix ?? path ?? .defaultPrefix
        )
    }

    private func prefixRewrite() -> GatewayRouteRewrite.Path? {
        union(["defaultPrefix", "value"])
        let toggle: Toggle? = choice("defaultPrefix")
        let value = oneLine("value", length: 1...255)
        if let value, !value.hasPrefix("/") || !value.hasSuffix("/") {
            error(
                "value",
                "\(quoted(value)) does not start and end with \"/\"",
                "put \"/\" at both ends"
            )
        }
        switch toggle {
        case .enabled: return .defaultPrefix
        case .disabled: return .unchanged
        case nil: return value.map { .prefix($0) }
        }
    }
}

/// What the four types of gateway route have in common.
private struct GatewayRouteDraft {
    var rule: GatewayRouteSpec.Rule
    var target: GatewayRouteTarget
}

/// `action.target` of a gateway route.
private struct GatewayRouteTarget {
    var virtualService: TargetReference
    var port: Port?
}

/// `ENABLED` or `DISABLED`.
private enum Toggle: String, CaseIterable {
    case enabled = "ENABLED"
    case disabled = "DISABLED"
}
