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
        /// When it started, in seconds since 1970.
        var startTimeSeconds: Int
        /// Of an Envoy, how it was started.
        var envoy: EnvoyStart?
        /// Of an Envoy that was ready, its version.
        var version: String?
        /// Whether an earlier daemon started it, so that it may serve before we know.
        var isAdopted = false
        /// Why it was ended, when we ended it.
        var verdict: String?
        /// Of an Envoy, where its limits are enforced.
        var controlGroup: ControlGroup?

        /// What tells its counters from those of others.
        var generation: ProxyGeneration {
            ProxyGeneration(
                pid: Int(process.identity.pid),
                startTicks: process.identity.startTime,
                isAdopted: isAdopted
            )
        }
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

/// What makes an Envoy: a change of it needs another process.
struct Launch {
    /// Nil when it was started by hand.
    var settings: EnvoySettings?
    /// Nil when an earlier daemon started it, and we do not know what we would have started then.
    var template: Fingerprint?

    /// Whether an Envoy of the one is not what the other wants; a template that is not known equals
    /// any.
    func differs(from other: Launch) -> Bool {
        if settings != other.settings { return true }
        guard let template, let otherTemplate = other.template else { return false }
        return template != otherTemplate
    }
}

extension Launch {
    /// What `start` is of.
    init(_ start: EnvoyStart) { self.init(settings: start.settings, template: start.template) }
}

/// An Envoy that shall take over from another.
struct Successor {
    var run: ManagedProcess.Run
    /// Whether it only checks its bootstrap, and Envoy itself starts after it.
    var isCheck: Bool
    /// What it is started with.
    var launch: Launch
    /// The plan that it is started with; nil when an earlier daemon started it.
    var plan: ProxyPlan?
}

/// A proxy and its application, wanted or about to go.
struct ProxyUnit {
    let folder: ProxyFolder
    /// The newest plan; nil when the proxy shall go.
    var plan: ProxyPlan?
    /// Whether it was adopted, and no plan has spoken of it yet.
    var awaitsPlan = false
    var envoy: ManagedProcess
    /// Takes over once it is ready.
    var successor: Successor?
    /// Finishes what it has begun, and ends by itself.
    var predecessor: ManagedProcess.Run?
    /// Answers in the place of a predecessor that ended too early.
    var standIn: ParentStandIn?
    /// What the newest Envoy was started with, as far as this daemon knows.
    var launched: Launch?
    /// What could not take over last, which is not tried again for a while.
    var refused: Launch?
    /// Numbers the failures to take over: the wait after a former one means nothing.
    var refusals = 0
    /// By slot, the token in the bootstrap that the last Envoy to end was started with.
    var formerTokens: [EnvoySlot: String] = [:]
    /// Whether it has ever been ready, which its application waits for.
    var wasReady = false
    var application: ManagedProcess?
    /// What the running application was started with.
    var launchedApplication: Fingerprint?

    /// Whether all processes have ended for good.
    var isGone: Bool {
        plan == nil && !awaitsPlan && envoy.lifecycle.isStopped
            && application?.lifecycle.isStopped ?? true && successor == nil && predecessor == nil
    }

    var observation: ProxyProcesses {
        ProxyProcesses(
            process: envoy.lifecycle.observation,
            application: application?.lifecycle.observation,
            enforcement: envoy.run?.controlGroup?.enforcement
        )
    }

    /// All that runs.
    var runs: [ManagedProcess.Run] {
        [envoy.run, successor?.run, predecessor, application?.run].compactMap(\.self)
    }

    /// What the next daemon has to know.
    func record(_ proxy: ProxyID) -> ProxyRecord {
        var record = ProxyRecord(proxy)
        let observation = envoy.lifecycle.observation
        var envoys = [predecessor.flatMap { entry($0, isReady: true) }]
        envoys.append(envoy.run.flatMap { entry($0, isReady: envoy.lifecycle.isServing) })
        if let successor, !successor.isCheck {
            envoys.append(entry(successor.run, isReady: false))
        }
        record.envoys = envoys.compactMap(\.self)
        record.restarts = observation.restarts
        record.upgrades = observation.upgrades
        record.wasReady = wasReady
        if let application, let run = application.run, let launchedApplication {
            record.application = ProxyRecord.Application(
                identity: run.process.identity,
                plan: launchedApplication,
                isReady: application.lifecycle.isServing,
                startTimeSeconds: run.startTimeSeconds,
                restarts: application.lifecycle.observation.restarts
            )
        }
        return record
    }

    private func entry(_ run: ManagedProcess.Run, isReady: Bool) -> ProxyRecord.Envoy? {
        run.envoy.map { start in
            ProxyRecord.Envoy(
                identity: run.process.identity,
                start: start,
                isReady: isReady,
                startTimeSeconds: run.startTimeSeconds,
                version: run.version,
                controlGroup: run.controlGroup
            )
        }
    }
}

extension SupervisorConfiguration {
    /// The command of a proxy's Envoy.
    ///
    /// Its output goes to a file by redirection and not by `--log-path`, so that the reason of a
    /// failed start, which Envoy prints, is there too.
    func envoyCommand(concurrency: Int, _ folder: ProxyFolder, _ start: EnvoyStart) -> Command {
        command(
            ["-c", folder.bootstrapPath(start.slot)]
                + ["--base-id", "\(start.baseID)", "--restart-epoch", "\(start.epoch)"]
                + Self.restartOptions(start.restartSocketPath)
                + envoyOptions(concurrency: concurrency),
            folder
        )
    }

    /// Makes Envoys speak with one another at files, which only we may reach; anybody could speak at
    /// the abstract addresses that they use otherwise, and end an Envoy or take its listeners.
    static func restartOptions(_ socketPath: String?) -> [String] {
        socketPath.map { ["--socket-path", $0, "--socket-mode", "600"] } ?? []
    }

    /// Makes Envoy read the bootstrap of `slot` and end: with code 0 when it is right.
    func checkCommand(_ folder: ProxyFolder, _ slot: EnvoySlot) -> Command {
        command(["--mode", "validate", "-c", folder.bootstrapPath(slot), "-l", "error"], folder)
    }

    private func command(_ options: [String], _ folder: ProxyFolder) -> Command {
        Command(
            arguments: [envoyPath] + options,
            environment: Command.ownEnvironment.merging([Command.mark: stateDirectory]) { $1 },
            directory: folder.path,
            outlivesUs: true
        )
    }

    /// The options that are the same for every start of a proxy.
    func envoyOptions(concurrency: Int) -> [String] {
        let drainSeconds = max(1, drainTime.components.seconds)
        return [
            "--concurrency", "\(concurrency)",
            "--drain-time-s", "\(drainSeconds)",
            // What a listener changes, such as X-Ray's sampling rules, is for new connections: the
            // others end with their next answer, where Envoy would spread that over the drain time.
            "--drain-strategy", "immediate",
            // An Envoy that takes over ends the other then.
            "--parent-shutdown-time-s", "\(drainSeconds + Self.extraDrainSeconds)",
            "-l", logLevel,
            // While the control plane is away, health discovery tries again about twice a second
            // and logs each time, 90 MB a day.
            "--component-log-level", "upstream:error",
            "--skip-deprecated-logs",
            // Access logs within a second, not ten.
            "--file-flush-interval-msec", "1000",
        ]
    }

    /// From the end of the drain time, when every answer closes its connection, to Envoy's end.
    static let extraDrainSeconds: Int64 = 3

    /// When an Envoy from which another took over should have ended.
    var predecessorLimit: Duration {
        .seconds(max(1, drainTime.components.seconds) + Self.extraDrainSeconds + 5)
    }

    /// How Envoy's life goes; App Mesh's agent kills 3 s after the end of the drain time.
    var envoyPolicy: ProcessLifecycle.Policy {
        ProcessLifecycle.Policy(
            hasReadiness: true,
            drainTime: drainTime,
            killAfter: .seconds(3),
            canBeReplaced: true
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
