import Foundation
import Logging
import MeshModel
import MeshPlan
import MeshTelemetry
import ServiceLifecycle
import Synchronization
import XDSServer

@testable import MeshDaemon

/// A daemon of which everything is known that `/metrics` tells, and whose services get more requests
/// each time that it is asked.
final class BusyMesh: Sendable {
    private struct Requests {
        var answered = 0
        var failed = 0
        var isBroken = false
    }

    private let requests = Mutex(Requests())
    private let daemon = DaemonMetrics()
    private let state = APIState(firstVersion: 100)

    init() {
        let (objects, statuses) = colors()
        let (plan, identity) = colorCertificates()
        var sample = ProxySample()
        sample.plan.proxies[proxyID("blue-1")]?.resources = SidecarResources(
            cpuLimitMillicores: 500,
            memoryLimitBytes: 256 << 20
        )
        state.publish(
            objects: objects,
            statuses: statuses,
            problems: ["mesh.yaml:3: no such kind"],
            certificates: CertificateReport(plan, identity),
            proxies: sample.report
        )
        daemon.reconciled(in: .milliseconds(7))
        for type in ResourceType.allCases {
            daemon.count(.sent(type))
            daemon.count(.accepted(type, after: .milliseconds(30)))
        }
        daemon.count(.refused(.listeners))
    }

    /// Has every second request to blue fail from now on, or none.
    func setBroken(_ isBroken: Bool) { requests.withLock { $0.isBroken = isBroken } }

    private var accessCounts: [AccessCount] {
        ["spiffe://colors/demo/x", ""].map { caller in
            AccessCount(proxy: proxyID("blue-1"), caller: caller, verdict: "denied", count: 3)
        }
    }

    private var monitoring: MonitoringSources {
        var sources = MonitoringSources()
        sources.daemon = { [daemon] in daemon.current }
        sources.apiResponses = { [200: 41, 404: 1, 500: 0] }
        sources.spans = {
            [
                SpanCount(protocolName: "x-ray", received: 20, malformed: 1),
                SpanCount(protocolName: "otlp", received: 5, malformed: 0),
            ]
        }
        sources.exports = {
            [ExportCount(mesh: "colors", exporter: "x-ray", sent: 20, dropped: 0)]
        }
        sources.addTraffic = { [self] text in addTraffic(to: &text) }
        return sources
    }

    /// A handler that shows it.
    var handler: APIHandler {
        var handler = MeshDaemonTests.handler(state)
        handler.usage = { sampleUsage }
        handler.accessCounts = { [self] in accessCounts }
        handler.monitoring = monitoring
        return handler
    }

    /// The text of `/metrics`.
    func metrics() async -> String {
        let response = await handler.respond(to: APIRequest(target: "/metrics"))
        guard case .bytes(let bytes) = response.body else { return "" }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Serves its API at a port of 127.0.0.1 while `body` runs.
    func serve(
        in folder: URL,
        _ body: (_ port: Int) async throws -> Void
    ) async throws {
        let (ports, listening) = AsyncStream.makeStream(of: Int.self)
        let service = APIService(
            state: state,
            socketPath: folder.appending(path: "api.sock").path(),
            address: HostAndPort(host: "127.0.0.1", port: 0),
            logs: { _, _, _, _ in AsyncStream { $0.finish() } },
            accessCounts: { [self] in accessCounts },
            usage: { sampleUsage },
            monitoring: monitoring,
            logger: Logger(label: "test"),
            onListening: { port in if let port { listening.yield(port) } }
        )
        try await withThrowingTaskGroup(of: Void.self) { group in
            let services = ServiceGroup(services: [service], logger: Logger(label: "test"))
            group.addTask { try await services.run() }
            for await port in ports {
                try await body(port)
                break
            }
            await services.triggerGracefulShutdown()
            try await group.waitForAll()
        }
    }

    // MARK: Traffic

    private func addTraffic(to text: inout MetricsText) {
        let requests = requests.withLock { requests in
            requests.answered += 100
            requests.failed += requests.isBroken ? 100 : 0
            return requests
        }
        let blue: MetricLabels = [
            "appmesh_mesh": "colors", "appmesh_virtual_node": "blue_demo", "namespace": "demo",
        ]
        let gate: MetricLabels = [
            "appmesh_mesh": "colors", "appmesh_virtual_gateway": "in_demo", "namespace": "demo",
            "target_virtual_node": "blue_demo", "target_virtual_service": "blue.demo",
        ]
        add(requests, "inbound", "request", blue, to: &text)
        add(requests, "outbound", "request", gate, to: &text)
        let others: [(name: String, type: MetricsText.MetricType)] = [
            ("retries_total", .counter), ("timeouts_total", .counter),
            ("connect_failures_total", .counter), ("connections", .gauge),
            ("ejections_total", .counter), ("ejected_hosts", .gauge),
        ]
        text.add("heddle_inbound_connections", .gauge, help: "Connections.", [(blue, 3)])
        for other in others {
            text.add("heddle_outbound_\(other.name)", other.type, help: "Calls.", [(gate, 0)])
        }
        text.add(
            "heddle_outbound_bytes_total",
            .counter,
            help: "Bytes.",
            ["sent", "received"].map { (gate.adding("direction", $0), 1000) }
        )
    }

    private func add(
        _ requests: Requests,
        _ direction: String,
        _ noun: String,
        _ labels: MetricLabels,
        to text: inout MetricsText
    ) {
        let classes = [("2xx", requests.answered), ("4xx", 0), ("5xx", requests.failed)]
        text.add(
            "heddle_\(direction)_requests_total",
            .counter,
            help: "Requests.",
            classes.map { (labels.adding("response_code_class", $0.0), Double($0.1)) }
        )
        var histogram = MetricHistogram(upperBounds: [0.01, 0.1, 1])
        histogram.record(0.05, count: requests.answered + requests.failed)
        text.addHistogram(
            "heddle_\(direction)_\(noun)_duration_seconds",
            help: "Durations.",
            [(labels, histogram)]
        )
    }
}

extension MetricLabels {
    fileprivate func adding(_ name: String, _ value: String) -> MetricLabels {
        var labels = self
        labels.append(name, value)
        return labels
    }
}
