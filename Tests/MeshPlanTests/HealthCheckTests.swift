import MeshModel
import MeshPlan
import MeshTesting
import Testing

/// Who checks the health of endpoints, and what its results do.
@Suite struct HealthCheckTests {
    private static let check =
        "healthyThreshold: 2, unhealthyThreshold: 3, intervalMillis: 5000, timeoutMillis: 2000"

    /// Two workloads of the node blue, which the workload front calls.
    private func world(
        mode: String = "once",
        listeners: String = """
        {portMapping: {port: 8080, protocol: http},
         healthCheck: {protocol: http, path: /ping, \(check)}}
        """
    ) -> World {
        World(
            yaml: """
                apiVersion: v1
                kind: Namespace
                metadata: {name: demo, labels: {mesh: demo}}
                ---
                apiVersion: appmesh.k8s.aws/v1beta2
                kind: Mesh
                metadata: {name: demo, annotations: {heddle.dev/health-checks: \(mode)}}
                spec: {namespaceSelector: {matchLabels: {mesh: demo}}}
                ---
                apiVersion: appmesh.k8s.aws/v1beta2
                kind: VirtualNode
                metadata: {namespace: demo, name: blue}
                spec:
                  podSelector: {matchLabels: {app: blue}}
                  listeners: [\(listeners)]
                  serviceDiscovery: {dns: {hostname: blue.demo}}
                ---
                apiVersion: appmesh.k8s.aws/v1beta2
                kind: VirtualNode
                metadata: {namespace: demo, name: elsewhere}
                spec:
                  listeners:
                  - portMapping: {port: 8080, protocol: http}
                    healthCheck: {protocol: http, \(Self.check)}
                  serviceDiscovery: {dns: {hostname: elsewhere.example.com}}
                ---
                apiVersion: appmesh.k8s.aws/v1beta2
                kind: VirtualService
                metadata: {namespace: demo, name: blue}
                spec: {provider: {virtualNode: {virtualNodeRef: {name: blue}}}}
                ---
                apiVersion: appmesh.k8s.aws/v1beta2
                kind: VirtualService
                metadata: {namespace: demo, name: elsewhere}
                spec: {provider: {virtualNode: {virtualNodeRef: {name: elsewhere}}}}
                ---
                apiVersion: appmesh.k8s.aws/v1beta2
                kind: VirtualNode
                metadata: {namespace: demo, name: front}
                spec:
                  podSelector: {matchLabels: {app: front}}
                  backends:
                  - virtualService: {virtualServiceRef: {name: blue}}
                  - virtualService: {virtualServiceRef: {name: elsewhere}}
                ---
                \(workload("blue-1", app: "blue", "{address: 127.0.0.5, ports: {8080: 9081}}"))
                ---
                \(workload("blue-2", app: "blue", "{}"))
                ---
                \(workload("front", app: "front", "{}"))
                """
        )
    }

    private func workload(_ name: String, app: String, _ spec: String) -> String {
        """
        apiVersion: heddle.dev/v1alpha1
        kind: Workload
        metadata: {namespace: demo, name: \(name), labels: {app: \(app)}}
        spec: \(spec)
        """
    }

    private func proxy(_ name: String) -> ProxyID {
        ProxyID(ObjectReference(namespace: "demo", name: name))
    }

    private func observations(
        _ health: [Port: ApplicationHealth],
        of name: String = "blue-1"
    ) -> Observations {
        var observations = Observations()
        for workload in ["blue-1", "blue-2", "front"] {
            observations.proxies[proxy(workload)] = StatusTests.serving
        }
        observations.proxies[proxy(name)]?.xds.health = health
        return observations
    }

    private func port(_ number: Int) throws -> Port { try #require(Port(number)) }

    /// The resource of blue's port 8080 in front's snapshot.
    private func resource(
        _ type: ResourceType,
        _ plan: Plan,
        node: String = "blue"
    ) throws
        -> JSONValue
    {
        let name = "cds_egress_demo_\(node)_demo_http_8080"
        return try #require(plan.proxies[proxy("front")]?.snapshot[type][name]).json
    }

    /// The health of blue's endpoints in front's snapshot.
    private func endpoints(_ plan: Plan) throws -> [String] {
        health(try resource(.endpoints, plan))
    }

    /// The health of each endpoint in `assignment`.
    private func health(_ assignment: JSONValue?) -> [String] {
        let endpoints = assignment?.values(at: "lb_endpoints").flatMap { $0.array ?? [] } ?? []
        return endpoints.map { $0["health_status"]?.string ?? "UNKNOWN" }
    }

    @Test func `each workload's own proxy checks the application, and callers do not`() throws {
        let plan = plan(world(), nowSeconds: 0)
        #expect(try resource(.clusters, plan)["health_checks"] == nil)
        #expect(try resource(.endpoints, plan).values(at: "health_check_config").isEmpty)
        #expect(plan.proxies[proxy("front")]?.probes == [])
        let probe = try #require(plan.proxies[proxy("blue-1")]?.probes.first)
        #expect(probe.port == (try port(8080)))
        #expect(probe.cluster == "cds_ingress_demo_blue_demo_http_8080")
        #expect(probe.address == "127.0.0.5")
        #expect(probe.applicationPort == (try port(9081)))
        #expect(probe.host == "blue.demo")
        #expect(probe.check.path == "/ping")
        let second = try #require(plan.proxies[proxy("blue-2")]?.probes.first)
        #expect(second.address == "127.0.0.1")
        #expect(second.applicationPort == (try port(8080)))
    }

    @Test(arguments: [ProcessObservation.Phase.starting, .backingOff])
    func `an application that does not run is not checked`(phase: ProcessObservation.Phase) throws {
        var observations = observations([:])
        observations.proxies[proxy("blue-1")]?.application?.phase = phase
        let plan = plan(world(), observations, nowSeconds: 0)
        #expect(plan.proxies[proxy("blue-1")]?.probes == [])
        #expect(plan.proxies[proxy("blue-2")]?.probes.count == 1)
    }

    @Test func `callers check what has no proxy of its own`() throws {
        let plan = plan(world(), nowSeconds: 0)
        #expect(try resource(.clusters, plan, node: "elsewhere")["health_checks"] != nil)
    }

    @Test func `callers check gRPC where the proxy's Envoy cannot`() throws {
        let listeners = [(8080, "grpc"), (9090, "http")].map { port, `protocol` in
            """
            {portMapping: {port: \(port), protocol: \(`protocol`)},
             healthCheck: {protocol: \(`protocol`), \(Self.check)}}
            """
        }
        let world = world(listeners: listeners.joined(separator: ", "))
        let failing = observations([
            try port(8080): .unhealthy(.unknown), try port(9090): .unhealthy(.unknown),
        ])
        func planned(
            _ probesGRPC: Bool
        ) throws -> (probed: [Port], checked: [Bool], health: [[String]]) {
            let options = PlanOptions(probesGRPC: probesGRPC)
            let plan = plan(world, failing, nowSeconds: 0, options: options)
            let names = ["grpc_8080", "http_9090"].map { "cds_egress_demo_blue_demo_\($0)" }
            let snapshot = try #require(plan.proxies[proxy("front")]).snapshot
            return (
                try #require(plan.proxies[proxy("blue-1")]).probes.map(\.port),
                try names.map { try snapshot[.clusters][$0]?.json["health_checks"] != nil },
                try names.map { health(try snapshot[.endpoints][$0]?.json) }
            )
        }
        let able = try planned(true)
        #expect(able.probed == [try port(8080), try port(9090)])
        #expect(able.checked == [false, false])
        #expect(able.health == [["UNHEALTHY", "UNKNOWN"], ["UNHEALTHY", "UNKNOWN"]])
        let unable = try planned(false)
        #expect(unable.probed == [try port(9090)])
        #expect(unable.checked == [true, false])
        #expect(unable.health == [["UNKNOWN", "UNKNOWN"], ["UNHEALTHY", "UNKNOWN"]])
    }

    @Test func `by default callers check, and nothing else does`() throws {
        let failing = observations([try port(8080): .unhealthy(.timeout)])
        let plan = plan(world(mode: "callers"), failing, nowSeconds: 0)
        #expect(try resource(.clusters, plan)["health_checks"] != nil)
        #expect(plan.proxies[proxy("blue-1")]?.probes == [])
        #expect(try endpoints(plan) == ["UNKNOWN", "UNKNOWN"])
        let status = try #require(plan.statuses[ObjectID(.workload, proxy("blue-1").workload)])
        #expect(status.conditions.first?.reason == "Ready")
    }

    @Test func `an unhealthy application is an unhealthy endpoint on the port that fails`() throws {
        let world = world()
        let port = try port(8080)
        func planned(_ health: [Port: ApplicationHealth], of name: String) throws -> [String] {
            try endpoints(plan(world, observations(health, of: name), nowSeconds: 0))
        }
        #expect(try planned([:], of: "blue-1") == ["UNKNOWN", "UNKNOWN"])
        #expect(try planned([port: .healthy], of: "blue-1") == ["UNKNOWN", "UNKNOWN"])
        let failing = ApplicationHealth.unhealthy(.status(500))
        #expect(try planned([port: failing], of: "blue-1") == ["UNHEALTHY", "UNKNOWN"])
        #expect(try planned([port: failing], of: "blue-2") == ["UNKNOWN", "UNHEALTHY"])
        #expect(try planned([self.port(9090): failing], of: "blue-1") == ["UNKNOWN", "UNKNOWN"])
    }

    @Test func `statuses alone are not enough once endpoints change`() throws {
        var planner = Planner()
        let port = try port(8080)
        let world = world()
        var healthy = observations([port: .healthy])
        let first = planner.plan(world, healthy, nowSeconds: 0)
        healthy.addresses = first.addresses
        #expect(planner.plan(healthy, nowSeconds: 1) != nil)
        var failing = observations([port: .unhealthy(.status(500))])
        failing.addresses = first.addresses
        #expect(planner.plan(failing, nowSeconds: 2) == nil)
        _ = planner.plan(world, failing, nowSeconds: 2)
        failing.proxies[proxy("blue-1")]?.xds.health[port] = .unhealthy(.timeout)
        let last = planner.plan(failing, nowSeconds: 3)
        expectEqual(try #require(last), plan(world, failing, nowSeconds: 3))
    }

    @Test(
        arguments: [
            ("http, path: /ping", .status(503), "GET /ping at 127.0.0.5:9081 answered 503"),
            ("http", .timeout, "GET / at 127.0.0.5:9081 did not answer in time"),
            ("http", .unknown, "GET / at 127.0.0.5:9081 gave no answer"),
            ("tcp", .unknown, "127.0.0.5:9081 takes no connection"),
        ] as [(String, ApplicationHealth.Failure, String)]
    )
    func `a workload says which check fails`(
        check: String,
        failure: ApplicationHealth.Failure,
        message: String
    ) throws {
        let listener = """
            {portMapping: {port: 8080, protocol: http},
             healthCheck: {protocol: \(check), \(Self.check)}}
            """
        let plan = plan(
            world(listeners: listener),
            observations([try port(8080): .unhealthy(failure)]),
            nowSeconds: 0
        )
        let status = try #require(plan.statuses[ObjectID(.workload, proxy("blue-1").workload)])
        let condition = try #require(status.conditions.first)
        #expect(condition.status == .false)
        #expect(condition.reason == "Unhealthy")
        #expect(
            condition.message
                == "Its application fails the health check of port 8080: \(message)."
        )
    }

    @Test func `several failures are counted`() throws {
        let listeners = [8080, 9090].map { port in
            """
            {portMapping: {port: \(port), protocol: grpc},
             healthCheck: {protocol: grpc, \(Self.check)}}
            """
        }
        let plan = plan(
            world(listeners: listeners.joined(separator: ", ")),
            observations([
                try port(8080): .unhealthy(.unknown), try port(9090): .unhealthy(.timeout),
            ]),
            nowSeconds: 0
        )
        let status = try #require(plan.statuses[ObjectID(.workload, proxy("blue-1").workload)])
        #expect(
            status.conditions.first?.message == """
                Its application fails the health check of port 8080: the gRPC health service at \
                127.0.0.5:9081 does not say that it is serving (and 1 more).
                """
        )
    }

    @Test func `every bootstrap asks for health checks with the proxy's token`() throws {
        let bootstrap = try bootstrap(
            nodeID: "mesh/demo/virtualNode/blue_demo",
            BootstrapParameters(xdsSocketPath: "/x", adminSocketPath: "/a", token: "secret")
        ).json
        #expect(bootstrap["hds_config"]?["api_type"]?.string == "GRPC")
        #expect(bootstrap["hds_config"]?["transport_api_version"]?.string == "V3")
        let services = bootstrap["hds_config"]?["grpc_services"]
        #expect(
            services == bootstrap["dynamic_resources"]?["ads_config"]?["grpc_services"]
        )
        let clusters = bootstrap["static_resources"]?["clusters"]
        #expect(clusters?.strings(at: "value") == ["Bearer secret"])
    }
}
