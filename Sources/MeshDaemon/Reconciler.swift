internal import EnvoySupervisor
internal import Logging
internal import MeshIdentity
internal import MeshModel
internal import MeshPlan
internal import ServiceLifecycle
internal import Synchronization
internal import XDSServer

/// Turns each new world or observation into a plan, and hands the plan on.
///
/// Level, not edge: what arrives while a plan is made is one next plan, however much it was.
struct Reconciler: Service {
    var worlds: AsyncStream<World>
    /// Fills in what settings say of each world.
    var complete: @Sendable (World) -> World = { $0 }
    var store: SnapshotStore
    /// Runs the proxies.
    var host: any ProxyHost
    var identities: IdentityKeeper
    var state: StateDirectory
    /// What proxies refuse that other replicas serve; nil where there are no others.
    var sharedRefusals: SharedRefusals?
    /// Knows what proxies used so far.
    var sizing: SizingKeeper
    /// Takes what happened.
    var record: @Sendable ([MeshEvent]) -> Void
    /// Knows what became of exports.
    var telemetry: DaemonTelemetry
    var options: PlanOptions
    var nowSeconds: @Sendable () -> Int
    /// Counts plans, and how long they took.
    var metrics: DaemonMetrics
    /// Shows a plan to the local API and on the terminal, with the line that ends a rollout.
    var show: @Sendable (World, Plan, Observations, _ rolledOut: String?) -> Void
    /// Tells that the end has begun.
    var stopping: @Sendable () -> Void
    var logger: Logger

    func run() async throws {
        let earlier = try host.restore()
        let inputs = InputBoard(earlier.adopted)
        let (changes, changed) = AsyncStream.makeStream(
            of: Void.self,
            bufferingPolicy: .bufferingNewest(1)
        )
        await withTaskGroup { group in
            group.addTask {
                for await arrived in worlds.cancelOnGracefulShutdown() {
                    let world = complete(arrived)
                    inputs.newest.withLock {
                        $0.world = world
                        $0.worldArrival = $0.worldArrival ?? .now
                    }
                    changed.yield()
                }
            }
            group.addTask {
                for await _ in store.observations.cancelOnGracefulShutdown() { changed.yield() }
            }
            group.addTask {
                await host.observe { processes in
                    inputs.newest.withLock { $0.processes = processes }
                    changed.yield()
                }
            }
            group.addTask {
                for await observations in identities.observations.cancelOnGracefulShutdown() {
                    inputs.newest.withLock { $0.identity = observations }
                    changed.yield()
                }
            }
            group.addTask {
                for await observations in telemetry.observations.cancelOnGracefulShutdown() {
                    inputs.newest.withLock { $0.telemetry = observations }
                    changed.yield()
                }
            }
            if let sharedRefusals {
                group.addTask {
                    for await _ in sharedRefusals.changes.cancelOnGracefulShutdown() {
                        changed.yield()
                    }
                }
            }
            group.addTask { await state.watch(logger) }
            group.addTask { await watchDescriptors(logger) }
            group.addTask {
                for await _ in sizing.changes.cancelOnGracefulShutdown() { changed.yield() }
            }
            group.addTask {
                // Some things end after a time and not because something was observed.
                while (try? await Task.sleep(for: .milliseconds(200))) != nil {
                    let due = inputs.newest.withLock { $0.dueSeconds }
                    if let due, due <= nowSeconds() { changed.yield() }
                }
            }
            var cycle = Cycle(after: earlier, options)
            var reunion = Reunion(of: earlier.adopted, earlier.plan, until: .now + .seconds(3))
            for await _ in changes.cancelOnGracefulShutdown() {
                guard reunion.isOver(store.currentObservations, now: .now) else { continue }
                let newest = inputs.newest.withLock { inputs in
                    defer { inputs.worldArrival = nil }
                    return inputs
                }
                guard let world = newest.world else { continue }
                let duration = ContinuousClock().measure {
                    cycle.reconcile(world, newest, with: self)
                }
                metrics.reconciled(in: duration)
                let dueSeconds = cycle.dueSeconds
                inputs.newest.withLock { $0.dueSeconds = dueSeconds }
            }
            stopping()
            group.cancelAll()
        }
    }

    /// The newest of each input.
    private struct Inputs {
        var world: World?
        /// When the world came that no plan has seen yet.
        var worldArrival: ContinuousClock.Instant?
        var processes: [ProxyID: ProxyProcesses] = [:]
        var identity = IdentityObservations()
        var telemetry: [ObjectID: TelemetryObservation] = [:]
        /// From when on to plan though nothing changes, in seconds since 1970: something of the last plan
        /// ends after a time, or the first plan may not wait longer.
        var dueSeconds: Int? = 0
    }

    private final class InputBoard: Sendable {
        let newest: Mutex<Inputs>

        init(_ adopted: [ProxyID: ProxyProcesses]) { newest = Mutex(Inputs(processes: adopted)) }
    }

    /// What one plan leaves for the next.
    private struct Cycle {
        var planner: Planner
        var observations = Observations()
        var savedAddresses: [ProxyID: ProxyAddresses]
        var last = Plan()
        var rollout: Rollout?
        /// The last plan of which every proxy was told.
        var published = Plan()
        /// The proxies that are told first of the last plan, and until when the others wait for them.
        var first: (proxies: Set<ProxyID>, deadline: ContinuousClock.Instant)?

        /// From when on a plan shall be made though nothing changes; nil is never.
        var dueSeconds: Int? {
            first != nil || last.addresses != savedAddresses ? 0 : last.dueSeconds(observations)
        }

        init(after earlier: EarlierRun, _ options: PlanOptions) {
            planner = Planner(options: options)
            observations.addresses = earlier.addresses
            savedAddresses = earlier.addresses
            last = earlier.plan
            published = last
        }

        mutating func reconcile(_ world: World, _ inputs: Inputs, with reconciler: Reconciler) {
            let before: PlannedState = (last, observations)
            observations.proxies = [:]
            let summaries = reconciler.sizing.summaries
            // Not what was told last, as the world may have been faster.
            for (proxy, processes) in reconciler.host.current ?? inputs.processes {
                observations.proxies[proxy] = ProxyObservation(
                    process: processes.process,
                    application: processes.application,
                    usage: summaries[proxy],
                    enforcement: processes.enforcement
                )
            }
            // Not what came last: it may be from before the plan that was published since.
            let told = reconciler.store.currentObservations
            for (proxy, xds) in told {
                observations.proxies[proxy, default: ProxyObservation()].xds = xds
            }
            if let shared = reconciler.sharedRefusals {
                shared.tell(told)
                for (proxy, refusals) in shared.current where told[proxy]?.isConnected != true {
                    observations.proxies[proxy]?.xds.refusals = refusals
                }
            }
            observations.identity = inputs.identity
            observations.telemetry = inputs.telemetry
            let now = reconciler.nowSeconds()
            // Most observations change statuses only.
            let unchanged =
                inputs.worldArrival == nil ? planner.plan(observations, nowSeconds: now) : nil
            let plan =
                unchanged ?? planner.plan(world, observations, after: last, nowSeconds: now)
            if unchanged == nil {
                publish(plan, of: world, reconciler)
            } else {
                publishRest(reconciler)
            }
            reconciler.record(
                MeshPlan.events(from: before, to: (plan, observations), nowSeconds: now)
            )
            reconciler.host.look(at: plan)
            observations.addresses = plan.addresses
            observations.conditions = plan.statuses.mapValues(\.conditions)
            if let arrival = inputs.worldArrival {
                rollout = Rollout(from: last, to: plan, at: arrival) ?? rollout
            }
            let rolledOut =
                first == nil
                ? rollout?.summary(reconciler.store.currentObservations, now: .now) : nil
            if rolledOut != nil { rollout = nil }
            last = plan
            saveAddresses(plan, reconciler)
            reconciler.show(world, plan, observations, rolledOut)
        }

        /// Tells the other proxies of the last plan once those that let new callers in have answered, or
        /// after a second.
        private mutating func publishRest(_ reconciler: Reconciler) {
            guard let first else { return }
            let newest = reconciler.store.currentObservations
            let isAnswered =
                !last.areElsewhere(first.proxies, observations)
                && first.proxies.allSatisfy { id in
                    guard let xds = newest[id], xds.isConnected else { return true }
                    return xds.sync[.routes] != .pending && xds.sync[.listeners] != .pending
                }
            guard isAnswered || .now >= first.deadline else { return }
            self.first = nil
            publish(last.proxies.mapValues(\.snapshot), of: last, reconciler)
        }

        private mutating func publish(
            _ snapshots: [ProxyID: Snapshot],
            of plan: Plan,
            _ reconciler: Reconciler
        ) {
            if first == nil { published = plan }
            reconciler.store.publish(
                snapshots,
                probes: plan.proxies.mapValues(\.probes),
                secrets: plan.proxies.mapValues(\.secrets)
            )
        }

        private mutating func publish(_ plan: Plan, of world: World, _ reconciler: Reconciler) {
            reconciler.host.prepare(for: plan, of: world)
            reconciler.identities.want(Set(plan.proxies.values.flatMap(\.secrets.values)))
            let admitting = plan.admitting(after: published)
            // One plan after the other must not put the others off for ever.
            let deadline = first?.deadline ?? .now + .seconds(1)
            first = admitting.isEmpty || .now >= deadline ? nil : (admitting, deadline)
            let snapshots = plan.proxies.mapValues { proxy in
                let isHeld = first.map { !$0.proxies.contains(proxy.id) } ?? false
                return (isHeld ? published.proxies[proxy.id]?.snapshot : nil) ?? proxy.snapshot
            }
            publish(snapshots, of: plan, reconciler)
            reconciler.host.apply(plan, of: world)
        }

        private mutating func saveAddresses(_ plan: Plan, _ reconciler: Reconciler) {
            guard plan.addresses != savedAddresses else { return }
            let isSaved = reconciler.host.keep(plan.addresses)
            if isSaved { savedAddresses = plan.addresses }
        }
    }
}
