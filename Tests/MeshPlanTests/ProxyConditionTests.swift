import MeshModel
import MeshTesting
import Testing

@testable import MeshPlan

/// What nodes, gateways and Workloads show of their proxies.
@Suite struct ProxyConditionTests {
    static let node = ObjectID(.virtualNode, ObjectReference(namespace: "demo", name: "blue"))

    /// A node with `count` Workloads, which ask for `resources`.
    static func world(_ count: Int, resources: String = "{}") -> World {
        let workloads = (0..<count).map { index in
            """
            ---
            apiVersion: heddle.dev/v1alpha1
            kind: Workload
            metadata: {namespace: demo, name: blue-\(index), labels: {app: blue}}
            spec: {sidecar: {resources: \(resources)}}
            """
        }
        return World(
            demo: """
                apiVersion: appmesh.k8s.aws/v1beta2
                kind: VirtualNode
                metadata: {namespace: demo, name: blue, generation: 7}
                spec:
                  podSelector: {matchLabels: {app: blue}}
                  listeners: [{portMapping: {port: 8080, protocol: http}}]
                  serviceDiscovery: {dns: {hostname: blue.demo}}
                \(workloads.joined(separator: "\n"))
                """
        )
    }

    static func proxy(_ index: Int) -> ProxyID {
        ProxyID(ObjectReference(namespace: "demo", name: "blue-\(index)"))
    }

    static let serving = ProxyObservation(
        process: ProcessObservation(phase: .running, pid: 7),
        xds: XDSObservation(
            isConnected: true,
            sync: Dictionary(uniqueKeysWithValues: ResourceType.allCases.map { ($0, .synced) })
        )
    )

    static func observations(
        _ count: Int,
        _ change: (inout [ProxyID: ProxyObservation]) -> Void = { _ in }
    ) -> Observations {
        var observations = Observations()
        for index in 0..<count { observations.proxies[proxy(index)] = serving }
        change(&observations.proxies)
        return observations
    }

    private func condition(
        _ type: String,
        of id: ObjectID = node,
        _ world: World = world(3),
        _ change: (inout [ProxyID: ProxyObservation]) -> Void = { _ in }
    ) throws -> Condition {
        let plan = plan(world, Self.observations(3, change), nowSeconds: 0)
        let status = try #require(plan.statuses[id])
        return try #require(status.conditions.first { $0.type == type })
    }

    private func expect(
        _ condition: Condition,
        _ status: Condition.Status,
        _ reason: String,
        _ message: String,
        _ location: Testing.SourceLocation = #_sourceLocation
    ) {
        #expect(condition.status == status, sourceLocation: location)
        #expect(condition.reason == reason, sourceLocation: location)
        #expect(condition.message == message, sourceLocation: location)
    }

    // MARK: ConfigAccepted

    @Test func `what all proxies acknowledged is accepted`() throws {
        expect(
            try condition("ConfigAccepted"),
            .true,
            "Accepted",
            "All 3 proxies took all that they were sent."
        )
        expect(
            try condition("ConfigAccepted") { $0[Self.proxy(1)]?.xds.isConnected = false },
            .true,
            "Accepted",
            "The 2 connected of 3 proxies took all that they were sent."
        )
    }

    @Test func `what a proxy has not answered is not known to be accepted`() throws {
        expect(
            try condition("ConfigAccepted") {
                $0[Self.proxy(1)]?.xds.sync[.routes] = .pending
                $0[Self.proxy(2)]?.xds.sync[.listeners] = .notSent
            },
            .unknown,
            "Pending",
            "Proxy demo/blue-1 (and 1 more) has not answered yet: routes."
        )
    }

    @Test func `a refusal stands before what is pending, in Envoy's words`() throws {
        let refusal = Refusal(
            type: .listeners,
            resource: "ingress",
            version: "2",
            keptVersion: "1",
            message: "invalid regex",
            objects: []
        )
        expect(
            try condition("ConfigAccepted") {
                $0[Self.proxy(0)]?.xds.sync[.routes] = .pending
                $0[Self.proxy(1)]?.xds.refusals = [refusal]
                $0[Self.proxy(2)]?.xds.refusals = [refusal]
            },
            .false,
            "RefusedByProxy",
            "Proxy demo/blue-1, and 1 more refused listeners ingress 2: invalid regex; it keeps 1."
        )
    }

    @Test func `without a connected proxy nothing is known`() throws {
        expect(
            try condition("ConfigAccepted") { $0 = [:] },
            .unknown,
            "Disconnected",
            "None of its 3 proxies is connected."
        )
    }

    // MARK: ProxiesReady

    @Test func `a node is ready when all of its proxies are`() throws {
        expect(try condition("ProxiesReady"), .true, "Ready", "All 3 proxies are ready.")
    }

    @Test func `the worst of its proxies names the reason`() throws {
        expect(
            try condition("ProxiesReady") {
                $0[Self.proxy(0)]?.process?.phase = .starting
                $0[Self.proxy(2)]?.process = ProcessObservation(
                    phase: .backingOff,
                    lastError: "killed by signal 9",
                    failures: 5
                )
            },
            .false,
            "CrashLoopBackOff",
            "1 of 3 proxies are ready; Workload demo/blue-2: its proxy ended or did not start 5 "
                + "times in a row, at last: killed by signal 9; mend what \"heddle logs blue-2 -n demo "
                + "--proxy\" shows."
        )
    }

    @Test(arguments: [("VirtualNode", Condition.Status.true), ("VirtualGateway", .false)])
    func `a node without instances here is no fault, and a gateway is one`(
        kind: String,
        expected: Condition.Status
    ) throws {
        let world = World(
            demo: """
                apiVersion: appmesh.k8s.aws/v1beta2
                kind: \(kind)
                metadata: {namespace: demo, name: blue}
                spec:
                  listeners: [{portMapping: {port: 8080, protocol: http}}]
                  \(kind == "VirtualNode" ? "serviceDiscovery: {dns: {hostname: blue.demo}}" : "")
                """
        )
        let kind = try #require(Kind(rawValue: kind))
        for type in ["ConfigAccepted", "ProxiesReady"] {
            let condition = try condition(type, of: ObjectID(kind, Self.node.reference), world)
            #expect(condition.status == expected)
            #expect(condition.reason == "NoWorkload")
        }
    }

    // MARK: Workloads

    @Test(arguments: [(4, "ProxyBackingOff"), (5, "CrashLoopBackOff")])
    func `five failures in a row are a crash loop`(failures: Int, reason: String) throws {
        let id = ObjectID(.workload, Self.proxy(0).workload)
        let condition = try condition("WorkloadReady", of: id) {
            $0[Self.proxy(0)]?.process = ProcessObservation(phase: .backingOff, failures: failures)
        }
        #expect(condition.reason == reason)
    }

    @Test func `an application in a crash loop says where to look`() throws {
        let id = ObjectID(.workload, Self.proxy(0).workload)
        let condition = try condition("WorkloadReady", of: id) {
            $0[Self.proxy(0)]?.application = ProcessObservation(phase: .starting, failures: 9)
        }
        expect(
            condition,
            .false,
            "CrashLoopBackOff",
            "Its application ended or did not start 9 times in a row; mend what \"heddle logs blue-0 "
                + "-n demo --application\" shows."
        )
    }

    @Test func `limits that the kernel does not enforce are noted where they are asked for`() throws
    {
        let id = ObjectID(.workload, Self.proxy(0).workload)
        let limited = Self.world(3, resources: "{limits: {memory: 64Mi}}")
        func enforcement(_ world: World, _ enforcement: LimitEnforcement) -> Condition? {
            let observations = Self.observations(3) { $0[Self.proxy(0)]?.enforcement = enforcement }
            return plan(world, observations, nowSeconds: 0).statuses[id]?.conditions
                .first { $0.type == "LimitsEnforced" }
        }
        let reason = LimitEnforcement.proxyOnly(reason: "no permission to write x")
        #expect(enforcement(Self.world(3), reason) == nil)
        #expect(enforcement(limited, .controlGroup)?.status == .true)
        expect(
            try #require(enforcement(limited, reason)),
            .false,
            "ProxyOnly",
            "Its proxy keeps to its limits by itself, and the kernel does not enforce them: no "
                + "permission to write x; run heddle as root, or let its user write a control group of "
                + "its own."
        )
    }

    @Test func `a proxy that is out of date says how to replace it`() throws {
        let id = ObjectID(.workload, Self.proxy(0).workload)
        let condition = try condition("UpToDate", of: id) {
            $0[Self.proxy(0)]?.process?.isOutdated = true
            $0[Self.proxy(0)]?.process?.version = "1.39.0"
        }
        expect(
            condition,
            .false,
            "Outdated",
            "Its proxy runs Envoy 1.39.0 and would start differently now; run \"heddle proxies "
                + "upgrade demo/blue-0\" to replace it without losing a request."
        )
    }

    // MARK: Sidecars

    private static let usage = UsageSummary(
        cpuMillicores: UsageSummary.Spread(
            median: 12.2,
            percentile90: 29,
            percentile95: 30.1,
            maximum: 1000
        ),
        memoryBytes: UsageSummary.Spread(
            median: 26.4 * 1_048_576,
            percentile90: 27 * 1_048_576,
            percentile95: 27 * 1_048_576,
            maximum: 31 * 1_048_576
        )
    )

    @Test func `a node lists its proxies`() throws {
        let observations = Self.observations(2) {
            $0[Self.proxy(0)]?.process?.version = "1.40.0"
            $0[Self.proxy(0)]?.process?.restarts = 3
            $0[Self.proxy(0)]?.process?.upgrades = 1
            $0[Self.proxy(0)]?.xds.acknowledgedVersion = "3fa9c1"
            $0[Self.proxy(0)]?.usage = Self.usage
            $0[Self.proxy(1)]?.xds.isConnected = false
        }
        let fields = try #require(
            plan(Self.world(2), observations, nowSeconds: 0).statuses[Self.node]?.fields
        )
        #expect(fields["sidecarCount"] == 2)
        #expect(fields["readySidecarCount"] == 1)
        let requested: JSONValue = ["requests": ["cpu": "250m", "memory": "256Mi"]]
        let sidecars = try #require(fields["sidecars"]?.array)
        var first = try #require(sidecars.first)
        // Whatever is recommended is another test's.
        for key in ["recommended", "verdict"] { first["resources"]?[key] = nil }
        #expect(
            first == [
                "name": "blue-0", "state": "Running", "address": "127.66.0.1", "restarts": 3,
                "upgrades": 1, "version": "3fa9c1", "envoyVersion": "1.40.0",
                "resources": [
                    "requested": requested,
                    "observed": [
                        "cpu": ["p50": "13m", "p95": "31m", "max": "1"],
                        "memory": ["p50": "27Mi", "p95": "27Mi", "max": "31Mi"],
                    ],
                ],
            ]
        )
        #expect(sidecars.last?["state"] == "Disconnected")
        #expect(sidecars.last?["resources"] == nil)
    }

    @Test func `a recommendation is shown with its history, and no forecast`() {
        var sizing = SizingRecommendation(
            requested: SidecarResources(),
            recommended: SidecarResources(cpuRequestMillicores: 31, memoryRequestBytes: 27 << 20),
            verdict: .oversized,
            isForecast: false,
            reasons: ["It was idle."]
        )
        let shown = resourcesDocument(
            SidecarResources(),
            sizing,
            Self.usage,
            includesReasons: true
        )
        #expect(shown["recommended"] == ["requests": ["cpu": "31m", "memory": "27Mi"]])
        #expect(shown["verdict"] == "Oversized")
        #expect(shown["reasons"] == ["It was idle."])
        sizing.isForecast = true
        #expect(resourcesDocument(SidecarResources(), sizing, Self.usage)["verdict"] == nil)
        #expect(resourcesDocument(SidecarResources(), sizing, nil)["observed"] == nil)
    }

    @Test func `of many proxies a hundred are listed, those that are not ready among them`() throws
    {
        let observations = Self.observations(103) {
            $0[Self.proxy(99)]?.xds.isConnected = false
        }
        let plan = plan(Self.world(103), observations, nowSeconds: 0)
        let fields = try #require(plan.statuses[Self.node]?.fields)
        let names = (fields["sidecars"]?.array ?? []).compactMap { $0["name"]?.string }
        #expect(names.count == 100)
        #expect(names == names.sorted())
        #expect(names.contains("blue-99"))
        #expect(fields["sidecarCount"] == 103)
        #expect(fields["readySidecarCount"] == 102)
    }

    @Test(arguments: [
        (0, "0"), (256 << 20, "256Mi"), (1 << 30, "1Gi"), (1536, "1536"), (1536 << 10, "1536Ki"),
        (1000, "1000"),
    ])
    func `memory is written without loss`(bytes: Int, text: String) {
        #expect(memoryQuantity(bytes: bytes) == text)
    }
}
