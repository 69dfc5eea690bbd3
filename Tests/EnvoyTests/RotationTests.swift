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
            { load in
                try await body()
                // Calls by what is in force then.
                try await load.more(20)
            }
        )
        #expect(outcome.failures == [])
    }

    /// The certificate that blue presents, once it is another than those of `serials`.
    private static func nextCertificate(
        _ address: String,
        after serials: [String?],
        trust: String? = nil
    ) async throws -> PresentedCertificate {
        try await poll {
            try await presentedCertificate(address, port: 8080, trust: trust)
        } until: {
            $0.serial != nil && !serials.contains($0.serial)
        }
    }

    /// Begins to replace authorities, and waits until another one signs; blue presents what it signed.
    private static func rotateAuthority(
        _ mesh: RunningMesh,
        in place: TestFolder,
        _ options: [String]
    ) async throws {
        let old = try TestAuthority(ofMesh: "demo", mesh, as: "old", in: place)
        _ = try await mesh.heddle(["certificates", "rotate"] + options)
        _ = try await mesh.line(containing: "authority announced")
        _ = try await mesh.line(containing: "authority signs")
        let new = try TestAuthority(ofMesh: "demo", mesh, as: "new", in: place)
        let texts = try [old, new].map {
            try String(contentsOfFile: $0.certificate, encoding: .utf8)
        }
        #expect(texts[0] != texts[1])
        let address = try await mesh.ingressAddress(of: "blue")
        _ = try await nextCertificate(address, after: [], trust: new.certificate)
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
                        let presented = try await Self.nextCertificate(
                            address,
                            after: serials,
                            trust: authority.certificate
                        )
                        #expect(presented.names.contains("URI:spiffe://demo/demo/blue"))
                        serials.append(presented.serial)
                    }
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
                    try await Self.rotateAuthority(mesh, in: place, options)
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
                let first = try await Self.nextCertificate(address, after: [])
                _ = try await Self.nextCertificate(address, after: [first.serial])
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
            try await TestFolder.use { place in
                try await RunningMesh.run(["mesh.yaml": base], in: place) { mesh in
                    try await Self.expectConnectionsToLast(mesh) {
                        let address = try await mesh.ingressAddress(of: "blue")
                        let first = try await Self.nextCertificate(address, after: [])
                        _ = try await mesh.heddle("certificates", "rotate")
                        _ = try await Self.nextCertificate(address, after: [first.serial])
                        try await Self.rotateAuthority(mesh, in: place, ["--root"])
                    }
                }
            }
        }
    }

    /// Runs `body` while a stream from front to blue and a connection from front to db are open.
    private static func expectConnectionsToLast(
        _ mesh: RunningMesh,
        _ body: @escaping @Sendable () async throws -> Void
    ) async throws {
        let egress = try await mesh.egressAddress(of: "front")
        try await TCPConnection.run(egress, port: 5432) { connection in
            let first = try await connection.exchange("1")
            #expect(first == "db: 1")
            try await EchoClient.run(egress, port: 8080, authority: "blue.demo:8080") { client in
                try await client.chat { chat in
                    let opened = try await chat.exchange("1")
                    #expect(opened == "blue: 1")
                    try await body()
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
