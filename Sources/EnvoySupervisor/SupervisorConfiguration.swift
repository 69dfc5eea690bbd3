public import MeshModel

/// How proxies are run.
public struct SupervisorConfiguration: Sendable {
    /// The Envoy binary.
    public var envoyPath: String
    /// Where each proxy has its folder, `proxies/<namespace>/<name>`; absolute.
    public var stateDirectory: String
    /// The Unix socket of the xDS server.
    public var xdsSocketPath: String
    /// For how long a removed proxy may finish its requests; App Mesh's 20 s.
    public var drainTime: Duration
    /// The same when all proxies end because Heddle ends.
    public var shutdownDrainTime: Duration
    /// Envoy's log level, as `-l` takes it.
    public var logLevel: String
    /// How many proxies load their configuration at once.
    public var concurrentStarts: Int
    /// Whether a graceful shutdown leaves all processes running, for the next daemon.
    public var keepsProxies: Bool
    /// For how long an Envoy that takes over from another may load its configuration.
    public var takeoverTime: Duration
    /// How often a running Envoy is asked over its admin interface.
    public var healthInterval: Duration
    /// An Envoy that has not answered for so long, and three times, is ended and started anew.
    public var silenceLimit: Duration

    /// A regular expression for the whole names of the statistics that are wanted beside those of use;
    /// nil is none.
    public var statisticsFilter: String?
    /// From what size on a log of a process gives way to an empty one, in bytes.
    public var logSizeBytes: Int

    /// Makes a configuration.
    public init(
        envoyPath: String,
        stateDirectory: String,
        xdsSocketPath: String,
        drainTime: Duration = .seconds(20),
        shutdownDrainTime: Duration = .seconds(2),
        logLevel: String = "info",
        concurrentStarts: Int = 8,
        keepsProxies: Bool = false,
        takeoverTime: Duration = .seconds(60),
        healthInterval: Duration = .milliseconds(2500),
        silenceLimit: Duration = .seconds(8),
        statisticsFilter: String? = nil,
        logSizeBytes: Int = 10 << 20
    ) {
        self.envoyPath = envoyPath
        self.stateDirectory = stateDirectory
        self.xdsSocketPath = xdsSocketPath
        self.drainTime = drainTime
        self.shutdownDrainTime = shutdownDrainTime
        self.logLevel = logLevel
        self.concurrentStarts = concurrentStarts
        self.keepsProxies = keepsProxies
        self.takeoverTime = takeoverTime
        self.healthInterval = healthInterval
        self.silenceLimit = silenceLimit
        self.statisticsFilter = statisticsFilter
        self.logSizeBytes = logSizeBytes
    }
}

/// What is known of the processes of one proxy.
public struct ProxyProcesses: Hashable, Sendable {
    /// Envoy.
    public var process: ProcessObservation
    /// The application, when Heddle runs it.
    public var application: ProcessObservation?
    /// How the proxy's limits are enforced; nil while it does not run.
    public var enforcement: LimitEnforcement?

    /// Makes an observation.
    public init(
        process: ProcessObservation,
        application: ProcessObservation? = nil,
        enforcement: LimitEnforcement? = nil
    ) {
        self.process = process
        self.application = application
        self.enforcement = enforcement
    }
}

/// What was seen of a proxy's use.
public enum UsageReport: Hashable, Sendable {
    /// What it uses now, whether it refuses work as its memory runs short, and the limit of that.
    case usage(ProxyUsage, isShedding: Bool, memoryLimitBytes: Int?)
    /// The kernel ended it as it went over its memory limit; what it had used at the most.
    case outOfMemoryKill(limitBytes: Int, peakBytes: Int)
}

/// The two processes that the supervisor runs for a proxy.
public enum ProcessKind: String, CaseIterable, Hashable, Sendable {
    /// The proxy.
    case envoy
    /// The application beside it.
    case application
}

/// How far the upgrade of one proxy is.
public struct ProxyUpgrade: Hashable, Sendable {
    /// What happens to a proxy.
    public enum Step: Hashable, Sendable {
        /// Another Envoy is about to take over.
        case started
        /// The other serves, and the old one takes no more connections; their versions.
        case finished(from: String?, to: String?)
        /// The old one goes on serving, and the upgrade of further proxies is given up.
        case failed(reason: String)
        /// There is nothing to do.
        case skipped(reason: String)
    }

    /// The proxy.
    public var proxy: ProxyID
    /// What happens to it.
    public var step: Step

    /// Makes a step.
    public init(_ proxy: ProxyID, _ step: Step) {
        self.proxy = proxy
        self.step = step
    }
}
