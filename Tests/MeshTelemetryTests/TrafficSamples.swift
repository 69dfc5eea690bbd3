import MeshModel

@testable import MeshTelemetry

/// A mesh of three nodes: `front` calls `blue` and what does not exist, and `blue` calls `store` over TCP.
enum TrafficSamples {
    static let mesh = ObjectID(.mesh, ObjectReference(name: "colors"))
    static let front = node("front")
    static let blue = node("blue")
    static let store = node("store")
    static let gateway = ObjectID(
        .virtualGateway,
        ObjectReference(namespace: "demo", name: "gate")
    )

    static func node(_ name: String) -> ObjectID {
        ObjectID(.virtualNode, ObjectReference(namespace: "demo", name: name))
    }

    static func proxy(_ name: String) -> ProxyID {
        ProxyID(ObjectReference(namespace: "demo", name: name))
    }

    static func place(
        _ owner: ObjectID,
        _ targets: [String: TrafficTarget] = [:],
        application: String = "http_8080"
    ) -> ProxyTopology {
        ProxyTopology(
            mesh: mesh,
            meshName: "colors",
            owner: owner,
            ownerName: "\(owner.name)_demo",
            targets: targets,
            applicationClusters: ["cds_ingress_colors_\(owner.name)_demo_\(application)"]
        )
    }

    static func target(
        _ node: ObjectID,
        services: [String] = ["colors.demo"],
        port: Int = 8080,
        isHTTP: Bool = true
    ) -> TrafficTarget {
        TrafficTarget(
            destination: .virtualNode(node, name: "\(node.name)_demo"),
            services: services,
            port: Port(port),
            isHTTP: isHTTP,
            security: .mutualTLS
        )
    }

    static let blueCluster = "cds_egress_colors_blue_demo_http_8080"
    static let missingCluster = "cds_egress_colors_grey_missing"
    static let storeCluster = "cds_egress_colors_store_demo_tcp_6379"
    static let outsideCluster = "cds_egress_colors_mesh-allow-all"

    static var topology: MeshTopology {
        var topology = MeshTopology()
        let missing = TrafficTarget(destination: .missing("grey"), services: ["colors.demo"])
        let outside = TrafficTarget(destination: .external("external"), isHTTP: false)
        for name in ["front-1", "front-2"] {
            topology.proxies[proxy(name)] = place(
                front,
                [blueCluster: target(blue), missingCluster: missing, outsideCluster: outside]
            )
        }
        topology.proxies[proxy("blue-1")] = place(
            blue,
            [storeCluster: target(store, services: ["store.demo"], port: 6379, isHTTP: false)]
        )
        topology.splits = [(blue as ObjectID?, 0.75), (nil, 0.25)].map { target, share in
            ServiceSplit(
                service: ObjectID(
                    .virtualService,
                    ObjectReference(namespace: "demo", name: "colors")
                ),
                serviceName: "colors.demo",
                route: "all",
                target: target,
                share: share
            )
        }
        return topology
    }

    /// What a proxy says of a cluster that answered `requests`, `failures` of them with 503.
    static func cluster(_ name: String, requests: Int, failures: Int = 0) -> String {
        """
        cluster.\(name).upstream_rq_completed: \(requests)
        cluster.\(name).upstream_rq_2xx: \(requests - failures)
        cluster.\(name).upstream_rq_5xx: \(failures)

        """
    }

    /// What Envoy 1.40 answers: ten requests and ten of which every second attempt failed, three to what
    /// refuses connections, three to what has no hosts, two each that take too long in all and at each
    /// try, two each with 404, 302 and 500, two TCP connections, and three inbound.
    static let captured = """
        cluster.cds_egress_m_b_http_8080.upstream_cx_active: 1
        cluster.cds_egress_m_b_http_8080.upstream_cx_rx_bytes_total: 1014
        cluster.cds_egress_m_b_http_8080.upstream_cx_total: 7
        cluster.cds_egress_m_b_http_8080.upstream_cx_tx_bytes_total: 6340
        cluster.cds_egress_m_b_http_8080.upstream_rq_2xx: 20
        cluster.cds_egress_m_b_http_8080.upstream_rq_3xx: 2
        cluster.cds_egress_m_b_http_8080.upstream_rq_4xx: 2
        cluster.cds_egress_m_b_http_8080.upstream_rq_5xx: 6
        cluster.cds_egress_m_b_http_8080.upstream_rq_completed: 30
        cluster.cds_egress_m_b_http_8080.upstream_rq_per_try_timeout: 4
        cluster.cds_egress_m_b_http_8080.upstream_rq_retry: 2
        cluster.cds_egress_m_b_http_8080.upstream_rq_timeout: 2
        cluster.cds_egress_m_down_http_8080.upstream_cx_active: 0
        cluster.cds_egress_m_down_http_8080.upstream_cx_connect_fail: 9
        cluster.cds_egress_m_down_http_8080.upstream_cx_total: 9
        cluster.cds_egress_m_down_http_8080.upstream_rq_5xx: 3
        cluster.cds_egress_m_down_http_8080.upstream_rq_completed: 3
        cluster.cds_egress_m_down_http_8080.upstream_rq_retry: 6
        cluster.cds_egress_m_empty_http_8080.upstream_cx_none_healthy: 3
        cluster.cds_egress_m_empty_http_8080.upstream_rq_5xx: 3
        cluster.cds_egress_m_empty_http_8080.upstream_rq_completed: 3
        cluster.cds_egress_m_t_tcp_9.upstream_cx_active: 0
        cluster.cds_egress_m_t_tcp_9.upstream_cx_rx_bytes_total: 78
        cluster.cds_egress_m_t_tcp_9.upstream_cx_total: 2
        cluster.cds_egress_m_t_tcp_9.upstream_cx_tx_bytes_total: 168
        cluster.cds_ingress_m_n_http_8080.upstream_cx_active: 1
        cluster.cds_ingress_m_n_http_8080.upstream_cx_total: 1
        cluster.cds_ingress_m_n_http_8080.upstream_rq_2xx: 3
        cluster.cds_ingress_m_n_http_8080.upstream_rq_completed: 3
        http.ingress.downstream_cx_active: 0
        http.ingress.downstream_cx_rx_bytes_total: 249
        http.ingress.downstream_cx_total: 3
        http.ingress.downstream_cx_tx_bytes_total: 381
        http.ingress.downstream_rq_2xx: 3
        http.ingress.downstream_rq_completed: 3
        listener.127.0.0.1_25000.downstream_cx_active: 0
        overload.envoy.overload_actions.shrink_heap.active: 1
        server.memory_allocated: 6244736
        cluster.cds_egress_m_b_http_8080.upstream_rq_time:
          totals=0,0:15, 2,0.1:2, 3,0.1:1, 4,0.1:2, 7,0.1:2, 24,1:1, 27,1:1, 47,1:1, 55,1:1
          intervals=0,0:1
          summary=P0(0,0) P25(0,0) P50(0,0) P75(4.066666666666666,4.066666666666666) P90(27.5,27.5)
        cluster.cds_ingress_m_n_http_8080.upstream_rq_time:
          totals=30,1:1, 39,1:1, 50,1:1
          intervals=30,1:1, 39,1:1, 50,1:1
          summary=P0(30.5,30.5) P25(30.5,30.5) P50(39.5,39.5) P75(50.5,50.5)
        http.ingress.downstream_rq_time:
          totals=31,1:1, 40,1:1, 50,1:1
          intervals=31,1:1, 40,1:1, 50,1:1
          summary=P0(31.5,31.5) P25(31.5,31.5) P50(40.5,40.5) P75(50.5,50.5)

        """
}
