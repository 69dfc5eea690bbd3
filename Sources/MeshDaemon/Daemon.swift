internal import EnvoySupervisor
internal import FoundationEssentials
internal import Glibc
public import Logging
internal import MeshIdentity
public import MeshModel
public import MeshPlan
internal import MeshSources
internal import ServiceLifecycle
internal import Synchronization
internal import UnixSignals
internal import XDSServer

/// How a daemon runs.
public struct DaemonConfiguration: Sendable {
    /// Folders and files of manifests.
    public var paths: [String]
    /// Where what outlives the daemon is kept.
    public var stateDirectory: String
    /// The Envoy that runs proxies.
    public var envoy: EnvoyBinary
    /// Where the local API listens beside its Unix socket; nil is nowhere.
    public var apiAddress: HostAndPort?
    /// Where proxies take their addresses from.
    public var addressRanges: AddressRanges
    /// For how long a removed proxy, or every one at the end, may finish its requests.
    public var drainTime: Duration
    /// How long a certificate lasts that Heddle issues.
    public var certificateLifetime: Duration
    /// The authority that signs those of meshes; nil is a root of Heddle's own.
    public var authority: FileCertificate?
    /// The Unix socket, absolute, of an SDS server that serves what manifests name by `sds`; nil is
    /// none.
    public var sdsSocketPath: String?
    /// Whether proxies and applications go on when the daemon ends.
    public var keepsProxies: Bool
    /// At how many bytes the log of a proxy or an application is put aside and begun anew.
    public var logSizeBytes: Int
    /// What the client commands need to reach this daemon, such as `--state-dir DIR`.
    public var clientOptions: String

    /// Makes a configuration.
    public init(
        paths: [String],
        stateDirectory: String,
        envoy: EnvoyBinary,
        apiAddress: HostAndPort?,
        addressRanges: AddressRanges = .loopback,
        drainTime: Duration = .seconds(20),
        certificateLifetime: Duration = .seconds(3600),
        authority: FileCertificate? = nil,
        sdsSocketPath: String? = nil,
        keepsProxies: Bool = false,
        logSizeBytes: Int = 10 << 20,
        clientOptions: String = ""
    ) {
        self.paths = paths
        self.stateDirectory = stateDirectory
        self.envoy = envoy
        self.apiAddress = apiAddress
        self.addressRanges = addressRanges
        self.drainTime = drainTime
        self.certificateLifetime = certificateLifetime
        self.authority = authority
        self.sdsSocketPath = sdsSocketPath
        self.keepsProxies = keepsProxies
        self.logSizeBytes = logSizeBytes
        self.clientOptions = clientOptions
    }
}

/// Runs a mesh on this host until SIGINT, SIGTERM, SIGHUP or SIGQUIT, and leaves no process behind.
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
    let store = SnapshotStore()
    let xds = try XDSService(socketPath: state.xdsSocketPath, store: store, logger: logger)
    let bootstraps = BootstrapMemo()
    let supervisor = EnvoySupervisor(
        configuration: SupervisorConfiguration(
            envoyPath: configuration.envoy.path,
            stateDirectory: state.path,
            xdsSocketPath: state.xdsSocketPath,
            drainTime: configuration.drainTime,
            shutdownDrainTime: configuration.drainTime
        ),
        bootstrap: { proxy, parameters in
            var parameters = parameters
            parameters.sdsSocketPath = configuration.sdsSocketPath
            parameters.memoryLimitBytes = proxy.resources.memoryLimitBytes
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
            if let token {
                store.authorize(token: token, for: proxy)
            } else {
                store.revoke(proxy)
                bootstraps.forget(proxy)
            }
        },
        logger: logger
    )
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
    let source = FolderSource(paths: configuration.paths, logger: logger)
    // Versions go on growing over restarts.
    let api = APIState(firstVersion: Int(Date.now.timeIntervalSince1970 * 1000))
    let apiService = APIService(
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
        accessCounts: {
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
        },
        logger: logger
    )
    let plans = PlanKeeper(stateDirectory: state.path, logger: logger)
    let report = Mutex(
        RunReport(paths: configuration.paths, clientOptions: configuration.clientOptions)
    )
    let reconciler = Reconciler(
        worlds: source.worlds,
        store: store,
        supervisor: supervisor,
        identities: identities,
        state: state,
        plans: plans,
        adopted: [:],
        options: PlanOptions(
            addressRanges: configuration.addressRanges,
            assumesServing: false,
            lowestPort: lowestPort(),
            probesGRPC: configuration.envoy.probesGRPC,
            connectsAfterHandshake: configuration.envoy.connectsAfterHandshake,
            certificateLifetime: configuration.certificateLifetime,
            hasExternalSecrets: configuration.sdsSocketPath != nil
        ),
        nowSeconds: { Int(Date.now.timeIntervalSince1970) },
        show: { world, plan, observations, rolledOut in
            api.publish(
                objects: world.objects,
                statuses: plan.statuses,
                problems: plan.problemsOfNoObject,
                certificates: CertificateReport(plan, observations.identity),
                proxies: ProxyReport(
                    plan,
                    observations,
                    world,
                    workingDirectory: FileManager.default.currentDirectoryPath
                )
            )
            report.withLock { $0.lines(world, plan, observations) }.forEach(print)
            if let rolledOut { print(rolledOut) }
        },
        stopping: {
            print("stopping; requests under way may take \(configuration.drainTime) to finish")
        },
        logger: logger
    )
    // In the order of start; they stop in reverse.
    let services: [any Service] = [
        xds, identities, supervisor, apiService, plans, source, reconciler,
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

/// Allows as many open files as the system lets us: each proxy takes a few.
private func raiseDescriptorLimit() {
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
    // Applications inherit it, and some go through all that they might have.
    limit.rlim_cur = min(limit.rlim_max, 65_536)
    _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
}

extension Plan {
    /// The errors that no object's condition shows, such as those of a file that does not parse.
    fileprivate var problemsOfNoObject: [String] {
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
