internal import EnvoyAPI
internal import MeshModel

/// How a proxy behaves as its memory runs short.
///
/// Downstream connections are not limited, as in App Mesh; this says so outright, as Envoy warns of a
/// proxy that leaves it open.
func overloadManager(
    memoryLimitBytes: Int?
) throws -> Envoy_Config_Overload_V3_OverloadManager {
    var limit =
        Envoy_Extensions_ResourceMonitors_DownstreamConnections_V3_DownstreamConnectionsConfig()
    limit.maxActiveDownstreamConnections = Int64(Int32.max)
    var monitor = Envoy_Config_Overload_V3_ResourceMonitor()
    monitor.name = "envoy.resource_monitors.global_downstream_max_connections"
    monitor.typedConfig = try packed(limit)
    var manager = Envoy_Config_Overload_V3_OverloadManager()
    manager.resourceMonitors = [monitor]
    return manager
}
