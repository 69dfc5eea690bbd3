import MeshModel
import MeshPlan
import MeshTesting
import Testing

@Suite struct ProxyPlanTests {
    private func world(_ workloads: String) -> World {
        World(
            demo: """
                apiVersion: appmesh.k8s.aws/v1beta2
                kind: VirtualNode
                metadata: {namespace: demo, name: blue}
                spec:
                  podSelector: {matchLabels: {app: blue}}
                  listeners: [{portMapping: {port: 8080, protocol: http}}]
                  serviceDiscovery: {dns: {hostname: blue.demo}}
                  backends: [{virtualService: {virtualServiceRef: {name: blue}}}]
                ---
                apiVersion: appmesh.k8s.aws/v1beta2
                kind: VirtualService
                metadata: {namespace: demo, name: blue}
                spec: {provider: {virtualNode: {virtualNodeRef: {name: blue}}}}
                ---
                \(workloads)
                """
        )
    }

    private func workload(_ name: String, _ spec: String) -> String {
        """
        apiVersion: heddle.dev/v1alpha1
        kind: Workload
        metadata: {namespace: demo, name: \(name), labels: {app: blue}}
        spec: \(spec)
        """
    }

    private func proxy(_ name: String) -> ProxyID {
        ProxyID(ObjectReference(namespace: "demo", name: name))
    }

    @Test func `an application learns its addresses, and its own variables come first`() throws {
        let spec =
            "{command: [serve, -v], env: {COLOR: blue, NO_PROXY: here}, workingDirectory: /srv}"
        let plan = plan(world(workload("blue-1", spec)), nowSeconds: 0)
        let application = try #require(plan.proxies[proxy("blue-1")]?.application)
        #expect(application.command == ["serve", "-v"])
        #expect(application.workingDirectory == "/srv")
        #expect(
            application.environment == [
                "HTTP_PROXY": "http://127.67.0.1:15001", "http_proxy": "http://127.67.0.1:15001",
                "HTTPS_PROXY": "http://127.67.0.1:15001", "https_proxy": "http://127.67.0.1:15001",
                "NO_PROXY": "here", "no_proxy": "localhost,127.0.0.1,::1",
                "HEDDLE_EGRESS_ADDRESS": "127.67.0.1", "HEDDLE_INGRESS_ADDRESS": "127.66.0.1",
                "HEDDLE_WORKLOAD": "blue-1", "HEDDLE_NAMESPACE": "demo",
                "APPMESH_VIRTUAL_NODE_NAME": "mesh/demo/virtualNode/blue_demo", "COLOR": "blue",
            ]
        )
    }

    @Test func `an application that Heddle does not run has no plan`() {
        let plan = plan(world(workload("blue-1", "{}")), nowSeconds: 0)
        #expect(plan.proxies[proxy("blue-1")] != nil)
        #expect(plan.proxies[proxy("blue-1")]?.application == nil)
    }

    @Test(arguments: [
        ("{}", 1), ("{requests: {cpu: 1500m}}", 2), ("{limits: {cpu: 3}}", 3),
        ("{requests: {cpu: 100m}, limits: {cpu: 1001m}}", 2),
    ])
    func `a proxy has a worker for each core begun`(_ resources: String, _ workers: Int) {
        let spec = "{sidecar: {resources: \(resources)}}"
        let plan = plan(world(workload("blue-1", spec)), nowSeconds: 0)
        #expect(plan.proxies[proxy("blue-1")]?.concurrency == workers)
    }

    @Test func `applications on one address and port are a warning`() throws {
        let both = workload("blue-1", "{command: [a]}") + "\n---\n"
        let same = plan(world(both + workload("blue-2", "{command: [b]}")), nowSeconds: 0)
        let warning = try #require(same.diagnostics.first)
        #expect(same.diagnostics.count == 1)
        #expect(
            warning.message == "Workload demo/blue-2: spec.ports: its application on "
                + "127.0.0.1:8080 is also that of Workload demo/blue-1; "
                + "map port 8080 to another application port"
        )
        let mapped = workload("blue-2", "{command: [b], ports: {8080: 9090}}")
        #expect(plan(world(both + mapped), nowSeconds: 0).diagnostics.isEmpty)
    }

    @Test(
        arguments: [
            (nil, nil), (.running, nil), (.starting, "UNHEALTHY"), (.backingOff, "UNHEALTHY"),
            (.draining, "UNHEALTHY"), (.stopped, "UNHEALTHY"),
        ] as [(ProcessObservation.Phase?, String?)]
    )
    func `a proxy that does not run is an unhealthy endpoint`(
        _ phase: ProcessObservation.Phase?,
        _ health: String?
    ) throws {
        var observations = Observations()
        observations.proxies[proxy("blue-1")] = ProxyObservation(
            process: phase.map { ProcessObservation(phase: $0) }
        )
        let both = workload("blue-1", "{}") + "\n---\n" + workload("blue-2", "{}")
        let plan = plan(world(both), observations, nowSeconds: 0)
        let snapshot = try #require(plan.proxies[proxy("blue-2")]).snapshot
        let set = try #require(snapshot[.endpoints]["cds_egress_demo_blue_demo_http_8080"])
        let endpoints = try #require(set.json.values(at: "lb_endpoints").first?.array)
        #expect(endpoints.map { $0["health_status"]?.string } == [health, nil])
    }

    @Test(arguments: seeds(50))
    func `weights survive`(_ seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let targets = (0..<Int.random(in: 2...10, using: &generator)).map { _ in
            (
                name: generator.pick(["blue", "gone", "lost"]),
                weight: Int.random(in: 0...10, using: &generator)
            )
        }
        let list = targets.map { "{virtualNodeRef: {name: \($0.name)}, weight: \($0.weight)}" }
        let router = """
            apiVersion: appmesh.k8s.aws/v1beta2
            kind: VirtualRouter
            metadata: {namespace: demo, name: blue}
            spec:
              listeners: [{portMapping: {port: 8080, protocol: http}}]
              routes:
                - name: all
                  httpRoute:
                    match: {prefix: /}
                    action: {weightedTargets: [\(list.joined(separator: ", "))]}
            """
        var world = world(workload("blue-1", "{}") + "\n---\n" + router)
        let reference = ObjectReference(namespace: "demo", name: "blue")
        let provider = VirtualServiceSpec.Provider.virtualRouter(.object(reference))
        world.virtualServices[reference]?.spec.provider = provider
        let snapshot = try #require(plan(world, nowSeconds: 0).proxies[proxy("blue-1")]).snapshot
        let routes = try #require(snapshot[.routes]["rds_egress_http_8080"]).json
        let clusters = [
            "blue": "cds_egress_demo_blue_demo_http_8080",
            "gone": "cds_egress_demo_gone_demo_missing",
            "lost": "cds_egress_demo_lost_demo_missing",
        ]
        var expected: [String: Int] = [:]
        for target in targets {
            expected[try #require(clusters[target.name]), default: 0] += target.weight
        }
        guard expected.values.contains(where: { $0 > 0 }) else {
            #expect(routes.values(at: "status") == [503])
            return
        }
        guard expected.count > 1 else {
            #expect(routes.strings(at: "cluster") == Array(expected.keys))
            return
        }
        let weighted = try #require(
            routes.values(at: "weighted_clusters").first?["clusters"]?.array
        )
        let found = weighted.map { ($0["name"]?.string ?? "", $0["weight"]?.integer ?? 0) }
        #expect(Dictionary(found) { $1 } == expected)
    }
}
