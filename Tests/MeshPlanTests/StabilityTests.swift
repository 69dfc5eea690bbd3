import MeshModel
import MeshPlan
import MeshTesting
import Testing

/// What runs goes on running, whatever is added beside it.
@Suite struct StabilityTests {
    private let base = """
        apiVersion: v1
        kind: Namespace
        metadata: {name: demo, labels: {mesh: demo}}
        ---
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: Mesh
        metadata: {name: demo}
        spec: {namespaceSelector: {matchLabels: {mesh: demo}}}
        ---
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: VirtualNode
        metadata: {name: color, namespace: demo}
        spec:
          awsName: color
          podSelector: {matchLabels: {app: color}}
          listeners: [{portMapping: {port: 8080, protocol: http}}]
          serviceDiscovery: {dns: {hostname: color.demo}}
        ---
        apiVersion: heddle.dev/v1alpha1
        kind: Workload
        metadata: {name: color-1, namespace: demo, labels: {app: color}}

        """

    private func replanned(adding text: String) -> (before: Plan, after: Plan) {
        var world = World(yaml: base)
        let before = plan(world, nowSeconds: 0)
        for var object in World(yaml: text).objects {
            object.metadata.creationTimestampSeconds = 1
            world.insert(object)
        }
        return (before, plan(world, after: before, nowSeconds: 1))
    }

    @Test(arguments: [
        """
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: Mesh
        metadata: {name: all}
        spec: {namespaceSelector: {}}
        """,
        """
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: Mesh
        metadata: {name: another}
        spec: {awsName: demo, namespaceSelector: {matchLabels: {mesh: other}}}
        """,
        """
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: VirtualNode
        metadata: {name: all, namespace: demo}
        spec: {podSelector: {}}
        """,
        """
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: VirtualGateway
        metadata: {name: all, namespace: demo}
        spec: {podSelector: {}, listeners: [{portMapping: {port: 8088, protocol: http}}]}
        """,
        """
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: VirtualNode
        metadata: {name: aaa, namespace: demo}
        spec: {awsName: color}
        """,
    ])
    func `an object that is added takes nothing from those that were there`(text: String) {
        let (before, after) = replanned(adding: text)
        #expect(before.proxies.count == 1)
        #expect(after.proxies.mapValues(\.snapshot) == before.proxies.mapValues(\.snapshot))
        let names = ["color-1", "color", "demo"]
        let mistakes = after.diagnostics.filter {
            $0.severity == .error && names.contains($0.object?.name ?? "")
        }
        #expect(mistakes.isEmpty)
    }

    @Test func `a proxy whose node is gone runs on until its workload goes too`() {
        let first = plan(World(yaml: base), nowSeconds: 0)
        var world = World(yaml: base)
        world.virtualNodes = [:]
        let second = plan(world, after: first, nowSeconds: 1)
        #expect(second.proxies.mapValues(\.snapshot) == first.proxies.mapValues(\.snapshot))
        let workload = ObjectReference(namespace: "demo", name: "color-1")
        #expect(second.statuses[ObjectID(.workload, workload)]?.conditions[0].reason == "Invalid")
        world.workloads = [:]
        #expect(plan(world, after: second, nowSeconds: 2).proxies.isEmpty)
    }

    @Test func `observations that change no proxy change statuses only`() throws {
        let world = World(yaml: base)
        var planner = Planner()
        var observations = Observations()
        let id = ProxyID(ObjectReference(namespace: "demo", name: "color-1"))
        observations.proxies[id] = ProxyObservation(process: ProcessObservation(phase: .running))
        let first = planner.plan(world, observations, nowSeconds: 0)
        observations.addresses = first.addresses
        observations.proxies[id]?.xds.isConnected = true
        let replanned = planner.plan(observations, nowSeconds: 0)
        let second = try #require(replanned)
        let fresh = plan(world, observations, nowSeconds: 0)
        #expect(second.statuses == fresh.statuses)
        #expect(second.proxies.mapValues(\.snapshot) == fresh.proxies.mapValues(\.snapshot))
        observations.proxies[id]?.process?.phase = .backingOff
        let third = planner.plan(observations, nowSeconds: 0)
        #expect(third == nil)
    }

    @Test func `a daemon's new proxy does not count as serving`() throws {
        let caller = """
            ---
            apiVersion: appmesh.k8s.aws/v1beta2
            kind: VirtualService
            metadata: {name: color, namespace: demo}
            spec: {provider: {virtualNode: {virtualNodeRef: {name: color}}}}
            ---
            apiVersion: appmesh.k8s.aws/v1beta2
            kind: VirtualNode
            metadata: {name: front, namespace: demo}
            spec:
              podSelector: {matchLabels: {app: front}}
              backends: [{virtualService: {virtualServiceRef: {name: color}}}]
            ---
            apiVersion: heddle.dev/v1alpha1
            kind: Workload
            metadata: {name: front-1, namespace: demo, labels: {app: front}}

            """
        let world = World(yaml: base + caller)
        let front = ProxyID(ObjectReference(namespace: "demo", name: "front-1"))
        for (assumes, health) in [(true, JSONValue?.none), (false, "UNHEALTHY")] {
            let options = PlanOptions(assumesServing: assumes)
            let plan = plan(world, nowSeconds: 0, options: options)
            let endpoints = try #require(plan.proxies[front]?.snapshot[.endpoints].values.first)
            let first = try endpoints.json["endpoints"]?.array?.first?["lb_endpoints"]?.array?.first
            #expect(first?["health_status"] == health)
        }
    }

    @Test func `an application address among the proxies' own is a mistake`() {
        var world = World(yaml: base)
        for key in world.workloads.keys { world.workloads[key]?.spec.address = "127.66.0.1" }
        let plan = plan(world, nowSeconds: 0)
        #expect(plan.proxies.isEmpty)
        let mistake = plan.diagnostics.first { $0.severity == .error }
        #expect(mistake?.field == "spec.address")
    }

    @Test(arguments: [(1, 1), (250, 1), (1000, 1), (1001, 2), (256_000, 256)])
    func `an Envoy has a worker for each core begun`(millicores: Int, workers: Int) {
        var world = World(yaml: base)
        for key in world.workloads.keys {
            world.workloads[key]?.spec.sidecar.cpuLimitMillicores = millicores
        }
        #expect(plan(world, nowSeconds: 0).proxies.values.map(\.concurrency) == [workers])
    }
}
