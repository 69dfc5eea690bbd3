import Glibc
import Logging
import MeshModel
import MeshPlan

/// What happened, to the proxies as a whole or to one process.
enum FleetEvent: Sendable {
    case wanted([ProxyID: ProxyPlan])
    case shutDown
    case process(ProcessKey, ProcessEvent)
}

/// What happened to one process.
enum ProcessEvent: Sendable {
    /// Envoy has loaded its configuration. Like the two that follow, it counts only while the run
    /// that was watched goes on, which its flag tells.
    case answered(StopFlag)
    case ready(StopFlag)
    case drained(StopFlag)
    /// It ended; others of its group may live.
    case leaderEnded(ProcessExit)
    /// It and its group have ended.
    case ended(ProcessExit)
    case timer(Int)
}

/// What takes time and ends in an event.
enum FleetTask: Sendable {
    case timer(ProcessKey, Int, Duration)
    case probe(ProcessKey, socketPath: String, StopFlag)
    case probeApplication(ProcessKey, ApplicationPlan, StopFlag)
    case drain(ProcessKey, socketPath: String, StopFlag, settle: Duration)
    case groupEnd(ProcessKey, RunningProcess, ProcessExit)
}

/// All proxies with their processes.
///
/// It takes one event after the other, does at once what is quick (starting, signalling, small
/// files), and hands back what takes time.
struct Fleet {
    /// From the first idle moment of a removed proxy to its end: other proxies learn meanwhile that
    /// it is gone.
    static let settleTime = Duration.milliseconds(250)

    let configuration: SupervisorConfiguration
    let bootstrap: @Sendable (ProxyPlan, BootstrapParameters) -> [UInt8]
    let authorize: @Sendable (ProxyID, String?) -> Void
    let watchExit: @Sendable (RunningProcess, ProcessKey) -> Void
    let logger: Logger

    private var units: [ProxyID: ProxyUnit] = [:]
    /// Envoys that wait for their turn to start, first come first served.
    private var queue: [ProcessKey] = []
    /// Envoys that load their configuration.
    private var loading: Set<ProcessKey> = []
    private var isShuttingDown = false
    private var lastNumber = 0
    private var tasks: [FleetTask] = []
    private var random = SystemRandomNumberGenerator()

    init(
        configuration: SupervisorConfiguration,
        bootstrap: @escaping @Sendable (ProxyPlan, BootstrapParameters) -> [UInt8],
        authorize: @escaping @Sendable (ProxyID, String?) -> Void,
        watchExit: @escaping @Sendable (RunningProcess, ProcessKey) -> Void,
        logger: Logger
    ) {
        self.configuration = configuration
        self.bootstrap = bootstrap
        self.authorize = authorize
        self.watchExit = watchExit
        self.logger = logger
    }

    /// Whether Heddle ends and no process is left.
    var isOver: Bool { isShuttingDown && units.isEmpty }

    /// What status shows.
    var observations: [ProxyID: ProxyProcesses] { units.mapValues(\.observation) }

    /// Takes an event and returns what is to be waited for.
    mutating func handle(_ event: FleetEvent) -> [FleetTask] {
        switch event {
        case .wanted(let proxies):
            if !isShuttingDown { reconcile(proxies) }
        case .shutDown:
            isShuttingDown = true
            for id in units.keys.sorted() { remove(id, configuration.shutdownDrainTime) }
        case .process(let key, let event):
            if self[key] != nil { handle(event, key) }
        }
        startQueued()
        defer { tasks = [] }
        return tasks
    }

    /// Ends all processes at once, for when there is no time.
    func killAll() {
        let runs = units.values.flatMap { [$0.envoy.run, $0.application?.run] }.compactMap(\.self)
        for run in runs { run.process.signalGroup(SIGKILL) }
        for run in runs { run.process.hasEnded(within: 1000) }
    }

    // MARK: Wishes

    private mutating func reconcile(_ proxies: [ProxyID: ProxyPlan]) {
        for id in units.keys.sorted() where proxies[id] == nil {
            remove(id, configuration.drainTime)
        }
        for (id, plan) in proxies.sorted(by: { $0.key < $1.key }) {
            var unit = units.removeValue(forKey: id) ?? makeUnit(id)
            unit.plan = plan
            units[id] = unit
            updateEnvoy(id, plan)
            updateApplication(id, plan)
        }
    }

    private mutating func makeUnit(_ id: ProxyID) -> ProxyUnit {
        ProxyUnit(
            folder: ProxyFolder(of: id, stateDirectory: configuration.stateDirectory),
            envoy: makeProcess(id, .envoy, configuration.envoyPolicy)
        )
    }

    private mutating func makeProcess(
        _ id: ProxyID,
        _ kind: ProcessKind,
        _ policy: ProcessLifecycle.Policy
    ) -> ManagedProcess {
        lastNumber += 1
        let key = ProcessKey(proxy: id, kind: kind, number: lastNumber)
        return ManagedProcess(key: key, lifecycle: ProcessLifecycle(policy))
    }

    private mutating func updateEnvoy(_ id: ProxyID, _ plan: ProxyPlan) {
        guard let unit = units[id] else { return }
        if let launched = unit.launched, let token = unit.token,
            launched != launch(plan, unit.folder, token)
        {
            change(unit.envoy.key) { $0.changed() }
        }
        change(unit.envoy.key) { $0.wanted() }
    }

    private mutating func updateApplication(_ id: ProxyID, _ plan: ProxyPlan) {
        guard let unit = units[id] else { return }
        guard let application = plan.application else {
            if let key = unit.application?.key { change(key) { $0.removed(drainTime: .zero) } }
            return
        }
        let process =
            unit.application
            ?? makeProcess(id, .application, SupervisorConfiguration.applicationPolicy)
        units[id]?.application = process
        if let launched = unit.launchedApplication, launched != application {
            change(process.key) { $0.changed() }
        }
        change(process.key) { $0.wanted() }
    }

    private mutating func remove(_ id: ProxyID, _ drainTime: Duration) {
        guard let key = units[id]?.envoy.key else { return }
        units[id]?.plan = nil
        change(key) { $0.removed(drainTime: drainTime) }
    }

    // MARK: Facts

    private mutating func handle(_ event: ProcessEvent, _ key: ProcessKey) {
        switch event {
        case .answered(let run):
            if !run.isSet { loading.remove(key) }
        case .ready(let run):
            guard !run.isSet else { return }
            loading.remove(key)
            change(key) { lifecycle in
                lifecycle.becameReady()
                return []
            }
            logger.info(
                "process ready",
                metadata: ["proxy": "\(key.proxy)", "process": "\(key.kind.rawValue)"]
            )
        case .drained(let run):
            if !run.isSet { change(key) { $0.drained() } }
        case .leaderEnded(let exit): leaderEnded(exit, key)
        case .ended(let exit): ended(exit, key)
        case .timer(let number): change(key) { $0.timerFired(number) }
        }
    }

    private mutating func leaderEnded(_ exit: ProcessExit, _ key: ProcessKey) {
        guard let process = self[key], let run = process.run else { return }
        run.stop.set()
        loading.remove(key)
        guard run.process.hasGroup else { return ended(exit, key) }
        // What a crashed application leaves behind would be in the way of the next one.
        if !process.lifecycle.isEnding { run.process.signalGroup(SIGKILL) }
        tasks.append(.groupEnd(key, run.process, exit))
    }

    private mutating func ended(_ exit: ProcessExit, _ key: ProcessKey) {
        guard let process = self[key], let run = process.run else { return }
        let wasAsked = process.lifecycle.isEnding
        let reason = reason(exit, run, key)
        self[key]?.run = nil
        logger.log(
            level: wasAsked ? .info : .warning,
            "process ended",
            metadata: metadata(key, "reason", reason)
        )
        record(key.proxy)
        let now = ContinuousClock.now
        var random = random
        change(key) { $0.exited(reason, at: now, using: &random) }
    }

    /// `exited with code 1: <last line>`, without the proxy's token.
    private func reason(
        _ exit: ProcessExit,
        _ run: ManagedProcess.Run,
        _ key: ProcessKey
    ) -> String {
        guard !exit.isFromOutside, let unit = units[key.proxy],
            let line = LastWords.read(unit.folder.logPath(key.kind), from: run.logOffset, key.kind)
        else { return exit.text }
        if let token = unit.token, line.contains(token) { return exit.text }
        return "\(exit.text): \(line)"
    }

    // MARK: Actions

    /// Changes a process's life and does what follows from it.
    private mutating func change(
        _ key: ProcessKey,
        _ body: (inout ProcessLifecycle) -> [ProcessLifecycle.Action]
    ) {
        guard var process = self[key] else { return }
        let actions = body(&process.lifecycle)
        self[key] = process
        for action in actions { perform(action, key) }
        settle(key.proxy)
    }

    private mutating func perform(_ action: ProcessLifecycle.Action, _ key: ProcessKey) {
        guard let unit = units[key.proxy], let process = self[key] else { return }
        let socketPath = unit.folder.adminSocketPath
        switch action {
        case .start:
            if key.kind == .envoy { queue.append(key) } else { start(key) }
        case .probe:
            guard let run = process.run else { return }
            if key.kind == .envoy {
                tasks.append(.probe(key, socketPath: socketPath, run.stop))
            } else if let application = unit.launchedApplication {
                tasks.append(.probeApplication(key, application, run.stop))
            }
        case .drain:
            if let run = process.run {
                let settle = isShuttingDown ? .zero : Self.settleTime
                tasks.append(.drain(key, socketPath: socketPath, run.stop, settle: settle))
            }
        case .terminate: process.run?.process.signalGroup(SIGTERM)
        case .kill: process.run?.process.signalGroup(SIGKILL)
        case .setTimer(let number, let after): tasks.append(.timer(key, number, after))
        }
    }

    /// Ends a leaving proxy's application when the proxy has drained, and forgets what is gone.
    private mutating func settle(_ id: ProxyID) {
        guard let unit = units[id] else { return }
        if let application = unit.application, unit.plan?.application == nil {
            if application.lifecycle.isStopped {
                units[id]?.application = nil
                units[id]?.launchedApplication = nil
            } else if !unit.envoy.lifecycle.isDraining, !application.lifecycle.isEnding {
                change(application.key) { $0.removed(drainTime: .zero) }
            }
        }
        guard let unit = units[id], unit.isGone else { return }
        units[id] = nil
        authorize(id, nil)
        // A proxy that ends with Heddle keeps its token and logs.
        if !isShuttingDown { unit.folder.delete() }
        logger.info("proxy gone", metadata: ["proxy": "\(id)"])
    }

    // MARK: Starting

    private mutating func startQueued() {
        while loading.count < configuration.concurrentStarts, !queue.isEmpty {
            let key = queue.removeFirst()
            if self[key]?.lifecycle.isWaiting == true { start(key) }
        }
    }

    private mutating func start(_ key: ProcessKey) {
        do {
            let run = try launch(key)
            self[key]?.run = run
            if key.kind == .envoy { loading.insert(key) }
            record(key.proxy)
            let pid = Int(run.process.identity.pid)
            logger.info("process started", metadata: metadata(key, "pid", "\(pid)"))
            change(key) {
                $0.started(pid: pid, startTimeSeconds: time(nil), at: .now)
            }
            watchExit(run.process, key)
        } catch {
            let reason = "\(error)"
            logger.warning("process not started", metadata: metadata(key, "reason", reason))
            var random = random
            change(key) { $0.failedToStart(reason, using: &random) }
        }
    }

    private mutating func launch(_ key: ProcessKey) throws -> ManagedProcess.Run {
        guard let unit = units[key.proxy], let plan = unit.plan else {
            preconditionFailure("only a wanted process is started")
        }
        try unit.folder.make()
        let command: Command
        switch key.kind {
        case .envoy: command = try prepareEnvoy(plan, unit.folder)
        case .application:
            guard let application = plan.application else {
                preconditionFailure("only a wanted application is started")
            }
            units[key.proxy]?.launchedApplication = application
            command = application.startCommand(
                stateDirectory: configuration.stateDirectory
            )
        }
        let logPath = unit.folder.logPath(key.kind)
        let offset = (try? Descriptor.open(logPath, O_RDONLY))?.status.size ?? 0
        let pid = try command.start(logPath: logPath)
        guard let process = RunningProcess(pid: pid) else {
            kill(-pid, SIGKILL)
            throw SystemError("cannot watch process \(pid)")
        }
        return ManagedProcess.Run(process: process, logOffset: offset)
    }

    private mutating func prepareEnvoy(_ plan: ProxyPlan, _ folder: ProxyFolder) throws -> Command {
        let token = try folder.token()
        units[plan.id]?.token = token
        authorize(plan.id, token)
        let launch = launch(plan, folder, token)
        try Files.write(launch.bootstrap, to: folder.bootstrapPath)
        unlink(folder.adminSocketPath)
        units[plan.id]?.launched = launch
        return launch.command
    }

    private func launch(_ plan: ProxyPlan, _ folder: ProxyFolder, _ token: String) -> EnvoyLaunch {
        let parameters = BootstrapParameters(
            xdsSocketPath: configuration.xdsSocketPath,
            adminSocketPath: folder.adminSocketPath,
            token: token
        )
        return EnvoyLaunch(
            command: configuration.envoyCommand(concurrency: plan.concurrency, folder),
            bootstrap: bootstrap(plan, parameters)
        )
    }

    private func record(_ id: ProxyID) {
        guard let unit = units[id] else { return }
        let record = ProcessRecord(
            envoy: unit.envoy.run?.process.identity,
            application: unit.application?.run?.process.identity
        )
        do {
            try unit.folder.write(record)
        } catch {
            logger.warning(
                "cannot record processes",
                metadata: ["proxy": "\(id)", "reason": "\(error)"]
            )
        }
    }

    private func metadata(_ key: ProcessKey, _ name: String, _ value: String) -> Logger.Metadata {
        ["proxy": "\(key.proxy)", "process": "\(key.kind.rawValue)", name: "\(value)"]
    }

    /// The process that `key` names, unless another has taken its place.
    private subscript(key: ProcessKey) -> ManagedProcess? {
        get {
            let unit = units[key.proxy]
            let process = key.kind == .envoy ? unit?.envoy : unit?.application
            return process?.key == key ? process : nil
        }
        set {
            guard let newValue, self[key] != nil else { return }
            switch key.kind {
            case .envoy: units[key.proxy]?.envoy = newValue
            case .application: units[key.proxy]?.application = newValue
            }
        }
    }
}
