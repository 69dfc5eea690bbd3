import Foundation
import HTTPClient
import MeshModel
import MeshTesting
import Testing

/// Proxies that prove who they are, by certificates from Heddle or from an SDS server beside it.
@Suite(.enabled(if: envoyIsExpected), .serialized, .timeLimit(.minutes(1)))
struct MutualTLSTests {
    private static let domain = "spiffe://color-mesh.example"

    /// A listener that takes certificates of `callers`, and no others.
    private static func listener(_ name: String, callers: [String]) -> String {
        Manifests.listenerTLS(
            Manifests.sds("\(domain)/\(name)"),
            validation: Manifests.validation(trust: Manifests.sds(domain), names: callers)
        )
    }

    /// The walkthrough of App Mesh: a front end and colours, which check each other's names.
    private static let colors =
        Manifests.mesh()
        + Manifests.running(
            "front",
            backends: ["blue", "green"],
            rest: Manifests.clientPolicy(
                validation: Manifests.validation(
                    trust: Manifests.sds(domain),
                    names: ["\(domain)/blue"]
                ),
                more: "enforce: true, certificate: {\(Manifests.sds("\(domain)/front"))}"
            )
        )
        + ["blue", "green"].enumerated().map { index, name in
            Manifests.served(
                name,
                appPort: "APP\(index + 1)",
                listener: listener(name, callers: ["\(domain)/front"])
            ) + Manifests.service(name)
        }.joined()

    /// Another mesh of the same Heddle.
    private static let otherMesh =
        Manifests.mesh("other", annotations: "heddle.dev/mtls: STRICT")
        + Manifests.running("front", appPort: 9).replacing(
            "namespace: demo",
            with: "namespace: other"
        )

    @Test func `proxies know each other by identities from Heddle`() async throws {
        let files = ["mesh.yaml": Self.colors, "other.yaml": Self.otherMesh]
        try await TestFolder.use { place in
            try await RunningMesh.run(files, in: place) { mesh in
                let answer = try await mesh.request(from: "front", host: "blue.demo:8080")
                #expect(answer.name == "blue", "\(answer.text)")

                let own = try TestAuthority(ofMesh: "demo", mesh, in: place)
                let other = try TestAuthority(ofMesh: "other", mesh, in: place)
                let address = try await mesh.ingressAddress(of: "blue")
                let presented = try await presentedCertificate(
                    address,
                    port: 8080,
                    trust: own.certificate
                )
                let host = "DNS:blue.demo.svc.cluster.local"
                #expect(presented.names == ["URI:\(Self.domain)/blue", host])
                let wrong = try await presentedCertificate(
                    address,
                    port: 8080,
                    trust: other.certificate
                )
                #expect(wrong.serial == nil)

                let folder = place.path("client")
                let front = ["\(Self.domain)/front"]
                let good = try await own.issue("good", for: front, in: folder)
                let foreign = try await other.issue("foreign", for: front, in: folder)
                #expect(try await curl(address, port: 8080, as: good).status == 200)
                let refusals = [
                    (foreign, "fail_verify_error"), (nil, "fail_verify_no_cert"),
                ]
                for (certificate, counter) in refusals {
                    let name = "ssl.\(counter)"
                    let before = try await mesh.statistics("listener.", name, of: "blue")
                    let refused = try await curl(address, port: 8080, as: certificate)
                    #expect(refused.status == nil, "\(refused.text)")
                    let after = try await mesh.statistics("listener.", name, of: "blue")
                    #expect(after == before + 1, "\(counter)")
                }
                let plain = try await curl(address, port: 8080, scheme: "http")
                #expect(plain.status == nil, "\(plain.text)")
                #expect(try await mesh.application(1).counts("/").attempts == 2)
            }
        }
    }

    @Test func `a peer of another name is refused`() async throws {
        try await TestFolder.use { place in
            try await RunningMesh.run(["mesh.yaml": Self.colors], in: place) { mesh in
                let own = try TestAuthority(ofMesh: "demo", mesh, in: place)
                let address = try await mesh.ingressAddress(of: "blue")
                let names = ["\(Self.domain)/green", "\(Self.domain)/front/more"]
                let certificate = try await own.issue("x", for: names, in: place.path("client"))
                let refused = try await curl(address, port: 8080, as: certificate)
                #expect(refused.status == nil, "\(refused.text)")
                let count = try await mesh.statistics("listener.", "fail_verify_san", of: "blue")
                #expect(count == 1)
                // Green is who it says, and not whom front asks for.
                let answer = try await mesh.request(from: "front", host: "green.demo:8080")
                #expect(answer.status == 503)
                #expect(try await mesh.application(2).counts("/").attempts == 0)
            }
        }
    }

    @Test func `a caller that trusts others and need not use TLS reaches a permissive mesh`()
        async throws
    {
        let validation = Manifests.validation(trust: Manifests.trust("./other.pem"))
        let base =
            Manifests.mesh(annotations: "heddle.dev/mtls: PERMISSIVE")
            + [("lax", "enforce: false"), ("strict", "enforce: true")].map { name, more in
                Manifests.running(
                    name,
                    backends: ["blue"],
                    rest: Manifests.clientPolicy(validation: validation, more: more)
                )
            }.joined() + Manifests.served("blue", appPort: "APP1") + Manifests.service("blue")
        try await TestFolder.use { place in
            let other = try await TestAuthority("other", in: place)
            try other.publish(as: place.path("mesh/other.pem"))
            try await RunningMesh.run(["mesh.yaml": base], in: place) { mesh in
                let answer = try await mesh.request(from: "lax", host: "blue.demo:8080")
                #expect(answer.name == "blue", "\(answer.status): \(answer.text)")
                let refused = try await mesh.request(from: "strict", host: "blue.demo:8080")
                #expect(refused.status == 503)
            }
        }
    }

    @Test func `an SDS server beside Heddle has the secrets`() async throws {
        try await TestFolder.use { place in
            let authority = try await TestAuthority("authority", in: place)
            let secrets = place.path("secrets")
            var certificates: [String: TestCertificate] = [:]
            for name in ["front", "blue", "green"] {
                certificates[name] = try await authority.issue(
                    name,
                    for: ["\(Self.domain)/\(name)"],
                    in: secrets
                )
            }
            let socket = place.path("sds.sock")
            try await SecretServer.run(socket) { server in
                try server.serve(authority, as: Self.domain)
                for (name, certificate) in certificates {
                    try server.serve(certificate, as: "\(Self.domain)/\(name)")
                }
                let options = ["--sds-socket", socket]
                let files = ["mesh.yaml": Self.colors]
                try await RunningMesh.run(files, options: options, in: place) { mesh in
                    let answer = try await mesh.request(from: "front", host: "blue.demo:8080")
                    #expect(answer.name == "blue", "\(answer.text)")
                    let address = try await mesh.ingressAddress(of: "blue")
                    let presented = try await presentedCertificate(address, port: 8080)
                    #expect(presented.serial == certificates["blue"]?.serial)
                    let plain = try await curl(address, port: 8080)
                    #expect(plain.status == nil, "\(plain.text)")

                    let name = "\(Self.domain)/blue"
                    let next = try await authority.issue("blue", for: [name], in: secrets)
                    try server.serve(next, as: name)
                    try await poll {
                        try await presentedCertificate(address, port: 8080).serial
                    } until: {
                        $0 == next.serial
                    }
                    let after = try await mesh.request(from: "front", host: "blue.demo:8080")
                    #expect(after.name == "blue", "\(after.text)")
                }
            }
        }
    }
}
