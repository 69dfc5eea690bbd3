import MeshModel
import MeshTesting
import Testing

@testable import MeshPlan

/// What is told of the change from one state to the next.
@Suite struct EventTests {
    private static let id = ProxyConditionTests.proxy(0)
    private static let workload = ObjectID(.workload, id.workload)
    private static let world = ProxyConditionTests.world(1)
    private static let started = 1000

    private static func state(
        _ world: World = world,
        _ change: (inout ProxyObservation) -> Void = { _ in }
    ) -> PlannedState {
        var observation = ProxyConditionTests.serving
        observation.process?.startTimeSeconds = started
        change(&observation)
        var observations = Observations()
        observations.proxies[id] = observation
        return (plan(world, observations, nowSeconds: started), observations)
    }

    private static let unobserved: PlannedState = (plan(world, nowSeconds: 0), Observations())

    private func reasons(
        _ before: PlannedState,
        _ after: PlannedState,
        now: Int = started + 1
    ) -> [String] {
        events(from: before, to: after, nowSeconds: now).map {
            "\($0.reason) \($0.object.kind.rawValue)"
        }
    }

    private func message(_ before: PlannedState, _ after: PlannedState, _ reason: String) -> String?
    {
        events(from: before, to: after, nowSeconds: Self.started + 1)
            .first { $0.reason == reason }?.message
    }

    // MARK: Nothing

    @Test func `nothing is told of what did not change`() {
        #expect(reasons(Self.state(), Self.state()) == [])
    }

    @Test func `nothing is told of what was so before the daemon`() {
        let empty: PlannedState = (Plan(), Observations())
        let broken = World(
            demo: """
                apiVersion: appmesh.k8s.aws/v1beta2
                kind: VirtualService
                metadata: {namespace: demo, name: colors}
                spec: {provider: {virtualNode: {virtualNodeRef: {name: gone}}}}
                """
        )
        #expect(reasons(empty, (plan(broken, nowSeconds: 0), Observations())) == [])
        // The next daemon has the proxies of the last plan, and finds them running.
        var restored = Plan()
        restored.proxies = Self.unobserved.plan.proxies
        let later = Self.started + 3600
        #expect(reasons((restored, Observations()), Self.unobserved, now: later) == [])
        let ailing = Self.state { observation in
            observation.process?.restarts = 7
            observation.xds.health = [:]
        }
        #expect(reasons(Self.unobserved, ailing, now: later) == [])
    }

    // MARK: Processes

    @Test func `a proxy starts and answers`() {
        let starting = Self.state { $0.process?.phase = .starting }
        #expect(reasons(Self.unobserved, starting) == ["ProxyStarted Workload"])
        #expect(reasons(starting, Self.state()) == ["ProxyReady Workload"])
        #expect(
            reasons(Self.unobserved, Self.state()) == [
                "ProxyStarted Workload", "ProxyReady Workload",
            ]
        )
    }

    @Test func `a restart says why, and several are one event`() {
        let once = Self.state {
            $0.process?.restarts = 1
            $0.process?.pid = 8
            $0.process?.lastError = "killed by signal 9"
        }
        #expect(
            reasons(Self.state(), once) == ["ProxyRestarted Workload", "ProxyReady Workload"]
        )
        #expect(
            message(Self.state(), once, "ProxyRestarted")
                == "Its proxy was started again: killed by signal 9."
        )
        let thrice = Self.state {
            $0.process?.restarts = 3
            $0.process?.lastError = "did not answer"
        }
        #expect(
            message(Self.state(), thrice, "ProxyRestarted")
                == "Its proxy was started again 3 times; at last: did not answer."
        )
    }

    @Test func `a proxy that ended while no daemon looked was started again`() {
        let revived = Self.state {
            $0.process?.restarts = 1
            $0.process?.lastError = "it ended while no heddle ran"
        }
        #expect(
            reasons(Self.unobserved, revived) == [
                "ProxyRestarted Workload", "ProxyReady Workload",
            ]
        )
    }

    @Test func `an application is told of like a proxy`() {
        let running = Self.state { $0.application = ProcessObservation(phase: .running, pid: 9) }
        let loop = Self.state {
            $0.application = ProcessObservation(
                phase: .backingOff,
                restarts: 4,
                lastError: "exited with code 1",
                failures: 5
            )
        }
        #expect(
            reasons(Self.state(), running) == [
                "ApplicationStarted Workload", "ApplicationReady Workload",
            ]
        )
        #expect(
            reasons(running, loop) == [
                "ApplicationRestarted Workload", "CrashLoopBackOff Workload",
            ]
        )
        #expect(reasons(loop, loop) == [])
    }

    @Test func `an upgrade is no restart`() {
        let before = Self.state { $0.process?.version = "1.39.0" }
        let after = Self.state {
            $0.process?.version = "1.40.0"
            $0.process?.pid = 8
            $0.process?.upgrades = 1
        }
        #expect(reasons(before, after) == ["ProxyUpgraded Workload"])
        #expect(
            message(before, after, "ProxyUpgraded")
                == "Its proxy was replaced without a pause: Envoy 1.39.0 by 1.40.0."
        )
    }

    @Test func `a proxy that is no longer wanted is told of`() {
        let gone: PlannedState = (plan(World(), nowSeconds: 0), Self.state().observations)
        #expect(reasons(Self.state(), gone) == ["ProxyRemoved Workload"])
    }

    // MARK: Conditions

    private static let refusing = state {
        $0.xds.refusals = [
            Refusal(
                type: .listeners,
                resource: "ingress",
                version: "2",
                message: "invalid regex",
                objects: [ProxyConditionTests.node]
            )
        ]
    }

    @Test func `a file that a proxy lacks is told of with what to do`() throws {
        let refusing = Self.state {
            $0.xds.refusals = [
                Refusal(
                    type: .secrets,
                    resource: "file:/certs/ca.pem",
                    version: "2",
                    message: "Invalid path: /certs/ca.pem",
                    objects: [ProxyConditionTests.node]
                )
            ]
        }
        for reason in ["RefusedByProxy", "ConfigurationRefused"] {
            let told = try #require(self.message(Self.state(), refusing, reason))
            #expect(
                told.hasSuffix(
                    ". Put the file where this Envoy runs, in a Pod by the annotation "
                        + "appmesh.k8s.aws/secretMounts, or correct the path."
                )
            )
        }
    }

    @Test func `a refusal is told of at the proxy and at its node, and when it is over`() {
        #expect(
            reasons(Self.state(), Self.refusing) == [
                "RefusedByProxy VirtualNode", "ConfigurationRefused Workload",
            ]
        )
        #expect(
            message(Self.state(), Self.refusing, "RefusedByProxy")
                == "Proxy demo/blue-0 refused listeners ingress 2: invalid regex; it has none before it."
        )
        #expect(
            reasons(Self.refusing, Self.state()) == [
                "ConfigAccepted VirtualNode", "Ready Workload",
            ]
        )
        // What is sent next is not answered yet.
        let pending = Self.state { $0.xds.sync[.listeners] = .pending }
        #expect(
            message(Self.refusing, pending, "ConfigAccepted")
                == "Its proxies refuse nothing any more."
        )
    }

    @Test func `an object that goes out of effect is told of, and when it is back`() throws {
        func service(_ name: String) throws -> PlannedState {
            var world = Self.world
            let more = World(
                demo: """
                    apiVersion: appmesh.k8s.aws/v1beta2
                    kind: VirtualService
                    metadata: {namespace: demo, name: colors}
                    spec: {provider: {virtualNode: {virtualNodeRef: {name: \(name)}}}}
                    """
            )
            for object in more.objects where object.id.kind == .virtualService {
                world.insert(object)
            }
            return (plan(world, nowSeconds: 0), Observations())
        }
        let (good, bad) = (try service("blue"), try service("gone"))
        #expect(reasons(good, bad) == ["Invalid VirtualService"])
        #expect(reasons(bad, good) == ["Active VirtualService"])
        let event = try #require(events(from: good, to: bad, nowSeconds: 5).first)
        #expect(event.severity == .warning)
        #expect(event.timeSeconds == 5)
        #expect(event.message.contains("no VirtualNode \"demo/gone\""))
    }

    @Test func `limits that are not enforced are told of`() {
        let world = ProxyConditionTests.world(1, resources: "{limits: {memory: 64Mi}}")
        let after = Self.state(world) { $0.enforcement = .proxyOnly(reason: "no permission") }
        #expect(reasons(Self.state(world), after) == ["LimitsNotEnforced Workload"])
        #expect(
            reasons(after, Self.state(world) { $0.enforcement = .controlGroup }) == [
                "LimitsEnforced Workload"
            ]
        )
    }

    // MARK: Resources

    @Test func `the first kill for memory is told of before anything was measured`() {
        let world = ProxyConditionTests.world(1, resources: "{limits: {memory: 32Mi}}")
        func kills(_ count: Int) -> PlannedState {
            Self.state(world) { $0.process?.outOfMemoryKills = count }
        }
        let told = message(kills(0), kills(1), "OutOfMemory")
        #expect(told?.hasPrefix("The kernel ended its proxy at the memory limit of 32Mi; ") == true)
        #expect(message(kills(1), kills(1), "OutOfMemory") == nil)
    }

    @Test func `a proxy that ran out of memory is told of`() {
        func kills(_ count: Int) -> PlannedState {
            let spread = UsageSummary.Spread(
                median: 1,
                percentile90: 1,
                percentile95: 1,
                maximum: 1
            )
            return Self.state {
                $0.process?.outOfMemoryKills = count
                $0.usage = UsageSummary(
                    cpuMillicores: spread,
                    memoryBytes: spread,
                    outOfMemoryKills: count,
                    outOfMemoryLimitBytes: 64 << 20
                )
            }
        }
        let message = message(kills(0), kills(1), "OutOfMemory")
        #expect(
            message?.hasPrefix("The kernel ended its proxy at the memory limit of 64Mi; ") == true
        )
    }

    @Test(arguments: [
        (SizingRecommendation.Verdict.fitting, false, []),
        (.undersized, true, []),
        (
            .undersized, false,
            [
                "SizeUndersized: Its proxy asks for cpu 250m and memory 256Mi, and should for cpu 500m "
                    + "and memory 1Gi; see \"heddle sizing\"."
            ]
        ),
    ])
    func `a new verdict on a size is told of`(
        verdict: SizingRecommendation.Verdict,
        isForecast: Bool,
        expected: [String]
    ) {
        func sized(_ verdict: SizingRecommendation.Verdict, _ isForecast: Bool) -> PlannedState {
            var state = Self.state()
            state.plan.sizing[Self.id] = SizingRecommendation(
                requested: SidecarResources(),
                recommended: SidecarResources(
                    cpuRequestMillicores: 500,
                    memoryRequestBytes: 1 << 30
                ),
                verdict: verdict,
                isForecast: isForecast,
                reasons: []
            )
            return state
        }
        let told = events(
            from: sized(.fitting, false),
            to: sized(verdict, isForecast),
            nowSeconds: Self.started
        )
        #expect(told.map { "\($0.reason): \($0.message)" } == expected)
    }
}
