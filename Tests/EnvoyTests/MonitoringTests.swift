import Foundation
import HTTPClient
import MeshTesting
import Testing

/// What a daemon tells Prometheus.
@Suite(.enabled(if: envoyIsExpected && prometheusIsExpected), .serialized, .timeLimit(.minutes(1)))
struct MonitoringTests {
    private static func mesh(log: String) -> String {
        Manifests.mesh() + Manifests.running("front", backends: ["blue"])
            + Manifests.service("blue")
            + Manifests.served(
                "blue",
                appPort: "APP1",
                rest: "logging: {accessLog: {file: {path: \(log)}}}"
            )
    }

    /// The sum of the samples that begin with `prefix` and have all of `labels`.
    private static func sum(
        _ prefix: String,
        _ labels: String...,
        of mesh: RunningMesh
    ) async throws -> Int {
        try await mesh.metrics().filter { line in
            line.hasPrefix(prefix + "{") && labels.allSatisfy { line.contains($0) }
        }
        .reduce(0) { $0 + (Int($1.split(separator: " ").last ?? "") ?? 0) }
    }

    @Test func `a daemon counts what it sends, what is refused, and requests, and promtool agrees`()
        async throws
    {
        try await RunningMesh.run(["mesh.yaml": Self.mesh(log: "/dev/null")]) { mesh in
            #expect(try await Self.sum("heddle_proxies", #"state="Running""#, of: mesh) == 2)
            #expect(try await Self.sum("heddle_xds_updates_total", "listeners", of: mesh) > 0)
            #expect(try await Self.sum("heddle_xds_nacks_total", of: mesh) == 0)
            #expect(try await Self.sum("heddle_xds_ack_duration_seconds_count", of: mesh) > 0)
            #expect(try await Self.sum("heddle_reconcile_duration_seconds_count", of: mesh) > 0)
            for _ in 0..<20 {
                let response = try await mesh.request(from: "front", host: "blue.demo:8080")
                #expect(response.status == 200)
            }
            let ok = #"response_code_class="2xx""#
            try await poll {
                try await Self.sum("heddle_outbound_requests_total", ok, "blue_demo", of: mesh)
            } until: {
                $0 == 20
            }
            try await poll {
                try await Self.sum("heddle_inbound_requests_total", ok, "blue_demo", of: mesh)
            } until: {
                $0 == 20
            }
            try await Self.check(mesh)
            // Neither Heddle nor Envoy can make a folder there.
            try mesh.save("mesh.yaml", Self.mesh(log: "/proc/heddle/blue.log"))
            try await poll {
                try await Self.sum("heddle_xds_nacks_total", "listeners", of: mesh)
            } until: {
                $0 > 0
            }
            let refused = #"reason="RefusedByProxy""#
            try await poll {
                try await Self.sum("heddle_object_condition_false", refused, of: mesh)
            } until: {
                $0 > 0
            }
            try await Self.check(mesh)
        }
    }

    /// Has promtool look at the metrics.
    private static func check(_ mesh: RunningMesh) async throws {
        let file = mesh.state.appendingPathComponent("metrics.txt")
        let text = try await mesh.metrics().joined(separator: "\n") + "\n"
        try text.write(to: file, atomically: true, encoding: .utf8)
        let result = try await promtool(["check", "metrics"], input: file.path)
        #expect(result.status == 0)
        #expect(result.output == "")
    }
}
