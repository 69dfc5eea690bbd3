import Glibc
import Logging
import MeshModel
import MeshPlan

/// What happened, to the proxies as a whole or to one process.
enum FleetEvent: Sendable {
    /// `keepsUnowned`: an adopted proxy that is not among them stays.
    case wanted([ProxyID: ProxyPlan], keepsUnowned: Bool)
    case upgrade(Set<ProxyID>?, AsyncStream<ProxyUpgrade>.Continuation)
    case shutDown
    /// It is time to look how big the logs are, and whether Envoy is another.
    case rotateLogs
    /// The look is over: these logs are empty now, and this is new trouble with others.
    case rotatedLogs(LogRotation, emptied: [String], problems: [String])
    /// These values of the runtime of a proxy's Envoys shall hold.
    case setRuntime([String: String], ProxyID)
    /// The Envoy of this flag took them, or did not.
    case runtimeWasTold([String: String], StopFlag, ProxyID, taken: Bool)
    case process(ProcessKey, ProcessEvent)
}

/// What happened to one process.
enum ProcessEvent: Sendable {
    /// Envoy has loaded its configuration. Like the three that follow, it counts only while the run
    /// that was watched goes on, which its flag tells.
    case answered(StopFlag)
    case ready(StopFlag, version: String?)
    case drained(StopFlag)
    /// It has not answered for so long.
    case silent(StopFlag, Duration)
    /// It ended; others of its group may live.
    case leaderEnded(RunningProcess, ProcessExit)
    /// It and its group have ended.
    case ended(RunningProcess, ProcessExit)
    /// It should have ended, or taken over, by now.
    case overdue(RunningProcess)
    /// What could not take over may be tried again.
    case retry(Int)
    /// Envoy may be told of its runtime again, after so many failures.
    case retryRuntime(Int)
    case timer(Int)
}

/// What takes time and ends in an event.
enum FleetTask: Sendable {
    case timer(ProcessKey, ProcessEvent, Duration)
    case probe(ProcessKey, socketPath: String, StopFlag, takesOver: Bool)
    case probeApplication(ProcessKey, ApplicationPlan, StopFlag)
    case drain(
        ProcessKey,
        socketPath: String,
        StopFlag,
        settle: Duration,
        ProxyGeneration
    )
    case look(
        ProcessKey,
        socketPath: String,
        StopFlag,
        ProxyGeneration,
        ControlGroup?,
        memoryLimitBytes: Int?
    )
    case groupEnd(ProcessKey, RunningProcess, ProcessExit)
    case setRuntime(ProxyID, socketPath: String, StopFlag, [String: String])
    /// Copies big files, so it has a thread of its own.
    case rotateLogs(LogRotation, [String])
}

/// All proxies with their processes.
///
/// It takes one event after the other, does at once what is quick (starting, signalling, small
/// files), and hands back what takes time.
struct Fleet {
    /// From the first idle moment of a removed proxy to its end: other proxies learn meanwhile that
    /// it is gone.
    static let settleTime = Duration.milliseconds(250)

    /// Who waits for its turn to start.
    struct Turn {
        var key: ProcessKey
        /// Whether it takes over from the one that runs.
        var takesOver: Bool
    }

    let configuration: SupervisorConfiguration
    let bootstrap: @Sendable (ProxyPlan, BootstrapParameters) -> [UInt8]
    let authorize: @Sendable (ProxyID, String?) -> Void
    let watcher: DescriptorWatcher
    let watchExit: @Sendable (RunningProcess, ProcessKey) -> Void
    let groups: ControlGroups
    let report: @Sendable (ProxyID, UsageReport) -> Void
    let logger: Logger

    var units: [ProxyID: ProxyUnit] = [:]
    /// First come first served.
    var queue: [Turn] = []
    /// The runs of Envoys that load their configuration.
    var loading: Set<ObjectIdentifier> = []
    var isShuttingDown = false
    var isFirstWish = true
    var upgrades: [UpgradeRun] = []
    /// What Envoys are told over their admin interfaces.
    var runtime: [ProxyID: RuntimeWish] = [:]
    var lastNumber = 0
    /// The Envoy that proxies were last compared with.
    var knownBinary: Fingerprint?
    /// Nil while logs are being rotated.
    var rotation: LogRotation?
    var tasks: [FleetTask] = []
    var random = SystemRandomNumberGenerator()

    init(
        configuration: SupervisorConfiguration,
        bootstrap: @escaping @Sendable (ProxyPlan, BootstrapParameters) -> [UInt8],
        authorize: @escaping @Sendable (ProxyID, String?) -> Void,
        watcher: DescriptorWatcher,
        watchExit: @escaping @Sendable (RunningProcess, ProcessKey) -> Void,
        report: @escaping @Sendable (ProxyID, UsageReport) -> Void,
        logger: Logger
    ) {
        groups = ControlGroups(stateDirectory: configuration.stateDirectory)
        self.report = report
        rotation = LogRotation(capBytes: configuration.logSizeBytes)
        self.configuration = configuration
        self.bootstrap = bootstrap
        self.authorize = authorize
        self.watcher = watcher
        self.watchExit = watchExit
        self.logger = logger
    }

    /// Whether Heddle ends and no process is left, or all that are left shall stay.
    var isOver: Bool { isShuttingDown && (units.isEmpty || configuration.keepsProxies) }

    /// What status shows.
    var observations: [ProxyID: ProxyProcesses] { units.mapValues(\.observation) }

    /// Takes an event and returns what is to be waited for.
    mutating func handle(_ event: FleetEvent) -> [FleetTask] {
        switch event {
        case .wanted(let proxies, let keepsUnowned):
            if !isShuttingDown { reconcile(proxies, keepsUnowned: keepsUnowned) }
        case .upgrade(let proxies, let steps): beginUpgrade(proxies, steps)
        case .shutDown: shutDown()
        case .rotateLogs:
            rotateLogs()
            noticeNewBinary()
        case .rotatedLogs(let rotation, let emptied, let problems):
            rotatedLogs(rotation, emptied, problems)
        case .setRuntime(let values, let id): setRuntime(values, of: id)
        case .runtimeWasTold(let values, let run, let id, let isTaken):
            runtimeWasTold(values, to: run, of: id, taken: isTaken)
        case .process(let key, let event):
            if self[key] != nil { handle(event, key) }
        }
        startQueued()
        advanceUpgrades()
        defer { tasks = [] }
        return tasks
    }

    /// Ends all processes at once, for when there is no time.
    func killAll() {
        if configuration.keepsProxies { return }
        let runs = units.values.flatMap(\.runs)
        for run in runs { run.process.signalGroup(SIGKILL) }
        for run in runs { run.process.hasEnded(within: 1000) }
    }

    private mutating func shutDown() {
        isShuttingDown = true
        for upgrade in upgrades { upgrade.steps.finish() }
        upgrades = []
        for id in units.keys.sorted() {
            if configuration.keepsProxies {
                record(id)
            } else {
                remove(id, configuration.shutdownDrainTime)
            }
        }
    }

    func metadata(_ key: ProcessKey, _ name: String, _ value: String) -> Logger.Metadata {
        ["proxy": "\(key.proxy)", "process": "\(key.kind.rawValue)", name: "\(value)"]
    }

    /// The process that `key` names, unless another has taken its place.
    subscript(key: ProcessKey) -> ManagedProcess? {
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
