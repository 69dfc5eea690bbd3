import MeshModel
import MeshPlan
import MeshTesting
import Testing

/// Who calls whom, as a plan tells those who count requests.
@Suite struct TopologyTests {
    /// The nodes `blue` and `store`, and `front` and the gateway `edge`, which call them.
    private static let yaml = """
        apiVersion: v1
        kind: Namespace
        metadata: {name: demo, labels: {mesh: demo}}
        ---
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: Mesh
        metadata: {name: demo}
        spec:
          awsName: shop
          egressFilter: {type: ALLOW_ALL}
          namespaceSelector: {matchLabels: {mesh: demo}}
        ---
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: VirtualNode
        metadata: {namespace: demo, name: front}
        spec:
          awsName: front
          podSelector: {matchLabels: {app: front}}
          listeners: [{portMapping: {port: 8080, protocol: http}}]
          serviceDiscovery: {dns: {hostname: front.demo}}
          logging: {accessLog: {file: {path: /var/log/front}}}
          backends:
            - virtualService: {virtualServiceRef: {name: colors}}
            - virtualService: {virtualServiceRef: {name: direct}}
            - virtualService: {virtualServiceRef: {name: store}}
        ---
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: VirtualNode
        metadata: {namespace: demo, name: blue}
        spec:
          awsName: blue
          podSelector: {matchLabels: {app: blue}}
          listeners: [{portMapping: {port: 8080, protocol: http}}]
          serviceDiscovery: {dns: {hostname: blue.demo}}
        ---
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: VirtualNode
        metadata: {namespace: demo, name: store}
        spec:
          awsName: store
          podSelector: {matchLabels: {app: store}}
          listeners: [{portMapping: {port: 9000, protocol: tcp}}]
          serviceDiscovery: {dns: {hostname: store.demo}}
        ---
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: VirtualRouter
        metadata: {namespace: demo, name: colors}
        spec:
          listeners: [{portMapping: {port: 8080, protocol: http}}]
          routes:
            - name: all
              httpRoute:
                match: {prefix: /}
                action: {weightedTargets: [{virtualNodeRef: {name: blue}, weight: 3}, {virtualNodeRef: {name: gone}, weight: 1}]}
        ---
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: VirtualRouter
        metadata: {namespace: demo, name: store}
        spec:
          listeners: [{portMapping: {port: 9000, protocol: tcp}}]
          routes:
            - name: bytes
              tcpRoute: {action: {weightedTargets: [{virtualNodeRef: {name: store}, weight: 1}]}}
        ---
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: VirtualService
        metadata: {namespace: demo, name: colors}
        spec: {awsName: colors, provider: {virtualRouter: {virtualRouterRef: {name: colors}}}}
        ---
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: VirtualService
        metadata: {namespace: demo, name: direct}
        spec: {awsName: direct, provider: {virtualNode: {virtualNodeRef: {name: blue}}}}
        ---
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: VirtualService
        metadata: {namespace: demo, name: store}
        spec: {awsName: store, provider: {virtualRouter: {virtualRouterRef: {name: store}}}}
        ---
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: VirtualGateway
        metadata: {namespace: demo, name: edge}
        spec:
          awsName: edge
          namespaceSelector: {matchLabels: {mesh: demo}}
          podSelector: {matchLabels: {app: edge}}
          listeners: [{portMapping: {port: 8088, protocol: http}}]
        ---
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: GatewayRoute
        metadata: {namespace: demo, name: colors}
        spec:
          httpRoute:
            match: {prefix: /}
            action: {target: {virtualService: {virtualServiceRef: {name: colors}}}}
        """

    private static func workload(_ name: String, of app: String) -> String {
        """

        ---
        apiVersion: heddle.dev/v1alpha1
        kind: Workload
        metadata: {namespace: demo, name: \(name), labels: {app: \(app)}}
        """
    }

    private static let world = World(
        yaml: yaml + workload("front-1", of: "front") + workload("front-2", of: "front")
            + workload("edge", of: "edge") + workload("blue", of: "blue")
    )

    private func node(_ name: String) -> ObjectID {
        ObjectID(.virtualNode, ObjectReference(namespace: "demo", name: name))
    }

    private func proxy(_ name: String) -> ProxyID {
        ProxyID(ObjectReference(namespace: "demo", name: name))
    }

    @Test func `a node's clusters lead to its backends' targets, and beyond the mesh`() throws {
        let topology = plan(Self.world, nowSeconds: 0).topology
        let front = try #require(topology.proxies[proxy("front-1")])
        #expect(front.meshName == "shop")
        #expect(front.trustDomain == "demo")
        #expect(front.owner == node("front"))
        #expect(front.ownerName == "front")
        #expect(front.applicationClusters == ["cds_ingress_shop_front_http_8080"])
        #expect(front.accessLogPath == "/var/log/front")
        #expect(
            front.targets == [
                "cds_egress_shop_blue_http_8080": TrafficTarget(
                    destination: .virtualNode(node("blue"), name: "blue"),
                    services: ["colors", "direct"],
                    port: Port(8080)
                ),
                "cds_egress_shop_store_tcp_9000": TrafficTarget(
                    destination: .virtualNode(node("store"), name: "store"),
                    services: ["store"],
                    port: Port(9000),
                    isHTTP: false
                ),
                "cds_egress_shop_gone_demo_missing": TrafficTarget(
                    destination: .missing("gone_demo"),
                    services: ["colors"]
                ),
                "cds_egress_shop_amazonaws": TrafficTarget(
                    destination: .external("*.amazonaws.com")
                ),
                "cds_egress_shop_mesh-allow-all": TrafficTarget(
                    destination: .external("external")
                ),
            ]
        )
        #expect(topology.proxies[proxy("front-2")] == front)
    }

    @Test func `a gateway calls its routes' targets, and not itself`() throws {
        let topology = plan(Self.world, nowSeconds: 0).topology
        let edge = try #require(topology.proxies[proxy("edge")])
        #expect(edge.ownerName == "edge")
        #expect(edge.applicationClusters.isEmpty)
        #expect(
            edge.targets.keys.sorted() == [
                "cds_egress_shop_blue_http_8080", "cds_egress_shop_gone_demo_missing",
            ]
        )
    }

    @Test func `every cluster that leads out of a proxy is in its topology, and no other`() throws {
        for seed in UInt64(1)...5 {
            var random = RandomWorld(seed: seed)
            let plan = plan(random.world(), nowSeconds: 0)
            #expect(plan.topology.proxies.count == plan.proxies.count)
            for (id, proxy) in plan.proxies {
                let place = try #require(plan.topology.proxies[id])
                let clusters = proxy.snapshot[.clusters].keys.filter {
                    $0.hasPrefix("cds_egress_")
                }
                #expect(Set(place.targets.keys) == Set(clusters), "seed \(seed), \(id)")
                let own = proxy.snapshot[.clusters].keys.filter {
                    $0.hasPrefix("cds_ingress_") && !$0.contains("_self_redirect_")
                }
                #expect(place.applicationClusters == Set(own), "seed \(seed), \(id)")
            }
        }
    }

    @Test func `shares are those of routes, and what is missing keeps its own`() {
        let topology = plan(Self.world, nowSeconds: 0).topology
        func split(
            _ service: String,
            _ route: String?,
            _ target: String?,
            _ share: Double
        )
            -> ServiceSplit
        {
            ServiceSplit(
                service: ObjectID(
                    .virtualService,
                    ObjectReference(namespace: "demo", name: service)
                ),
                serviceName: service,
                route: route,
                target: target.map(node),
                share: share
            )
        }
        #expect(
            topology.splits == [
                split("colors", "all", "blue", 0.75), split("colors", "all", nil, 0.25),
                split("direct", nil, "blue", 1), split("store", "bytes", "store", 1),
            ]
        )
    }

    @Test(arguments: [("PERMISSIVE", TrafficTarget.Security.mutualTLS), ("STRICT", .mutualTLS)])
    func `mutual TLS of a mesh is on every edge`(
        mode: String,
        security: TrafficTarget.Security
    ) throws {
        let yaml = Self.yaml.replacing(
            "kind: Mesh\nmetadata: {name: demo}",
            with: "kind: Mesh\nmetadata: {name: demo, annotations: {heddle.dev/mtls: \(mode)}}"
        )
        let world = World(
            yaml: yaml + Self.workload("front-1", of: "front") + Self.workload("blue", of: "blue")
        )
        let plan = plan(world, nowSeconds: 0)
        let targets = try #require(plan.topology.proxies[proxy("front-1")]?.targets)
        #expect(targets["cds_egress_shop_blue_http_8080"]?.security == security)
        #expect(targets["cds_egress_shop_amazonaws"]?.security == .plaintext)
    }

    @Test func `it is there after observations alone, and after a plan of the same world`() {
        var planner = Planner()
        let first = planner.plan(Self.world, Observations(), nowSeconds: 0)
        var observations = Observations()
        observations.addresses = first.addresses
        let observed = planner.plan(observations, nowSeconds: 1)
        #expect(observed?.topology == first.topology)
        let second = planner.plan(Self.world, observations, after: first, nowSeconds: 2)
        #expect(second.topology == first.topology)
    }
}
