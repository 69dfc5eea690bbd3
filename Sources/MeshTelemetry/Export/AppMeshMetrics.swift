internal import FoundationEssentials
internal import MeshModel

/// Makes of traffic the metrics that App Mesh's metrics extension gave, by the same names and
/// dimensions.
///
/// Counts of nothing are left out, as the extension did by way of StatsD: they would cost what others
/// cost. A count of open connections is sent once more when it falls to nothing.
struct AppMeshMetrics: Sendable {
    /// Those whose connections were open last.
    private var connected: Set<ObjectID> = []

    /// The metrics of an interval.
    mutating func items(of interval: TrafficInterval) -> [MetricItem] {
        let inbound = interval.resources.flatMap { items(of: $0, at: interval.toSeconds) }
        return inbound + interval.targets.flatMap { Self.items(of: $0, at: interval.toSeconds) }
    }

    private mutating func items(
        of resource: TrafficInterval.Resource,
        at seconds: Double
    ) -> [MetricItem] {
        let dimensions = Self.dimensions(of: resource.owner)
        func item(_ name: String, _ unit: String, _ value: Int) -> MetricItem {
            MetricItem(
                name: "envoy.appmesh.\(name)",
                unit: unit,
                dimensions: dimensions,
                timeSeconds: seconds,
                values: [.init(value: Double(value), count: 1)]
            )
        }
        var items = [
            item("RequestCount", "Count", resource.requests),
            item("GrpcRequestCount", "Count", resource.grpcRequests),
            item("NewConnectionCount", "Count", resource.newConnections),
            item("ProcessedBytes", "Bytes", resource.processedBytes),
        ].filter { $0.values.first?.value ?? 0 > 0 }
        let wasConnected = connected.remove(resource.owner.id) != nil
        if resource.activeConnections > 0 { connected.insert(resource.owner.id) }
        if resource.activeConnections > 0 || wasConnected {
            items.append(item("ActiveConnectionCount", "Count", resource.activeConnections))
        }
        return items
    }

    private static func items(
        of target: TrafficInterval.Target,
        at seconds: Double
    ) -> [MetricItem] {
        var dimensions = dimensions(of: target.source)
        // Services that share a cluster cannot be told apart, and share a metric.
        let services = target.services.joined(separator: ",")
        if !services.isEmpty { dimensions.append(dimension("TargetVirtualService", services)) }
        dimensions.append(dimension("TargetVirtualNode", target.target))
        func item(_ name: String, _ unit: String, _ values: [MetricItem.Value]) -> MetricItem {
            MetricItem(
                name: "envoy.appmesh.\(name)",
                unit: unit,
                dimensions: dimensions,
                timeSeconds: seconds,
                values: values
            )
        }
        var counts = [("TargetProcessedBytes", "Bytes", target.sentBytes + target.receivedBytes)]
        if target.isHTTP {
            counts.append(("RequestCountPerTarget", "Count", target.requests))
            counts += (2...5).map {
                ("HTTPCode_Target_\($0)XX_Count", "Count", target.responses[$0] ?? 0)
            }
        }
        let latencies = target.latencies.filter { $0.count > 0 && $0.milliseconds.isFinite }
            .map { MetricItem.Value(value: $0.milliseconds, count: $0.count) }
        let chunks = stride(from: 0, to: latencies.count, by: MetricItem.valueLimit).map {
            Array(latencies[$0..<min($0 + MetricItem.valueLimit, latencies.count)])
        }
        return counts.filter { $0.2 > 0 }
            .map { item($0, $1, [.init(value: Double($2), count: 1)]) }
            + chunks.map { item("TargetResponseTime", "Milliseconds", $0) }
    }

    private static func dimensions(of owner: TrafficInterval.Owner) -> [MetricItem.Dimension] {
        [
            dimension("Mesh", owner.meshName),
            dimension(
                owner.id.kind == .virtualGateway ? "VirtualGateway" : "VirtualNode",
                owner.name
            ),
        ]
    }

    /// CloudWatch takes visible ASCII only, and up to 1,024 of it.
    private static func dimension(_ name: String, _ value: String) -> MetricItem.Dimension {
        let visible = value.unicodeScalars.prefix(1024).map { scalar in
            (0x20..<0x7F).contains(scalar.value) ? Character(scalar) : "?"
        }
        let text = String(visible)
        return MetricItem.Dimension(
            name: name,
            value: text.allSatisfy { $0 == " " } ? "-" : text
        )
    }
}
