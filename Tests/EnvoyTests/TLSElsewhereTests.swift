import Foundation
import HTTPClient
import MeshTesting
import Testing

/// TLS where traffic enters and leaves, and certificates that manifests name by ARNs.
@Suite(.enabled(if: envoyIsExpected), .serialized, .timeLimit(.minutes(1)))
struct TLSElsewhereTests {
    @Test func `a gateway takes TLS, and calls its backends over TLS`() async throws {
        let policy = Manifests.clientPolicy(
            validation: Manifests.validation(trust: Manifests.trust("./certs/ca.pem"))
        )
        let base =
            Manifests.mesh()
            + Manifests.gateway(
                "outer",
                listeners: [8443: "http"],
                listener: Manifests.listenerTLS(Manifests.file("outer", in: "./certs")),
                rest: policy
            )
            + Manifests.gateway(
                "inner",
                listeners: [9443: "http2"],
                listener: Manifests.listenerTLS(Manifests.sds("spiffe://demo/demo/gateway/inner")),
                rest: policy
            )
            // No route enters by it.
            .replacing("{mesh: demo}}", with: "{mesh: none}}")
            + Manifests.gatewayRoute("all", to: "blue", match: "{prefix: /}")
            + Manifests.served(
                "blue",
                appPort: "APP1",
                listener: Manifests.listenerTLS(Manifests.file("blue", in: "./certs"))
            )
            + Manifests.service("blue")
        try await TestFolder.use { place in
            let authority = try await TestAuthority("authority", in: place)
            let certs = place.path("mesh/certs")
            let outer = try await authority.issue("outer", for: ["api.example.com"], in: certs)
            try await authority.issue("blue", for: ["blue.demo.svc.cluster.local"], in: certs)
            try authority.publish(as: "\(certs)/ca.pem")
            try await RunningMesh.run(["mesh.yaml": base], in: place) { mesh in
                let address = try await mesh.ingressAddress(of: "outer")
                let server = ("api.example.com", authority.certificate)
                let answer = try await curl(address, port: 8443, path: "/a", server: server)
                #expect(answer.status == 200, "\(answer.text)")
                #expect(answer.text.contains("\"name\": \"blue\""))
                let presented = try await presentedCertificate(address, port: 8443)
                #expect(presented.serial == outer.serial)
                let plain = try await curl(address, port: 8443, scheme: "http")
                #expect(plain.status == nil, "\(plain.text)")
                #expect(try await mesh.statistics("listener.", "ssl.handshake", of: "blue") > 0)
                let inner = try await presentedCertificate(
                    try await mesh.ingressAddress(of: "inner"),
                    port: 9443
                )
                #expect(inner.names.contains("URI:spiffe://demo/demo/gateway/inner"))
            }
        }
    }

    @Test func `an external service is called over TLS`() async throws {
        let server = """
            import http.server, os, ssl
            class Web(http.server.BaseHTTPRequestHandler):
                protocol_version = "HTTP/1.1"
                wbufsize = -1
                def do_GET(self):
                    body = self.headers["Host"].encode()
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                def log_message(self, *arguments): pass
            server = http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Web)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain("certs/server.pem", "certs/server.key")
            server.socket = context.wrap_socket(server.socket, server_side=True)
            server.serve_forever()

            """
        func policy(_ authority: String) -> String {
            Manifests.clientPolicy(
                validation: Manifests.validation(trust: Manifests.trust("./certs/\(authority).pem"))
            )
        }
        let base =
            Manifests.mesh() + Manifests.running("front", backends: ["api"], rest: policy("ca"))
            + Manifests.running("wary", backends: ["api"], rest: policy("other"))
            + Manifests.node("api", port: "APP1", hostname: "localhost, ipPreference: IPv4_ONLY")
            + Manifests.service("api")
            // It stands for a server that is no part of the mesh.
            + Manifests.node("vault")
            + Manifests.workload("vault", of: "vault", appPort: "APP1")
            .replacing("app.py", with: "server.py")
        try await TestFolder.use { place in
            let authority = try await TestAuthority("authority", in: place)
            let other = try await TestAuthority("other", in: place)
            let certs = place.path("mesh/certs")
            try await authority.issue("server", for: ["localhost"], in: certs)
            for (name, authority) in [("ca", authority), ("other", other)] {
                try authority.publish(as: "\(certs)/\(name).pem")
            }
            let files = ["mesh.yaml": base, "server.py": server]
            try await RunningMesh.run(files, in: place) { mesh in
                let host = "api.demo:\(mesh.application(1).port)"
                let answer = try await mesh.request(from: "front", host: host)
                #expect(answer.status == 200, "\(answer.text)")
                #expect(answer.text == host)
                #expect(try await mesh.request(from: "wary", host: host).status == 503)
            }
        }
    }

    @Test func `ARNs of ACM are what mappings say`() async throws {
        let arn = "arn:aws:acm:us-west-2:111122223333:certificate"
        let authorityARN = "arn:aws:acm-pca:us-west-2:111122223333:certificate-authority"
        func listener(_ name: String) -> String {
            Manifests.listenerTLS("acm: {certificateARN: \"\(arn)/\(name)\"}")
        }
        func policy(_ names: String...) -> String {
            let list = names.map { "\"\(authorityARN)/\($0)\"" }.joined(separator: ", ")
            return Manifests.clientPolicy(
                validation: "trust: {acm: {certificateAuthorityARNs: [\(list)]}}"
            )
        }
        let base =
            Manifests.mesh()
            + Manifests.running("front", backends: ["blue", "green"], rest: policy("file", "own"))
            + Manifests.running("wary", backends: ["blue", "green"], rest: policy("own"))
            + Manifests.served("blue", appPort: "APP1", listener: listener("blue"))
            + Manifests.served("green", appPort: "APP2", listener: listener("green"))
            + Manifests.service("blue") + Manifests.service("green")
            + Manifests.certificateMapping(
                "blue",
                arn: "\(arn)/blue",
                Manifests.file("blue", in: "./certs")
            )
            + Manifests.certificateMapping("green", arn: "\(arn)/green", "heddle: {}")
            + Manifests.certificateMapping(
                "file",
                arn: "\(authorityARN)/file",
                Manifests.trust("./certs/ca.pem")
            )
            + Manifests.certificateMapping("own", arn: "\(authorityARN)/own", "heddle: {}")
        try await TestFolder.use { place in
            let authority = try await TestAuthority("authority", in: place)
            let certs = place.path("mesh/certs")
            try await authority.issue("blue", for: ["blue.demo.svc.cluster.local"], in: certs)
            try authority.publish(as: "\(certs)/ca.pem")
            try await RunningMesh.run(["mesh.yaml": base], in: place) { mesh in
                let rows = [
                    ("front", "blue", 200), ("front", "green", 200), ("wary", "blue", 503),
                    ("wary", "green", 200),
                ]
                for (caller, name, status) in rows {
                    let answer = try await mesh.request(from: caller, host: "\(name).demo:8080")
                    #expect(answer.status == status, "\(caller) to \(name): \(answer.text)")
                }
                let presented = try await presentedCertificate(
                    try await mesh.ingressAddress(of: "green"),
                    port: 8080
                )
                #expect(presented.names.contains("URI:spiffe://demo/demo/green"))
            }
        }
    }

    @Test func `a gateway's certificate from Heddle is for the host names of its routes`()
        async throws
    {
        let arn = "arn:aws:acm:us-west-2:111122223333:certificate/edge"
        let base =
            Manifests.mesh()
            + Manifests.gateway(
                listeners: [8443: "http"],
                listener: Manifests.listenerTLS("acm: {certificateARN: \"\(arn)\"}")
            )
            + Manifests.gatewayRoute(
                "api",
                to: "blue",
                match: "{prefix: /, hostname: {exact: api.example.com}}"
            )
            + Manifests.certificateMapping("edge", arn: arn, "heddle: {}")
            + Manifests.served("blue", appPort: "APP1") + Manifests.service("blue")
        try await TestFolder.use { place in
            try await RunningMesh.run(["mesh.yaml": base], in: place) { mesh in
                let authority = try TestAuthority(ofMesh: "demo", mesh, in: place)
                let address = try await mesh.ingressAddress(of: "gateway")
                let presented = try await presentedCertificate(address, port: 8443)
                #expect(presented.names.contains("DNS:api.example.com"), "\(presented.names)")
                let rows = [("api.example.com", 200), ("other.example.com", nil)]
                for (name, status) in rows {
                    let server = (name, authority.certificate)
                    let answer = try await curl(address, port: 8443, server: server)
                    #expect(answer.status == status, "\(name): \(answer.text)")
                }
            }
        }
    }
}
