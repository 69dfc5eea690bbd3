internal import CProcess
internal import FoundationEssentials
internal import Glibc
internal import KubernetesAPI
public import Logging
internal import MeshAdmission
internal import MeshIdentity
internal import MeshModel
internal import MeshPlan
internal import MeshSources
internal import MeshTelemetry
internal import ServiceLifecycle
internal import Synchronization
internal import UnixSignals
internal import XDSServer

/// Runs the mesh of a Kubernetes cluster until SIGINT or SIGTERM.
///
/// - Parameters:
///   - configuration: How to run.
///   - logger: Where to report to.
/// - Throws: `DaemonError` when it can't start, and what ends it.
public func runController(_ configuration: ControllerConfiguration, logger: Logger) async throws {
    signal(SIGPIPE, SIG_IGN)
    raiseDescriptorLimit()
    // Each plan of a large cluster takes and gives back a hundred megabytes, on whichever thread it is.
    cprocess_limit_arenas(2)
    let settings = try InjectionSettings(at: configuration.injectionSettingsPath)
    let cluster = try configuration.cluster()
    let state = try StateDirectory(configuration.stateDirectory)
    let client = KubernetesClient(
        cluster,
        options: KubernetesClient.Options(version: heddleVersion),
        logger: logger
    )
    if settings.tracing.enabled, settings.tracing.isAddressOfEachPod {
        logger.warning(
            "tracing.address differs from Pod to Pod and has no effect; name a Service",
            metadata: ["address": "\(settings.tracing.address)"]
        )
    }
    let controller = try Controller(configuration, cluster, state, settings, client, logger)
    try await controller.run()
}

/// The parts of a controller, made in the order in which they need each other.
private struct Controller {
    let configuration: ControllerConfiguration
    let state: StateDirectory
    let settings: InjectionSettings
    let client: KubernetesClient
    let logger: Logger
    /// The namespace of the Lease and of the authority's Secret.
    let namespace: String
    let serviceName: String
    let metrics = DaemonMetrics()
    let telemetry: DaemonTelemetry
    let connections: ConnectionWatch
    let store: SnapshotStore
    let source: KubernetesSource
    let election: LeaderElection
    let writer: KubernetesWriter
    let sharedRefusals: SharedRefusals
    let api: APIState
    /// What the webhooks decide by, planned or not.
    let world = NewestWorld()
    let beginning = Beginning()

    /// How far the start has come, for those who ask meanwhile.
    final class Beginning: Sendable {
        struct State {
            var problem: String?
            var identities: IdentityKeeper?
            var xds: RemoteXDSService?
            /// Nil where no webhooks are served.
            var bundles: CABundleKeeper?
        }

        let state = Mutex(State())
    }

    init(
        _ configuration: ControllerConfiguration,
        _ cluster: KubernetesConfiguration,
        _ state: StateDirectory,
        _ settings: InjectionSettings,
        _ client: KubernetesClient,
        _ logger: Logger
    ) throws {
        self.configuration = configuration
        self.state = state
        self.settings = settings
        self.client = client
        self.logger = logger
        namespace = configuration.namespace ?? cluster.namespace
        serviceName = configuration.serviceName ?? "heddle.\(namespace).svc"
        let telemetry = DaemonTelemetry(
            xRayAddress: nil,
            openTelemetryAddress: nil,
            folder: state.path,
            processLog: { _ in nil },
            logger: logger
        )
        self.telemetry = telemetry
        connections = ConnectionWatch(logger: logger)
        let metrics = metrics
        store = SnapshotStore(
            report: { metrics.count($0) },
            audit: { telemetry.take($0) }
        )
        source = KubernetesSource(client: client, logger: logger)
        // A Pod that starts anew has its old name, and is another replica.
        let identity = "\(ProcessInfo.processInfo.hostName)_\(UUID().uuidString)"
        let election = LeaderElection(
            client: client,
            key: ObjectKey(namespace: namespace, name: configuration.leaseName),
            identity: identity,
            logger: logger
        )
        self.election = election
        writer = KubernetesWriter(
            client: client,
            source: source,
            leadershipEnd: { election.leadershipEnd },
            logger: logger
        )
        sharedRefusals = SharedRefusals(
            client: client,
            key: ObjectKey(
                namespace: namespace,
                name: "\(configuration.leaseName)-refusals"
            ),
            replica: identity,
            nowSeconds: { Int(Date.now.timeIntervalSince1970) },
            logger: logger
        )
        let firstVersion = Int(Date.now.timeIntervalSince1970 * 1000)
        api = APIState(
            firstVersion: firstVersion,
            events: EventLog(
                path: "\(state.path)/events.jsonl",
                firstVersion: firstVersion,
                logger: logger
            )
        )
    }

    /// Runs until a signal: one is heard, and health told, before the API server has ever answered.
    func run() async throws {
        var group = self.group([apiService, ClosureService { try await serve() }])
        group.gracefulShutdownSignals = [.sigint, .sigterm]
        group.maximumGracefulShutdownDuration = .seconds(20)
        try await ServiceGroup(configuration: group).run()
    }

    private func group(_ services: [any Service]) -> ServiceGroupConfiguration {
        ServiceGroupConfiguration(
            services: services.map {
                ServiceGroupConfiguration.ServiceConfiguration(
                    service: $0,
                    failureTerminationBehavior: .gracefullyShutdownGroup
                )
            },
            logger: logger
        )
    }

    /// Begins once the API server answers, and serves until shutdown.
    private func serve() async throws {
        let version: String
        let authority: ClusterAuthority
        do {
            (version, authority) = try await cancelWhenGracefulShutdown {
                (
                    // Whoever looks at `/readyz` gets to know soon why nothing happens.
                    try await asked {
                        try await client.serverVersion(deadline: .now + .seconds(5))
                    },
                    try await asked { try await clusterAuthority() }
                )
            }
        } catch is CancellationError {
            return logger.notice("controller stops")
        }
        try await serve(version, authority)
    }

    @inline(never)
    private func clusterAuthority() async throws -> ClusterAuthority {
        try await ClusterAuthority(
            secret: ObjectKey(namespace: namespace, name: configuration.authoritySecret),
            client: client,
            stateDirectory: state.path,
            now: { .seconds(Date.now.timeIntervalSince1970) },
            logger: logger
        )
    }

    private func serve(_ version: String, _ authority: ClusterAuthority) async throws {
        let services = try services(version, authority)
        logger.notice(
            "controller starts",
            metadata: [
                "server": "\(version)", "namespace": "\(namespace)", "service": "\(serviceName)",
            ]
        )
        try await ServiceGroup(configuration: group(services)).run()
    }

    /// All that serves.
    ///
    /// The optimizer of Swift 6.3.1 crashes while it splits an asynchronous function into which this is
    /// inlined.
    @inline(never)
    private func services(
        _ version: String,
        _ authority: ClusterAuthority
    ) throws -> [any Service] {
        let serving = try ServingCertificates(
            ServingCertificates.Configuration(
                authority: authority.files,
                secret: "\(namespace)/\(configuration.authoritySecret)",
                dnsNames: servingNames
            ),
            now: { .seconds(Date.now.timeIntervalSince1970) },
            logger: logger
        )
        let identities = try identityKeeper(authority)
        let sizing = SizingKeeper(
            folder: state.path,
            nowSeconds: { Date.now.timeIntervalSince1970 },
            logger: logger
        )
        let xds = try RemoteXDSService(xdsConfiguration(serving), store: store, logger: logger)
        beginning.state.withLock { $0.xds = xds }
        let keeper = CABundleKeeper(
            client: client,
            name: configuration.webhookConfiguration,
            roots: { serving.current.authorities },
            leadershipEnd: { election.leadershipEnd },
            logger: logger
        )
        // In the order of start; they stop in reverse. Who writes ends before the Lease is given back.
        var services: [any Service] = [
            telemetry, authority, serving, xds, identities, sizing, election,
            ClosureService { await tell(keeper) },
            ClosureService {
                for await _ in serving.changes.cancelOnGracefulShutdown() { keeper.look() }
            },
            writer, sharedRefusals, keeper,
        ]
        if let address = configuration.webhookAddress {
            beginning.state.withLock { $0.bundles = keeper }
            services.append(webhooks(at: address, serving, version))
        }
        services += [connections, source, reconciler(identities, sizing)]
        return services
    }

    private func identityKeeper(_ authority: ClusterAuthority) throws -> IdentityKeeper {
        let identities = try IdentityKeeper(
            IdentityConfiguration(
                stateDirectory: state.path,
                certificateLifetime: configuration.certificateLifetime,
                broughtAuthority: authority.files,
                sharedSecret: "\(namespace)/\(configuration.authoritySecret)"
            ),
            now: { .seconds(Date.now.timeIntervalSince1970) },
            logger: logger,
            publish: { [store] in store.publish(secrets: $0) },
            isDistributed: { [store] in store.areSecretsDistributed }
        )
        beginning.state.withLock { $0.identities = identities }
        return identities
    }

    /// Asks the cluster's server until it answers: a cluster may start with Heddle.
    @inline(never)
    private func asked<Value>(_ request: () async throws -> Value) async throws -> Value {
        while true {
            do {
                let value = try await request()
                beginning.state.withLock { $0.problem = nil }
                return value
            } catch let error as KubernetesError where error.kind == .unreachable {
                try Task.checkCancellation()
                let problem = "the API server does not answer: \(error)"
                let isNews = beginning.state.withLock { state in
                    defer { state.problem = problem }
                    return state.problem != problem
                }
                if isNews {
                    logger.warning(
                        "the API server does not answer",
                        metadata: ["error": "\(error)"]
                    )
                }
                try await Task.sleep(for: .seconds(1))
            }
        }
    }

    /// The names that the certificate of Heddle's servers has.
    private var servingNames: [String] {
        let parts = serviceName.split(separator: ".").map(String.init)
        guard parts.count >= 3, parts[2] == "svc" else { return [serviceName, "localhost"] }
        return ServingCertificates.Configuration.dnsNames(service: parts[0], namespace: parts[1])
    }

    private func xdsConfiguration(
        _ serving: ServingCertificates
    ) -> RemoteXDSService.Configuration {
        RemoteXDSService.Configuration(
            host: configuration.xdsAddress.host,
            port: UInt16(configuration.xdsAddress.port),
            audience: settings.token.audience,
            takesClientCertificates: configuration.takesClientCertificates,
            certificate: { serving.current },
            review: { [client, settings] token in
                let audiences = [settings.token.audience]
                // The server of xDS waits for ten: a request that is cancelled tells nothing of its
                // connection.
                let deadline = ContinuousClock.now + .seconds(8)
                return try await client.review(
                    token: token,
                    audiences: audiences,
                    deadline: deadline
                ).map {
                    PodIdentity(
                        namespace: $0.namespace,
                        serviceAccount: $0.serviceAccount,
                        podName: $0.podName,
                        podUID: $0.podUID
                    )
                }
            }
        )
    }

    private func webhooks(
        at address: HostAndPort,
        _ serving: ServingCertificates,
        _ version: String
    ) -> WebhookServer {
        var settings = settings
        settings.kubernetesVersion = version
        settings.heddleVersion = heddleVersion
        return WebhookServer(
            address: address,
            controller: AdmissionController(
                settings: settings,
                bootstrap: bootstraps(serving).bootstrap
            ),
            certificate: {
                let current = serving.current
                return WebhookCertificate(
                    chain: current.chain,
                    privateKey: current.privateKey
                )
            },
            world: world,
            logger: logger
        )
    }

    private func bootstraps(_ serving: ServingCertificates) -> PodBootstraps {
        PodBootstraps(
            controlPlane: PodBootstraps.ControlPlane(
                host: serviceName,
                port: Port(configuration.xdsAddress.port) ?? .xds,
                serverName: serviceName,
                agentAddress: settings.ipFamily == .ipv6 ? "::" : "0.0.0.0"
            ),
            roots: { serving.current.authorities },
            mesh: { [world] reference in world.current?.meshes[reference] }
        )
    }

    private var apiService: APIService {
        var monitoring = MonitoringSources()
        monitoring.daemon = { [metrics] in metrics.current }
        monitoring.apiResponses = { [api] in api.responseCounts }
        monitoring.addCluster = { [client, source, writer, election, beginning] text in
            text.add(client.requestCounts)
            text.add(source.readings)
            text.add(writer.counts)
            text.addLeadership(election.leadershipEnd != nil)
            let xds = beginning.state.withLock { $0.xds }
            text.addRefusedConnections(xds?.refusedConnections ?? 0)
        }
        telemetry.addTo(&monitoring)
        return APIService(
            state: api,
            socketPath: state.apiSocketPath,
            address: configuration.httpAddress,
            isForThisHost: true,
            logs: { _, _, _, _ in
                throw APIFailure.badRequest("logs of Pods are with kubelet; use kubectl logs")
            },
            rotation: { [beginning] request in
                guard let identities = beginning.state.withLock({ $0.identities }) else {
                    throw APIFailure.badRequest("there are no certificates yet; try again")
                }
                return try await identities.rotate(request)
            },
            accessCounts: { [store] in AccessCount.all(of: store) },
            monitoring: monitoring,
            telemetry: telemetry.sourcesOfCluster,
            waiting: { [source, beginning] in
                let (problem, bundles) = beginning.state.withLock { ($0.problem, $0.bundles) }
                if let problem { return [problem] }
                let unread = source.readings.filter { $0.isEssential && !$0.isListed }.map {
                    "\($0.resource) are not listed yet" + ($0.problem.map { ": \($0)" } ?? "")
                }
                return unread + (bundles?.waiting ?? [])
            },
            logger: logger
        )
    }

    /// Has those who write look at once when this replica begins to lead.
    private func tell(_ keeper: CABundleKeeper) async {
        for await _ in election.changes.cancelOnGracefulShutdown() {
            writer.leadershipChanged()
            keeper.look()
        }
    }

    private func reconciler(_ identities: IdentityKeeper, _ sizing: SizingKeeper) -> Reconciler {
        let report = Mutex(ProblemLog())
        return Reconciler(
            worlds: source.worlds,
            complete: { [settings, world] arrived in
                let complete = arrived.tracing(by: settings.tracing)
                world.show(complete)
                return complete
            },
            store: store,
            host: PodProxies(source: source, store: store),
            identities: identities,
            state: state,
            sharedRefusals: sharedRefusals,
            sizing: sizing,
            record: { [api, writer] events in
                api.events.record(events)
                writer.record(events)
            },
            telemetry: telemetry,
            options: PlanOptions(
                assumesServing: false,
                isInCluster: true,
                certificateLifetime: configuration.certificateLifetime,
                hasExternalSecrets: settings.sds.enabled
            ),
            nowSeconds: { Int(Date.now.timeIntervalSince1970) },
            metrics: metrics,
            show: {
                [api, telemetry, connections, writer, logger] newest, plan, observations, _ in
                connections.take(plan, observations)
                let proxies = ProxyReport(plan, observations, newest, workingDirectory: "/")
                telemetry.update(plan, newest, proxies)
                api.publish(
                    objects: newest.unorderedObjects,
                    statuses: plan.statuses,
                    problems: plan.problemsOfNoObject,
                    certificates: CertificateReport(plan, observations.identity),
                    proxies: proxies
                )
                writer.write(plan.statuses)
                report.withLock { $0.log(plan.diagnostics, logger) }
            },
            stopping: { [logger] in logger.notice("controller stops") },
            logger: logger
        )
    }
}
