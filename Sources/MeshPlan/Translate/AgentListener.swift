internal import EnvoyAPI
internal import MeshModel
internal import SwiftProtobuf

/// The listener of what others than the Pod may ask of its proxy: kubelet whether it is ready and, by
/// `preStop`, to drain; Prometheus for its statistics.
///
/// Everything else that Envoy's admin interface can do stays within the Pod. It stands where App Mesh
/// had its agent.
func agentListener(
    _ parameters: PodBootstrapParameters
) throws -> Envoy_Config_Listener_V3_Listener {
    typealias Manager =
        Envoy_Extensions_Filters_Network_HttpConnectionManager_V3_HttpConnectionManager
    var manager = Manager()
    manager.statPrefix = "agent"
    manager.commonHTTPProtocolOptions.idleTimeout = .init(.seconds(60))
    manager.requestHeadersTimeout = .init(.seconds(5))
    manager.streamIdleTimeout = .init(.seconds(30 + (parameters.drain?.seconds ?? 0)))
    manager.routeConfig = try agentRoutes(parameters)
    manager.httpFilters = try agentFilters(parameters)
    var filter = Envoy_Config_Listener_V3_Filter()
    filter.name = "envoy.filters.network.http_connection_manager"
    filter.typedConfig = try packed(manager)
    var chain = Envoy_Config_Listener_V3_FilterChain()
    chain.filters = [filter]
    var listener = Envoy_Config_Listener_V3_Listener()
    listener.name = "agent"
    listener.address = socketAddress(
        parameters.agentAddress,
        UInt32(parameters.agentPort.number)
    )
    listener.address.socketAddress.ipv4Compat = parameters.agentAddress.contains(":")
    listener.filterChains = [chain]
    return listener
}

/// The cluster of the proxy's own admin interface.
func adminCluster(_ parameters: PodBootstrapParameters) -> Envoy_Config_Cluster_V3_Cluster {
    let address =
        switch parameters.adminAddress {
        case "0.0.0.0": "127.0.0.1"
        case "::": "::1"
        default: parameters.adminAddress
        }
    var cluster = Envoy_Config_Cluster_V3_Cluster()
    cluster.name = "admin"
    cluster.type = .static
    cluster.connectTimeout = .init(.seconds(1))
    var endpoint = Envoy_Config_Endpoint_V3_LbEndpoint()
    endpoint.endpoint.address = socketAddress(address, UInt32(parameters.adminPort.number))
    var locality = Envoy_Config_Endpoint_V3_LocalityLbEndpoints()
    locality.lbEndpoints = [endpoint]
    cluster.loadAssignment.clusterName = cluster.name
    cluster.loadAssignment.endpoints = [locality]
    return cluster
}

private let luaFilter = "envoy.filters.http.lua"
private let delayFilter = "envoy.filters.http.fault"

private func agentFilters(
    _ parameters: PodBootstrapParameters
) throws -> [Envoy_Extensions_Filters_Network_HttpConnectionManager_V3_HttpFilter] {
    func filter(
        _ name: String,
        _ message: some Message
    ) throws -> Envoy_Extensions_Filters_Network_HttpConnectionManager_V3_HttpFilter {
        var filter = Envoy_Extensions_Filters_Network_HttpConnectionManager_V3_HttpFilter()
        filter.name = name
        filter.typedConfig = try packed(message)
        return filter
    }
    var filters = [
        try filter(
            "envoy.filters.http.router",
            Envoy_Extensions_Filters_Http_Router_V3_Router()
        )
    ]
    if parameters.drain != nil {
        filters =
            [
                try filter(luaFilter, Envoy_Extensions_Filters_Http_Lua_V3_Lua()),
                try filter(delayFilter, Envoy_Extensions_Filters_Http_Fault_V3_HTTPFault()),
            ] + filters
    }
    return filters
}

private func agentRoutes(
    _ parameters: PodBootstrapParameters
) throws -> Envoy_Config_Route_V3_RouteConfiguration {
    var host = Envoy_Config_Route_V3_VirtualHost()
    host.name = "agent"
    host.domains = ["*"]
    host.routes = ["/ready", "/stats/prometheus"].map { path in
        var route = get(path)
        route.route.cluster = "admin"
        return route
    }
    if let drain = parameters.drain { host.routes.append(try drainRoute(drain)) }
    var routes = Envoy_Config_Route_V3_RouteConfiguration()
    routes.name = "agent"
    routes.virtualHosts = [host]
    return routes
}

/// `GET` of exactly `path`.
private func get(_ path: String) -> Envoy_Config_Route_V3_Route {
    var method = Envoy_Config_Route_V3_HeaderMatcher()
    method.name = ":method"
    method.stringMatch.exact = "GET"
    var route = Envoy_Config_Route_V3_Route()
    route.match.path = path
    route.match.headers = [method]
    return route
}

/// Drains what comes in, and answers once there was time for it.
///
/// A `preStop` of `httpGet` can't send a POST, which the admin interface asks for, so a script does; and
/// Envoy ends at once on SIGTERM, which follows the answer, so the answer waits. What the application calls
/// goes on.
private func drainRoute(
    _ drain: PodBootstrapParameters.Drain
) throws -> Envoy_Config_Route_V3_Route {
    var script = Envoy_Extensions_Filters_Http_Lua_V3_LuaPerRoute()
    script.sourceCode.inlineString = """
        function envoy_on_request(handle)
          local answer = handle:httpCall("admin", {
            [":method"] = "POST",
            [":path"] = "/drain_listeners?inboundonly&graceful",
            [":authority"] = "admin",
          }, nil, 1000)
          if answer[":status"] ~= "200" then
            handle:respond({[":status"] = "503"}, "not drained\\n")
          end
        end
        """
    var route = get("/drain/\(drain.secret)")
    route.directResponse.status = 200
    route.directResponse.body.inlineString = "drained\n"
    route.typedPerFilterConfig[luaFilter] = try packed(script)
    if drain.seconds > 0 {
        var delay = Envoy_Extensions_Filters_Http_Fault_V3_HTTPFault()
        delay.delay.fixedDelay = .init(.seconds(drain.seconds))
        delay.delay.percentage.numerator = 100
        route.typedPerFilterConfig[delayFilter] = try packed(delay)
    }
    return route
}
