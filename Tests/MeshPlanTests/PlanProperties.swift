import MeshModel
import MeshPlan
import MeshTesting
import Testing

/// What holds for every world.
@Suite struct PlanProperties {
    @Test(arguments: seeds(30))
    func `the order of objects never changes a plan`(_ seed: UInt64) {
        var random = RandomWorld(seed: seed)
        let objects = random.objects()
        let first = plan(World(objects: objects), nowSeconds: 7)
        let shuffled = objects.shuffled(using: &random.generator)
        expectEqual(first, plan(World(objects: shuffled), nowSeconds: 7))
    }

    @Test(arguments: seeds(60))
    func `every reference in a snapshot resolves`(_ seed: UInt64) throws {
        var random = RandomWorld(seed: seed)
        for proxy in plan(random.world(), nowSeconds: 0).proxies.values {
            try expectComplete(proxy.snapshot, of: proxy.id)
        }
    }

    @Test(arguments: seeds(30))
    func `a resource changes only when an object that it is made from does`(_ seed: UInt64) {
        var random = RandomWorld(seed: seed)
        var world = random.world()
        var observations = Observations()
        var last = plan(world, nowSeconds: 0)
        for _ in 0..<10 {
            observations.addresses = last.addresses
            let kinds: [Kind] = [
                .mesh, .virtualNode, .virtualService, .virtualRouter, .virtualGateway,
                .gatewayRoute,
                .trafficPolicy, .workload,
            ]
            let old = random.generator.pick(world.objects.filter { kinds.contains($0.id.kind) })
            var new = random.edited(old)
            // Which workloads a node has is another matter.
            new.metadata.labels = old.metadata.labels
            if case .virtualNode(let old) = old, case .virtualNode(var node) = new {
                node.spec.podSelector = old.spec.podSelector
                new = .virtualNode(node)
            }
            if case .virtualGateway(let old) = old, case .virtualGateway(var gateway) = new {
                gateway.spec.podSelector = old.spec.podSelector
                new = .virtualGateway(gateway)
            }
            // Who is called what is told among all.
            if old.claims != new.claims { continue }
            world.insert(new)
            let next = plan(world, observations, nowSeconds: 0)
            for (id, proxy) in next.proxies {
                // A Workload whose ports are taken has no proxy until it is mended.
                guard let before = last.proxies[id]?.snapshot else { continue }
                for type in ResourceType.allCases {
                    for (name, resource) in proxy.snapshot[type] {
                        guard let kept = before[type][name], kept != resource else { continue }
                        let origins = Set(kept.origins.keys).union(resource.origins.keys)
                        #expect(origins.contains(new.id), "\(id): \(type) \(name)")
                    }
                }
            }
            last = next
        }
    }

    @Test(arguments: seeds(30))
    func `a broken object changes no unrelated proxy`(_ seed: UInt64) throws {
        var random = RandomWorld(seed: seed)
        var world = random.world()
        let before = plan(world, nowSeconds: 0)
        var observations = Observations()
        observations.addresses = before.addresses
        let broken = random.generator.pick(Array(world.virtualServices.values))
        let nowhere = ObjectReference(namespace: "gone", name: "gone")
        var spec = broken.spec
        spec.provider = .virtualRouter(.object(nowhere))
        var metadata = broken.metadata
        metadata.generation += 1
        world.insert(.virtualService(VirtualService(metadata: metadata, spec: spec)))
        let after = plan(world, observations, nowSeconds: 0)
        #expect(Set(after.proxies.keys) == Set(before.proxies.keys))
        for (id, proxy) in before.proxies {
            let origins = ResourceType.allCases.flatMap { type in
                proxy.snapshot[type].values.flatMap(\.origins.keys)
            }
            // A gateway for connections that lead nowhere has nothing that says what it is made from.
            if !origins.isEmpty, !origins.contains(broken.id) {
                #expect(after.proxies[id]?.snapshot == proxy.snapshot, "\(id)")
            }
        }
    }

    @Test(arguments: seeds(12))
    func `a planner with a memory plans as one without`(_ seed: UInt64) throws {
        var random = RandomWorld(seed: seed)
        var world = random.world()
        var observations = Observations()
        var planner = Planner()
        for step in 0..<12 {
            let remembered = planner.plan(world, observations, nowSeconds: step)
            expectEqual(remembered, plan(world, observations, nowSeconds: step))
            observations.addresses = remembered.addresses
            observations.conditions = remembered.statuses.mapValues(\.conditions)
            for id in remembered.proxies.keys where random.generator.chance(30) {
                let phase = random.generator.pick(ProcessObservation.Phase.allCases)
                observations.proxies[id] = .init(process: ProcessObservation(phase: phase))
            }
            let objects = world.objects.filter { $0.id.kind != .namespace }
            let object = random.generator.pick(objects)
            if random.generator.chance(70) {
                world.insert(random.edited(object))
            } else {
                world[object.id] = nil
            }
        }
    }

    @Test(arguments: seeds(20))
    func `unchanged inputs hand back the same resources`(_ seed: UInt64) throws {
        var random = RandomWorld(seed: seed)
        let world = random.world()
        var planner = Planner()
        let first = planner.plan(world, Observations(), nowSeconds: 0)
        var observations = Observations()
        observations.addresses = first.addresses
        let second = planner.plan(world, observations, nowSeconds: 1)
        #expect(first.proxies.count == second.proxies.count)
        for (id, proxy) in first.proxies {
            let again = try #require(second.proxies[id]).snapshot
            for type in ResourceType.allCases {
                for (name, resource) in proxy.snapshot[type] {
                    #expect(again[type][name] === resource, "\(id): \(type) \(name)")
                }
            }
        }
    }

    @Test(arguments: seeds(20))
    func `versions are equal when and only when bytes are`(_ seed: UInt64) {
        var random = RandomWorld(seed: seed)
        var payloads: [String: [UInt8]] = [:]
        var versions: [[UInt8]: String] = [:]
        for proxy in plan(random.world(), nowSeconds: 0).proxies.values {
            for resource in ResourceType.allCases.flatMap({ proxy.snapshot[$0].values }) {
                let payload = payloads[resource.version, default: resource.payload]
                #expect(payload == resource.payload)
                #expect(versions[resource.payload, default: resource.version] == resource.version)
                payloads[resource.version] = resource.payload
                versions[resource.payload] = resource.version
            }
        }
    }

    @Test(arguments: seeds(20))
    func `statuses are of all objects and diagnostics are said once`(_ seed: UInt64) {
        var random = RandomWorld(seed: seed)
        let world = random.world()
        let plan = plan(world, nowSeconds: 0)
        #expect(Set(plan.statuses.keys) == Set(world.objects.map(\.id)))
        #expect(Set(plan.diagnostics).count == plan.diagnostics.count)
        let invalid = plan.statuses.filter { $0.value.conditions.first?.reason == "Invalid" }
        let mistaken = plan.diagnostics.filter { $0.severity == .error }.compactMap(\.object)
        #expect(
            Set(invalid.keys) == Set(mistaken.filter { $0.kind.conditionType != nil })
        )
    }
}

extension MeshObject {
    /// The names of identities and trust domains that the object asks for.
    fileprivate var claims: [String?] {
        switch self {
        case .mesh(let mesh): [mesh.spec.trustDomain]
        case .virtualNode(let node):
            names(
                node.spec.listeners,
                [node.spec.backendDefaults] + node.spec.backends.map(\.clientPolicy)
            )
        case .virtualGateway(let gateway):
            names(gateway.spec.listeners, [gateway.spec.backendDefaults])
        case .certificateMapping(let mapping): [mapping.spec.arn]
        case .namespace, .virtualService, .virtualRouter, .gatewayRoute, .backendGroup,
            .trafficPolicy, .workload:
            []
        }
    }

    private func names(_ listeners: [ListenerSpec], _ policies: [ClientTLS?]) -> [String?] {
        (listeners.map(\.tls?.certificate) + policies.map(\.?.certificate)).map { certificate in
            if case .sds(let name) = certificate { name } else { nil }
        }
        .sorted { ($0 ?? "") < ($1 ?? "") }
    }
}
