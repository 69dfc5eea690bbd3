internal import EnvoySupervisor
internal import FoundationEssentials
internal import Glibc
public import Logging
internal import MeshIdentity
internal import MeshModel
internal import MeshPlan
internal import MeshSources
internal import MeshTelemetry
internal import ServiceLifecycle
internal import Synchronization
internal import UnixSignals
internal import XDSServer

/// Runs a mesh on this host until SIGINT, SIGTERM, SIGHUP or SIGQUIT, and leaves no process behind unless
/// `keepsProxies`.
///
/// - Parameters:
///   - configuration: How to run.
///   - logger: Where to report to; `print` is for people.
///   - print: Takes the lines that say what happens.
/// - Throws: `DaemonError` when it can't start, and what ends it.
public func runDaemon(
    _ configuration: DaemonConfiguration,
    logger: Logger,
    print: @escaping @Sendable (String) -> Void
) async throws {
    // A reader of our output that goes away must not end the mesh.
    signal(SIGPIPE, SIG_IGN)
    raiseDescriptorLimit()
    for path in configuration.paths where access(path, F_OK) != 0 {
        throw DaemonError("cannot read \(path): no such file or folder; correct the path")
    }
    let state = try StateDirectory(configuration.stateDirectory)
    let reservation = try AddressReservation(configuration.addressRanges)
    defer { withExtendedLifetime(reservation) {} }
    let metrics = DaemonMetrics()
    let telemetry = DaemonTelemetry(
        xRayAddress: configuration.xRayAddress,
        openTelemetryAddress: configuration.openTelemetryAddress,
        folder: state.path,
        processLog: { EnvoySupervisor.envoyLogPath(of: $0, stateDirectory: state.path) },
        logger: logger
    )
    let store = SnapshotStore(
        report: { metrics.count($0) },
        audit: { telemetry.take($0) }
    )
    let xds = try XDSService(socketPath: state.xdsSocketPath, store: store, logger: logger)
    let usages = UsageBoard()
    let sizing = SizingKeeper(
        folder: state.path,
        nowSeconds: { Date.now.timeIntervalSince1970 },
        logger: logger
    )
    let isAdopting = Atomic(true)
    let supervisor = makeSupervisor(
        configuration,
        state,
        logger,
        authorize: { proxy, token in
            if let token {
                let isAdopted = isAdopting.load(ordering: .acquiring)
                store.authorize(token: token, for: proxy, isAdopted: isAdopted)
            } else {
                store.revoke(proxy)
            }
        },
        report: { proxy, report in usages.take(proxy, report, sizing) },
        statistics: { telemetry.traffic.take($0, $1, $2, askedAt: $3) }
    )
    let adopted = supervisor.adopt()
    isAdopting.store(false, ordering: .releasing)
    if let path = configuration.sdsSocketPath, access(path, F_OK) != 0 {
        print(
            "warning: --sds-socket \(path): no such file; start the SDS server, as what it has is "
                + "missing until then"
        )
    }
    let identities = try IdentityKeeper(
        IdentityConfiguration(
            stateDirectory: state.path,
            certificateLifetime: configuration.certificateLifetime,
            broughtAuthority: configuration.authority
        ),
        privateAuthority: ACMPrivateCAClient(),
        now: { .seconds(Date.now.timeIntervalSince1970) },
        logger: logger,
        publish: { store.publish(secrets: $0) },
        isDistributed: { store.areSecretsDistributed }
    )
    let source = FolderSource(
        paths: configuration.paths,
        excluded: state.path,
        logger: logger
    )
    // Versions go on growing over restarts.
    let firstVersion = Int(Date.now.timeIntervalSince1970 * 1000)
    let api = APIState(
        firstVersion: firstVersion,
        events: EventLog(
            path: "\(state.path)/events.jsonl",
            firstVersion: firstVersion,
            logger: logger
        )
    )
    var monitoring = MonitoringSources()
    monitoring.daemon = { metrics.current }
    monitoring.apiResponses = { api.responseCounts }
    telemetry.addTo(&monitoring)
    let taps = TapHub(
        feed: store.requests,
        adopted: adopted.keys,
        requestsPerSecond: { usages.current[$0]?.requestsPerSecond },
        setRuntime: { supervisor.setRuntime($0, of: $1) }
    )
    let accessLogs = AccessLogReader(supervisor)
    let apiService = makeAPIService(
        api,
        configuration,
        state,
        logger,
        supervisor,
        store,
        identities,
        monitoring,
        telemetry.sources(taps, accessLogs)
    ) {
        let running = supervisor.current.filter { $0.value.process.phase == .running }
        return usages.current.filter { running[$0.key] != nil }
    }
    let plans = PlanKeeper(state: state, logger: logger)
    let lastGood = LastGoodKeeper(
        store: store,
        supervisor: supervisor,
        xdsSocketPath: state.xdsSocketPath,
        sdsSocketPath: configuration.sdsSocketPath,
        logger: logger
    )
    let report = Mutex(
        RunReport(
            paths: configuration.paths,
            clientOptions: configuration.clientOptions,
            adopted: adopted.count,
            page: configuration.apiAddress.map { "http://\($0)/" }
        )
    )
    let reconciler = Reconciler(
        worlds: source.worlds,
        store: store,
        host: LocalProxies(
            supervisor: supervisor,
            state: state,
            plans: plans,
            lastGood: lastGood,
            sizing: sizing,
            adopted: adopted,
            logger: logger
        ),
        identities: identities,
        state: state,
        sizing: sizing,
        record: { api.events.record($0) },
        telemetry: telemetry,
        options: PlanOptions(
            addressRanges: configuration.addressRanges,
            assumesServing: false,
            lowestPort: lowestPort(),
            probesGRPC: configuration.envoy.probesGRPC,
            connectsAfterHandshake: configuration.envoy.connectsAfterHandshake,
            certificateLifetime: configuration.certificateLifetime,
            hasExternalSecrets: configuration.sdsSocketPath != nil,
            xRayEndpoint: configuration.xRayAddress ?? .xRay,
            openTelemetryEndpoint: configuration.openTelemetryAddress ?? .openTelemetry
        ),
        nowSeconds: { Int(Date.now.timeIntervalSince1970) },
        metrics: metrics,
        show: { world, plan, observations, rolledOut in
            usages.forget(unless: { plan.proxies[$0] != nil })
            accessLogs.setPaths(plan.proxies.compactMapValues(\.accessLogPath))
            let proxies = ProxyReport(
                plan,
                observations,
                world,
                workingDirectory: FileManager.default.currentDirectoryPath
            )
            telemetry.update(plan, world, proxies)
            api.publish(
                objects: world.unorderedObjects,
                statuses: plan.statuses,
                problems: plan.problemsOfNoObject,
                certificates: CertificateReport(plan, observations.identity),
                proxies: proxies
            )
            report.withLock { $0.lines(world, plan, observations) }.forEach(print)
            if let rolledOut { print(rolledOut) }
        },
        stopping: {
            print(
                configuration.keepsProxies
                    ? "stopping; proxies and applications go on, and the next heddle run takes them over"
                    : "stopping; requests under way may take \(configuration.drainTime) to finish"
            )
        },
        logger: logger
    )
    // In the order of start; they stop in reverse.
    let services: [any Service] = [
        telemetry, xds, identities, supervisor, apiService, plans, lastGood, sizing, source,
        reconciler,
    ]
    var group = ServiceGroupConfiguration(
        services: services.map {
            ServiceGroupConfiguration.ServiceConfiguration(
                service: $0,
                failureTerminationBehavior: .gracefullyShutdownGroup
            )
        },
        gracefulShutdownSignals: endingSignals(),
        logger: logger
    )
    group.maximumGracefulShutdownDuration = configuration.drainTime + .seconds(20)
    print("heddle on Envoy \(configuration.envoy.version), state in \(state.path)")
    try await ServiceGroup(configuration: group).run()
}

/// The supervisor of a daemon.
private func makeSupervisor(
    _ configuration: DaemonConfiguration,
    _ state: StateDirectory,
    _ logger: Logger,
    authorize: @escaping @Sendable (ProxyID, String?) -> Void,
    report: @escaping @Sendable (ProxyID, UsageReport) -> Void,
    statistics: @escaping StatisticsReport
) -> EnvoySupervisor {
    let bootstraps = BootstrapMemo()
    return EnvoySupervisor(
        configuration: SupervisorConfiguration(
            envoyPath: configuration.envoy.path,
            stateDirectory: state.path,
            xdsSocketPath: state.xdsSocketPath,
            drainTime: configuration.drainTime,
            shutdownDrainTime: configuration.drainTime,
            keepsProxies: configuration.keepsProxies,
            statisticsFilter: TrafficBoard.filter,
            logSizeBytes: configuration.logSizeBytes
        ),
        bootstrap: { proxy, parameters in
            var parameters = parameters
            parameters.sdsSocketPath = configuration.sdsSocketPath
            parameters.memoryLimitBytes = proxy.resources.memoryLimitBytes
            parameters.statistics = proxy.statistics
            do {
                return try bootstraps.text(of: proxy, parameters)
            } catch {
                logger.error(
                    "no bootstrap",
                    metadata: ["proxy": "\(proxy.id)", "error": "\(error)"]
                )
                return []
            }
        },
        authorize: { proxy, token in
            if token == nil { bootstraps.forget(proxy) }
            authorize(proxy, token)
        },
        report: report,
        statistics: statistics,
        logger: logger
    )
}

/// The local API of a daemon.
private func makeAPIService(
    _ api: APIState,
    _ configuration: DaemonConfiguration,
    _ state: StateDirectory,
    _ logger: Logger,
    _ supervisor: EnvoySupervisor,
    _ store: SnapshotStore,
    _ identities: IdentityKeeper,
    _ monitoring: MonitoringSources,
    _ telemetry: TelemetrySources,
    usage: @escaping UsageSource
) -> APIService {
    APIService(
        state: api,
        socketPath: state.apiSocketPath,
        address: configuration.apiAddress,
        logs: { workload, container, tailLines, follow in
            supervisor.log(
                of: ProxyID(workload),
                kind: container == "application" ? .application : .envoy,
                tailLines: tailLines,
                follow: follow
            )
        },
        rotation: { try await identities.rotate($0) },
        accessCounts: { AccessCount.all(of: store) },
        usage: usage,
        upgrade: { proxies, tell in
            var begin = ContinuousClock.now
            for await step in supervisor.upgrade(proxies).cancelOnGracefulShutdown() {
                // Others were before it.
                if step.step == .started { begin = .now }
                let serving = supervisor.current[step.proxy]?.process
                try await tell(ProxyUpgradeStep(step, serving, since: .now - begin))
            }
        },
        monitoring: monitoring,
        telemetry: telemetry,
        logger: logger
    )
}

/// Allows as many open files as the system lets us: each proxy takes a few.
func raiseDescriptorLimit() {
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
    // Applications inherit it, and some go through all that they might have.
    limit.rlim_cur = min(limit.rlim_max, 65_536)
    _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
}

extension AccessCount {
    /// What proxies of `store` refused, or would have.
    static func all(of store: SnapshotStore) -> [AccessCount] {
        store.denials.flatMap { proxy, denials in
            denials.map { denial, count in
                AccessCount(
                    proxy: proxy,
                    caller: denial.caller,
                    verdict: denial.verdict.rawValue,
                    count: count
                )
            }
        }
    }
}

extension Plan {
    /// The errors that no object's condition shows, such as those of a file that does not parse.
    var problemsOfNoObject: [String] {
        diagnostics.filter { diagnostic in
            diagnostic.severity == .error && diagnostic.object.map { statuses[$0] == nil } ?? true
        }
        .map(\.description)
    }
}

/// The signals that end the mesh in order; a terminal that closes says SIGHUP, unless `nohup` has
/// that ignored.
private func endingSignals() -> [UnixSignal] {
    var action = sigaction()
    sigaction(SIGHUP, nil, &action)
    let isIgnored = unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self) == 1
    return [.sigint, .sigterm, .sigquit] + (isIgnored ? [] : [.sighup])
}

/// The lowest port that this process may listen on; nil is any.
private func lowestPort() -> Port? {
    guard geteuid() != 0 else { return nil }
    let file = "/proc/sys/net/ipv4/ip_unprivileged_port_start"
    let text = (try? String(contentsOfFile: file, encoding: .utf8)) ?? ""
    return Port(Int(text.filter(\.isNumber)) ?? 1024)
}
