import Foundation
import HTTPClient
import MeshModel
import MeshTesting
import Testing

/// TLS as manifests ask for it, with certificates from files.
@Suite(.enabled(if: envoyIsExpected), .serialized, .timeLimit(.minutes(1)))
struct TLSTests {
    /// The walkthrough of App Mesh: a front end, colours over TLS, and one without.
    @Test func `traffic is encrypted with certificates from files`() async throws {
        let front = Manifests.clientPolicy(
            validation: Manifests.validation(trust: Manifests.trust("/certs//certs/ca.pem"))
        )
        let base =
            Manifests.mesh()
            + Manifests.node("front", backends: ["blue", "green", "red"], rest: front)
            + Manifests.workload(
                "front",
                of: "front",
                appPort: "APP1",
                sidecar: "secretMounts: {/certs/: ./front}"
            )
            + Manifests.node(
                "blue",
                listener: Manifests.listenerTLS(Manifests.file("chain", in: "/certs"))
            )
            + Manifests.workload(
                "blue",
                of: "blue",
                appPort: "APP2",
                sidecar: "secretMounts: {/certs: ./blue}"
            )
            + Manifests.served(
                "green",
                appPort: "APP3",
                listener: Manifests.listenerTLS(Manifests.file("chain", in: "./green"))
            )
            + Manifests.served("red", appPort: "APP4")
            + ["blue", "green", "red"].map { Manifests.service($0) }.joined()
        try await TestFolder.use { place in
            let authority = try await TestAuthority("authority", in: place)
            var serials: [String: String] = [:]
            for name in ["blue", "green"] {
                serials[name] = try await authority.issue(
                    "chain",
                    for: ["\(name).demo.svc.cluster.local"],
                    in: place.path("mesh/\(name)")
                ).serial
            }
            try authority.publish(as: place.path("mesh/front/certs/ca.pem"))
            try await RunningMesh.run(["mesh.yaml": base], in: place) { mesh in
                for name in ["blue", "green"] {
                    let answer = try await mesh.request(from: "front", host: "\(name).demo:8080")
                    #expect(answer.name == name, "\(answer.text)")
                    let address = try await mesh.ingressAddress(of: name)
                    let presented = try await presentedCertificate(
                        address,
                        port: 8080,
                        trust: authority.certificate
                    )
                    #expect(presented.serial == serials[name])
                    #expect(presented.names == ["DNS:\(name).demo.svc.cluster.local"])
                    let server = ("\(name).demo.svc.cluster.local", authority.certificate)
                    #expect(try await curl(address, port: 8080, server: server).status == 200)
                    let plain = try await curl(address, port: 8080, scheme: "http")
                    #expect(plain.status == nil, "\(plain.text)")
                }
                // The policy of front is enforced, and red has no TLS.
                let refused = try await mesh.request(from: "front", host: "red.demo:8080")
                #expect(refused.status == 503)
                #expect(try await mesh.application(4).counts("/").attempts == 0)
            }
        }
    }

    @Test func `a certificate in files that changes is used without a restart`() async throws {
        let trust = Manifests.trust("./ca.pem")
        let base =
            Manifests.mesh()
            + Manifests.running(
                "front",
                backends: ["blue"],
                rest: Manifests.clientPolicy(validation: Manifests.validation(trust: trust))
            )
            + Manifests.served(
                "blue",
                appPort: "APP1",
                listener: Manifests.listenerTLS(Manifests.file("chain", in: "./blue"))
            )
            + Manifests.service("blue")
        try await TestFolder.use { place in
            let authority = try await TestAuthority("authority", in: place)
            let folder = place.path("mesh/blue")
            let host = ["blue.demo.svc.cluster.local"]
            let first = try await authority.issue("chain", for: host, in: folder)
            try authority.publish(as: place.path("mesh/ca.pem"))
            try await RunningMesh.run(["mesh.yaml": base], in: place) { mesh in
                let pid = try await mesh.sidecar("blue", "pid")
                let address = try await mesh.ingressAddress(of: "blue")
                #expect(try await presentedCertificate(address, port: 8080).serial == first.serial)

                let second = try await authority.issue("chain", for: host, in: folder)
                try await poll {
                    try await presentedCertificate(address, port: 8080).serial
                } until: {
                    $0 == second.serial
                }
                var answer = try await mesh.request(from: "front", host: "blue.demo:8080")
                #expect(answer.name == "blue")

                // A key that belongs to another certificate.
                let other = try await authority.issue("other", for: host, in: place.path("other"))
                try FileManager.default.removeItem(atPath: second.key)
                try FileManager.default.copyItem(atPath: other.key, toPath: second.key)
                let condition = try await mesh.condition("CertificateValid", of: "blue") {
                    $0["status"]?.string == "False"
                }
                #expect(condition["reason"]?.string == "CertificateNotRenewed")
                let message = condition["message"]?.string ?? ""
                #expect(message.contains("chain.pem"), "\(message)")
                #expect(try await presentedCertificate(address, port: 8080).serial == second.serial)
                answer = try await mesh.request(from: "front", host: "blue.demo:8080")
                #expect(answer.name == "blue")
                #expect(try await mesh.sidecar("blue", "pid") == pid)
            }
        }
    }

    /// What each caller gets from each server, which has a certificate for other names.
    @Test func `a server proves its name, by default that of its service discovery`()
        async throws
    {
        let trust = Manifests.trust("./ca.pem")
        func policy(_ names: [String]?) -> String {
            Manifests.clientPolicy(validation: Manifests.validation(trust: trust, names: names))
        }
        let servers = ["right", "other", "wild"]
        let callers = [
            ("front", policy(nil)),
            ("listing", policy(["other.example", "wild.demo.svc.cluster.local"])),
            ("trusting", ""),
        ]
        let base =
            Manifests.mesh()
            + callers.map { Manifests.running($0.0, backends: servers, rest: $0.1) }.joined()
            + servers.enumerated().map { index, name in
                let tls = Manifests.listenerTLS(Manifests.file(name, in: "./certs"))
                return Manifests.served(name, appPort: "APP\(index + 1)", listener: tls)
                    + Manifests.service(name)
            }.joined()
        try await TestFolder.use { place in
            let authority = try await TestAuthority("authority", in: place)
            let names = [
                "right.demo.svc.cluster.local", "other.example", "*.demo.svc.cluster.local",
            ]
            for (server, name) in zip(servers, names) {
                try await authority.issue(server, for: [name], in: place.path("mesh/certs"))
            }
            try authority.publish(as: place.path("mesh/ca.pem"))
            try await RunningMesh.run(["mesh.yaml": base], in: place) { mesh in
                let rows: [(caller: String, statuses: [Int])] = [
                    // A wildcard will do for the host name.
                    ("front", [200, 503, 200]),
                    // And not for a name of a list.
                    ("listing", [503, 200, 503]),
                    // Without a policy nobody says whom to trust.
                    ("trusting", [200, 200, 200]),
                ]
                for (caller, statuses) in rows {
                    for (server, status) in zip(servers, statuses) {
                        let host = "\(server).demo:8080"
                        let answer = try await mesh.request(from: caller, host: host)
                        #expect(answer.status == status, "\(caller) to \(server): \(answer.text)")
                    }
                }
            }
        }
    }

    @Test func `a certificate that is missing holds up nothing else`() async throws {
        let blue = """
            ---
            apiVersion: appmesh.k8s.aws/v1beta2
            kind: VirtualNode
            metadata: {name: blue, namespace: demo}
            spec:
              podSelector: {matchLabels: {app: blue}}
              listeners:
                - portMapping: {port: 8080, protocol: http}
                - portMapping: {port: 8443, protocol: http}
                  \(Manifests.listenerTLS(Manifests.file("chain", in: "./blue")))
              serviceDiscovery: {dns: {hostname: blue.demo.svc.cluster.local}}

            """
        let base =
            Manifests.mesh() + blue
            + Manifests.workload("blue", of: "blue", appPort: "APP1")
            .replacing("{8080: APP1}", with: "{8080: APP1, 8443: APP1}")
        try await TestFolder.use { place in
            let authority = try await TestAuthority("authority", in: place)
            try await RunningMesh.run(["mesh.yaml": base], in: place) { mesh in
                let address = try await mesh.ingressAddress(of: "blue")
                #expect(try await curl(address, port: 8080, scheme: "http").status == 200)
                #expect(try await curl(address, port: 8443).status == nil)
                let condition = try await mesh.condition("CertificateValid", of: "blue") {
                    $0["status"]?.string == "False"
                }
                #expect(condition["reason"]?.string == "CertificateMissing")
                let message = condition["message"]?.string ?? ""
                #expect(message.contains(place.path("mesh/blue/chain.pem")), "\(message)")

                try await authority.issue(
                    "chain",
                    for: ["blue.demo.svc.cluster.local"],
                    in: place.path("mesh/blue")
                )
                try await poll {
                    try await curl(address, port: 8443)
                } until: {
                    $0.status == 200
                }
                _ = try await mesh.condition("CertificateValid", of: "blue") {
                    $0["status"]?.string == "True"
                }
            }
        }
    }

    @Test func `an enforced policy sends nothing in plaintext`() async throws {
        let validation = Manifests.validation(trust: Manifests.trust("./ca.pem"))
        let base =
            Manifests.mesh()
            + [
                ("strict", ""), ("covered", "ports: [8080]"), ("lax", "enforce: false"),
                ("elsewhere", "ports: [9090]"),
            ].map { name, more in
                Manifests.running(
                    name,
                    backends: ["blue"],
                    rest: Manifests.clientPolicy(validation: validation, more: more)
                )
            }.joined() + Manifests.served("blue", appPort: "APP1") + Manifests.service("blue")
        try await TestFolder.use { place in
            let authority = try await TestAuthority("authority", in: place)
            try authority.publish(as: place.path("mesh/ca.pem"))
            try await RunningMesh.run(["mesh.yaml": base], in: place) { mesh in
                for caller in ["strict", "covered"] {
                    let answer = try await mesh.request(from: caller, host: "blue.demo:8080")
                    #expect(answer.status == 503, "\(caller)")
                }
                #expect(try await mesh.application(1).counts("/").attempts == 0)
                for caller in ["lax", "elsewhere"] {
                    let answer = try await mesh.request(from: caller, host: "blue.demo:8080")
                    #expect(answer.name == "blue", "\(caller): \(answer.text)")
                }
            }
        }
    }

    @Test func `a permissive listener takes TLS and plaintext`() async throws {
        let tls = Manifests.listenerTLS(Manifests.file("chain", in: "./certs"), mode: "PERMISSIVE")
        let base =
            Manifests.mesh() + Manifests.running("front", backends: ["blue"])
            + Manifests.served("blue", appPort: "APP1", listener: tls) + Manifests.service("blue")
            + Manifests.served("db", appPort: "APP2", protocol: "tcp", port: 5432, listener: tls)
        try await TestFolder.use { place in
            let authority = try await TestAuthority("authority", in: place)
            let names = ["blue.demo.svc.cluster.local", "db.demo.svc.cluster.local"]
            let certificate = try await authority.issue(
                "chain",
                for: names,
                in: place.path("mesh/certs")
            )
            try await RunningMesh.run(["mesh.yaml": base], in: place) { mesh in
                for (name, port) in [("blue", 8080), ("db", 5432)] {
                    let address = try await mesh.ingressAddress(of: name)
                    for scheme in ["http", "https"] {
                        let answer = try await curl(address, port: port, scheme: scheme)
                        #expect(answer.status == 200, "\(name) over \(scheme): \(answer.text)")
                    }
                    let presented = try await presentedCertificate(address, port: port)
                    #expect(presented.serial == certificate.serial)
                }
                // Callers speak TLS to it, whether or not a policy says so.
                let before = try await mesh.statistics("listener.", ".ssl.handshake", of: "blue")
                let answer = try await mesh.request(from: "front", host: "blue.demo:8080")
                #expect(answer.name == "blue")
                let after = try await mesh.statistics("listener.", ".ssl.handshake", of: "blue")
                #expect(after == before + 1)
            }
        }
    }
}
