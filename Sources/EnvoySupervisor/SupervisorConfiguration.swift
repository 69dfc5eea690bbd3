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

    /// Makes a configuration.
    public init(
        envoyPath: String,
        stateDirectory: String,
        xdsSocketPath: String,
        drainTime: Duration = .seconds(20),
        shutdownDrainTime: Duration = .seconds(2),
        logLevel: String = "info",
        concurrentStarts: Int = 8
    ) {
        self.envoyPath = envoyPath
        self.stateDirectory = stateDirectory
        self.xdsSocketPath = xdsSocketPath
        self.drainTime = drainTime
        self.shutdownDrainTime = shutdownDrainTime
        self.logLevel = logLevel
        self.concurrentStarts = concurrentStarts
    }
}

/// What is known of the processes of one proxy.
public struct ProxyProcesses: Hashable, Sendable {
    /// Envoy.
    public var process: ProcessObservation
    /// The application, when Heddle runs it.
    public var application: ProcessObservation?

    /// Makes an observation.
    public init(process: ProcessObservation, application: ProcessObservation? = nil) {
        self.process = process
        self.application = application
    }
}

/// The two processes that the supervisor runs for a proxy.
public enum ProcessKind: String, CaseIterable, Hashable, Sendable {
    /// The proxy.
    case envoy
    /// The application beside it.
    case application
}
