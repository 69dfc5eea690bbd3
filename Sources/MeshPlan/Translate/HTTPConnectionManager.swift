internal import EnvoyAPI
internal import MeshModel
internal import SwiftProtobuf

/// The network filter that serves HTTP with the routes `routes`.
struct HTTPConnectionManager {
    /// `ingress` or `egress`, or with several listeners `ingress.<protocol>.<port>`.
    var statPrefix: String
    /// The name of the route configuration.
    var routes: String
    /// Ends connections and streams without activity; nil leaves Envoy's own times.
    var idleTimeout: Duration?
    /// Whether paths are normalized and slashes merged, as App Mesh's ingress did.
    var normalizesPaths = false
    /// Whether requests may be forwarded by their host, and CONNECT is understood.
    var isForwardProxy = false
    /// Whether clients come from outside the mesh: then their address is added to
    /// `x-forwarded-for`, and their `x-envoy-` headers are not heeded.
    var isEdge = false
    /// Whether requests come to the application or from it.
    var direction: TrafficDirection
    /// Where requests are logged.
    var accessLog: AccessLog?
    /// How requests are traced; nil is not at all.
    var tracing: ProxyTracing?
    /// The TLS of its connections; nil when they are plaintext.
    var tls: ServerTLS?

    /// The filter.
    ///
    /// HTTP/1 and HTTP/2 are told apart by what the client sends; WebSockets pass.
    func filter() throws -> Envoy_Config_Listener_V3_Filter {
        typealias Manager =
            Envoy_Extensions_Filters_Network_HttpConnectionManager_V3_HttpConnectionManager
        var manager = Manager()
        manager.statPrefix = statPrefix
        manager.codecType = .auto
        manager.rds.configSource = aggregatedDiscovery
        manager.rds.routeConfigName = routes
        manager.accessLog = try accessLogs(for: accessLog)
        if tls?.isAccessControlled == true { manager.accessLog += try denialLogs() }
        manager.accessLog.append(try tapLog(direction))
        if let tracing { manager.tracing = try tracing.managerTracing() }
        if let lifetime = tls?.connectionLifetime {
            manager.commonHTTPProtocolOptions.maxConnectionDuration = .init(lifetime)
            manager.http1SafeMaxConnectionDuration = true
        }
        manager.httpFilters = try httpFilters()
        manager.upgradeConfigs = (isForwardProxy ? ["websocket", "CONNECT"] : ["websocket"]).map {
            var upgrade = Manager.UpgradeConfig()
            upgrade.upgradeType = $0
            return upgrade
        }
        if isEdge { manager.useRemoteAddress = .init(true) }
        if normalizesPaths {
            manager.normalizePath = .init(true)
            manager.mergeSlashes = true
        }
        if let idleTimeout {
            manager.streamIdleTimeout = Google_Protobuf_Duration(idleTimeout)
            manager.commonHTTPProtocolOptions.idleTimeout = Google_Protobuf_Duration(idleTimeout)
        }
        var filter = Envoy_Config_Listener_V3_Filter()
        filter.name = "envoy.filters.network.http_connection_manager"
        filter.typedConfig = try packed(manager)
        return filter
    }

    private func httpFilters() throws
        -> [Envoy_Extensions_Filters_Network_HttpConnectionManager_V3_HttpFilter]
    {
        typealias Filter = Envoy_Extensions_Filters_Network_HttpConnectionManager_V3_HttpFilter
        var filters = try policyFilters()
        if tls?.isAccessControlled == true {
            // Its rules are the routes'.
            var control = Filter()
            control.name = accessControlFilter
            control.typedConfig = try packed(Envoy_Extensions_Filters_Http_Rbac_V3_RBAC())
            filters.insert(control, at: 0)
        }
        if isForwardProxy {
            var forward = Envoy_Extensions_Filters_Http_DynamicForwardProxy_V3_FilterConfig()
            forward.dnsCacheConfig = forwardProxyDNSCache
            var filter = Filter()
            filter.name = "envoy.filters.http.dynamic_forward_proxy"
            filter.typedConfig = try packed(forward)
            filters.append(filter)
        }
        var router = Filter()
        router.name = "envoy.filters.http.router"
        router.typedConfig = try packed(Envoy_Extensions_Filters_Http_Router_V3_Router())
        return filters + [router]
    }
}
