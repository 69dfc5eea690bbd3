import Foundation
import HTTPClient
import MeshTesting
import Testing

/// Certificates that take the place of others while requests go on.
@Suite(.enabled(if: envoyIsExpected), .serialized, .timeLimit(.minutes(1)))
struct RotationTests {
    private static let manifests = [
        "mesh.yaml":
            Manifests.mesh(annotations: "heddle.dev/mtls: STRICT")
            + Manifests.running("front", backends: ["blue"])
            + Manifests.served("blue", appPort: "APP1") + Manifests.service("blue")
    ]

    /// Runs `body` while front calls blue, and expects that every call is answered.
    private static func expectNoFailure(
        _ mesh: RunningMesh,
        _ body: () async throws -> Void
    ) async throws {
        let egress = try await mesh.egressAddress(of: "front")
        let host = [HTTPField("Host", "blue.demo:8080")]
        let outcome = try await Load.run(
            { try await mesh.request("http://\(egress):8080/", headers: host) },
            body
        )
        #expect(outcome.failures == [])
        #expect(outcome.requests > 0)
    }

    @Test func `certificates are replaced on demand, and no request fails`() async throws {
        try await TestFolder.use { place in
            try await RunningMesh.run(Self.manifests, in: place) { mesh in
                let authority = try TestAuthority(ofMesh: "demo", mesh, in: place)
                let address = try await mesh.ingressAddress(of: "blue")
                try await Self.expectNoFailure(mesh) {
                    var serials: [String?] = []
                    for command in [nil, [], ["demo/blue"]] {
                        if let command {
                            _ = try await mesh.heddle(["certificates", "rotate"] + command)
                        }
                        var presented = try await presentedCertificate(
                            address,
                            port: 8080,
                            trust: authority.certificate
                        )
                        while serials.contains(presented.serial) {
                            presented = try await presentedCertificate(
                                address,
                                port: 8080,
                                trust: authority.certificate
                            )
                        }
                        #expect(presented.names.contains("URI:spiffe://demo/demo/blue"))
                        serials.append(presented.serial)
                    }
                    #expect(Set(serials).count == 3)
                    #expect(!serials.contains(nil))
                }
            }
        }
    }

    @Test(arguments: [["--mesh", "demo"], ["--root"]])
    func `an authority is replaced, and no request fails`(_ options: [String]) async throws {
        try await TestFolder.use { place in
            try await RunningMesh.run(Self.manifests, in: place) { mesh in
                let before = try TestAuthority(ofMesh: "demo", mesh, in: place)
                let old = try await before.issue(
                    "old",
                    for: ["spiffe://demo/demo/front"],
                    in: place.path("client")
                )
                let address = try await mesh.ingressAddress(of: "blue")
                try await Self.expectNoFailure(mesh) {
                    _ = try await mesh.heddle(["certificates", "rotate"] + options)
                    var presented = PresentedCertificate()
                    while presented.serial == nil {
                        let after = try TestAuthority(ofMesh: "demo", mesh, in: place)
                        presented = try await presentedCertificate(
                            address,
                            port: 8080,
                            trust: after.certificate
                        )
                    }
                }
                // What the old authority signed is trusted for as long as such may be in use.
                #expect(try await curl(address, port: 8080, as: old).status == 200)
            }
        }
    }

    @Test func `certificates are renewed before they end, and no request fails`() async throws {
        let options = ["--certificate-lifetime", "10s"]
        try await RunningMesh.run(Self.manifests, options: options) { mesh in
            let address = try await mesh.ingressAddress(of: "blue")
            try await Self.expectNoFailure(mesh) {
                let first = try await presentedCertificate(address, port: 8080).serial
                #expect(first != nil)
                var next = first
                while next == first || next == nil {
                    next = try await presentedCertificate(address, port: 8080).serial
                }
            }
        }
    }

    @Test func `streams and connections go on when certificates and authorities are replaced`()
        async throws
    {
        try await EchoServer.run(["blue"]) { _, ports in
            let base =
                Manifests.mesh(annotations: "heddle.dev/mtls: STRICT")
                + Manifests.running("front", protocol: "grpc", backends: ["blue", "db"])
                + Manifests.running("blue", appPort: ports[0], protocol: "grpc")
                + Manifests.service("blue")
                + Manifests.served("db", appPort: "APP1", protocol: "tcp", port: 5432)
                + Manifests.service("db")
            try await RunningMesh.run(["mesh.yaml": base]) { mesh in
                let egress = try await mesh.egressAddress(of: "front")
                try await TCPConnection.run(egress, port: 5432) { connection in
                    let first = try await connection.exchange("1")
                    #expect(first == "db: 1")
                    try await EchoClient.run(egress, port: 8080, authority: "blue.demo:8080") {
                        client in
                        try await client.chat { chat in
                            let opened = try await chat.exchange("1")
                            #expect(opened == "blue: 1")
                            _ = try await mesh.heddle("certificates", "rotate")
                            _ = try await mesh.heddle("certificates", "rotate", "--root")
                            let later = try await chat.exchange("2")
                            #expect(later == "blue: 2")
                        }
                        #expect(try await client.say("3").message == "blue: 3")
                    }
                    let second = try await connection.exchange("2")
                    #expect(second == "db: 2")
                }
                try await TCPConnection.run(egress, port: 5432) { connection in
                    let renewed = try await connection.exchange("3")
                    #expect(renewed == "db: 3")
                }
            }
        }
    }

    @Test func `after a restart the same authority signs`() async throws {
        try await TestFolder.use { place in
            var path = ""
            try await RunningMesh.run(Self.manifests, in: place) { mesh in
                path = try TestAuthority(ofMesh: "demo", mesh, in: place).certificate
                let file = mesh.state.appendingPathComponent("ca/meshes/demo.json").path
                let attributes = try FileManager.default.attributesOfItem(atPath: file)
                #expect(attributes[.posixPermissions] as? Int == 0o600)
            }
            let kept = place.path("kept.pem")
            try FileManager.default.moveItem(atPath: path, toPath: kept)
            try await RunningMesh.run(Self.manifests, in: place) { mesh in
                let answer = try await mesh.request(from: "front", host: "blue.demo:8080")
                #expect(answer.name == "blue", "\(answer.text)")
                let address = try await mesh.ingressAddress(of: "blue")
                let presented = try await presentedCertificate(address, port: 8080, trust: kept)
                #expect(presented.serial != nil)
            }
        }
    }
}
