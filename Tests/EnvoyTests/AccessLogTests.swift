import Foundation
import HTTPClient
import MeshModel
import MeshTesting
import Testing

/// What proxies write of the requests that they carry.
@Suite(.enabled(if: envoyIsExpected), .serialized, .timeLimit(.minutes(1)))
struct AccessLogTests {
    /// A virtual node with a log, and its workload.
    private func node(
        _ name: String,
        appPort: String,
        protocol listenerProtocol: String = "http",
        port: Int = 8080,
        log: String,
        backends: String = ""
    ) -> String {
        """
        ---
        apiVersion: appmesh.k8s.aws/v1beta2
        kind: VirtualNode
        metadata: {name: \(name), namespace: demo}
        spec:
          podSelector: {matchLabels: {app: \(name)}}
          listeners: [{portMapping: {port: \(port), protocol: \(listenerProtocol)}}]
          serviceDiscovery: {dns: {hostname: \(name).demo.svc.cluster.local}}
          backends: [\(backends)]
          logging: {accessLog: {file: {\(log)}}}

        """
            + Manifests.workload(
                name,
                of: name,
                appPort: appPort,
                port: port,
                mode: listenerProtocol
            )
    }

    @Test func `proxies write text, JSON and Envoy's own format, to files and to their output`()
        async throws
    {
        let files = FileManager.default.temporaryDirectory
            .appendingPathComponent("heddle-access-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: files, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: files) }
        let json = """
            {json: [{key: status, value: "%RESPONSE_CODE%"}, {key: path, value: "%REQ(:PATH)%"},
            {key: what, value: "%REQ(:METHOD)% of %REQ(:AUTHORITY)%"}]}
            """
        let text = #"{text: "%REQ(:PATH)% got %RESPONSE_CODE%\n"}"#
        let base =
            Manifests.mesh()
            + node(
                "front",
                appPort: "APP1",
                log: "path: \(files.path)/front, format: \(json)",
                backends: "{virtualService: {virtualServiceRef: {name: blue}}}, "
                    + "{virtualService: {virtualServiceRef: {name: db}}}"
            )
            + node(
                "blue",
                appPort: "APP2",
                log: "path: /dev/stdout, format: \(text)"
            ) + Manifests.service("blue")
            + node(
                "db",
                appPort: "APP3",
                protocol: "tcp",
                port: 5432,
                log: #"path: \#(files.path)/db, format: {text: "took %BYTES_RECEIVED%\n"}"#
            ) + Manifests.service("db")
            + Manifests.gateway(
                listeners: [8080: "http"],
                rest: "logging: {accessLog: {file: {path: \(files.path)/gateway}}}"
            ) + Manifests.gatewayRoute("all", to: "blue", match: "{prefix: /}")
        try await RunningMesh.run(["mesh.yaml": base]) { mesh in
            let front = "http://\(try await mesh.ingressAddress(of: "front")):8080"
            let gateway = "http://\(try await mesh.ingressAddress(of: "gateway")):8080"
            try await mesh.application(1).answer(next: [.status(500)])
            // What leaves a node, what enters it, and what passes a gateway.
            _ = try await mesh.request(from: "front", host: "blue.demo:8080", path: "/out")
            _ = try await mesh.request("\(front)/in")
            _ = try await mesh.request("\(gateway)/through")
            let entries = try await lines(of: files.appendingPathComponent("front"), count: 2).map {
                try JSONDecoder().decode(JSONValue.self, from: Data($0.utf8))
            }
            #expect(
                entries == [
                    .object([
                        "status": .integer(200), "path": .string("/out"),
                        "what": .string("GET of blue.demo:8080"),
                    ]),
                    .object([
                        "status": .integer(500), "path": .string("/in"),
                        "what": .string("GET of \(front.dropFirst(7))"),
                    ]),
                ]
            )
            let entry = try await lines(of: files.appendingPathComponent("gateway"), count: 1)
            #expect(entry[0].contains(#""GET /through HTTP/1.1" 200 "#), "\(entry)")

            let address = try await mesh.egressAddress(of: "front")
            try await TCPConnection.run(address, port: 5432) { connection in
                let answer = try await connection.exchange("1234")
                #expect(answer == "db: 1234")
            }
            #expect(try await lines(of: files.appendingPathComponent("db"), count: 1) == ["took 5"])

            // In the proxy's own output, which heddle shows.
            var log = ""
            while !(log.contains("/out got 200\n") && log.contains("/through got 200\n")) {
                log = try await mesh.heddle("logs", "blue", "-n", "demo", "--proxy")
            }
            #expect(!log.contains("/in got"))
        }
    }

    /// The first `count` lines of a file, once it has them.
    private func lines(of file: URL, count: Int) async throws -> [String] {
        while true {
            let text = (try? String(contentsOf: file, encoding: .utf8)) ?? ""
            let lines = text.components(separatedBy: "\n").dropLast()
            if lines.count >= count { return Array(lines.prefix(count)) }
            try Task.checkCancellation()
            await Task.yield()
        }
    }
}
