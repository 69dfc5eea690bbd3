import MeshModel
import MeshPlan
import MeshTesting
import Testing

/// What changes at one proxy only once others have followed.
@Suite struct TransitionTests {
    private let blue = ProxyID(ObjectReference(namespace: "demo", name: "blue"))
    private let front = ProxyID(ObjectReference(namespace: "demo", name: "front"))

    private func world(_ annotations: String, backends: String = "blue") -> World {
        let backend = backends.isEmpty ? "" : "{virtualService: {virtualServiceRef: {name: blue}}}"
        return World(
            yaml: """
                apiVersion: v1
                kind: Namespace
                metadata: {name: demo, labels: {mesh: demo}}
                ---
                apiVersion: appmesh.k8s.aws/v1beta2
                kind: Mesh
                metadata: {name: demo, annotations: {\(annotations)}}
                spec: {namespaceSelector: {matchLabels: {mesh: demo}}}
                ---
                apiVersion: appmesh.k8s.aws/v1beta2
                kind: VirtualNode
                metadata: {namespace: demo, name: front}
                spec:
                  podSelector: {matchLabels: {app: front}}
                  backends: [\(backend)]
                ---
                apiVersion: appmesh.k8s.aws/v1beta2
                kind: VirtualNode
                metadata: {namespace: demo, name: blue}
                spec:
                  podSelector: {matchLabels: {app: blue}}
                  listeners: [{portMapping: {port: 8080, protocol: http}}]
                  serviceDiscovery: {dns: {hostname: blue.demo}}
                ---
                apiVersion: appmesh.k8s.aws/v1beta2
                kind: VirtualService
                metadata: {namespace: demo, name: blue}
                spec: {provider: {virtualNode: {virtualNodeRef: {name: blue}}}}
                ---
                apiVersion: heddle.dev/v1alpha1
                kind: Workload
                metadata: {namespace: demo, name: front, labels: {app: front}}
                ---
                apiVersion: heddle.dev/v1alpha1
                kind: Workload
                metadata: {namespace: demo, name: blue, labels: {app: blue}}
                """
        )
    }

    /// What proxies say that have taken all of `plan`, but for those in `behind`.
    private func observations(of plan: Plan, behind: Set<ProxyID> = []) -> Observations {
        var observations = Observations()
        observations.addresses = plan.addresses
        for (id, proxy) in plan.proxies {
            let isBehind = behind.contains(id)
            observations.proxies[id] = ProxyObservation(
                xds: XDSObservation(
                    isConnected: true,
                    sync: [.routes: isBehind ? .pending : .synced],
                    listeners: isBehind ? [:] : proxy.snapshot[.listeners].mapValues(\.version)
                )
            )
        }
        return observations
    }

    /// Whether the resources `type` of `proxy` say `text`.
    private func says(
        _ plan: Plan,
        _ proxy: ProxyID,
        _ type: ResourceType,
        _ text: String
    ) throws -> Bool {
        try (plan.proxies[proxy]?.snapshot[type] ?? [:]).values.contains {
            try $0.json.prettyText.contains(text)
        }
    }

    private let permissive = "heddle.dev/mtls: PERMISSIVE"
    private let mark = "envoy.transport_socket_match"

    @Test func `callers begin with TLS once the endpoint has taken it`() throws {
        let before = plan(world(""), nowSeconds: 0)
        var next = plan(
            world(permissive),
            observations(of: before),
            after: before,
            nowSeconds: 1
        )
        #expect(try says(next, blue, .listeners, "ingress_http_8080_plaintext"))
        #expect(try !says(next, front, .endpoints, mark))
        let waiting = observations(of: next, behind: [blue])
        next = plan(world(permissive), waiting, after: next, nowSeconds: 2)
        #expect(try !says(next, front, .endpoints, mark))
        next = plan(world(permissive), observations(of: next), after: next, nowSeconds: 3)
        #expect(try says(next, front, .endpoints, mark))
    }

    /// The world with Pods in the place of Workloads.
    private func podWorld(_ annotations: String) -> World {
        var world = world(annotations)
        for (index, name) in ["blue", "front"].enumerated() {
            let reference = ObjectReference(namespace: "demo", name: name)
            world.workloads[reference]?.spec.pod = PodPlacement(
                uid: "uid-\(name)",
                address: "10.1.0.\(index + 1)"
            )
        }
        return world
    }

    /// What is known when blue is connected to another replica.
    private func observationsWithoutBlue(_ plan: Plan) -> Observations {
        var observations = observations(of: plan, behind: [blue])
        for id in [blue, front] {
            observations.proxies[id]?.process = ProcessObservation(phase: .running)
        }
        observations.proxies[blue]?.xds = XDSObservation()
        return observations
    }

    @Test func `what another replica serves counts as having taken TLS after half a minute`()
        throws
    {
        let options = PlanOptions(isInCluster: true)
        let before = plan(podWorld(""), nowSeconds: 0, options: options)
        var planner = Planner(options: options)
        let next = planner.plan(
            podWorld(permissive),
            observationsWithoutBlue(before),
            after: before,
            nowSeconds: 1
        )
        var observations = observationsWithoutBlue(next)
        #expect(next.dueSeconds(observations) == 31)
        #expect(planner.plan(observations, nowSeconds: 30) != nil)
        #expect(try !says(next, front, .endpoints, mark))
        #expect(planner.plan(observations, nowSeconds: 31) == nil)
        let last = planner.plan(
            podWorld(permissive),
            observations,
            after: next,
            nowSeconds: 31
        )
        #expect(try says(last, front, .endpoints, mark))
        #expect(last.dueSeconds(observations) == nil)
        // Of a Pod that does not serve nothing is presumed.
        observations.proxies[blue]?.process = ProcessObservation(phase: .starting)
        #expect(next.dueSeconds(observations) == nil)
        let waiting = plan(
            podWorld(permissive),
            observations,
            after: next,
            nowSeconds: 1000,
            options: options
        )
        #expect(try !says(waiting, front, .endpoints, mark))
    }

    @Test func `what another replica serves has half a minute to end with TLS`() throws {
        let options = PlanOptions(isInCluster: true)
        let before = plan(podWorld(permissive), nowSeconds: 0, options: options)
        var next = before
        for second in [1, 2, 30] {
            next = plan(
                podWorld(""),
                observationsWithoutBlue(next),
                after: next,
                nowSeconds: second,
                options: options
            )
            #expect(try says(next, blue, .listeners, "envoy.transport_sockets.tls"))
        }
        next = plan(
            podWorld(""),
            observationsWithoutBlue(next),
            after: next,
            nowSeconds: 32,
            options: options
        )
        #expect(try !says(next, blue, .listeners, "envoy.transport_sockets.tls"))
    }

    @Test func `a proxy that was never without TLS is called over TLS at once`() throws {
        #expect(try says(plan(world(permissive), nowSeconds: 0), front, .endpoints, mark))
    }

    @Test func `an endpoint keeps TLS until its callers have ended with it`() throws {
        let before = plan(world(permissive), nowSeconds: 0)
        var next = plan(world(""), observations(of: before), after: before, nowSeconds: 1)
        #expect(try !says(next, front, .clusters, "envoy.transport_sockets.tls"))
        #expect(try says(next, blue, .listeners, "envoy.transport_sockets.tls"))
        let waiting = observations(of: next, behind: [front])
        next = plan(world(""), waiting, after: next, nowSeconds: 100)
        #expect(try says(next, blue, .listeners, "envoy.transport_sockets.tls"))
        next = plan(world(""), observations(of: next), after: next, nowSeconds: 101)
        #expect(try says(next, blue, .listeners, "envoy.transport_sockets.tls"))
        next = plan(world(""), observations(of: next), after: next, nowSeconds: 103)
        #expect(try !says(next, blue, .listeners, "envoy.transport_sockets.tls"))
    }

    @Test func `a caller that loses its backend is let in until it is no longer behind`() throws {
        let strict = "heddle.dev/mtls: STRICT"
        let caller = "spiffe://demo/demo/front"
        let before = plan(world(strict), nowSeconds: 0)
        #expect(try says(before, blue, .routes, caller))
        let without = world(strict, backends: "")
        var next = plan(without, observations(of: before), after: before, nowSeconds: 1)
        #expect(try says(next, blue, .routes, caller))
        for second in 2...9 {
            let waiting = observations(of: next, behind: [front])
            next = plan(without, waiting, after: next, nowSeconds: second)
            #expect(try says(next, blue, .routes, caller))
        }
        next = plan(without, observations(of: next), after: next, nowSeconds: 10)
        #expect(try says(next, blue, .routes, caller))
        next = plan(without, observations(of: next), after: next, nowSeconds: 12)
        #expect(try !says(next, blue, .routes, caller))
    }

    @Test func `who lets a new caller in is told before the caller`() {
        let strict = "heddle.dev/mtls: STRICT"
        let before = plan(world(strict, backends: ""), nowSeconds: 0)
        let next = plan(world(strict), observations(of: before), after: before, nowSeconds: 1)
        #expect(next.admitting(after: before) == [blue])
        let again = plan(world(strict), observations(of: next), after: next, nowSeconds: 2)
        #expect(again.admitting(after: next) == [])
    }

    @Test func `a planner sees by observations alone that a transition goes on`() throws {
        var planner = Planner()
        let before = planner.plan(world(permissive), Observations(), nowSeconds: 0)
        let next = planner.plan(
            world(""),
            observations(of: before),
            after: before,
            nowSeconds: 1
        )
        #expect(next.dueSeconds(Observations()) == 0)
        var same = observations(of: next, behind: [front])
        same.conditions = [:]
        #expect(planner.plan(same, nowSeconds: 2) != nil)
        #expect(planner.plan(observations(of: next), nowSeconds: 3) == nil)
    }
}
