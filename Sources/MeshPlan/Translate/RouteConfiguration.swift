internal import EnvoyAPI
internal import MeshModel
internal import SwiftProtobuf

/// App Mesh's request timeout where none is set, at each hop.
let defaultRequestTimeout: Duration = .seconds(15)

/// Names of route configurations as App Mesh's management service gave them.
enum RouteConfigurationName {
    /// Routes to the application, on a listener of its node.
    static func ingress(_ port: Port) -> String { "rds_ingress_http_\(port)" }
    /// Routes to backends, on the port on which the application calls them.
    static func egress(_ port: Port) -> String { "rds_egress_http_\(port)" }
}

/// What an egress route configuration is made from.
struct EgressRoutes: Hashable {
    /// The port on which the application calls; 15001 takes requests for every port by their
    /// authority, as an HTTP proxy does.
    var port: Port
    /// The node's backends that listen on the port, or on 15001 all of them.
    var services: [ResolvedService]
    /// The mesh's `awsName`.
    var mesh: String
    /// What else may be reached.
    var egressFilter: MeshSpec.EgressFilter
    /// What may be reached under either filter.
    var alwaysAllowed: [AllowedDestination]
    /// Whether the proxy is in a Pod, and knows where the application meant to go.
    var isInPod = false

    /// The cluster for what is always allowed.
    fileprivate var allowedCluster: String { passingCluster(ClusterName.amazonaws(mesh: mesh)) }
    /// The cluster for everything else, under `ALLOW_ALL`.
    fileprivate var otherCluster: String { passingCluster(ClusterName.allowAll(mesh: mesh)) }

    private func passingCluster(_ name: String) -> String {
        isInPod && port == .egress ? ClusterName.byHost(name) : name
    }
}

/// What an ingress route configuration is made from.
struct IngressRoutes: Hashable {
    /// The listener of the node.
    var listener: ListenerSpec
    /// The name of the application's cluster.
    var cluster: String
    /// What traffic policies add, but for the rate limit.
    var features = TrafficFeatures()
    /// What reaches the node at most.
    var rateLimit: SharedRateLimit?
    /// Who may send requests, of those who prove who they are; nil is everybody.
    var accessControl: AccessControl?
}

/// The routes to backends on one port: one virtual host per virtual service, with the domains
/// `<name>` and `<name>:<port>`.
///
/// On port 15001, `<name>` alone means port 80 if the service listens there, else its lowest port;
/// and what the mesh always allows passes under either filter: by CONNECT, and on other ports than
/// 443 by plain requests too. App Mesh always allowed HTTPS to `*.amazonaws.com`. Under `ALLOW_ALL` every other host is forwarded to where its name leads.
/// In a Pod what passes on another port than 15001 goes to the address that the application meant to reach.
func routeConfiguration(
    for egress: EgressRoutes
) throws -> Envoy_Config_Route_V3_RouteConfiguration {
    var configuration = Envoy_Config_Route_V3_RouteConfiguration()
    configuration.name = RouteConfigurationName.egress(egress.port)
    configuration.validateClusters = false
    var taken: Set<String> = []
    var limits: [SharedRateLimit?] = []
    func add(
        _ domains: [String],
        _ routes: [Envoy_Config_Route_V3_Route],
        named name: String? = nil
    ) {
        // Envoy refuses a domain that is there twice, in whatever case.
        let free = domains.filter { taken.insert($0.lowercased()).inserted }
        guard let first = free.first else { return }
        var host = Envoy_Config_Route_V3_VirtualHost()
        host.name = name ?? first
        host.domains = free
        host.routes = routes
        configuration.virtualHosts.append(host)
    }
    for service in egress.services {
        for (domains, port) in service.domains(on: egress.port) {
            guard let routes = service.httpRoutes(on: port) else { continue }
            add(domains, try routes.flatMap(MeshPlan.routes))
            limits += routes.map(\.rateLimit)
        }
    }
    let isProxy = egress.port == .egress
    for allowed in egress.alwaysAllowed where isProxy || egress.passes(allowed) {
        let domain = "\(allowed.host):\(allowed.port)"
        add(
            allowed.port == .http ? [domain, allowed.host] : [domain],
            (isProxy ? [connectRoute(to: egress.allowedCluster)] : [])
                + (allowed.port == .https ? [] : [forwardRoute(to: egress.allowedCluster)]),
            named: allowed == .amazonWebServices ? "amazonaws" : nil
        )
    }
    switch egress.egressFilter {
    case .dropAll: break
    case .allowAll:
        let cluster = egress.otherCluster
        let connect = isProxy ? [connectRoute(to: cluster)] : []
        add(["*"], connect + [forwardRoute(to: cluster)], named: "mesh-allow-all")
    }
    try configuration.declare(limits)
    return configuration
}

extension EgressRoutes {
    /// Whether plain requests for `allowed` come to this port: to 443 none do.
    fileprivate func passes(_ allowed: AllowedDestination) -> Bool {
        isInPod && allowed.port == port && port != .https && !allowed.isAddress
    }
}

/// The routes to the application on one listener of its node: everything goes to it.
///
/// The listener's own timeout holds here, by default 15 s.
func routeConfiguration(
    for ingress: IngressRoutes
) throws -> Envoy_Config_Route_V3_RouteConfiguration {
    var route = Envoy_Config_Route_V3_Route()
    route.match.prefix = "/"
    route.route.cluster = ingress.cluster
    route.route.apply(ingress.listener.timeout)
    let check = ingress.listener.possibleHealthCheck.flatMap { healthCheckRoute(for: $0, route) }
    route.route.draw(on: ingress.rateLimit)
    try route.apply(ingress.features)
    var host = Envoy_Config_Route_V3_VirtualHost()
    host.name = "*"
    host.domains = ["*"]
    host.routes = (check.map { [$0] } ?? []) + [route]
    if let accessControl = ingress.accessControl {
        host.typedPerFilterConfig[accessControlFilter] = try accessControl.routeRules()
    }
    var configuration = Envoy_Config_Route_V3_RouteConfiguration()
    configuration.name = RouteConfigurationName.ingress(ingress.listener.portMapping.port)
    configuration.virtualHosts = [host]
    configuration.validateClusters = false
    try configuration.declare([ingress.rateLimit])
    return configuration
}

/// The route of callers' health checks: no limit and no fault shall make an endpoint unhealthy.
private func healthCheckRoute(
    for check: HealthCheck,
    _ route: Envoy_Config_Route_V3_Route
) -> Envoy_Config_Route_V3_Route? {
    var result = route
    switch check.protocol {
    case .http, .http2: result.match.path = check.httpPath
    case .grpc: result.match.path = "/grpc.health.v1.Health/Check"
    case .tcp: return nil
    }
    let agent = HeaderMatch(name: "user-agent", match: .exact("Envoy/HC"))
    result.match.headers = [headerMatcher(agent)]
    return result
}

/// The Envoy routes of one route of a virtual service, in the order in which they are tried; none for
/// tcp.
func routes(for route: ResolvedRoute) throws -> [Envoy_Config_Route_V3_Route] {
    guard let match = routeMatch(for: route.match) else { return [] }
    var result = Envoy_Config_Route_V3_Route()
    if let name = route.name { result.name = name }
    result.match = match
    if route.targets.contains(where: { $0.weight > 0 }) {
        result.route = try action(for: route)
    } else {
        result.directResponse.status = 503
    }
    try result.apply(route.features)
    return preflight(of: result) + [result]
}

/// A missing target keeps its share, which is answered with 503.
private func action(for route: ResolvedRoute) throws -> Envoy_Config_Route_V3_RouteAction {
    var action = Envoy_Config_Route_V3_RouteAction()
    let clusters = merged(route.targets)
    if clusters.count == 1 {
        action.cluster = clusters[0].cluster
    } else {
        action.weightedClusters.clusters = clusters.map { name, weight in
            var cluster = Envoy_Config_Route_V3_WeightedCluster.ClusterWeight()
            cluster.name = name
            cluster.weight = .init(weight)
            return cluster
        }
    }
    action.apply(route.timeout)
    if var policy = try retryPolicy(for: route.retryPolicy, route.features.retryBackOff) {
        policy.refreshClusterOnRetry =
            route.features.retryOtherTargets == true && route.canRetryOtherTargets
        action.retryPolicy = policy
    }
    if let mirror = route.mirror { action.requestMirrorPolicies = [mirrorPolicy(for: mirror)] }
    action.hashPolicy = hashPolicies(for: route.targets)
    if clusters.count > 1, !action.hashPolicy.isEmpty {
        action.weightedClusters.useHashPolicy = .init(true)
    }
    action.draw(on: route.rateLimit)
    return action
}

/// The weight of each cluster, targets that share one added up, in the order of the manifest.
func merged(_ targets: [ResolvedTarget]) -> [(cluster: String, weight: UInt32)] {
    var result: [(cluster: String, weight: UInt32)] = []
    for target in targets {
        let name = target.destination.clusterName
        if let index = result.firstIndex(where: { $0.cluster == name }) {
            result[index].weight += target.weight
        } else {
            result.append((name, target.weight))
        }
    }
    return result
}

/// A route by which requests go wherever their host leads.
private func forwardRoute(to cluster: String) -> Envoy_Config_Route_V3_Route {
    var route = Envoy_Config_Route_V3_Route()
    route.match.prefix = "/"
    route.route.cluster = cluster
    route.route.timeout = Google_Protobuf_Duration(.zero)
    return route
}

private func connectRoute(to cluster: String) -> Envoy_Config_Route_V3_Route {
    var upgrade = Envoy_Config_Route_V3_RouteAction.UpgradeConfig()
    upgrade.upgradeType = "CONNECT"
    upgrade.connectConfig = .init()
    var route = Envoy_Config_Route_V3_Route()
    route.match.connectMatcher = .init()
    route.route.cluster = cluster
    route.route.upgradeConfigs = [upgrade]
    route.route.timeout = Google_Protobuf_Duration(.zero)
    return route
}

extension Envoy_Config_Route_V3_RouteAction {
    /// Sets the timeouts; 0 means none, which is Envoy's meaning of 0 too.
    fileprivate mutating func apply(_ timeouts: Timeouts) {
        timeout = Google_Protobuf_Duration(timeouts.perRequest ?? defaultRequestTimeout)
        if let idle = timeouts.idle { idleTimeout = Google_Protobuf_Duration(idle) }
    }
}
