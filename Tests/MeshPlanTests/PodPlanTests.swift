import EnvoyAPI
import MeshModel
import MeshPlan
import MeshTesting
import SwiftProtobuf
import Testing

/// Pods in the place of Workloads.
@Suite struct PodPlanTests {
    private static let nodes = """
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: VirtualNode
        metadata: {name: front, namespace: demo}
        spec:
          podSelector: {matchLabels: {app: front}}
          listeners: [{portMapping: {port: 8080, protocol: http}}]
          serviceDiscovery: {dns: {hostname: front.demo}}
          backends: [{virtualService: {virtualServiceRef: {name: color}}}]
        ---
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: VirtualNode
        metadata: {name: color, namespace: demo}
        spec:
          podSelector: {matchLabels: {app: color}}
          listeners: [{portMapping: {port: 8080, protocol: http}}]
          serviceDiscovery: {awsCloudMap: {namespaceName: demo.local, serviceName: color}}
        ---
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: VirtualService
        metadata: {name: color, namespace: demo}
        spec: {provider: {virtualNode: {virtualNodeRef: {name: color}}}}
        """

    private static let front = ProxyID(ObjectReference(namespace: "demo", name: "front-1"))

    private func pod(
        _ name: String,
        _ address: String?,
        proxy: PodProxy = .heddle,
        zone: String? = nil
    ) -> Workload {
        Workload(
            metadata: Metadata(
                name: name,
                namespace: "demo",
                uid: "uid-\(name)",
                labels: ["app": String(name.prefix { $0 != "-" })]
            ),
            spec: WorkloadSpec(
                pod: PodPlacement(
                    uid: "uid-\(name)",
                    address: address,
                    zone: zone,
                    proxy: proxy
                )
            )
        )
    }

    private func world(_ pods: [Workload]) -> World {
        var world = World(demo: Self.nodes)
        for pod in pods { world.insert(.workload(pod)) }
        return world
    }

    private func plan(
        _ world: World,
        _ observations: Observations = Observations()
    ) -> Plan {
        MeshPlan.plan(
            world,
            observations,
            nowSeconds: 0,
            options: PlanOptions(isInCluster: true)
        )
    }

    private func observations(
        _ phases: [String: ProcessObservation.Phase]
    ) -> Observations {
        var observations = Observations()
        for (name, phase) in phases {
            let id = ProxyID(ObjectReference(namespace: "demo", name: name))
            observations.proxies[id] = ProxyObservation(process: ProcessObservation(phase: phase))
        }
        return observations
    }

    /// Address and health of each endpoint of the node color, as front has them.
    private func endpoints(_ plan: Plan) throws -> [String] {
        let snapshot = try #require(plan.proxies[Self.front]?.snapshot)
        let resource = try #require(
            snapshot[.endpoints]["cds_egress_demo_color_demo_http_8080"]
        )
        let assignment = try Envoy_Config_Endpoint_V3_ClusterLoadAssignment(
            serializedBytes: resource.payload
        )
        return assignment.endpoints.flatMap { locality in
            locality.lbEndpoints.map { endpoint in
                let zone = locality.locality.zone.isEmpty ? "" : "\(locality.locality.zone): "
                let isDown = endpoint.healthStatus == .unhealthy
                return zone + endpoint.endpoint.address.socketAddress.address
                    + (isDown ? " down" : "")
            }
        }
    }

    @Test func `Pods take no address of this host and share one snapshot`() throws {
        let plan = plan(world([pod("front-1", "10.0.0.1"), pod("front-2", "10.0.0.2")]))
        #expect(plan.addresses.isEmpty)
        let snapshots = plan.proxies.values.map(\.snapshot)
        #expect(snapshots.count == 2)
        let (first, second) = (try #require(snapshots.first), try #require(snapshots.last))
        for type in ResourceType.allCases {
            for (name, resource) in first[type] {
                #expect(second[type][name] === resource)
                let text = String(decoding: resource.payload, as: UTF8.self)
                for own in ["front-1", "front-2", "10.0.0.", "uid-"] {
                    #expect(!text.contains(own), "\(name) has \(own)")
                }
                #expect(resource.origins.keys.allSatisfy { $0.kind != .workload })
            }
        }
    }

    @Test func `endpoints are the Pods that are ready, by zone`() throws {
        let pods = [
            pod("front-1", "10.0.0.1"), pod("color-1", "10.0.1.1", zone: "b"),
            pod("color-2", "10.0.1.2", zone: "a"), pod("color-3", "10.0.1.3", zone: "b"),
            pod("color-4", nil, zone: "a"), pod("color-5", "10.0.1.5"),
            pod("color-6", "10.0.1.6"), pod("color-7", "10.0.1.7", proxy: .absent),
            pod("color-8", "10.0.1.8"),
        ]
        let observations = observations([
            "color-1": .running, "color-2": .starting, "color-3": .running, "color-4": .running,
            "color-5": .draining, "color-6": .stopped, "color-7": .running,
            "color-8": .backingOff,
        ])
        #expect(
            try endpoints(plan(world(pods), observations))
                == ["10.0.1.7", "b: 10.0.1.1", "b: 10.0.1.3"]
        )
    }

    @Test func `a proxy that connects is no endpoint before its Pod is known to be ready`() throws {
        let world = world([pod("front-1", "10.0.0.1"), pod("color-1", "10.0.1.1")])
        let id = ProxyID(ObjectReference(namespace: "demo", name: "color-1"))
        let options = PlanOptions(assumesServing: false, isInCluster: true)
        var planner = Planner(options: options)
        var observations = Observations()
        #expect(try endpoints(planner.plan(world, observations, nowSeconds: 0)) == [])
        observations.proxies[id] = ProxyObservation(xds: XDSObservation(isConnected: true))
        #expect(try endpoints(planner.plan(world, observations, nowSeconds: 0)) == [])
        observations.proxies[id]?.process = ProcessObservation(phase: .running)
        #expect(planner.plan(observations, nowSeconds: 0) == nil)
        #expect(try endpoints(planner.plan(world, observations, nowSeconds: 0)) == ["10.0.1.1"])
    }

    @Test func `a node of which no Pod is ready says so, and has no endpoint`() throws {
        let pods = [
            pod("front-1", "10.0.0.1"), pod("color-1", "10.0.1.1"), pod("color-2", "10.0.1.2"),
        ]
        let observations = observations(["color-1": .starting, "color-2": .backingOff])
        let plan = plan(world(pods), observations)
        #expect(try endpoints(plan) == [])
        let node = ObjectID(.virtualNode, ObjectReference(namespace: "demo", name: "color"))
        let conditions = try #require(plan.statuses[node]?.conditions)
        let available = try #require(conditions.first { $0.type == "EndpointsAvailable" })
        #expect(available.status == .false)
        #expect(
            available.message
                == "None of the Pods demo/color-1, demo/color-2 is ready; callers are "
                + "answered with 503."
        )
        let active = try #require(conditions.first { $0.type == "VirtualNodeActive" })
        #expect(active.message == "It is valid and in force: 0 of 2 Pods are ready.")
    }

    @Test func `a Pod that begins to end is no endpoint any more, in a plan of its own`() throws {
        let world = world([pod("front-1", "10.0.0.1"), pod("color-1", "10.0.1.1")])
        var planner = Planner(options: PlanOptions(isInCluster: true))
        var observations = observations(["color-1": .running])
        #expect(try endpoints(planner.plan(world, observations, nowSeconds: 0)) == ["10.0.1.1"])
        let id = ProxyID(ObjectReference(namespace: "demo", name: "color-1"))
        observations.proxies[id]?.process?.phase = .draining
        #expect(planner.plan(observations, nowSeconds: 0) == nil)
        #expect(try endpoints(planner.plan(world, observations, nowSeconds: 0)) == [])
    }

    @Test func `callers check the health of Pods, whoever shall by the mesh`() throws {
        var world = world([pod("front-1", "10.0.0.1"), pod("color-1", "10.0.1.1")])
        world.meshes[ObjectReference(name: "demo")]?.spec.healthChecks = .once
        let color = ObjectReference(namespace: "demo", name: "color")
        world.virtualNodes[color]?.spec.listeners[0].healthCheck = HealthCheck(
            unhealthyThreshold: 2,
            interval: .seconds(5),
            timeout: .seconds(2),
            protocol: .http
        )
        var observations = observations(["color-1": .running])
        let id = ProxyID(ObjectReference(namespace: "demo", name: "color-1"))
        let port = try #require(Port(8080))
        // What the proxy would tell of its application counts for callers of one replica alone.
        observations.proxies[id]?.xds.health = [port: .unhealthy(.timeout)]
        let plan = plan(world, observations)
        #expect(plan.proxies[id]?.probes == [])
        #expect(try endpoints(plan) == ["10.0.1.1"])
        let cluster = try Envoy_Config_Cluster_V3_Cluster(
            serializedBytes: #require(
                plan.proxies[Self.front]?.snapshot[.clusters][
                    "cds_egress_demo_color_demo_http_8080"
                ]
            ).payload
        )
        #expect(cluster.healthChecks.count == 1)
        #expect(
            plan.diagnostics.map(\.message).contains(
                "Mesh demo: metadata.annotations[\"heddle.dev/health-checks\"]: once: has no effect "
                    + "here: what a proxy finds out is known to one replica alone, so that callers do "
                    + "the health checks"
            )
        )
    }

    @Test func `a Pod without a proxy is told of, once where it matters`() throws {
        let pods = [
            pod("front-1", "10.0.0.1"), pod("color-1", "10.0.1.1"),
            pod("color-2", "10.0.1.2", proxy: .absent),
            pod("other-1", "10.0.9.9", proxy: .absent),
        ]
        let plan = plan(world(pods))
        let color = ObjectReference(namespace: "demo", name: "color-2")
        #expect(plan.proxies[ProxyID(color)] == nil)
        let warnings = plan.diagnostics.filter { $0.severity == .warning }
        #expect(
            warnings.map(\.message) == [
                "Pod demo/color-2: spec.containers: VirtualNode demo/color selects it and it has no "
                    + "proxy, as it was not injected: it calls and is called past the mesh, in "
                    + "plaintext; label its namespace appmesh.k8s.aws/sidecarInjectorWebhook=enabled, "
                    + "and let the Pod be made anew, as \"kubectl rollout restart\" does"
            ]
        )
        let node = ObjectID(.virtualNode, ObjectReference(namespace: "demo", name: "color"))
        let conditions = try #require(plan.statuses[node]?.conditions)
        let active = try #require(conditions.first { $0.type == "VirtualNodeActive" })
        #expect(active.status == .true)
        #expect(active.message.contains("0 of 2 Pods are ready"))
        #expect(active.message.contains("Pod demo/color-2 has no proxy"))
        let ready = try #require(conditions.first { $0.type == "ProxiesReady" })
        #expect(ready.reason == "NotInjected")
        // Of a Pod that is no member nothing is said.
        let other = ObjectID(.workload, ObjectReference(namespace: "demo", name: "other-1"))
        #expect(plan.statuses[other] == nil)
    }

    @Test func `where nothing but mutual TLS is taken, a Pod without a proxy is no endpoint`()
        throws
    {
        var world = world([
            pod("front-1", "10.0.0.1"), pod("color-1", "10.0.1.1"),
            pod("color-2", "10.0.1.2", proxy: .absent),
        ])
        let mesh = ObjectReference(name: "demo")
        world.meshes[mesh]?.spec.mutualTLS = .permissive
        #expect(try endpoints(plan(world)) == ["10.0.1.1", "10.0.1.2"])
        world.meshes[mesh]?.spec.mutualTLS = .strict
        let plan = plan(world)
        #expect(try endpoints(plan) == ["10.0.1.1"])
        #expect(plan.diagnostics.contains { $0.message.contains("nobody calls it") })
    }

    @Test func `a Pod with App Mesh's Envoy is no proxy of Heddle's until it is made anew`() throws
    {
        var world = world([
            pod("front-1", "10.0.0.1"), pod("color-1", "10.0.1.1", proxy: .other),
            pod("color-2", "10.0.1.2"),
        ])
        let ready = observations(["color-1": .running, "color-2": .running])
        let first = plan(world, ready)
        let pod = ObjectReference(namespace: "demo", name: "color-1")
        #expect(first.proxies[ProxyID(pod)] == nil)
        #expect(try endpoints(first) == ["10.0.1.1", "10.0.1.2"])
        #expect(
            first.diagnostics.filter { $0.severity == .warning }.map(\.message) == [
                "Pod demo/color-1: spec.containers: VirtualNode demo/color selects it and its Envoy is "
                    + "App Mesh's, or another that does not ask Heddle for its configuration: it goes "
                    + "on with what it was told last, and has nothing once it is started again; let "
                    + "the Pod be made anew, as \"kubectl rollout restart\" does"
            ]
        )
        let node = ObjectID(.virtualNode, ObjectReference(namespace: "demo", name: "color"))
        let conditions = try #require(first.statuses[node]?.conditions)
        let proxies = try #require(conditions.first { $0.type == "ProxiesReady" })
        #expect(proxies.status == .false)
        #expect(
            proxies.message == "1 of 2 Pods are ready; Pod demo/color-1 runs App Mesh's Envoy: let "
                + "them be made anew, as \"kubectl rollout restart\" does."
        )
        // It knows nothing of the mesh's TLS, and does that of its listener.
        let mesh = ObjectReference(name: "demo")
        world.meshes[mesh]?.spec.mutualTLS = .strict
        let strict = plan(world, ready)
        #expect(try endpoints(strict) == ["10.0.1.2"])
        #expect(strict.diagnostics.contains { $0.message.contains("nobody calls it") })
        world.meshes[mesh]?.spec.mutualTLS = nil
        world.virtualNodes[node.reference]?.spec.listeners[0].tls = ListenerTLS(
            mode: .strict,
            certificate: .file(
                FileCertificate(certificateChain: "/chain.pem", privateKey: "/key.pem")
            )
        )
        let own = plan(world, ready)
        #expect(try endpoints(own) == ["10.0.1.1", "10.0.1.2"])
        #expect(!own.diagnostics.contains { $0.message.contains("nobody calls it") })
    }

    @Test func `a node is active whether or not its Pods are ready, and tells how many are`() throws
    {
        let pods = (1...3).map { pod("color-\($0)", "10.0.1.\($0)") }
        var observations = observations([
            "color-1": .running, "color-2": .running, "color-3": .starting,
        ])
        // color-2 is connected to another replica, if at all.
        let first = ProxyID(ObjectReference(namespace: "demo", name: "color-1"))
        observations.proxies[first]?.xds.isConnected = true
        for type in ResourceType.allCases {
            observations.proxies[first]?.xds.sync[type] = .synced
        }
        let plan = plan(world(pods), observations)
        let node = ObjectID(.virtualNode, ObjectReference(namespace: "demo", name: "color"))
        let conditions = try #require(plan.statuses[node]?.conditions)
        let active = try #require(conditions.first { $0.type == "VirtualNodeActive" })
        #expect(active.status == .true)
        #expect(active.message == "It is valid and in force: 2 of 3 Pods are ready.")
        let ready = try #require(conditions.first { $0.type == "ProxiesReady" })
        #expect(ready.message.hasPrefix("2 of 3 proxies are ready; Pod demo/color-3: "))
    }

    @Test func `what thousands of Pods refuse is one line`() throws {
        let pods = (1...3000).map { pod("color-\($0)", "10.0.\($0 / 250).\($0 % 250)") }
        var observations = Observations()
        let node = ObjectID(.virtualNode, ObjectReference(namespace: "demo", name: "color"))
        for pod in pods {
            var xds = XDSObservation(isConnected: true)
            xds.refusals = [
                Refusal(
                    type: .listeners,
                    resource: "lds_ingress_0.0.0.0_15000",
                    version: "2",
                    message: "no such thing",
                    objects: [node]
                )
            ]
            observations.proxies[ProxyID(pod.reference)] = ProxyObservation(
                process: ProcessObservation(phase: .running),
                xds: xds
            )
        }
        let status = try #require(plan(world(pods), observations).statuses[node])
        let active = try #require(status.conditions.first { $0.type == "VirtualNodeActive" })
        #expect(active.reason == "RefusedByProxy")
        #expect(active.message.contains("and 2999 more refused"))
        #expect(status.conditions.allSatisfy { $0.message.count < 500 })
        #expect(status.fields["sidecars"]?.array?.count == 100)
        #expect(status.fields["sidecarCount"] == .integer(3000))
    }

    @Test func `of a Pod's life Kubernetes tells, and Heddle of what it adds`() {
        let pods = [pod("color-1", "10.0.1.1"), pod("color-2", "10.0.1.2", proxy: .absent)]
        let before = observations(["color-1": .starting])
        let after = observations(["color-1": .running])
        let empty = plan(world([pods[0]]), before)
        let full = plan(world(pods), after)
        let events = events(from: (empty, before), to: (full, after), nowSeconds: 1)
        #expect(events.map(\.reason) == ["NotInjected"])
        #expect(events.map(\.object.name) == ["color-2"])
        let gone = plan(world([]), Observations())
        #expect(
            MeshPlan.events(from: (full, after), to: (gone, Observations()), nowSeconds: 2)
                .map(\.reason) == []
        )
    }

    @Test func `thousands of selectors find the Pods that each one's own label names`() {
        var world = World(demo: Self.nodes)
        let reference = ObjectReference(namespace: "demo", name: "front")
        guard let front = world.virtualNodes[reference] else { return }
        for number in 0..<50 {
            var node = front
            node.metadata.name = "many-\(number)"
            node.spec.awsName = node.metadata.name
            node.spec.backends = []
            node.spec.podSelector = LabelSelector(
                matchLabels: ["tier": "many", "app": node.metadata.name]
            )
            world.insert(.virtualNode(node))
            var member = pod("many-\(number)", "10.1.0.\(number)")
            member.metadata.labels = ["tier": "many", "app": node.metadata.name]
            world.insert(.workload(member))
        }
        let plan = plan(world)
        for number in 0..<50 {
            let id = ProxyID(ObjectReference(namespace: "demo", name: "many-\(number)"))
            #expect(plan.proxies[id]?.owner.name == "many-\(number)")
        }
    }
}

extension PodPlanTests {
    @Test func `what a Pod refuses that another replica serves is in the status of what it is of`()
        throws
    {
        let world = world([pod("front-1", "10.0.0.1"), pod("color-1", "10.0.0.2")])
        var seen = observations(["front-1": .running, "color-1": .running])
        let before = plan(world, seen)
        let node = try #require(world.virtualNodes.values.first { $0.metadata.name == "front" })
        func status(_ plan: Plan, _ type: String) -> Condition? {
            plan.statuses[node.id]?.conditions.first { $0.type == type }
        }
        #expect(status(before, "ConfigAccepted")?.status == .true)
        let listener = try #require(before.proxies[Self.front]?.snapshot[.listeners].values.first)
        func refuse(_ version: String) {
            seen.proxies[Self.front]?.xds.refusals = [
                Refusal(
                    type: .listeners,
                    resource: listener.name,
                    version: version,
                    message: "no such filter",
                    objects: [node.id]
                )
            ]
        }
        refuse(listener.version)
        let refused = plan(world, seen)
        #expect(status(refused, "ConfigAccepted")?.reason == "RefusedByProxy")
        #expect(status(refused, "VirtualNodeActive")?.reason == "RefusedByProxy")
        #expect(status(refused, "ProxiesReady")?.message.contains("no such filter") == true)
        // Another version was offered since.
        refuse("older")
        #expect(plan(world, seen).statuses == before.statuses)
    }
}
