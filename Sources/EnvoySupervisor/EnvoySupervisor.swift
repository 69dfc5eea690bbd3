import Glibc
import HTTPClient
public import Logging
public import MeshModel
public import MeshPlan
public import ServiceLifecycle
import Synchronization

/// Runs one Envoy for each proxy of a plan, and the applications that Heddle starts beside them.
///
/// A process that ends by itself starts again, at once and then with growing pauses. A proxy that
/// is removed finishes its requests first. At start, processes of an earlier daemon of the same
/// state directory are ended. When the service shuts down gracefully, `run` returns only after
/// every process is gone, within about 8 s; when its task is cancelled they are ended at once.
public final class EnvoySupervisor: Service {
    /// The newest state of all processes, whenever it changes.
    public let observations: AsyncStream<[ProxyID: ProxyProcesses]>

    private let configuration: SupervisorConfiguration
    private let bootstrap: @Sendable (ProxyPlan, BootstrapParameters) -> [UInt8]
    private let authorize: @Sendable (ProxyID, String?) -> Void
    private let logger: Logger
    private let observers: AsyncStream<[ProxyID: ProxyProcesses]>.Continuation
    /// Has no bound, and needs none: a process causes few events until these are handled.
    private let events: AsyncStream<FleetEvent>
    private let post: AsyncStream<FleetEvent>.Continuation
    let watcher = DescriptorWatcher()
    var stateDirectory: String { configuration.stateDirectory }
    private let client = HTTPClient()
    private let newest = Mutex<[ProxyID: ProxyPlan]?>(nil)

    /// Makes a supervisor.
    ///
    /// `bootstrap` gives a proxy's bootstrap as JSON; whenever it gives another for a proxy that
    /// runs, this proxy is drained and started anew. `authorize` is told the token with which a
    /// proxy will prove itself, before each start.
    public init(
        configuration: SupervisorConfiguration,
        bootstrap: @escaping @Sendable (ProxyPlan, BootstrapParameters) -> [UInt8],
        authorize: @escaping @Sendable (ProxyID, String?) -> Void,
        logger: Logger
    ) {
        self.configuration = configuration
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
    public func apply(_ proxies: [ProxyID: ProxyPlan]) {
        let isNews = newest.withLock { newest in
            defer { newest = proxies }
            return newest == nil
        }
        if isNews { post.yield(.wanted([:])) }
    }

    /// Runs until shut down.
    public func run() async throws {
        try Files.makeFolder(ProxyFolder.parent(configuration.stateDirectory))
        defer { observers.finish() }
        await withTaskCancellationOrGracefulShutdownHandler {
            await Leftovers.end(stateDirectory: configuration.stateDirectory, logger: logger)
            await withDiscardingTaskGroup { group in
                await handleEvents { task in
                    group.addTask { [self] in await perform(task) }
                }
                group.cancelAll()
            }
        } onCancelOrGracefulShutdown: { [post] in
            post.yield(.shutDown)
        }
    }

    private func handleEvents(_ addTask: (FleetTask) -> Void) async {
        var fleet = Fleet(
            configuration: configuration,
            bootstrap: bootstrap,
            authorize: authorize,
            watchExit: { [watcher, post] process, key in
                process.onExit(watcher) { post.yield(.process(key, .leaderEnded($0))) }
            },
            logger: logger
        )
        var shown = fleet.observations
        for await var event in events {
            if case .wanted = event {
                event = .wanted(newest.withLock { newest in newest.take() ?? [:] })
            }
            for task in fleet.handle(event) { addTask(task) }
            let observations = fleet.observations
            if observations != shown { observers.yield(observations) }
            shown = observations
            if fleet.isOver { return }
        }
        // The task was cancelled, which ends the stream of events.
        fleet.killAll()
    }

    /// Waits for what takes time, and tells the fleet.
    private func perform(_ task: FleetTask) async {
        switch task {
        case .timer(let key, let number, let time):
            try? await Task.sleep(for: time)
            post.yield(.process(key, .timer(number)))
        case .probe(let key, let socketPath, let stop):
            let admin = EnvoyAdmin(client: client, socketPath: socketPath)
            let isReady = await EnvoyWatch.untilReady(admin, stop: stop) {
                post.yield(.process(key, .answered(stop)))
            }
            if isReady { post.yield(.process(key, .ready(stop))) }
        case .probeApplication(let key, let application, let stop):
            if await ListeningProbe(application).untilListening(stop: stop) {
                post.yield(.process(key, .ready(stop)))
            }
        case .drain(let key, let socketPath, let stop, let settle):
            let admin = EnvoyAdmin(client: client, socketPath: socketPath)
            await EnvoyWatch.untilIdle(admin, stop: stop, settle: settle)
            post.yield(.process(key, .drained(stop)))
        case .groupEnd(let key, let process, let exit):
            await waitForGroup(process)
            post.yield(.process(key, .ended(exit)))
        }
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
