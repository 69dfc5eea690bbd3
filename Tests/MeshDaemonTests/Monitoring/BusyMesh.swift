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
    private let traffic = TrafficBoard(timeSeconds: 0)
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
        traffic.update(Self.topology)
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
        // Rules of a cluster ask for it.
        sources.addCluster = { $0.addLeadership(true) }
        sources.daemon = { [daemon] in daemon.current }
        sources.apiResponses = { [200: 41, 404: 1, 500: 0] }
        sources.spans = {
            [
                SpanCount(protocolName: "x-ray", received: 20, malformed: 1, dropped: 2),
                SpanCount(protocolName: "otlp", received: 5, malformed: 0, dropped: 0),
            ]
        }
        sources.spansNotKept = { 3 }
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

    private static let egress = "cds_egress_colors_blue_demo_http_8080"
    private static let ingress = "cds_ingress_colors_blue_demo_http_8080"

    /// The gateway `in` calls blue.
    private static var topology: MeshTopology {
        func place(_ kind: Kind, _ name: String) -> ProxyTopology {
            ProxyTopology(
                mesh: ObjectID(.mesh, ObjectReference(name: "colors")),
                meshName: "colors",
                owner: ObjectID(kind, ObjectReference(namespace: "demo", name: name)),
                ownerName: "\(name)_demo"
            )
        }
        var topology = MeshTopology()
        var gateway = place(.virtualGateway, "in")
        gateway.targets[egress] = TrafficTarget(
            destination: .virtualNode(nodeID("blue"), name: "blue_demo"),
            services: ["blue.demo"],
            port: Port(8080)
        )
        topology.proxies[proxyID("in-1")] = gateway
        var blue = place(.virtualNode, "blue")
        blue.applicationClusters = [ingress]
        topology.proxies[proxyID("blue-1")] = blue
        return topology
    }

    /// Has both proxies tell of more requests.
    private func addTraffic(to text: inout MetricsText) {
        let requests = requests.withLock { requests in
            requests.answered += 100
            requests.failed += requests.isBroken ? 100 : 0
            return requests
        }
        func answers(_ name: String, _ direction: String) -> String {
            """
            \(name).\(direction)_cx_active: 3
            \(name).\(direction)_cx_total: 3
            \(name).\(direction)_cx_rx_bytes_total: \(requests.answered)
            \(name).\(direction)_cx_tx_bytes_total: \(requests.answered)
            \(name).\(direction)_rq_2xx: \(requests.answered)
            \(name).\(direction)_rq_5xx: \(requests.failed)
            \(name).\(direction)_rq_completed: \(requests.answered + requests.failed)
            \(name).\(direction)_rq_time:
              totals=30,1:\(requests.answered + requests.failed)

            """
        }
        let time = ContinuousClock.now
        traffic.take(
            proxyID("in-1"),
            ProxyGeneration(pid: 2, startTicks: 1),
            answers("cluster.\(Self.egress)", "upstream"),
            askedAt: time
        )
        traffic.take(
            proxyID("blue-1"),
            ProxyGeneration(pid: 3, startTicks: 1),
            answers("cluster.\(Self.ingress)", "upstream")
                + answers("http.ingress", "downstream"),
            askedAt: time
        )
        traffic.writeMetrics(to: &text)
    }
}
