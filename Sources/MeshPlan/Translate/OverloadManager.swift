internal import EnvoyAPI
internal import MeshModel
internal import SwiftProtobuf

/// How a proxy behaves as its memory runs short; nothing of that without a limit.
///
/// The stages begin so early, and the heap is looked at so often, because memory that many slow readers
/// take in a second would pass a stage before Envoy looked again: at 0.95 and every second, Envoy's
/// default, the kernel ends the proxy where it lives with these.
///
/// Downstream connections are not limited, as in App Mesh; this says so outright, as Envoy warns of a
/// proxy that leaves it open.
func overloadManager(
    memoryLimitBytes: Int?
) throws -> Envoy_Config_Overload_V3_OverloadManager {
    var manager = Envoy_Config_Overload_V3_OverloadManager()
    var connections =
        Envoy_Extensions_ResourceMonitors_DownstreamConnections_V3_DownstreamConnectionsConfig()
    connections.maxActiveDownstreamConnections = Int64(Int32.max)
    manager.resourceMonitors = [
        try monitor("envoy.resource_monitors.global_downstream_max_connections", connections)
    ]
    guard let memoryLimitBytes else { return manager }
    var heap = Envoy_Extensions_ResourceMonitors_FixedHeap_V3_FixedHeapConfig()
    heap.maxHeapSizeBytes = UInt64(heapBytes(within: memoryLimitBytes))
    manager.resourceMonitors.append(try monitor(heapMonitor, heap))
    manager.refreshInterval = .init(.milliseconds(100))
    manager.actions = [
        action("shrink_heap", from: 0.70),
        action("reset_high_memory_stream", from: 0.75, to: 0.90),
        action("disable_http_keepalive", from: 0.80),
        action("stop_accepting_connections", from: 0.80),
        action("stop_accepting_requests", from: 0.90),
    ]
    // Streams count from 64 KiB on; without this number there is no resetting of them.
    manager.bufferFactoryConfig.minimumAccountToTrackPowerOfTwo = 16
    return manager
}

/// The heap that a proxy may fill within `limit`: what the kernel counts beside it, and room for what
/// comes in until Envoy looks again, are left out.
///
/// Envoy 1.40 has 7.5 MiB of its own memory outside the heap, and the kernel counts 1.5 MiB for it; each
/// connection takes the kernel 1.6 KiB more.
func heapBytes(within limit: Int) -> Int {
    let rest = Int(Double(limit) * 0.85) - (9 << 20)
    // Less than Envoy takes with no request would refuse all of them.
    return max(rest, 12 << 20)
}

private let heapMonitor = "envoy.resource_monitors.fixed_heap"

private func monitor(
    _ name: String,
    _ configuration: some Message
) throws -> Envoy_Config_Overload_V3_ResourceMonitor {
    var monitor = Envoy_Config_Overload_V3_ResourceMonitor()
    monitor.name = name
    monitor.typedConfig = try packed(configuration)
    return monitor
}

/// An action that begins when the heap is filled to `start`, and, if it has degrees, is at its fullest
/// from `end` on.
private func action(
    _ name: String,
    from start: Double,
    to end: Double? = nil
) -> Envoy_Config_Overload_V3_OverloadAction {
    var trigger = Envoy_Config_Overload_V3_Trigger()
    trigger.name = heapMonitor
    if let end {
        trigger.scaled.scalingThreshold = start
        trigger.scaled.saturationThreshold = end
    } else {
        trigger.threshold.value = start
    }
    var action = Envoy_Config_Overload_V3_OverloadAction()
    action.name = "envoy.overload_actions.\(name)"
    action.triggers = [trigger]
    return action
}
