internal import EnvoySupervisor
internal import FoundationEssentials
internal import HTTPClient
internal import Logging
internal import MeshModel
internal import MeshPlan
internal import MeshTelemetry
internal import ServiceLifecycle
internal import Synchronization
internal import XDSServer

/// What happens in the mesh: takes what proxies tell of traffic and traces, keeps it, and sends on what
/// meshes export.
final class DaemonTelemetry: Service {
    /// What statistics of proxies tell.
    let traffic: TrafficBoard
    /// What became of exports, each time that it changes.
    var observations: AsyncStream<[ObjectID: TelemetryObservation]> { exporter.observations }

    private struct State {
        var names = AuditNames()
        var nodes: [ObjectID: TrafficNodeStatus] = [:]
        /// What virtual nodes and gateways are called in traces, by `<namespace>/<name>`, and by their
        /// names where these are unique.
        var services: [String: String] = [:]
        var audit = AuditBook()
    }

    /// How often what was allowed comes into the audit.
    private static let auditInterval = Duration.seconds(5)

    private let state: Board
    private let rounds: TrafficRounds
    private let store: TelemetryStore
    private let exporter: TelemetryExporter
    private let xRay: XRayReceiver?
    private let openTelemetry: OpenTelemetryReceiver?
    /// Without the steps of services that start and stop.
    private let quietLogger: Logger

    /// What several threads share.
    private final class Board: Sendable {
        let value = Mutex(State())
    }

    /// Makes what takes telemetry once it runs.
    ///
    /// - Parameters:
    ///   - xRayAddress: Where it takes segments over UDP; nil is nowhere.
    ///   - openTelemetryAddress: Where it takes OTLP over gRPC; nil is nowhere.
    ///   - folder: The state directory.
    ///   - processLog: The file with a proxy's output.
    ///   - logger: Where to report to.
    init(
        xRayAddress: TelemetryEndpoint?,
        openTelemetryAddress: TelemetryEndpoint?,
        folder: String,
        processLog: @escaping @Sendable (ProxyID) -> String?,
        logger: Logger
    ) {
        let state = Board()
        var quietLogger = logger
        quietLogger.logLevel = max(logger.logLevel, .notice)
        self.quietLogger = quietLogger
        let traffic = TrafficBoard(timeSeconds: Self.timeSeconds)
        let store = TelemetryStore(
            folder: folder,
            nowSeconds: { Self.timeSeconds },
            logger: logger
        )
        let exporter = TelemetryExporter(
            stateDirectory: folder,
            environment: ProcessInfo.processInfo.environment,
            traffic: traffic,
            processLog: processLog
        )
        let take: @Sendable (ReceivedSpans) -> Void = { received in
            store.take(received.spans)
            exporter.take(received)
        }
        self.state = state
        self.traffic = traffic
        self.store = store
        self.exporter = exporter
        rounds = TrafficRounds(
            traffic,
            nodes: { state.value.withLock { $0.nodes } },
            timeSeconds: { Self.timeSeconds }
        )
        xRay = xRayAddress.map {
            XRayReceiver(address: $0, logger: logger, take: take)
        }
        openTelemetry = openTelemetryAddress.map {
            OpenTelemetryReceiver(
                address: $0,
                logger: logger,
                onListen: pauseWithoutDescriptors,
                take: take
            )
        }
    }

    /// Takes a new plan, and what was observed.
    func update(_ plan: Plan, _ world: World, _ proxies: ProxyReport) {
        traffic.update(plan.topology)
        let nodes = TrafficNodeStatus.all(plan, proxies)
        let names = AuditNames(plan.topology)
        let services = plan.topology.services
        state.value.withLock { state in
            state.names = names
            state.nodes = nodes
            state.services = services
            state.audit.forget(allBut: names)
        }
        exporter.update(
            meshes: world.meshes.values.reduce(into: [:]) { meshes, mesh in
                meshes[mesh.id] = ExportingMesh(
                    name: mesh.spec.awsName,
                    export: mesh.spec.export
                )
            },
            topology: plan.topology
        )
    }

    /// Takes a call that access control refused, or would have.
    func take(_ call: DeniedCall) {
        let record = state.value.withLock { $0.audit.record(call, $0.names) }
        if let record { store.record([record]) }
    }

    /// Takes and sends until graceful shutdown.
    func run() async throws {
        let receivers: [(any Service)?] = [xRay, openTelemetry]
        // In the order of start; they stop in reverse, so that what came last is kept and sent too.
        let services: [any Service] =
            [store, exporter, ClosureService { await self.audit() }, rounds]
            + receivers.compactMap(\.self)
        let group = ServiceGroupConfiguration(
            services: services.map {
                ServiceGroupConfiguration.ServiceConfiguration(
                    service: $0,
                    failureTerminationBehavior: .gracefullyShutdownGroup
                )
            },
            logger: quietLogger
        )
        try await ServiceGroup(configuration: group).run()
    }

    /// Brings what was allowed into the audit, and what is left at the end.
    private func audit() async {
        await cancelWhenGracefulShutdown {
            while (try? await Task.sleep(for: Self.auditInterval)) != nil { self.auditTraffic() }
        }
        auditTraffic()
    }

    private func auditTraffic() {
        let records = state.value.withLock {
            $0.audit.allowed(traffic, timeSeconds: Self.timeSeconds)
        }
        store.record(records)
    }

    /// In seconds since 1970.
    private static var timeSeconds: Double { Date.now.timeIntervalSince1970 }
}

extension DaemonTelemetry {
    /// What the local API shows of it.
    func sources(_ tap: TapHub, _ accessLogs: AccessLogReader) -> TelemetrySources {
        TelemetrySources(
            map: { self.rounds.current },
            mapChanges: { self.rounds.maps() },
            traces: { query in
                var query = query
                query.service = query.service.map(self.service(named:))
                return try await self.store.traces(query)
            },
            spans: { try await self.store.spans(of: $0) },
            traceIDs: { try await self.store.traceIDs(prefix: $0) },
            audit: { query in
                var query = query
                query.service = query.service.map(self.service(named:))
                return try await self.store.audit(query)
            },
            tap: { try await tap.tap($0, $1, $2) },
            hasAccessLog: { accessLogs.hasLog($0) },
            accessLog: { _ = try await accessLogs.read($0, tailLines: $1, follow: $2, $3) }
        )
    }

    /// What the API shows of the telemetry of a cluster: who was refused.
    ///
    /// Proxies' statistics, traces and logs stay in their Pods.
    var sourcesOfCluster: TelemetrySources {
        TelemetrySources(
            map: { self.rounds.current },
            mapChanges: { self.rounds.maps() },
            audit: { query in
                var query = query
                query.service = query.service.map(self.service(named:))
                return try await self.store.audit(query)
            }
        )
    }

    /// What a virtual node or gateway is called in traces and in the audit.
    private func service(named name: String) -> String {
        state.value.withLock { $0.services[name] ?? name }
    }

    /// What `/metrics` shows of it.
    func addTo(_ monitoring: inout MonitoringSources) {
        monitoring.addTraffic = { self.traffic.writeMetrics(to: &$0) }
        monitoring.exports = { self.exporter.counts }
        monitoring.spansNotKept = { self.store.counts.dropped }
        monitoring.spans = {
            let all = [("x-ray", self.xRay?.counts), ("otlp", self.openTelemetry?.counts)]
            return all.compactMap { name, counts in
                counts.map {
                    SpanCount(
                        protocolName: name,
                        received: $0.received,
                        malformed: $0.malformed,
                        dropped: $0.dropped
                    )
                }
            }
        }
    }
}

extension TrafficNodeStatus {
    /// How each virtual node and virtual gateway is.
    fileprivate static func all(
        _ plan: Plan,
        _ report: ProxyReport
    ) -> [ObjectID: TrafficNodeStatus] {
        let proxies = Dictionary(grouping: report.entries, by: \.owner)
        var nodes: [ObjectID: TrafficNodeStatus] = [:]
        for place in plan.topology.proxies.values where nodes[place.owner] == nil {
            let conditions = plan.statuses[place.owner]?.conditions ?? []
            let bad = conditions.first { $0.status == .false }
            let own = proxies[place.owner] ?? []
            nodes[place.owner] = TrafficNodeStatus(
                mesh: place.meshName,
                proxies: own.count,
                readyProxies: own.count { $0.state.verdict == .good },
                problem: bad.map { "\($0.reason): \($0.message)" },
                isRefused: conditions.contains {
                    $0.type == "ConfigAccepted" && $0.status == .false
                }
            )
        }
        return nodes
    }
}

extension MeshTopology {
    /// `<mesh>/<node>` of each virtual node and virtual gateway, by how its object is called.
    fileprivate var services: [String: String] {
        var services: [String: String] = [:]
        var owners: [String: Set<ObjectID>] = [:]
        for place in proxies.values {
            let service = "\(place.meshName)/\(place.ownerName)"
            services["\(place.owner.namespace)/\(place.owner.name)"] = service
            owners[place.owner.name, default: []].insert(place.owner)
        }
        for (name, alike) in owners {
            guard alike.count == 1, let owner = alike.first else { continue }
            services[name] = services["\(owner.namespace)/\(owner.name)"]
        }
        return services
    }
}
