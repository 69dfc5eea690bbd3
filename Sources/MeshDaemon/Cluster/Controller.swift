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
    let api: APIState
    /// The newest world that was planned; nil before the first.
    let world = NewestWorld()

    /// What the webhooks decide by.
    final class NewestWorld: Sendable {
        let value = Mutex<World?>(nil)
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
        let election = LeaderElection(
            client: client,
            key: ObjectKey(namespace: namespace, name: configuration.leaseName),
            // A Pod that starts anew has its old name, and is another replica.
            identity: "\(ProcessInfo.processInfo.hostName)_\(UUID().uuidString)",
            logger: logger
        )
        self.election = election
        writer = KubernetesWriter(
            client: client,
            source: source,
            leadershipEnd: { election.leadershipEnd },
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

    /// Runs until a signal.
    func run() async throws {
        let version = try await serverVersion()
        let authority = try await ClusterAuthority(
            secret: ObjectKey(namespace: namespace, name: configuration.authoritySecret),
            client: client,
            stateDirectory: state.path,
            now: { .seconds(Date.now.timeIntervalSince1970) },
            logger: logger
        )
        let serving = try ServingCertificates(
            ServingCertificates.Configuration(
                authority: authority.files,
                secret: "\(namespace)/\(configuration.authoritySecret)",
                dnsNames: servingNames
            ),
            now: { .seconds(Date.now.timeIntervalSince1970) },
            logger: logger
        )
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
        let sizing = SizingKeeper(
            folder: state.path,
            nowSeconds: { Date.now.timeIntervalSince1970 },
            logger: logger
        )
        let xds = try RemoteXDSService(xdsConfiguration(serving), store: store, logger: logger)
        // In the order of start; they stop in reverse. Who writes ends before the Lease is given back.
        var services: [any Service] = [
            telemetry, authority, serving, xds, identities, sizing, election,
            ClosureService { await tellWriter() },
            apiService(identities), writer,
            CABundleKeeper(
                client: client,
                name: configuration.webhookConfiguration,
                roots: { serving.current.authorities },
                canWrite: { election.leadershipEnd != nil },
                logger: logger
            ),
        ]
        if let address = configuration.webhookAddress {
            services.append(webhooks(at: address, serving, version))
        }
        services += [connections, source, reconciler(identities, sizing)]
        var group = ServiceGroupConfiguration(
            services: services.map {
                ServiceGroupConfiguration.ServiceConfiguration(
                    service: $0,
                    failureTerminationBehavior: .gracefullyShutdownGroup
                )
            },
            gracefulShutdownSignals: [.sigint, .sigterm],
            logger: logger
        )
        group.maximumGracefulShutdownDuration = .seconds(20)
        logger.notice(
            "controller starts",
            metadata: [
                "server": "\(version)", "namespace": "\(namespace)", "service": "\(serviceName)",
            ]
        )
        try await ServiceGroup(configuration: group).run()
    }

    /// Asks for the version of the cluster's server until it answers: a cluster may start with Heddle.
    private func serverVersion() async throws -> String {
        var told: String?
        while true {
            do {
                return try await client.serverVersion()
            } catch let error as KubernetesError where error.kind == .unreachable {
                if told != error.problem {
                    logger.warning(
                        "the API server does not answer",
                        metadata: ["error": "\(error)"]
                    )
                }
                told = error.problem
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
            certificate: { serving.current },
            review: { [client, settings] token in
                let audiences = [settings.token.audience]
                return try await client.review(token: token, audiences: audiences).map {
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
            world: { [world] in world.value.withLock { $0 } },
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
            mesh: { [world] reference in world.value.withLock { $0?.meshes[reference] } }
        )
    }

    private func apiService(_ identities: IdentityKeeper) -> APIService {
        var monitoring = MonitoringSources()
        monitoring.daemon = { [metrics] in metrics.current }
        monitoring.apiResponses = { [api] in api.responseCounts }
        monitoring.addCluster = { [client, writer, election] text in
            text.add(client.requestCounts)
            text.add(writer.counts)
            text.addLeadership(election.leadershipEnd != nil)
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
            rotation: { try await identities.rotate($0) },
            accessCounts: { [store] in AccessCount.all(of: store) },
            monitoring: monitoring,
            telemetry: telemetry.sourcesOfCluster,
            logger: logger
        )
    }

    /// Has the writer look at once when this replica begins to lead.
    private func tellWriter() async {
        for await _ in election.changes.cancelOnGracefulShutdown() { writer.leadershipChanged() }
    }

    private func reconciler(_ identities: IdentityKeeper, _ sizing: SizingKeeper) -> Reconciler {
        let report = Mutex(ProblemLog())
        return Reconciler(
            worlds: source.worlds,
            complete: { [settings] in $0.tracing(by: settings.tracing) },
            store: store,
            host: PodProxies(source: source, store: store),
            identities: identities,
            state: state,
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
                [api, telemetry, connections, writer, world, logger] newest, plan, observations, _
                in
                world.value.withLock { $0 = newest }
                connections.take(plan, observations)
                let proxies = ProxyReport(plan, observations, newest, workingDirectory: "/")
                telemetry.update(plan, newest, proxies)
                api.publish(
                    objects: newest.objects,
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
