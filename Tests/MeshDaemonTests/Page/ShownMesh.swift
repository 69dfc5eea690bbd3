import Foundation
import Logging
import MeshModel
import MeshTelemetry
import ServiceLifecycle
import Synchronization

@testable import MeshDaemon

/// A mesh that the local API shows, with what a test says happens in it.
final class ShownMesh: Sendable {
    /// The objects.
    let state = APIState(firstVersion: 100)
    private let traffic = Mutex(Traffic())

    private struct Traffic {
        var map = ServiceMap()
        var watchers: [AsyncStream<ServiceMap>.Continuation] = []
        var spans: [Span] = []
    }

    /// A clients' call of front, which splits color between blue and green.
    init() {
        publish()
        show(Self.map(green: 0.1))
    }

    /// Publishes the objects; what is refused is of green.
    func publish(refusal: String? = nil) {
        let names = ["front", "blue", "green"]
        var statuses: [ObjectID: ObjectStatus] = [:]
        for name in names {
            let message = name == "green" ? refusal : nil
            statuses[nodeID(name)] = status(
                "ConfigAccepted",
                message == nil ? .true : .false,
                reason: message == nil ? "Accepted" : "ConfigurationRefused",
                message: message ?? "Its proxy took all that it was sent."
            )
        }
        state.publish(
            objects: [mesh("colors")] + names.map { withAccessLog(virtualNode($0)) },
            statuses: statuses,
            proxies: ProxySample().report
        )
    }

    /// A virtual node whose proxies log requests.
    private func withAccessLog(_ object: MeshObject) -> MeshObject {
        guard case .virtualNode(var node) = object else { return object }
        var document = node.manifest.document
        document["spec"]?["logging"] = ["accessLog": ["file": ["path": "/dev/stdout"]]]
        node.manifest = Manifest(document: document)
        return .virtualNode(node)
    }

    /// Shows `map` to all who watch, and to those who come.
    func show(_ map: ServiceMap) {
        let watchers = traffic.withLock { traffic in
            traffic.map = map
            return traffic.watchers
        }
        for watcher in watchers { watcher.yield(map) }
    }

    /// Keeps the spans of one trace.
    func trace(_ spans: [Span]) { traffic.withLock { $0.spans = spans } }

    private var sources: TelemetrySources {
        TelemetrySources(
            map: { self.traffic.withLock { $0.map } },
            mapChanges: {
                let (stream, watcher) = AsyncStream.makeStream(of: ServiceMap.self)
                self.traffic.withLock { traffic in
                    watcher.yield(traffic.map)
                    traffic.watchers.append(watcher)
                }
                return stream
            },
            traces: { _ in
                let spans = self.traffic.withLock { $0.spans }
                guard let first = spans.first else { return [] }
                return [
                    TraceSummary(
                        traceID: first.traceID,
                        name: first.name,
                        service: first.service,
                        startMicroseconds: first.startMicroseconds,
                        durationMicroseconds: first.durationMicroseconds ?? 0,
                        spanCount: spans.count,
                        services: Set(spans.map(\.service)).sorted(),
                        status: first.status,
                        isError: spans.contains(where: \.isError)
                    )
                ]
            },
            spans: { _ in self.traffic.withLock { $0.spans } },
            hasAccessLog: { _ in true },
            accessLog: { _, _, _, write in
                try await write(Array("[time] \"GET /<b>bold</b> HTTP/1.1\" 503 UF 0\n".utf8))
            }
        )
    }

    /// Serves the API while `body` runs, with the TCP port.
    func serving(port: Int = 0, _ body: (_ port: Int) async throws -> Void) async throws {
        let directory = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let (ready, listening) = AsyncStream.makeStream(of: Int.self)
        let service = APIService(
            state: state,
            socketPath: directory.appending(path: "api.sock").path(),
            address: HostAndPort(host: "127.0.0.1", port: port),
            logs: { _, _, _, _ in AsyncStream { $0.finish() } },
            telemetry: sources,
            logger: Logger(label: "test"),
            onListening: { port in if let port { listening.yield(port) } }
        )
        try await withThrowingTaskGroup(of: Void.self) { group in
            let services = ServiceGroup(services: [service], logger: Logger(label: "test"))
            group.addTask { try await services.run() }
            var ports = ready.makeAsyncIterator()
            let port = await ports.next() ?? 0
            do {
                try await body(port)
            } catch {
                await services.triggerGracefulShutdown()
                throw error
            }
            await services.triggerGracefulShutdown()
            try await group.waitForAll()
        }
    }

    // MARK: Maps

    /// A map in which green has that share of color's requests, and 1 % more is seen.
    static func map(
        green: Double,
        health: ServiceMap.Health = .healthy,
        problem: String? = nil
    ) -> ServiceMap {
        let (front, blue, other) = (id("front"), id("blue"), id("green"))
        func node(_ name: String, _ rate: Double) -> ServiceMap.Node {
            ServiceMap.Node(
                id: id(name),
                kind: "VirtualNode",
                mesh: "colors",
                namespace: "demo",
                name: name,
                health: name == "green" ? health : .healthy,
                problem: name == "green" ? problem : nil,
                proxies: 1,
                readyProxies: 1,
                traffic: requests(rate)
            )
        }
        func edge(_ target: String, _ rate: Double) -> ServiceMap.Edge {
            ServiceMap.Edge(
                source: front,
                target: target,
                services: ["color.demo"],
                port: 8080,
                security: .mutualTLS,
                health: .healthy,
                traffic: requests(rate)
            )
        }
        func split(_ target: String, _ share: Double, _ seen: Double) -> ServiceMap.Split {
            ServiceMap.Split(
                service: "color.demo",
                route: "canary",
                target: target,
                share: share,
                observedShare: seen
            )
        }
        return ServiceMap(
            timeSeconds: Date.now.timeIntervalSince1970,
            windowSeconds: 10,
            nodes: [
                node("front", 100), node("blue", 100 * (1 - green)), node("green", 100 * green),
            ],
            edges: [edge(blue, 100 * (1 - green)), edge(other, 100 * green)],
            splits: [split(blue, 1 - green, 0.99 - green), split(other, green, green + 0.01)]
        )
    }

    /// A map of so many nodes, each called by one or two before it.
    static func map(nodes count: Int) -> ServiceMap {
        let name = { (number: Int) in "node-\(number)" }
        var edges: [ServiceMap.Edge] = []
        for number in 1..<max(count, 1) {
            let callers: Set<Int> = [(number - 1) / 3, number * 7 / 10]
            for caller in callers.sorted() {
                edges.append(
                    ServiceMap.Edge(
                        source: id(name(caller)),
                        target: id(name(number)),
                        health: .healthy,
                        traffic: requests(1)
                    )
                )
            }
        }
        return ServiceMap(
            timeSeconds: Date.now.timeIntervalSince1970,
            nodes: (0..<count).map { number in
                ServiceMap.Node(
                    id: id(name(number)),
                    kind: "VirtualNode",
                    mesh: "colors",
                    namespace: "demo",
                    name: name(number),
                    health: .healthy,
                    traffic: requests(1)
                )
            },
            edges: edges
        )
    }

    /// A virtual node's id in a map.
    static func id(_ name: String) -> String { "virtualnode/demo/\(name)" }

    private static func requests(_ rate: Double) -> MeshTelemetry.Traffic {
        var traffic = MeshTelemetry.Traffic()
        traffic.requests = Int(rate * 60)
        traffic.requestsPerSecond = rate
        traffic.successRate = 1
        traffic.latencyMilliseconds = MeshTelemetry.Traffic.Quantiles(p50: 1, p95: 3, p99: 5)
        return traffic
    }
}
