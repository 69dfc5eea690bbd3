internal import EnvoyAPI
internal import MeshModel

/// What a route matches; nil for tcp, which has no routes.
func routeMatch(for match: RouteSpec.Match) -> Envoy_Config_Route_V3_RouteMatch? {
    switch match {
    case .http(let match), .http2(let match): routeMatch(for: match)
    case .grpc(let match): routeMatch(for: match)
    case .tcp: nil
    }
}

private func routeMatch(for match: HTTPRouteMatch) -> Envoy_Config_Route_V3_RouteMatch {
    var result = Envoy_Config_Route_V3_RouteMatch()
    switch match.path {
    case .prefix(let prefix): result.prefix = prefix
    case .exact(let path): result.path = path
    case .regex(let regex): result.safeRegex.regex = regex
    }
    result.headers = match.headers.map(headerMatcher)
    if let method = match.method {
        result.headers.append(exactly(method.rawValue, in: ":method"))
    }
    if let scheme = match.scheme {
        result.headers.append(exactly(scheme, in: ":scheme"))
    }
    result.queryParameters = match.queryParameters.map { parameter in
        var matcher = Envoy_Config_Route_V3_QueryParameterMatcher()
        matcher.name = parameter.name
        if let exact = parameter.exact {
            matcher.stringMatch.exact = exact
        } else {
            matcher.presentMatch = true
        }
        return matcher
    }
    return result
}

/// A service and method is the path `/<service>/<method>`, a service alone the prefix `/<service>/`.
private func routeMatch(for match: GRPCRouteMatch) -> Envoy_Config_Route_V3_RouteMatch {
    var result = Envoy_Config_Route_V3_RouteMatch()
    switch (match.serviceName, match.methodName) {
    case (let service?, let method?): result.path = "/\(service)/\(method)"
    case (let service?, nil): result.prefix = "/\(service)/"
    case (nil, _): result.prefix = "/"
    }
    result.grpc = .init()
    result.headers = match.metadata.map(headerMatcher)
    return result
}

/// The condition on one header.
func headerMatcher(_ header: HeaderMatch) -> Envoy_Config_Route_V3_HeaderMatcher {
    var matcher = Envoy_Config_Route_V3_HeaderMatcher()
    matcher.name = header.name
    matcher.invertMatch = header.invert
    switch header.match {
    case .exact(let value): matcher.stringMatch.exact = value
    case .prefix(let value): matcher.stringMatch.prefix = value
    case .suffix(let value): matcher.stringMatch.suffix = value
    case .regex(let value): matcher.stringMatch.safeRegex.regex = value
    case .range(let start, let end):
        matcher.rangeMatch.start = Int64(start)
        matcher.rangeMatch.end = Int64(end)
    case .present: matcher.presentMatch = true
    }
    return matcher
}

private func exactly(_ value: String, in name: String) -> Envoy_Config_Route_V3_HeaderMatcher {
    headerMatcher(HeaderMatch(name: name, match: .exact(value)))
}
