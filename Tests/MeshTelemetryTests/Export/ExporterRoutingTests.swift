import AWSClient
import Foundation
import HTTPClient
import MeshModel
import MeshTesting
import Synchronization
import Testing

@testable import MeshTelemetry

/// What goes to which mesh's destinations, and what is made of traffic, without AWS.
@Suite struct ExporterRoutingTests {
    private let demo = ObjectID(.mesh, ObjectReference(name: "demo"))
    private let shop = ObjectID(.mesh, ObjectReference(name: "shop"))

    private func span(_ service: String, _ number: Int = 1) -> Span {
        Span(
            traceID: "6ab00000" + String(format: "%024x", number),
            spanID: String(format: "%016x", number),
            name: "GET /",
            service: service,
            kind: .server,
            startMicroseconds: 1_790_000_000_000_000,
            durationMicroseconds: 1500,
            status: 200
        )
    }

    private func exporter(_ meshes: [ObjectID: ExportingMesh]) -> TelemetryExporter {
        let exporter = TelemetryExporter(stateDirectory: "/nonexistent", environment: [:])
        exporter.update(meshes: meshes, topology: MeshTopology())
        return exporter
    }

    private func waiting(_ exporter: TelemetryExporter, _ mesh: ObjectID) -> [Int] {
        exporter.exports(of: mesh).map { $0.states.reduce(0) { $0 + $1.count } }
    }

    @Test func `spans go to the mesh that their service names`() {
        let exporter = exporter([
            demo: ExportingMesh(name: "demo_mesh", export: TelemetryExport(xRay: true)),
            shop: ExportingMesh(
                name: "shop",
                export: TelemetryExport(openTelemetryURL: "http://127.0.0.1:1")
            ),
        ])
        exporter.take(
            ReceivedSpans(spans: [
                span("demo_mesh/blue"), span("shop/a"), span("shop/b"), span("other/x"),
                span("demo_mesh"),
            ])
        )
        #expect(waiting(exporter, demo) == [1])
        #expect(waiting(exporter, shop) == [2])
    }

    @Test func `spans of no known mesh go to the only one that exports traces`() {
        let exporter = exporter([
            demo: ExportingMesh(name: "demo", export: TelemetryExport(xRay: true)),
            shop: ExportingMesh(name: "shop", export: TelemetryExport(cloudWatch: true)),
        ])
        exporter.take(ReceivedSpans(spans: [span("front-end"), span("shop/a")]))
        exporter.take(ReceivedSpans(spans: [span("front-end"), span("x")], segmentDocument: "{}"))
        // A mesh that is known and does not ask for it is not exported.
        #expect(waiting(exporter, demo) == [2])
        #expect(waiting(exporter, shop) == [0])
    }

    @Test func `an update starts and ends exports, and keeps those that stay`() {
        let exporter = exporter([:])
        #expect(exporter.counts.isEmpty)
        var mesh = ExportingMesh(name: "demo", export: TelemetryExport(xRay: true))
        exporter.update(meshes: [demo: mesh], topology: MeshTopology())
        exporter.take(ReceivedSpans(spans: [span("demo/a")]))
        mesh.export.cloudWatch = true
        exporter.update(meshes: [demo: mesh], topology: MeshTopology())
        #expect(waiting(exporter, demo) == [1, 0])
        #expect(exporter.counts.map(\.exporter) == ["cloudwatch", "x-ray"])
        mesh.export.xRay = false
        exporter.update(meshes: [demo: mesh], topology: MeshTopology())
        #expect(exporter.counts.map(\.exporter) == ["cloudwatch"])
        exporter.update(meshes: [:], topology: MeshTopology())
        #expect(exporter.counts.isEmpty)
    }

    @Test func `access logs are looked for when something changed, of those who export them`() {
        let asked = Mutex(0)
        let exporter = TelemetryExporter(stateDirectory: "/nonexistent", environment: [:]) { _ in
            asked.withLock { $0 += 1 }
            return nil
        }
        var mesh = ExportingMesh(name: "demo", export: TelemetryExport(cloudWatch: true))
        var topology = MeshTopology()
        let id = ProxyID(ObjectReference(namespace: "ns", name: "a-1"))
        topology.proxies[id] = ProxyTopology(
            mesh: demo,
            meshName: "demo",
            owner: ObjectID(.virtualNode, ObjectReference(namespace: "ns", name: "a")),
            ownerName: "a_ns",
            accessLogPath: "/dev/stdout"
        )
        func lookups() -> Int {
            exporter.update(meshes: [demo: mesh], topology: topology)
            return asked.withLock { $0 }
        }
        #expect(lookups() == 0)
        mesh.export.cloudWatchLogs = true
        #expect(lookups() == 1)
        #expect(lookups() == 1)
        topology.proxies[id]?.ownerName = "b_ns"
        #expect(lookups() == 2)
    }

    @Test func `files of access logs are named by who writes them`() {
        func proxy(_ name: String, _ path: String?, _ kind: Kind = .virtualNode) -> ProxyTopology {
            ProxyTopology(
                mesh: demo,
                meshName: "demo",
                owner: ObjectID(kind, ObjectReference(namespace: "ns", name: name)),
                ownerName: name + "_ns",
                accessLogPath: path
            )
        }
        var topology = MeshTopology()
        let proxies = [
            proxy("blue", "/var/log/blue.log"), proxy("blue", "/var/log/blue.log"),
            proxy("green", "/var/log/shared.log"), proxy("red", "/var/log/shared.log"),
            proxy("gate", "/dev/stdout", .virtualGateway), proxy("quiet", nil),
            proxy("nothing", "/dev/null"),
        ]
        for (number, proxy) in proxies.enumerated() {
            let id = ProxyID(ObjectReference(namespace: "ns", name: "w\(number)"))
            topology.proxies[id] = proxy
        }
        #expect(topology.logSources(of: [shop]) { _ in nil }.isEmpty)
        let all = topology.logSources(of: [demo]) { "/state/\($0.workload.name).log" }
        let sources = all[demo] ?? [:]
        #expect(
            sources.mapValues(\.stream) == [
                "/var/log/blue.log": "ns/blue", "/var/log/shared.log": "/var/log/shared.log",
                "/state/w4.log": "ns/gate",
            ]
        )
        #expect(sources.filter(\.value.isMixed).keys.sorted() == ["/state/w4.log"])
        #expect(
            sources["/state/w4.log"]?.attributes == [
                "appmesh.mesh": "demo", "appmesh.virtual_gateway": "gate_ns",
                "service.name": "demo/gate_ns", "service.namespace": "ns",
            ]
        )
    }

    @Test func `open connections are told once more when the last is closed`() {
        let owner = TrafficInterval.Owner(
            mesh: demo,
            meshName: "demo",
            id: ObjectID(.virtualGateway, ObjectReference(namespace: "ns", name: "gate")),
            name: "gäte"
        )
        var metrics = AppMeshMetrics()
        func items(_ connections: Int) -> [MetricItem] {
            var resource = TrafficInterval.Resource(owner: owner)
            resource.activeConnections = connections
            return metrics.items(
                of: TrafficInterval(fromSeconds: 0, toSeconds: 60, resources: [resource])
            )
        }
        #expect(items(0).isEmpty)
        let first = items(2)
        #expect(first.map(\.name) == ["envoy.appmesh.ActiveConnectionCount"])
        // CloudWatch takes ASCII only.
        #expect(
            first.first?.dimensions == [
                .init(name: "Mesh", value: "demo"), .init(name: "VirtualGateway", value: "g?te"),
            ]
        )
        #expect(items(0).map(\.values) == [[.init(value: 0, count: 1)]])
        #expect(items(0).isEmpty)
    }

    @Test(arguments: [(0, []), (150, [150]), (151, [150, 1]), (301, [150, 150, 1])])
    func `latencies are split where a request has too many values`(count: Int, sizes: [Int]) {
        let owner = TrafficInterval.Owner(
            mesh: demo,
            meshName: "demo",
            id: ObjectID(.virtualNode, ObjectReference(namespace: "ns", name: "a")),
            name: "a"
        )
        var target = TrafficInterval.Target(source: owner, target: "b", services: [], isHTTP: true)
        target.latencies = (0..<count).map { .init(milliseconds: Double($0) + 0.125, count: 2) }
        var metrics = AppMeshMetrics()
        let items = metrics.items(
            of: TrafficInterval(fromSeconds: 0, toSeconds: 60, targets: [target])
        )
        #expect(items.map(\.values.count) == sizes)
        // What an item is said to take is no less than what it takes.
        for item in items {
            var form = AWSForm("", version: "")
            let empty = form.body.count
            item.write(to: &form, index: 1000)
            #expect(form.body.count - empty <= item.byteCount)
        }
    }
}
