import Foundation
import MeshModel
import MeshTelemetry

@testable import MeshDaemon

/// Traffic with so many requests a second, of which a part did not fail.
func traffic(
    _ requestsPerSecond: Double,
    success: Double? = 1,
    p99: Double = 12,
    active: Int = 0
) -> Traffic {
    var traffic = Traffic()
    traffic.requestsPerSecond = requestsPerSecond
    traffic.failuresPerSecond = requestsPerSecond * (1 - (success ?? 1))
    traffic.requests = Int(requestsPerSecond * 100)
    traffic.successRate = success
    traffic.activeConnections = active
    traffic.latencyMilliseconds = success.map { _ in
        Traffic.Quantiles(p50: p99 / 4, p95: p99 / 2, p99: p99)
    }
    return traffic
}

/// A gateway that calls front, which calls blue and red by weight; red fails, and nobody calls green.
func colorsMap() -> ServiceMap {
    func node(
        _ kind: String,
        _ name: String,
        _ health: ServiceMap.Health,
        problem: String? = nil,
        proxies: Int = 1,
        ready: Int = 1,
        _ traffic: Traffic
    ) -> ServiceMap.Node {
        ServiceMap.Node(
            id: "\(kind.lowercased())/demo/\(name)",
            kind: kind,
            mesh: "colors",
            namespace: "demo",
            name: name,
            health: health,
            problem: problem,
            proxies: proxies,
            readyProxies: ready,
            traffic: traffic
        )
    }
    func edge(
        _ source: String,
        _ target: String,
        _ services: [String],
        _ health: ServiceMap.Health,
        _ traffic: Traffic
    ) -> ServiceMap.Edge {
        ServiceMap.Edge(
            source: source,
            target: target,
            services: services,
            port: 8080,
            security: .mutualTLS,
            health: health,
            traffic: traffic
        )
    }
    let (gateway, front) = ("virtualgateway/demo/edge", "virtualnode/demo/front")
    let (blue, red) = ("virtualnode/demo/blue", "virtualnode/demo/red")
    var toRed = traffic(10, success: 0.8, p99: 1500)
    toRed.retriesPerSecond = 2.5
    return ServiceMap(
        timeSeconds: Double(testNowSeconds),
        windowSeconds: 10,
        nodes: [
            ServiceMap.Node(
                id: "external/example.com",
                kind: "External",
                name: "example.com"
            ),
            node("VirtualGateway", "edge", .healthy, traffic(100)),
            node("VirtualNode", "blue", .healthy, proxies: 2, ready: 2, traffic(90, active: 4)),
            node("VirtualNode", "front", .degraded, traffic(100, success: 0.98)),
            node("VirtualNode", "green", .idle, traffic(0, success: nil)),
            node(
                "VirtualNode",
                "red",
                .failing,
                problem: "20 % of the requests fail",
                ready: 0,
                traffic(10, success: 0.8, p99: 1500)
            ),
        ],
        edges: [
            edge(gateway, front, ["front.demo"], .degraded, traffic(100, success: 0.98)),
            edge(front, blue, ["color.demo"], .healthy, traffic(90, p99: 0.6)),
            edge(front, red, ["color.demo"], .failing, toRed),
        ],
        splits: [
            ServiceMap.Split(
                service: "color.demo",
                route: "color",
                target: blue,
                share: 0.9,
                observedShare: 0.9012
            ),
            ServiceMap.Split(
                service: "color.demo",
                route: "color",
                target: red,
                share: 0.1,
                observedShare: 0.0988
            ),
            ServiceMap.Split(service: "front.demo", target: front, share: 1, observedShare: 1),
        ]
    )
}

/// A handler that shows `ProxySample` and these sources.
func telemetryHandler(_ sources: TelemetrySources) -> APIHandler {
    var handler = ProxySample().handler()
    handler.telemetry = sources
    return handler
}

/// A request of blue's.
func sampleRequest(
    _ path: String = "/color",
    status: Int? = 200,
    direction: RequestRecord.Direction = .inbound
) -> RequestRecord {
    RequestRecord(
        timeSeconds: Double(testNowSeconds) + 0.123,
        proxy: "demo/blue-1",
        direction: direction,
        source: "spiffe://colors/demo/front",
        destination: "127.0.0.1:9081",
        cluster: "cds_ingress_colors_blue_demo_http_8080",
        isTLS: true,
        method: "GET",
        authority: "color.demo",
        path: path,
        status: status,
        flags: status ?? 0 >= 500 ? "UF" : "",
        details: status ?? 0 >= 500 ? "upstream_reset" : "via_upstream",
        durationMilliseconds: 3.25,
        attempts: 1,
        requestID: "4711"
    )
}
