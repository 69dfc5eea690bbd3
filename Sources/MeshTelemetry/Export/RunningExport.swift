internal import AWSClient
internal import FoundationEssentials
internal import HTTPClient
internal import MeshModel
internal import Synchronization

/// Where a mesh's telemetry goes.
enum ExportDestination: Hashable, Sendable {
    case xRay
    case cloudWatch
    case cloudWatchLogs
    case openTelemetry(url: String)

    /// Its name in the annotation, in conditions and metrics.
    var name: String {
        switch self {
        case .xRay: "x-ray"
        case .cloudWatch: "cloudwatch"
        case .cloudWatchLogs: "cloudwatch-logs"
        case .openTelemetry: "otlp"
        }
    }

    /// All that a mesh asks for.
    static func all(of export: TelemetryExport) -> [ExportDestination] {
        var all: [ExportDestination] = []
        if export.xRay { all.append(.xRay) }
        if export.cloudWatch { all.append(.cloudWatch) }
        if export.cloudWatchLogs { all.append(.cloudWatchLogs) }
        if let url = export.openTelemetryURL { all.append(.openTelemetry(url: url)) }
        return all
    }

    /// Whether a mesh asks for it.
    func isAsked(by export: TelemetryExport) -> Bool { Self.all(of: export).contains(self) }
}

extension TelemetryExport {
    /// Whether access logs go anywhere.
    var takesLogs: Bool { cloudWatchLogs || openTelemetryURL != nil }
}

/// What exports are made with.
struct ExportSenders: Sendable {
    var client: AWSClient
    var configuration: AWSConfiguration
    var http: HTTPClient
    var cloudWatchNamespace: String
    /// Where places in access logs are kept.
    var folder: String
    var time: ExportTime

    /// The export of a mesh to a destination.
    func export(of mesh: String, to destination: ExportDestination) -> RunningExport {
        switch destination {
        case .xRay:
            let sender = XRaySender(client: client, configuration: configuration)
            return RunningExport(
                destination,
                segments: ExportQueue(.xRay, time: time) { await sender.send($0) }
            )
        case .cloudWatch:
            let sender = CloudWatchSender(
                client: client,
                configuration: configuration,
                namespace: cloudWatchNamespace
            )
            return RunningExport(
                destination,
                metrics: ExportQueue(.cloudWatch, time: time) { await sender.send($0) }
            )
        case .cloudWatchLogs:
            let sender = CloudWatchLogsSender(
                client: client,
                configuration: configuration,
                group: CloudWatchLogsSender.group(ofMesh: mesh),
                wallSeconds: time.wallSeconds
            )
            let places = placesPath(mesh, destination)
            return RunningExport(
                destination,
                logs: LogShipper(.cloudWatchLogs, placesPath: places, time: time) {
                    await sender.send($0)
                }
            )
        case .openTelemetry(let url):
            let sender = OpenTelemetrySender(url: url, http: http)
            let places = placesPath(mesh, destination)
            return RunningExport(
                destination,
                spans: ExportQueue(.openTelemetrySpans, time: time) { await sender.send($0) },
                logs: LogShipper(.openTelemetryLogs, placesPath: places, time: time) {
                    await sender.send($0)
                }
            )
        }
    }

    private func placesPath(_ mesh: String, _ destination: ExportDestination) -> String {
        let name = mesh.unicodeScalars.map { scalar in
            scalar.properties.isAlphabetic || scalar.properties.numericType != nil
                || "-_.".unicodeScalars.contains(scalar) ? String(scalar) : "%\(scalar.value)"
        }
        return "\(folder)/\(destination.name).\(name.joined()).json"
    }
}

/// One destination of one mesh's telemetry, and what waits for it.
final class RunningExport: Sendable {
    let destination: ExportDestination
    /// Access logs; nil where they do not go there.
    let logs: LogShipper?
    private let segments: ExportQueue<SegmentItem>?
    private let spans: ExportQueue<SpanItem>?
    private let metrics: ExportQueue<MetricItem>?
    private let appMesh = Mutex(AppMeshMetrics())

    init(
        _ destination: ExportDestination,
        segments: ExportQueue<SegmentItem>? = nil,
        spans: ExportQueue<SpanItem>? = nil,
        metrics: ExportQueue<MetricItem>? = nil,
        logs: LogShipper? = nil
    ) {
        self.destination = destination
        self.segments = segments
        self.spans = spans
        self.metrics = metrics
        self.logs = logs
    }

    /// How much was sent, and given up, and what is wrong, of all that goes there.
    var states: [ExportState] {
        [segments?.state, spans?.state, metrics?.state, logs?.queue.state].compactMap(\.self)
    }

    /// Whether traces go there.
    var takesSpans: Bool { segments != nil || spans != nil }

    /// Takes spans; `document` is the segment that they came as.
    func take(_ received: [Span], document: String?) {
        spans?.add(received.map(SpanItem.init))
        guard let segments else { return }
        let documents = document.map { [$0] } ?? received.map(XRaySegment.document(of:))
        segments.add(documents.map(SegmentItem.init))
    }

    /// Takes a mesh's part of an interval.
    func take(_ interval: TrafficInterval, of mesh: ObjectID) {
        guard let metrics else { return }
        var part = interval
        part.resources.removeAll { $0.owner.mesh != mesh }
        part.targets.removeAll { $0.source.mesh != mesh }
        metrics.add(appMesh.withLock { $0.items(of: part) })
    }

    /// Takes nothing more; `run` ends when what waits is sent, or after a few seconds.
    func finish() {
        segments?.finish()
        spans?.finish()
        metrics?.finish()
        logs?.finish()
    }

    /// Sends until `finish`, or the task is cancelled.
    ///
    /// - Parameter reported: Is called after each request.
    func run(reported: @escaping @Sendable () -> Void) async {
        await withTaskGroup { group in
            if let segments { group.addTask { await segments.run(reported: reported) } }
            if let spans { group.addTask { await spans.run(reported: reported) } }
            if let metrics { group.addTask { await metrics.run(reported: reported) } }
            if let logs { group.addTask { await logs.run(reported: reported) } }
        }
    }
}
