public import MeshModel

/// Settings of a plan that come from no object.
public struct PlanOptions: Hashable, Sendable {
    /// Where proxies take their addresses from.
    public var addressRanges: AddressRanges
    /// Whether a proxy of which nothing was observed counts as serving: so it is where nothing
    /// runs, as in `heddle render`.
    public var assumesServing: Bool
    /// Whether Pods of a cluster are what runs: what is said of Workloads is said of Pods then.
    public var isInCluster: Bool
    /// The lowest port that proxies may listen on, as only root may have those below 1024; nil is any.
    public var lowestPort: Port?
    /// Whether proxies connect to an application of TCP only once it is known who calls, as Envoy can
    /// from 1.37 on.
    public var connectsAfterHandshake: Bool
    /// For how long a certificate that Heddle issues holds.
    public var certificateLifetime: Duration
    /// Whether proxies can ask an SDS server beside Heddle.
    public var hasExternalSecrets: Bool
    /// Whether proxies can check gRPC for all callers, as Envoy does from 1.36 on.
    public var probesGRPC: Bool
    /// Where proxies send X-Ray's segments unless their mesh says another place: an IP address.
    public var xRayEndpoint: TelemetryEndpoint
    /// Where they send OTLP.
    public var openTelemetryEndpoint: TelemetryEndpoint

    /// Makes options; without arguments the defaults.
    public init(
        addressRanges: AddressRanges = .loopback,
        assumesServing: Bool = true,
        isInCluster: Bool = false,
        lowestPort: Port? = nil,
        probesGRPC: Bool = true,
        connectsAfterHandshake: Bool = true,
        certificateLifetime: Duration = .seconds(3600),
        hasExternalSecrets: Bool = false,
        xRayEndpoint: TelemetryEndpoint = .xRay,
        openTelemetryEndpoint: TelemetryEndpoint = .openTelemetry
    ) {
        self.addressRanges = addressRanges
        self.assumesServing = assumesServing
        self.isInCluster = isInCluster
        self.lowestPort = lowestPort
        self.probesGRPC = probesGRPC
        self.connectsAfterHandshake = connectsAfterHandshake
        self.certificateLifetime = certificateLifetime
        self.hasExternalSecrets = hasExternalSecrets
        self.xRayEndpoint = xRayEndpoint
        self.openTelemetryEndpoint = openTelemetryEndpoint
    }

    /// What an instance of an application is called here.
    var instanceNoun: String { isInCluster ? "Pod" : "Workload" }

    /// Whether proxies may listen on `port`.
    func allows(_ port: Port) -> Bool { lowestPort.map { port >= $0 } ?? true }

    /// Who checks the health of `listener`: callers also what its own proxy can't.
    ///
    /// In a cluster they do always: what a proxy finds out it tells the replica that it is connected to, and
    /// callers that are connected to another would not hear of it.
    func healthChecks(of listener: ListenerSpec, in mesh: Mesh) -> HealthCheckMode {
        let canProbe = probesGRPC || listener.healthCheck?.protocol != .grpc
        return canProbe && !isInCluster ? mesh.spec.healthChecks : .callers
    }
}

/// What to do for `world`: the function that is the program.
///
/// Guarantee: equal inputs give equal plans, whatever the order of objects; it reads no clock, disk
/// or network. A wrong object affects only itself and the parts of others that refer to it.
///
/// - Parameters:
///   - world: All objects.
///   - observations: What proxies answered so far, addresses given, and the last conditions.
///   - previous: The last plan. What it chose stays chosen while it fits, and a proxy whose Workload
///     is there and can't be planned any more stays as it was.
///   - nowSeconds: The time in seconds since 1970, for conditions that change.
///   - options: Settings that come from no object.
/// - Returns: Proxies, statuses and problems.
public func plan(
    _ world: World,
    _ observations: Observations = Observations(),
    after previous: Plan = Plan(),
    nowSeconds: Int,
    options: PlanOptions = PlanOptions()
) -> Plan {
    var planner = Planner(options: options)
    return planner.plan(world, observations, after: previous, nowSeconds: nowSeconds)
}

/// `plan` with a memory: what the last plan made from the same inputs is not made again.
///
/// Guarantee: each plan equals the one that `plan` makes of the same arguments.
public struct Planner: Sendable {
    let options: PlanOptions
    var resources = Memo<ResourceKey, EncodedResource>()
    /// Endpoints of the plan in the making, which many callers share.
    var endpoints: [NodePort: EncodedResource] = [:]
    /// The proxies of which it is not known that they take the TLS of their mesh.
    var awaitingTLS: Set<ProxyID> = []
    private var sizing = SizingMemo()
    private var last: (resolution: Resolution, plan: Plan, reachability: [ProxyID: Reachability])?

    /// Makes a planner that remembers nothing.
    public init(options: PlanOptions = PlanOptions()) {
        self.options = options
    }

    /// What to do for `world`; see the function of that name.
    public mutating func plan(
        _ world: World,
        _ observations: Observations,
        after previous: Plan = Plan(),
        nowSeconds: Int
    ) -> Plan {
        resources.turn()
        endpoints = [:]
        awaitingTLS = previous.awaitingTLS(observations, nowSeconds: nowSeconds)
        let taken = previous.takenSeconds(observations, nowSeconds: nowSeconds)
        let isOver = previous.isOver(taken, observations, nowSeconds: nowSeconds)
        var resolution = Resolution(of: world, after: previous.designations, options)
        resolution.checkBackendGroups()
        resolution.designateGateways()
        resolution.checkProtocolsOfPolicies()
        resolution.checkTracing()
        var plan = Plan()
        plan.addresses = assignAddresses(
            to: resolution.owners.keys.filter { world.workloads[$0]?.spec.pod == nil }
                .map(ProxyID.init),
            keeping: observations.addresses,
            from: options.addressRanges
        )
        resolution.checkApplicationPorts()
        resolution.keepTLS(after: previous, isOver: isOver)
        resolution.resolveCalls()
        (plan.transition.callers, plan.transition.leavingCallers) =
            resolution.keepCallers(after: previous, isOver: isOver)
        for owner in resolution.workloads.keys.sorted() {
            guard let mesh = resolution.mesh(of: owner) else { continue }
            if let node = world.virtualNodes[owner.reference], owner == node.id {
                planProxies(of: node, in: mesh, &resolution, observations, into: &plan)
            } else if let gateway = world.virtualGateways[owner.reference], owner == gateway.id {
                planProxies(
                    of: gateway,
                    in: mesh,
                    &resolution,
                    observations,
                    into: &plan
                )
            }
        }
        for reference in world.workloads.keys {
            let id = ProxyID(reference)
            if plan.proxies[id] == nil { plan.proxies[id] = previous.proxies[id] }
        }
        for id in awaitingTLS.intersection(plan.transition.offeringTLS) {
            plan.transition.awaitingTLS[id] = previous.transition.awaitingTLS[id] ?? nowSeconds
        }
        // What begins to leave with this plan has not been answered.
        let isSame =
            plan.transition.leavingCallers == previous.transition.leavingCallers
            && plan.transition.leavingTLS == previous.transition.leavingTLS
        plan.transition.takenSeconds = isSame ? taken : nil
        plan.designations = resolution.designations
        plan.meshes = resolution.membership.meshes.mapValues(\.reference)
        plan.diagnostics =
            (world.diagnostics + resolution.diagnostics + featuresWithoutEffect(in: resolution))
            .sorted()
        plan.topology = topology(of: plan, resolution, after: previous.topology)
        plan.sizing = sizing.sizing(of: plan, observations, after: previous.sizing)
        plan.statuses = statuses(of: resolution, plan, observations, nowSeconds: nowSeconds)
        last = (resolution, plan, observations.reachability)
        return plan
    }

    /// The last plan with the statuses that `observations` give; nil when they change more than
    /// that, which is when a proxy or a port of it begins or ends to serve.
    ///
    /// Guarantee: it equals the plan that `plan` would make of the last world.
    public mutating func plan(_ observations: Observations, nowSeconds: Int) -> Plan? {
        guard var last, last.reachability == observations.reachability,
            last.plan.addresses == observations.addresses,
            !last.plan.goesOn(observations, nowSeconds: nowSeconds)
        else { return nil }
        last.plan.sizing = sizing.sizing(
            of: last.plan,
            observations,
            after: last.plan.sizing,
            isSame: true
        )
        last.plan.statuses = statuses(
            of: last.resolution,
            last.plan,
            observations,
            nowSeconds: nowSeconds
        )
        self.last = last
        return last.plan
    }
}
