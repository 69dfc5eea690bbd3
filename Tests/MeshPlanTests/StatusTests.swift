import MeshModel
import MeshPlan
import MeshTesting
import Testing

/// What conditions say of what proxies answered.
@Suite struct StatusTests {
    static let blue = ObjectReference(namespace: "demo", name: "blue")
    static let workload = ObjectID(.workload, blue)
    static let node = ObjectID(.virtualNode, blue)

    static let world = World(
        demo: """
            apiVersion: appmesh.k8s.aws/v1beta2
            kind: VirtualNode
            metadata: {namespace: demo, name: blue}
            spec:
              podSelector: {matchLabels: {app: blue}}
              listeners: [{portMapping: {port: 8080, protocol: http}}]
              serviceDiscovery: {dns: {hostname: blue.demo}}
            ---
            apiVersion: heddle.dev/v1alpha1
            kind: Workload
            metadata: {namespace: demo, name: blue, labels: {app: blue}}
            spec: {command: [serve]}
            """
    )

    static let serving = ProxyObservation(
        process: ProcessObservation(phase: .running, pid: 7),
        application: ProcessObservation(phase: .running, pid: 8),
        xds: XDSObservation(
            isConnected: true,
            sync: Dictionary(uniqueKeysWithValues: ResourceType.allCases.map { ($0, .synced) })
        )
    )

    static let refusal = Refusal(
        type: .listeners,
        resource: "lds_ingress_0.0.0.0_15000",
        version: "3fa9c1",
        keptVersion: "77b02e",
        message: "invalid regex \"(\"",
        objects: [node]
    )

    private func condition(
        of id: ObjectID,
        _ observation: ProxyObservation?,
        _ change: (inout ProxyObservation) -> Void = { _ in }
    ) throws -> Condition {
        var observations = Observations()
        if var observation {
            change(&observation)
            observations.proxies[ProxyID(Self.blue)] = observation
        }
        let plan = plan(Self.world, observations, nowSeconds: 100)
        return try #require(plan.statuses[id]?.conditions.first)
    }

    private func expectNotReady(
        _ reason: String,
        _ message: String,
        _ observation: ProxyObservation? = serving,
        _ change: (inout ProxyObservation) -> Void = { _ in }
    ) throws {
        let condition = try condition(of: Self.workload, observation, change)
        #expect(condition.type == "WorkloadReady")
        #expect(condition.status == .false)
        #expect(condition.reason == reason)
        #expect(condition.message == message)
    }

    @Test func `a workload is ready when its proxy runs, is connected and in sync`() throws {
        let condition = try condition(of: Self.workload, Self.serving)
        #expect(condition.status == .true)
        #expect(condition.reason == "Ready")
        #expect(condition.lastTransitionTimeSeconds == 100)
    }

    @Test func `a workload whose proxy was not started is pending`() throws {
        try expectNotReady("Pending", "Its proxy was not started.", nil)
    }

    @Test func `a proxy that backs off says why it ended`() throws {
        try expectNotReady("ProxyBackingOff", "Its proxy is not ready: killed by signal 9.") {
            $0.process = ProcessObservation(
                phase: .backingOff,
                restarts: 3,
                lastError: "killed by signal 9"
            )
        }
    }

    @Test func `an application that crashed says why`() throws {
        try expectNotReady(
            "ApplicationBackingOff",
            "Its application does not run: exited with code 1: no such file."
        ) {
            $0.application = ProcessObservation(
                phase: .backingOff,
                lastError: "exited with code 1: no such file"
            )
        }
    }

    @Test func `an application that was not started is not ready`() throws {
        try expectNotReady("ApplicationPending", "Its application was not started.") {
            $0.application = nil
        }
    }

    @Test func `a disconnected proxy keeps its configuration and is not ready`() throws {
        try expectNotReady(
            "Disconnected",
            "Its proxy is not connected and keeps its last configuration."
        ) { $0.xds.isConnected = false }
    }

    @Test func `a proxy without its listeners is syncing`() throws {
        try expectNotReady("Syncing", "Its proxy has not asked for its listeners.") {
            $0.xds.sync[.listeners] = .notSent
        }
    }

    @Test func `an update on its way leaves a workload ready`() throws {
        let condition = try condition(of: Self.workload, Self.serving) {
            $0.xds.sync[.routes] = .pending
        }
        #expect(condition.status == Condition.Status.true)
    }

    @Test func `a workload whose proxy refuses a resource says Envoy's reason`() throws {
        try expectNotReady(
            "ConfigurationRefused",
            "Its proxy refused listeners lds_ingress_0.0.0.0_15000: invalid regex \"(\"."
        ) { $0.xds.refusals = [Self.refusal] }
    }

    @Test func `a refusal stands in the condition of the object that caused it`() throws {
        let condition = try condition(of: Self.node, Self.serving) {
            $0.xds.refusals = [Self.refusal]
        }
        #expect(condition.type == "VirtualNodeActive")
        #expect(condition.status == .false)
        #expect(condition.reason == "RefusedByProxy")
        #expect(
            condition.message
                == "Proxy demo/blue refused listeners lds_ingress_0.0.0.0_15000 3fa9c1: "
                + "invalid regex \"(\"; it keeps 77b02e."
        )
    }

    @Test func `a refusal by a proxy that is no more counts no more`() throws {
        var observations = Observations()
        var gone = Self.serving
        gone.xds.refusals = [Self.refusal]
        let reference = ObjectReference(namespace: "demo", name: "gone")
        observations.proxies[ProxyID(reference)] = gone
        let plan = plan(Self.world, observations, nowSeconds: 0)
        #expect(plan.statuses[Self.node]?.conditions.first?.status == .true)
    }

    @Test func `a mistake is said with its field as it is written`() throws {
        let world = World(
            demo: """
                apiVersion: appmesh.k8s.aws/v1beta2
                kind: VirtualService
                metadata: {namespace: demo, name: colors}
                spec: {provider: {virtualNode: {virtualNodeRef: {name: gone}}}}
                """
        )
        let id = ObjectID(.virtualService, ObjectReference(namespace: "demo", name: "colors"))
        let status = try #require(plan(world, nowSeconds: 0).statuses[id])
        let condition = try #require(status.conditions.first)
        #expect(condition.status == .false)
        #expect(condition.reason == "Invalid")
        #expect(
            condition.message == "spec.provider.virtualNode.virtualNodeRef: "
                + "no VirtualNode \"demo/gone\"; add it or correct the reference."
        )
    }

    @Test func `a condition keeps its time until its status changes`() throws {
        var observations = Observations()
        observations.proxies[ProxyID(Self.blue)] = Self.serving
        let first = plan(Self.world, observations, nowSeconds: 100)
        observations.conditions = first.statuses.mapValues(\.conditions)
        let second = plan(Self.world, observations, nowSeconds: 200)
        #expect(second.statuses == first.statuses)
        observations.proxies[ProxyID(Self.blue)]?.xds.isConnected = false
        let third = plan(Self.world, observations, nowSeconds: 300)
        let changed = try #require(third.statuses[Self.workload]?.conditions.first)
        #expect(changed.lastTransitionTimeSeconds == 300)
        let node = (third.statuses[Self.node], first.statuses[Self.node])
        #expect(node.0?.conditions.first == node.1?.conditions.first)
    }
}
