import Foundation
import MeshTesting
import Testing

@testable import MeshDaemon

/// What users copy: `Manifests/monitoring`.
enum MonitoringFiles {
    static let folder = URL(filePath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Manifests/monitoring")

    static func path(_ name: String) -> String { folder.appending(path: name).path() }

    static func text(_ name: String) throws -> String {
        try String(contentsOf: folder.appending(path: name), encoding: .utf8)
    }
}

/// Runs `body` with a folder that goes with it.
private func withFolder(_ body: (URL) async throws -> Void) async throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    try await body(folder)
}

/// Prometheus' own tools and a Prometheus take what Heddle serves and ships.
@Suite(.enabled(if: prometheusIsExpected), .serialized, .timeLimit(.minutes(2)))
struct `Prometheus` {
    @Test func `finds nothing to mend in the metrics`() async throws {
        let text = await BusyMesh().metrics()
        try await withFolder { folder in
            let file = folder.appending(path: "metrics")
            try text.write(to: file, atomically: true, encoding: .utf8)
            let result = try await promtool(["check", "metrics"], input: file.path())
            #expect(result.status == 0)
            #expect(result.output == "")
        }
    }

    @Test func `finds a metric whose name breaks its rules`() async throws {
        try await withFolder { folder in
            let file = folder.appending(path: "metrics")
            try "# TYPE a counter\na 1\n".write(to: file, atomically: true, encoding: .utf8)
            let result = try await promtool(["check", "metrics"], input: file.path())
            #expect(result.status != 0)
            #expect(result.output.contains("counter metrics should have \"_total\" suffix"))
        }
    }

    @Test(arguments: [
        ["check", "config", "prometheus.yaml"], ["check", "rules", "alerts.yaml"],
        ["test", "rules", "alerts.test.yaml"],
    ])
    func `takes the configuration and the rules`(arguments: [String]) async throws {
        let file = try MonitoringFiles.path(#require(arguments.last))
        let result = try await promtool(arguments.dropLast() + [file])
        #expect(result.status == 0, "\(result.output)")
        #expect(result.output.contains("SUCCESS"))
    }

    @Test func `tells of a broken service while it is broken, and of a daemon that is gone`()
        async throws
    {
        try await withFolder { folder in
            let mesh = BusyMesh()
            var prometheus: PrometheusServer?
            try await mesh.serve(in: folder) { port in
                let server = try await start(in: folder, port: port)
                prometheus = server
                let rate = "sum(heddle:outbound_requests:rate5m) > 10"
                try await poll {
                    try await server.query(rate)
                } until: {
                    !$0.isEmpty
                }
                #expect(try await firing("HeddleEdgeFailing", server) == nil)
                mesh.setBroken(true)
                let alert = try await poll {
                    try await firing("HeddleEdgeFailing", server)
                } until: {
                    $0 != nil
                }
                #expect(alert?.labels["severity"] == "critical")
                #expect(alert?.labels["appmesh_virtual_gateway"] == "in_demo")
                #expect(alert?.labels["target_virtual_node"] == "blue_demo")
                #expect(alert?.annotations["summary"] == "Calls from in_demo to blue_demo fail")
                mesh.setBroken(false)
                try await poll {
                    try await firing("HeddleEdgeFailing", server)
                } until: {
                    $0 == nil
                }
                #expect(try await firing("HeddleDown", server) == nil)
            }
            let server = try #require(prometheus)
            let down = try await poll {
                try await firing("HeddleDown", server)
            } until: {
                $0 != nil
            }
            #expect(down?.annotations["description"]?.contains("heddle run") == true)
        }
    }

    @Test func `has what each panel of the dashboard asks for`() async throws {
        let panels = try Dashboard().panels.filter { !$0.targets.isEmpty }
        #expect(panels.count > 30)
        try await withFolder { folder in
            let mesh = BusyMesh()
            mesh.setBroken(true)
            try await mesh.serve(in: folder) { port in
                let server = try await start(in: folder, port: port)
                let twice = "sum(rate(heddle_inbound_requests_total[5m])) > 0"
                try await poll {
                    try await server.query(twice)
                } until: {
                    !$0.isEmpty
                }
                for panel in panels {
                    for target in panel.targets {
                        let samples = try await server.query(Dashboard.filled(target.expr))
                        #expect(samples.count > 0, "\(panel.title): \(target.expr)")
                        var labels = Set(samples.flatMap(\.labels.keys))
                        // Who calls or is called is one or the other.
                        let owners: Set = ["appmesh_virtual_node", "appmesh_virtual_gateway"]
                        if !labels.isDisjoint(with: owners) { labels.formUnion(owners) }
                        let missing = target.legendLabels.subtracting(labels)
                        #expect(missing == [], "\(panel.title): \(target.expr)")
                    }
                }
            }
        }
    }

    @Test func `has what each rule asks for, with its labels`() async throws {
        let rules = try MonitoringFiles.text("alerts.yaml")
        let names = Set(rules.matches(of: /\b(?:heddle|process)_\w+/).map { String($0.0) })
        #expect(names.count > 20)
        try await withFolder { folder in
            try await BusyMesh().serve(in: folder) { port in
                let server = try await start(in: folder, port: port)
                try await poll {
                    try await server.query("heddle_build_info")
                } until: {
                    !$0.isEmpty
                }
                var labels: Set = ["alertname", "severity"]
                for name in names.sorted() {
                    let samples = try await server.query(name)
                    #expect(samples.count > 0, "no metric \(name)")
                    labels.formUnion(samples.flatMap(\.labels.keys))
                }
                let used = rules.matches(of: /\$labels\.(\w+)/).map { String($0.1) }
                #expect(Set(used).subtracting(labels) == [])
                let grouped = rules.matches(of: /\bby \(([^)]*)\)/).flatMap { match in
                    match.1.split { !$0.isLetter && $0 != "_" }.map(String.init)
                }
                #expect(Set(grouped).subtracting(labels) == [])
                let matched = rules.matches(of: /[{,] ?(\w+)(?:=|!=|=~)"/).map { String($0.1) }
                #expect(!matched.isEmpty)
                #expect(Set(matched).subtracting(labels) == [])
            }
        }
    }

    /// A Prometheus with the shipped configuration and rules, but for the port and all times, which
    /// are short.
    private func start(in folder: URL, port: Int) async throws -> PrometheusServer {
        let rules = try MonitoringFiles.text("alerts.yaml")
            .replacing(/for: \d+[mh]/, with: "for: 0s").replacing(/\[\d+m\]/, with: "[5s]")
        try rules.write(
            to: folder.appending(path: "alerts.yaml"),
            atomically: true,
            encoding: .utf8
        )
        let file = folder.appending(path: "prometheus.yaml")
        let configuration = try MonitoringFiles.text("prometheus.yaml")
            .replacing("interval: 15s", with: "interval: 500ms")
            .replacing("[\"127.0.0.1:18001\"]", with: "[\"127.0.0.1:\(port)\"]")
        #expect(configuration.contains(":\(port)") && configuration.contains("500ms"))
        try configuration.write(to: file, atomically: true, encoding: .utf8)
        return try await PrometheusServer(
            configuration: file,
            folder: folder.appending(path: "data")
        )
    }

    private func firing(
        _ name: String,
        _ server: PrometheusServer
    ) async throws -> PrometheusServer.Alert? {
        try await server.alerts().first {
            $0.labels["alertname"] == name && $0.state == "firing"
        }
    }
}
