import Foundation
import HTTPClient
import MeshTesting
import Testing

/// Who may call whom: the backends that callers declare, by the identities that they prove.
@Suite(.enabled(if: envoyIsExpected), .serialized, .timeLimit(.minutes(1)))
struct AccessControlTests {
    private static func mesh(_ control: String = "enforce") -> String {
        Manifests.mesh(
            annotations: "heddle.dev/mtls: STRICT, heddle.dev/access-control: \(control)"
        )
    }

    private static func nodes(strangersBackends: [String] = []) -> String {
        Manifests.running("front", backends: ["blue", "db"])
            + Manifests.running("stranger", backends: strangersBackends)
            + Manifests.served("blue", appPort: "APP1") + Manifests.service("blue")
            + Manifests.served("db", appPort: "APP2", protocol: "tcp", port: 5432)
            + Manifests.service("db")
    }

    /// The identities of front and stranger, signed by the mesh's authority.
    private static func callers(
        of mesh: RunningMesh,
        in place: TestFolder
    ) async throws -> (front: TestCertificate, stranger: TestCertificate) {
        let authority = try TestAuthority(ofMesh: "demo", mesh, in: place)
        func issue(_ name: String) async throws -> TestCertificate {
            try await authority.issue(
                name,
                for: ["spiffe://demo/demo/\(name)"],
                in: place.path("client")
            )
        }
        return (try await issue("front"), try await issue("stranger"))
    }

    @Test func `a caller without a backend is refused`() async throws {
        let files = ["mesh.yaml": Self.mesh(), "nodes.yaml": Self.nodes()]
        try await TestFolder.use { place in
            try await RunningMesh.run(files, in: place) { mesh in
                let callers = try await Self.callers(of: mesh, in: place)
                let answer = try await mesh.request(from: "front", host: "blue.demo:8080")
                #expect(answer.name == "blue", "\(answer.text)")

                // Past its own proxy, with a certificate of its own and another's name.
                let address = try await mesh.ingressAddress(of: "blue")
                #expect(try await curl(address, port: 8080, as: callers.front).status == 200)
                let claim = "URI=spiffe://demo/demo/front"
                let refused = try await curl(
                    address,
                    port: 8080,
                    headers: ["Host: blue.demo:8080", "X-Forwarded-Client-Cert: \(claim)"],
                    as: callers.stranger
                )
                #expect(refused.status == 403, "\(refused.text)")
                #expect(try await mesh.application(1).counts("/").attempts == 2)
                try await Self.expectDenial(in: mesh)
                #expect(try await Self.denials(of: mesh, "denied") == 1)

                // Once it declares the backend, it may call.
                try mesh.save("nodes.yaml", Self.nodes(strangersBackends: ["blue"]))
                _ = try await mesh.line(containing: "in force")
                let allowed = try await curl(address, port: 8080, as: callers.stranger)
                #expect(allowed.status == 200, "\(allowed.text)")
            }
        }
    }

    @Test func `in shadow mode a caller without a backend is let through and counted`()
        async throws
    {
        let files = ["mesh.yaml": Self.mesh("shadow"), "nodes.yaml": Self.nodes()]
        try await TestFolder.use { place in
            try await RunningMesh.run(files, in: place) { mesh in
                let callers = try await Self.callers(of: mesh, in: place)
                for (name, port) in [("blue", 8080), ("db", 5432)] {
                    let address = try await mesh.ingressAddress(of: name)
                    for certificate in [callers.front, callers.stranger] {
                        let answer = try await curl(address, port: port, as: certificate)
                        #expect(answer.status == 200, "\(name): \(answer.text)")
                    }
                    try await Self.expectDenial("request would be denied", in: mesh)
                }
                #expect(try await Self.denials(of: mesh, "shadow") == 2)
                #expect(try await Self.denials(of: mesh, "denied") == 0)
            }
        }
    }

    @Test func `a connection without a backend never reaches the application`() async throws {
        let files = ["mesh.yaml": Self.mesh(), "nodes.yaml": Self.nodes()]
        try await TestFolder.use { place in
            try await RunningMesh.run(files, in: place) { mesh in
                let callers = try await Self.callers(of: mesh, in: place)
                let address = try await mesh.ingressAddress(of: "db")
                // Heddle itself looks whether the application listens.
                let silent = try await mesh.application(2).counts("silent").attempts
                let refused = try await curl(address, port: 5432, as: callers.stranger)
                #expect(refused.status == nil, "\(refused.text)")
                try await Self.expectDenial(in: mesh)
                #expect(try await Self.denials(of: mesh, "denied") == 1)

                let answer = try await curl(address, port: 5432, as: callers.front)
                #expect(answer.status == 200, "\(answer.text)")
                #expect(try await mesh.application(2).counts("tcp").attempts == 1)
                #expect(try await mesh.application(2).counts("silent").attempts == silent)
                let connections = try await mesh.statistics(
                    "cluster.cds_ingress",
                    "upstream_cx_total",
                    of: "db"
                )
                #expect(connections == 1)
            }
        }
    }

    @Test func `a listener that lists callers by host name lets in those of them that may call`()
        async throws
    {
        let listener = Manifests.listenerTLS(
            Manifests.sds("spiffe://demo/demo/db"),
            validation: Manifests.validation(
                trust: Manifests.sds("spiffe://demo"),
                names: ["front.demo.svc.cluster.local", "stranger.demo.svc.cluster.local"]
            )
        )
        let base =
            Self.mesh() + Manifests.running("front", backends: ["db"])
            + Manifests.running("unlisted", backends: ["db"]) + Manifests.running("stranger")
            + Manifests.served(
                "db",
                appPort: "APP1",
                protocol: "tcp",
                port: 5432,
                listener: listener
            ) + Manifests.service("db")
        try await TestFolder.use { place in
            try await RunningMesh.run(["mesh.yaml": base], in: place) { mesh in
                let egress = try await mesh.egressAddress(of: "front")
                try await TCPConnection.run(egress, port: 5432) { connection in
                    let answer = try await connection.exchange("1")
                    #expect(answer == "db: 1")
                }
                let authority = try TestAuthority(ofMesh: "demo", mesh, in: place)
                let address = try await mesh.ingressAddress(of: "db")
                let rows = [("front", 200), ("unlisted", nil), ("stranger", nil)]
                for (name, status) in rows {
                    let certificate = try await authority.issue(
                        name,
                        for: ["spiffe://demo/demo/\(name)", "\(name).demo.svc.cluster.local"]
                    )
                    let answer = try await curl(address, port: 5432, as: certificate)
                    #expect(answer.status == status, "\(name): \(answer.text)")
                }
            }
        }
    }

    /// Waits until Heddle logs that the stranger was denied.
    private static func expectDenial(
        _ message: String = "request denied",
        in mesh: RunningMesh
    ) async throws {
        let line = try await mesh.line(containing: message)
        #expect(line.contains("spiffe://demo/demo/stranger"))
    }

    /// How often Heddle was told of the stranger, over all proxies.
    private static func denials(of mesh: RunningMesh, _ verdict: String) async throws -> Int {
        let lines = try await mesh.metrics().filter { line in
            line.hasPrefix("heddle_access_denied_total{")
                && line.contains("caller=\"spiffe://demo/demo/stranger\"")
                && line.contains("verdict=\"\(verdict)")
        }
        return lines.reduce(0) { $0 + (Int($1.split(separator: " ").last ?? "") ?? 0) }
    }
}
