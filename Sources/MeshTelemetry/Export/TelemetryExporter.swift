internal import AWSClient
public import HTTPClient
public import MeshModel
public import ServiceLifecycle
internal import Synchronization

/// A mesh, and what of it leaves this host.
public struct ExportingMesh: Hashable, Sendable {
    /// Its name in App Mesh's dimensions and tags, `awsName`.
    public var name: String
    /// Where its telemetry goes; empty for nowhere.
    public var export: TelemetryExport

    /// Makes a mesh.
    public init(name: String, export: TelemetryExport) {
        self.name = name
        self.export = export
    }
}

/// How much of a mesh's telemetry was exported.
public struct ExportCount: Hashable, Sendable {
    /// The mesh's name, `awsName`.
    public var mesh: String
    /// `x-ray`, `cloudwatch`, `cloudwatch-logs` or `otlp`.
    public var exporter: String
    /// Segments, spans, metrics or lines that the receiver took.
    public var sent: Int
    /// Those that were given up: refused, too large, or too many while the receiver was down.
    public var dropped: Int

    /// Makes a count.
    public init(mesh: String, exporter: String, sent: Int, dropped: Int) {
        self.mesh = mesh
        self.exporter = exporter
        self.sent = sent
        self.dropped = dropped
    }
}

/// Sends the telemetry of meshes to where they ask for it: AWS X-Ray, CloudWatch, CloudWatch Logs, an
/// OpenTelemetry collector.
///
/// What waits is bounded for each mesh and exporter; the oldest is dropped first and counted. What
/// fails for the network, or for credentials and rights, is tried again, ever more seldom up to once a
/// minute. At the end what waits is sent for at most three seconds. AWS is not touched, nor are its
/// credentials looked for, where no mesh exports to it.
public final class TelemetryExporter: Service {
    private struct State {
        var meshes: [ObjectID: ExportingMesh] = [:]
        var exports: [ObjectID: [RunningExport]] = [:]
        /// Those that `run` has not begun.
        var new: [RunningExport] = []
        var senders: ExportSenders?
        var told: [ObjectID: TelemetryObservation] = [:]
        /// What `sources` were made of; nil where no mesh exports its access logs.
        var topology: MeshTopology?

        /// Whether these are what `update` got last, as far as anything is made of them.
        func isUpdated(_ meshes: [ObjectID: ExportingMesh], _ topology: MeshTopology) -> Bool {
            meshes == self.meshes && (self.topology == nil || self.topology == topology)
        }
    }

    /// What became of exports, each time that it changes: meshes of which nothing was tried yet have no
    /// entry.
    public let observations: AsyncStream<[ObjectID: TelemetryObservation]>

    private static let minute: Duration = .seconds(60)

    private let observed: AsyncStream<[ObjectID: TelemetryObservation]>.Continuation
    private let changes: AsyncStream<Void>
    private let changed: AsyncStream<Void>.Continuation
    private let state = Mutex(State())
    private let makeSenders: @Sendable () -> ExportSenders
    private let processLog: @Sendable (ProxyID) -> String?
    private let traffic: TrafficBoard?
    private let time: ExportTime

    /// Makes an exporter, which exports nothing before `update`.
    ///
    /// - Parameters:
    ///   - stateDirectory: Where it is kept up to where access logs were sent.
    ///   - environment: Where AWS' variables are looked for: credentials, region, endpoints.
    ///   - http: What sends requests.
    ///   - cloudWatchNamespace: The namespace of metrics; by default that of the CloudWatch agent, by
    ///     which App Mesh's metrics came to CloudWatch.
    ///   - time: Time and chance.
    ///   - traffic: Whose intervals are taken, one each minute; nil where the caller takes them.
    ///   - processLog: The file with a proxy's output, for access logs on `/dev/stdout`; nil where
    ///     there is none.
    public init(
        stateDirectory: String,
        environment: [String: String],
        http: HTTPClient = HTTPClient(),
        cloudWatchNamespace: String = "CWAgent",
        time: ExportTime = .system,
        traffic: TrafficBoard? = nil,
        processLog: @escaping @Sendable (ProxyID) -> String? = { _ in nil }
    ) {
        (observations, observed) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        (changes, changed) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        makeSenders = {
            ExportSenders(
                client: AWSClient(http: http, environment: environment),
                configuration: AWSConfiguration(environment: environment),
                http: http,
                cloudWatchNamespace: cloudWatchNamespace,
                folder: "\(stateDirectory)/telemetry",
                time: time
            )
        }
        self.processLog = processLog
        self.traffic = traffic
        self.time = time
    }

    /// How much was sent and dropped by each export that runs, sorted by mesh and exporter.
    public var counts: [ExportCount] {
        let (meshes, exports) = state.withLock { ($0.meshes, $0.exports) }
        let counts = exports.flatMap { id, exports in
            exports.map { export in
                ExportCount(
                    mesh: meshes[id]?.name ?? id.name,
                    exporter: export.destination.name,
                    sent: export.states.reduce(0) { $0 + $1.sent },
                    dropped: export.states.reduce(0) { $0 + $1.dropped }
                )
            }
        }
        return counts.sorted { ($0.mesh, $0.exporter) < ($1.mesh, $1.exporter) }
    }

    /// What runs for a mesh.
    func exports(of mesh: ObjectID) -> [RunningExport] {
        state.withLock { $0.exports[mesh] ?? [] }
    }

    /// Exports from now on what these meshes ask for; what is new starts, and what is gone ends when
    /// what waits is sent.
    ///
    /// - Parameters:
    ///   - meshes: All meshes, also those that export nothing.
    ///   - topology: Whose access logs are where.
    public func update(meshes: [ObjectID: ExportingMesh], topology: MeshTopology) {
        // A copy, as proxies that stay are compared in no time and others are not.
        let known = state.withLock { $0 }
        guard !known.isUpdated(meshes, topology) else { return }
        let shipping = Set(meshes.filter { $1.export.takesLogs }.keys)
        let sources = topology.logSources(of: shipping, processLog: processLog)
        let ended = state.withLock { state in
            var ended: [RunningExport] = []
            for (id, old) in state.exports {
                let mesh = meshes[id]
                let isRenamed = mesh?.name != state.meshes[id]?.name
                let kept = old.filter { export in
                    !isRenamed && mesh.map { export.destination.isAsked(by: $0.export) } == true
                }
                ended += old.filter { export in !kept.contains { $0 === export } }
                state.exports[id] = kept.isEmpty ? nil : kept
            }
            for (id, mesh) in meshes where !mesh.export.isEmpty {
                let there = state.exports[id, default: []].map(\.destination)
                let senders = state.senders ?? makeSenders()
                state.senders = senders
                let new = ExportDestination.all(of: mesh.export).filter { !there.contains($0) }
                    .map { senders.export(of: mesh.name, to: $0) }
                state.exports[id, default: []] += new
                state.new += new
            }
            state.meshes = meshes
            state.topology = shipping.isEmpty ? nil : topology
            for (id, exports) in state.exports {
                for export in exports { export.logs?.follow(sources[id] ?? [:]) }
            }
            return ended
        }
        for export in ended { export.finish() }
        changed.yield()
        tell()
    }

    /// Takes traces: each to the mesh that its service names (`<mesh>/<node>`), those of no known mesh
    /// to the only one that exports traces, if there is one.
    public func take(_ received: ReceivedSpans) {
        let (meshes, exports) = state.withLock { ($0.meshes, $0.exports) }
        guard !exports.isEmpty else { return }
        let byName = Dictionary(meshes.map { ($1.name, $0) }) { first, _ in first }
        let tracing = exports.filter { $1.contains { $0.takesSpans } }
        func mesh(of span: Span) -> ObjectID? {
            let name = span.service.prefix { $0 != "/" }
            if name.count < span.service.count, let id = byName[String(name)] { return id }
            return tracing.count == 1 ? tracing.first?.key : nil
        }
        if let document = received.segmentDocument {
            guard let first = received.spans.first, let id = mesh(of: first) else { return }
            for export in tracing[id] ?? [] { export.take(received.spans, document: document) }
            return
        }
        for (id, spans) in Dictionary(grouping: received.spans, by: mesh) {
            guard let id else { continue }
            for export in tracing[id] ?? [] { export.take(spans, document: nil) }
        }
    }

    /// Takes what happened in an interval, of a minute as App Mesh's metrics have it.
    public func take(_ interval: TrafficInterval) {
        let exports = state.withLock { $0.exports }
        for (id, exports) in exports {
            for export in exports { export.take(interval, of: id) }
        }
    }

    /// Exports until graceful shutdown.
    public func run() async throws {
        await withDiscardingTaskGroup { group in
            let ending = Signal(isLatch: true)
            group.addTask { await self.measure(until: ending) }
            for await _ in changes.cancelOnGracefulShutdown() {
                let new = state.withLock { state in
                    defer { state.new = [] }
                    return state.new
                }
                for export in new {
                    group.addTask { await export.run { self.tell() } }
                }
            }
            ending.set()
        }
        observed.finish()
    }

    /// Takes what happened in each minute, and at the end in what there was of the last; then all
    /// exports finish.
    private func measure(until ending: Signal) async {
        var cursor: TrafficCursor?
        var end = time.now() + Self.minute
        var isOver = false
        while !isOver {
            isOver = await ending.wait(atMost: end - time.now(), time) || Task.isCancelled
            end += Self.minute
            guard let traffic else { continue }
            take(traffic.interval(since: &cursor, timeSeconds: time.wallSeconds()))
        }
        for export in state.withLock({ $0.exports.values.flatMap(\.self) }) { export.finish() }
    }

    /// Tells what became of exports, if that has changed.
    private func tell() {
        state.withLock { state in
            let observations = state.exports.compactMapValues { exports -> TelemetryObservation? in
                let states = exports.flatMap { export in
                    export.states.map { (name: export.destination.name, state: $0) }
                }
                guard states.contains(where: \.state.wasTried) else { return nil }
                let problems = states.compactMap { name, state in
                    state.problem.map { (name, $0) }
                }
                return TelemetryObservation(
                    problems: Dictionary(problems.map { ($0, $1.text) }) { first, _ in first },
                    isDenied: problems.contains { $0.1.isDenied }
                )
            }
            guard observations != state.told else { return }
            state.told = observations
            // Under the lock, so that the last one told is the newest.
            observed.yield(observations)
        }
    }
}
