import MeshModel
import MeshPlan
import MeshTesting
import Testing

@Suite struct PlanSizingTests {
    private let world = World(
        demo: """
            apiVersion: appmesh.k8s.aws/v1beta2
            kind: VirtualNode
            metadata: {name: front, namespace: demo}
            spec:
              podSelector: {matchLabels: {app: front}}
              listeners: [{portMapping: {port: 8080, protocol: http}}]
              serviceDiscovery: {dns: {hostname: front.demo}}
              backends: [{virtualService: {virtualServiceRef: {name: colors}}}]
            ---
            apiVersion: appmesh.k8s.aws/v1beta2
            kind: VirtualNode
            metadata: {name: blue, namespace: demo}
            spec:
              podSelector: {matchLabels: {app: blue}}
              listeners: [{portMapping: {port: 8080, protocol: http}}]
              serviceDiscovery: {dns: {hostname: blue.demo}}
            ---
            apiVersion: appmesh.k8s.aws/v1beta2
            kind: VirtualRouter
            metadata: {name: colors, namespace: demo}
            spec:
              listeners: [{portMapping: {port: 8080, protocol: http}}]
              routes:
                - name: v2
                  httpRoute:
                    match: {prefix: /v2}
                    action: {weightedTargets: [{virtualNodeRef: {name: blue}, weight: 1}]}
                - name: rest
                  httpRoute:
                    match: {prefix: /}
                    action: {weightedTargets: [{virtualNodeRef: {name: blue}, weight: 1}]}
            ---
            apiVersion: appmesh.k8s.aws/v1beta2
            kind: VirtualService
            metadata: {name: colors, namespace: demo}
            spec: {awsName: colors.demo, provider: {virtualRouter: {virtualRouterRef: {name: colors}}}}
            ---
            apiVersion: heddle.dev/v1alpha1
            kind: Workload
            metadata: {name: front-1, namespace: demo, labels: {app: front}}
            ---
            apiVersion: heddle.dev/v1alpha1
            kind: Workload
            metadata: {name: blue-1, namespace: demo, labels: {app: blue}}
            ---
            apiVersion: heddle.dev/v1alpha1
            kind: Workload
            metadata: {name: blue-2, namespace: demo, labels: {app: blue}}
            """
    )
    private let front = ProxyID(ObjectReference(namespace: "demo", name: "front-1"))

    private var observed: Observations {
        var observations = Observations()
        let memory = 31.0 * 1_048_576
        observations.proxies[front] = ProxyObservation(
            usage: UsageSummary(
                cpuMillicores: .init(median: 2, percentile90: 3, percentile95: 4, maximum: 9),
                memoryBytes: .init(
                    median: memory,
                    percentile90: memory,
                    percentile95: memory,
                    maximum: memory
                ),
                confidence: 3
            )
        )
        return observations
    }

    @Test func `the size of a configuration is counted from what is sent`() throws {
        let plan = plan(world, nowSeconds: 0)
        let proxy = try #require(plan.proxies[front])
        let size = ConfigurationSize(of: proxy)
        #expect(size.clusters == proxy.snapshot[.clusters].count)
        #expect(size.listeners == proxy.snapshot[.listeners].count)
        // Two at each of the ports 8080 and 15001, one to the application, and CONNECT's.
        #expect(size.routes >= 5 && size.virtualHosts >= 3 && size.routes > size.virtualHosts)
        #expect(size.endpoints >= 2)
        #expect(
            ConfigurationSize(
                of: ProxyPlan(id: front, owner: proxy.owner, nodeID: "", addresses: proxy.addresses)
            ) == ConfigurationSize()
        )
    }

    @Test func `each proxy of a plan has its recommendation`() {
        let first = plan(world, nowSeconds: 0)
        #expect(first.sizing.count == 3)
        #expect(first.sizing.values.allSatisfy { $0.isForecast && $0.verdict == .fitting })
        let second = plan(world, observed, after: first, nowSeconds: 1)
        #expect(second.sizing[front]?.verdict == .oversized)
        #expect(second.sizing.values.filter(\.isForecast).count == 2)
    }

    @Test func `a plan of observations alone has the recommendations too`() throws {
        var planner = Planner(options: PlanOptions())
        var before = Observations()
        before.proxies[front] = ProxyObservation()
        let first = planner.plan(world, before, nowSeconds: 0)
        #expect(first.sizing[front]?.isForecast == true)
        before.addresses = first.addresses
        var after = observed
        after.addresses = first.addresses
        let again = planner.plan(after, nowSeconds: 1)
        let second = try #require(again)
        #expect(second.sizing == plan(world, after, after: first, nowSeconds: 1).sizing)
        #expect(second.sizing[front]?.verdict == .oversized)
        let third = planner.plan(after, nowSeconds: 2)
        #expect(third?.sizing == second.sizing)
    }
}
