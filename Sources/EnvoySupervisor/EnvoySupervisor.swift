import Glibc
import HTTPClient
public import Logging
public import MeshModel
public import MeshPlan
public import ServiceLifecycle
import Synchronization

/// Told what a proxy's Envoy answered of `SupervisorConfiguration.statisticsFilter`, which of its
/// processes that was, and when it was asked.
public typealias StatisticsReport =
    @Sendable (ProxyID, ProxyGeneration, _ text: String, ContinuousClock.Instant) -> Void

/// Runs one Envoy for each proxy of a plan, and the applications that Heddle starts beside them.
///
/// A process that ends by itself starts again, at once and then with growing pauses, and so does an
/// Envoy that hangs. A proxy that is removed finishes its requests first, and ends after its
/// application. An Envoy whose settings change is replaced by another without a pause. Processes
/// belong to the state directory: at start those of an earlier daemon are adopted. When the service
/// shuts down gracefully, `run` returns only after every process is gone, unless
/// `keepsProxies`; when its task is cancelled they are ended at once.
public final class EnvoySupervisor: Service {
    /// The newest state of all processes, whenever it changes.
    public let observations: AsyncStream<[ProxyID: ProxyProcesses]>

    /// The same at any time.
    public var current: [ProxyID: ProxyProcesses] { newestObservations.withLock { $0 } }

    let configuration: SupervisorConfiguration
    private let newestObservations = Mutex<[ProxyID: ProxyProcesses]>([:])
    private let bootstrap: @Sendable (ProxyPlan, BootstrapParameters) -> [UInt8]
    private let authorize: @Sendable (ProxyID, String?) -> Void
    private let report: @Sendable (ProxyID, UsageReport) -> Void
    private let statistics: StatisticsReport
    private let statisticsPath: String
    private let logger: Logger
    private let observers: AsyncStream<[ProxyID: ProxyProcesses]>.Continuation
    /// Has no bound, and needs none: a process causes few events until these are handled.
    private let events: AsyncStream<FleetEvent>
    private let post: AsyncStream<FleetEvent>.Continuation
    let watcher = DescriptorWatcher()
    var stateDirectory: String { configuration.stateDirectory }
    private let client = HTTPClient()
    private let newest = Mutex<(proxies: [ProxyID: ProxyPlan], keepsUnowned: Bool)?>(nil)
    private let adoption = Mutex<Adoption?>(nil)

    /// Makes a supervisor.
    ///
    /// `bootstrap` gives a proxy's bootstrap as JSON; whenever it gives another for a proxy that
    /// runs, another Envoy takes over. `authorize` is told the token with which a
    /// proxy will prove itself, before each start; should that Envoy not take over, the token of the
    /// one that stays again. `report` is told what each proxy uses, every few seconds, and
    /// `statistics` what the same request told beside.
    public init(
        configuration: SupervisorConfiguration,
        bootstrap: @escaping @Sendable (ProxyPlan, BootstrapParameters) -> [UInt8],
        authorize: @escaping @Sendable (ProxyID, String?) -> Void,
        report: @escaping @Sendable (ProxyID, UsageReport) -> Void = { _, _ in },
        statistics: @escaping StatisticsReport = { _, _, _, _ in },
        logger: Logger
    ) {
        self.configuration = configuration
        self.statistics = statistics
        statisticsPath = EnvoyStats.path(with: configuration.statisticsFilter)
        self.report = report
        self.bootstrap = bootstrap
        self.authorize = authorize
        self.logger = logger
        (observations, observers) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        (events, post) = AsyncStream.makeStream()
    }

    deinit {
        watcher.stop()
        client.shutDown()
    }

    /// Makes these the proxies that run; those missing are drained and ended.
    ///
    /// Returns at once. Of several calls in quick succession only the last counts.
    ///
    /// - Parameters:
    ///   - proxies: The proxies.
    ///   - keepsUnowned: Whether an adopted proxy that was never among them stays, as what it belongs
    ///     to cannot be read now.
    public func apply(_ proxies: [ProxyID: ProxyPlan], keepsUnowned: Bool = false) {
        let isNews = newest.withLock { newest in
            defer { newest = (proxies, keepsUnowned) }
            return newest == nil
        }
        if isNews { post.yield(.wanted([:], keepsUnowned: true)) }
    }

    /// Finds what an earlier daemon of the same state directory left running, and authorizes it.
    ///
    /// To be called once, before `run` and the first plan, so that this plan knows who serves.
    public func adopt() -> [ProxyID: ProxyProcesses] {
        let found = Adoption(stateDirectory: configuration.stateDirectory)
        for warning in found.warnings { logger.warning("\(warning)") }
        var observations: [ProxyID: ProxyProcesses] = [:]
        for proxy in found.proxies where proxy.isAlive {
            for token in proxy.tokens { authorize(proxy.record.proxy, token) }
            observations[proxy.record.proxy] = ProxyProcesses(
                process: proxy.envoyObservation,
                application: proxy.applicationObservation,
                enforcement: proxy.enforcement
            )
        }
        adoption.withLock { $0 = found }
        return observations
    }

    /// Replaces the Envoys of these proxies, or of all that are outdated, by the binary and the options of
    /// now.
    ///
    /// One after the other, in order, each awaited until the new one serves and the old one takes no
    /// more connections. Stops at the first failure. The stream ends after the last step.
    public func upgrade(_ proxies: Set<ProxyID>?) -> AsyncStream<ProxyUpgrade> {
        // Two steps a proxy at most.
        let (stream, steps) = AsyncStream.makeStream(of: ProxyUpgrade.self)
        post.yield(.upgrade(proxies, steps))
        return stream
    }

    /// Has these values of Envoy's runtime hold in the Envoy of `proxy`, and in those that come after it.
    ///
    /// Returns at once; Envoy is told over its admin interface as soon as it serves. Values of other keys
    /// stay. Nothing is kept over the proxy's removal or the end of this process: a later one that adopts
    /// the proxy sets what shall hold then.
    ///
    /// - Parameters:
    ///   - values: By key, as `POST /runtime_modify` takes them; an empty one is what the bootstrap says.
    ///   - proxy: The proxy.
    public func setRuntime(_ values: [String: String], of proxy: ProxyID) {
        post.yield(.setRuntime(values, proxy))
    }

    /// The file with what the Envoy of a proxy writes, such as access logs to `/dev/stdout`.
    public static func envoyLogPath(of proxy: ProxyID, stateDirectory: String) -> String {
        ProxyFolder(of: proxy, stateDirectory: stateDirectory).logPath(.envoy)
    }

    /// Runs until shut down.
    public func run() async throws {
        try Files.makeFolder(ProxyFolder.parent(configuration.stateDirectory))
        defer { observers.finish() }
        if adoption.withLock({ $0 == nil }) { _ = adopt() }
        guard let adoption = adoption.withLock({ $0.take() }) else { return }
        await withTaskCancellationOrGracefulShutdownHandler {
            await Leftovers.end(adoption.leftovers, logger: logger)
            await withDiscardingTaskGroup { group in
                group.addTask { [post] in
                    while (try? await Task.sleep(for: .seconds(5))) != nil {
                        post.yield(.rotateLogs)
                    }
                }
                await handleEvents(adoption) { task in
                    group.addTask { [self] in await perform(task) }
                }
                group.cancelAll()
            }
        } onCancelOrGracefulShutdown: { [post] in
            post.yield(.shutDown)
        }
    }

    private func handleEvents(_ adoption: Adoption, _ addTask: (FleetTask) -> Void) async {
        var fleet = Fleet(
            configuration: configuration,
            bootstrap: bootstrap,
            authorize: authorize,
            watcher: watcher,
            watchExit: { [watcher, post] process, key in
                process.onExit(watcher) { post.yield(.process(key, .leaderEnded(process, $0))) }
            },
            report: report,
            logger: logger
        )
        defer { if !configuration.keepsProxies { fleet.groups.removeParents() } }
        for task in fleet.adopt(adoption) { addTask(task) }
        var shown = fleet.observations
        if !shown.isEmpty { show(shown) }
        for await var event in events {
            if case .wanted = event {
                guard let wish = newest.withLock({ $0.take() }) else { continue }
                event = .wanted(wish.proxies, keepsUnowned: wish.keepsUnowned)
            }
            for task in fleet.handle(event) { addTask(task) }
            let observations = fleet.observations
            if observations != shown { show(observations) }
            shown = observations
            if fleet.isOver { return }
        }
        // The task was cancelled, which ends the stream of events.
        fleet.killAll()
    }

    private func show(_ observations: [ProxyID: ProxyProcesses]) {
        newestObservations.withLock { $0 = observations }
        observers.yield(observations)
    }

    /// Waits for what takes time, and tells the fleet.
    private func perform(_ task: FleetTask) async {
        switch task {
        case .timer(let key, let event, let time):
            try? await Task.sleep(for: time)
            post.yield(.process(key, event))
        case .probe(let key, let socketPath, let stop, let takesOver):
            let admin = EnvoyAdmin(client: client, socketPath: socketPath)
            let isReady = await EnvoyWatch.untilReady(admin, stop: stop, takesOver: takesOver) {
                post.yield(.process(key, .answered(stop)))
            }
            if isReady {
                post.yield(.process(key, .ready(stop, version: await admin.version())))
            }
        case .look(let key, let socketPath, let stop, let generation, let group, let limit):
            let admin = EnvoyAdmin(client: client, socketPath: socketPath)
            var meter = UsageMeter(
                pid: Int32(generation.pid),
                admin: admin,
                controlGroup: group
            )
            // One look tells of hanging and of use.
            let silence = await EnvoyWatch.untilSilent(
                stop: stop,
                interval: configuration.healthInterval,
                limit: configuration.silenceLimit
            ) {
                let look = await lookAt(admin, key.proxy, generation)
                if case .answered(let text) = look, !stop.isSet,
                    let seen = meter?.measure(
                        EnvoyStats(text: text),
                        timeSeconds: Self.timeSeconds
                    ),
                    let usage = seen.usage
                {
                    let isShedding = seen.isShedding
                    report(
                        key.proxy,
                        .usage(usage, isShedding: isShedding, memoryLimitBytes: limit)
                    )
                }
                return look
            }
            if let silence { post.yield(.process(key, .silent(stop, silence))) }
        case .probeApplication(let key, let application, let stop):
            if await ListeningProbe(application).untilListening(stop: stop) {
                post.yield(.process(key, .ready(stop, version: nil)))
            }
        case .drain(let key, let socketPath, let stop, let settle, let generation):
            let admin = EnvoyAdmin(client: client, socketPath: socketPath)
            await EnvoyWatch.untilIdle(admin, stop: stop, settle: settle)
            // Its last requests count as well.
            if !stop.isSet { _ = await lookAt(admin, key.proxy, generation) }
            post.yield(.process(key, .drained(stop)))
        case .groupEnd(let key, let process, let exit):
            await waitForGroup(process)
            post.yield(.process(key, .ended(process, exit)))
        case .setRuntime(let proxy, let socketPath, let stop, let values):
            let admin = EnvoyAdmin(client: client, socketPath: socketPath)
            let isTaken = await admin.modifyRuntime(values)
            post.yield(.runtimeWasTold(values, stop, proxy, taken: isTaken))
        case .rotateLogs(let rotation, let paths):
            let (after, emptied, problems) = await rotation.rotating(paths)
            post.yield(.rotatedLogs(after, emptied: emptied, problems: problems))
        }
    }

    /// Looks at an Envoy, and hands on what it tells.
    private func lookAt(
        _ admin: EnvoyAdmin,
        _ proxy: ProxyID,
        _ generation: ProxyGeneration
    ) async -> EnvoyAdmin.Look {
        let time = ContinuousClock.now
        let look = await admin.look(statisticsPath)
        if case .answered(let text) = look, !text.isEmpty {
            statistics(proxy, generation, text, time)
        }
        return look
    }

    /// In seconds since 1970.
    private static var timeSeconds: Double {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    /// Waits until no process of a group runs whose leader has ended, or gives up after 10 s.
    private func waitForGroup(_ process: RunningProcess) async {
        let end = ContinuousClock.now + .seconds(10)
        var pause = Duration.milliseconds(5)
        while process.hasGroup, ContinuousClock.now < end, !Task.isCancelled {
            try? await Task.sleep(for: pause)
            pause = min(pause * 2, .milliseconds(100))
        }
    }
}
