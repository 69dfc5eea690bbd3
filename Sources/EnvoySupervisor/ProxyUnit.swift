import MeshModel
import MeshPlan

/// One process of a proxy: its life, and its present run.
struct ManagedProcess {
    /// A start of the process, until its exit.
    struct Run {
        var process: RunningProcess
        /// Where this run's output starts in the log.
        var logOffset: Int
        /// Ends what watches this run.
        var stop = StopFlag()
    }

    let key: ProcessKey
    var lifecycle: ProcessLifecycle
    var run: Run?
}

/// Names a process to those who watch it; late answers for a former one are known by its number.
struct ProcessKey: Hashable, Sendable {
    var proxy: ProxyID
    var kind: ProcessKind
    var number: Int
}

/// A proxy and its application, wanted or about to go.
struct ProxyUnit {
    let folder: ProxyFolder
    /// The newest plan; nil when the proxy shall go.
    var plan: ProxyPlan?
    var token: String?
    /// What the running Envoy was started with.
    var launched: EnvoyLaunch?
    var envoy: ManagedProcess
    var application: ManagedProcess?
    /// What the running application was started with.
    var launchedApplication: ApplicationPlan?

    /// Whether both processes have ended for good.
    var isGone: Bool {
        plan == nil && envoy.lifecycle.isStopped && application?.lifecycle.isStopped ?? true
    }

    var observation: ProxyProcesses {
        ProxyProcesses(
            process: envoy.lifecycle.observation,
            application: application?.lifecycle.observation
        )
    }
}

/// What makes an Envoy: a change of it needs a new process.
struct EnvoyLaunch: Hashable {
    var command: Command
    var bootstrap: [UInt8]
}

extension SupervisorConfiguration {
    /// The command of a proxy's Envoy.
    ///
    /// Its output goes to a file by redirection and not by `--log-path`, so that the reason of a
    /// failed start, which Envoy prints, is there too.
    func envoyCommand(concurrency: Int, _ folder: ProxyFolder) -> Command {
        Command(
            arguments: [
                envoyPath, "-c", folder.bootstrapPath,
                "--disable-hot-restart",
                "--concurrency", "\(concurrency)",
                "--drain-time-s", "\(max(1, drainTime.components.seconds))",
                "-l", logLevel,
                // While the control plane is away, health discovery tries again about twice a second
                // and logs each time, 90 MB a day.
                "--component-log-level", "upstream:error",
                "--skip-deprecated-logs",
                // Access logs within a second, not ten.
                "--file-flush-interval-msec", "1000",
            ],
            environment: Command.ownEnvironment.merging([Command.mark: stateDirectory]) { $1 },
            directory: folder.path
        )
    }

    /// How Envoy's life goes; App Mesh's agent kills 3 s after the end of the drain time.
    var envoyPolicy: ProcessLifecycle.Policy {
        ProcessLifecycle.Policy(
            hasReadiness: true,
            drainTime: drainTime,
            killAfter: .seconds(3)
        )
    }

    /// How an application's life goes.
    static let applicationPolicy = ProcessLifecycle.Policy(
        hasReadiness: true,
        drainTime: .zero,
        killAfter: .seconds(5)
    )
}

extension ApplicationPlan {
    /// The application's command, with our own environment below its variables.
    func startCommand(stateDirectory: String) -> Command {
        Command(
            arguments: command,
            environment: Command.ownEnvironment.merging(environment) { _, own in own }
                .merging([Command.mark: stateDirectory]) { $1 },
            directory: workingDirectory
        )
    }
}
