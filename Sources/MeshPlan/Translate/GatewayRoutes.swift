internal import EnvoyAPI
internal import MeshModel
internal import SwiftProtobuf

/// App Mesh's name for the header by which a gateway's first hop tells its second which virtual service
/// is meant.
///
/// Clients' values are replaced, and applications never see it.
private let virtualServiceHeader = "x-app-mesh-virtual-service"

/// What the routes of one HTTP listener of a gateway are made from.
struct GatewayRoutes: Hashable {
    /// The listener's port.
    var port: Port
    /// Routes in the order in which they are tried.
    var routes: [ResolvedGatewayRoute]
    /// The cluster that leads back into the gateway, where virtual services are routed.
    var cluster: String
}

/// The routes of one listener of a gateway: each finds its virtual service, and rewrites host and
/// path; the gateway's own egress then routes the request as that service's callers do.
///
/// A virtual host stands for each host name that a route asks for, with all the routes that count
/// there, so that priority decides among them whatever host they ask for. The port in a `Host` does
/// not matter.
func routeConfiguration(
    for gateway: GatewayRoutes
) throws -> Envoy_Config_Route_V3_RouteConfiguration {
    var configuration = Envoy_Config_Route_V3_RouteConfiguration()
    configuration.name = RouteConfigurationName.ingress(gateway.port)
    configuration.validateClusters = false
    configuration.ignorePortInHostMatching = true
    try configuration.declare(gateway.routes.map(\.rateLimit))
    var hosts: [HostnameMatch?] = []
    var domains: Set<String> = []
    for host in gateway.routes.map({ $0.rule.hostname?.lowercased })
    where domains.insert(host?.domain ?? "*").inserted {
        hosts.append(host)
    }
    let sorted = hosts.sorted { ($0?.domain ?? "~") < ($1?.domain ?? "~") }
    configuration.virtualHosts = try sorted.map { host in
        var result = Envoy_Config_Route_V3_VirtualHost()
        result.name = host?.domain ?? "self_redirect"
        result.domains = [host?.domain ?? "*"]
        result.routes = try gateway.routes.filter { $0.rule.hostname.covers(host) }.flatMap {
            try routes(for: $0, cluster: gateway.cluster)
        }
        return result
    }
    return configuration
}

/// What the routes from a gateway to virtual services are made from.
struct VirtualServiceRoutes: Hashable {
    /// The virtual services that the gateway's routes lead to.
    var services: [ResolvedService]
    /// The ports of services that they lead to, each once.
    var targets: [GatewayTarget]
}

/// The routes from a gateway to its virtual services: the routes of each, for requests with the header
/// that names it, as the `Host` may be anyone's.
///
/// Envoy could choose a virtual host by that header, from 1.37 on only.
func routeConfiguration(
    for egress: VirtualServiceRoutes
) throws -> Envoy_Config_Route_V3_RouteConfiguration {
    let services = Dictionary(
        egress.services.map { ($0.authority, $0) },
        uniquingKeysWith: { first, _ in first }
    )
    var host = Envoy_Config_Route_V3_VirtualHost()
    host.name = "default_backend"
    host.domains = ["*"]
    host.requestHeadersToRemove = [virtualServiceHeader]
    for target in egress.targets {
        guard let service = services[target.authority],
            let routes = service.httpRoutes(on: target.port)
        else { continue }
        let condition = headerMatcher(
            HeaderMatch(name: virtualServiceHeader, match: .exact(target.key))
        )
        for route in routes {
            host.routes += try MeshPlan.routes(for: route).map { route in
                var route = route
                route.match.headers.append(condition)
                return route
            }
        }
    }
    var configuration = Envoy_Config_Route_V3_RouteConfiguration()
    configuration.name = RouteConfigurationName.egress(.egress)
    configuration.validateClusters = false
    configuration.virtualHosts = [host]
    try configuration.declare(
        egress.targets.flatMap { target in
            (services[target.authority]?.httpRoutes(on: target.port) ?? []).map(\.rateLimit)
        }
    )
    return configuration
}

/// The routes that make up one gateway route: two where a prefix is rewritten, lest `/p/x` become
/// `//x`.
private func routes(
    for route: ResolvedGatewayRoute,
    cluster: String
) throws -> [Envoy_Config_Route_V3_Route] {
    guard let match = route.rule.match.flatMap(routeMatch) else { return [] }
    var result = Envoy_Config_Route_V3_Route()
    result.name = route.name
    result.match = match
    try result.apply(route.features)
    guard let target = route.target else {
        result.directResponse.status = 503
        return [result]
    }
    var name = Envoy_Config_Core_V3_HeaderValueOption()
    name.header.key = virtualServiceHeader
    name.header.value = target.key
    name.appendAction = .overwriteIfExistsOrAdd
    result.requestHeadersToAdd.append(name)
    result.route.cluster = cluster
    let preflight = preflight(of: result)
    result.route.draw(on: route.rateLimit)
    // The second hop keeps the times that the virtual service's own routes ask for.
    result.route.timeout = Google_Protobuf_Duration(.zero)
    result.route.idleTimeout = Google_Protobuf_Duration(.zero)
    if route.rule.rewrite.usesTargetHostname { result.route.hostRewriteLiteral = target.authority }
    let replacement: String
    switch route.rule.rewrite.path {
    case .unchanged: return preflight + [result]
    case .exact(let path):
        result.route.regexRewrite.pattern.regex = "^.*$"
        result.route.regexRewrite.substitution = path.replacing("\\", with: "\\\\")
        return preflight + [result]
    case .defaultPrefix: replacement = "/"
    case .prefix(let prefix): replacement = prefix
    }
    guard case .prefix(let prefix) = match.pathSpecifier, prefix != replacement,
        !route.rule.isGRPC
    else { return preflight + [result] }
    result.route.prefixRewrite = replacement
    guard !prefix.hasSuffix("/") else { return preflight + [result] }
    var folder = result
    folder.match.prefix = prefix + "/"
    return preflight + [folder, result]
}

extension GatewayRouteSpec.Rule {
    fileprivate var isGRPC: Bool {
        switch self {
        case .grpc: true
        case .http, .http2, .tcp: false
        }
    }
}

extension HostnameMatch {
    /// Host names are the same in whatever case.
    fileprivate var lowercased: HostnameMatch {
        switch self {
        case .exact(let name): .exact(name.lowercased())
        case .suffix(let suffix): .suffix(suffix.lowercased())
        }
    }

    /// How Envoy writes it.
    fileprivate var domain: String {
        switch self {
        case .exact(let name): name
        case .suffix(let suffix): "*\(suffix)"
        }
    }
}

extension HostnameMatch? {
    /// Whether every host that `other` matches is matched by this.
    fileprivate func covers(_ other: HostnameMatch?) -> Bool {
        switch (self?.lowercased, other) {
        case (nil, _): true
        case (_, nil): false
        case (.exact(let own), .exact(let name)): own == name
        case (.exact, .suffix): false
        case (.suffix(let own), .exact(let name)):
            name.hasSuffix(own) && name.utf8.count > own.utf8.count
        case (.suffix(let own), .suffix(let suffix)): suffix.hasSuffix(own)
        }
    }
}
