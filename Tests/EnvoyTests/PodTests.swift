import Foundation
import Glibc
import MeshModel
import MeshPlan
import MeshTesting
import Testing

/// Whether a test may make network namespaces, which takes root; CI asks for it.
private let podsAreExpected =
    envoyIsExpected && (geteuid() == 0 || ProcessInfo.processInfo.environment["CI"] != nil)

/// Pods as network namespaces: what iptables redirects there, and what real Envoys make of it.
@Suite(.enabled(if: podsAreExpected), .serialized, .timeLimit(.minutes(3)))
struct PodTests {
    @Test
    func `what comes to a Pod and leaves it goes through its proxy, and what shall not does not`()
        async throws
    {
        try await PodMesh.run(PodManifests.mesh() + PodManifests.colors) { mesh in
            let (front, color) = (try mesh["front-1"], try mesh["color-1"])
            // By the Host on the backend's port, whatever address was dialled: the redirection says
            // where it was meant to go, and the route where it goes.
            let answer = try await front.curl("http://198.51.100.1:8080/", host: "color.demo:8080")
            #expect(answer.contains("color of color-1 8080"))
            #expect(try await front.statistic("http.egress.downstream_rq_2xx") == 1)
            #expect(try await color.statistic("http.ingress.downstream_rq_2xx") == 1)
            // The gateway's Pod listens itself, below 1024 too, and calls as any other.
            let edge = try mesh["edge-1"]
            let outside = try await mesh.network.pod("outside")
            let through = try await curl(in: outside, "http://\(edge.pod.address):80/")
            #expect(through.contains("color of color-1 8080"))
            // A port that is no listener's is the application's own.
            let direct = try await curl(in: outside, "http://\(color.pod.address):9999/")
            #expect(direct.contains("color of color-1 9999"))
            // What the application of a Pod sends to itself stays.
            let own = try await color.curl("http://\(color.pod.address):8080/", host: "any")
            #expect(own.contains("color of color-1 8080"))
            #expect(try await color.statistic("http.ingress.downstream_rq_2xx") == 2)
            // The HTTP proxy is for the Pod alone.
            let refused = try await curl(in: outside, "http://\(color.pod.address):15001/")
            #expect(refused.contains("Couldn't connect"))
            let proxied = try await front.curl(
                "http://color.demo:8080/",
                host: nil,
                ["--proxy", "http://127.0.0.1:15001"]
            )
            #expect(proxied.contains("color of color-1 8080"))
        }
    }

    @Test(arguments: [false, true])
    func `what no backend answers for passes under ALLOW_ALL alone, to where it was meant to go`(
        _ allowsAll: Bool
    ) async throws {
        let manifests = PodManifests.mesh(allowsAll: allowsAll) + PodManifests.colors
        try await PodMesh.run(manifests) { mesh in
            let front = try mesh["front-1"]
            let outside = try await mesh.network.pod("outside")
            let server = try await TestServer.start(
                in: outside,
                "outside",
                ports: [7000, 8080, 22]
            )
            defer { server.end() }
            let rows: [(url: String, passes: Bool)] = [
                ("http://\(outside.address):7000/", allowsAll),
                // On a backend's port, with another Host.
                ("http://\(outside.address):8080/", allowsAll),
                // App Mesh never redirected 22.
                ("http://\(outside.address):22/", true),
            ]
            for (url, passes) in rows {
                let answer = try await front.curl(url, host: nil)
                #expect(answer.contains("outside of outside") == passes, "\(url): \(answer)")
            }
            let unlisted = try await front.curl("http://\(outside.address):8080/", host: nil)
            #expect(unlisted.contains("404") == !allowsAll, "\(unlisted)")
            // Through the HTTP proxy names lead there, and nothing leads back to it.
            let proxied = try await front.curl(
                "http://\(outside.address):7000/",
                host: nil,
                ["--proxy", "http://127.0.0.1:15001"]
            )
            #expect(proxied.contains("outside of outside 7000") == allowsAll, "\(proxied)")
        }
    }

    @Test func `addresses and ports that are to be ignored are not redirected, and users that are`()
        async throws
    {
        try await PodMesh.run(PodManifests.mesh() + PodManifests.colors) { mesh in
            let front = try mesh["front-1"]
            let outside = try await mesh.network.pod("outside")
            let server = try await TestServer.start(in: outside, "outside", ports: [7000, 7001])
            defer { server.end() }
            let url = "http://\(outside.address):7000/"
            #expect(!(try await front.curl(url, host: nil).contains("outside of")))
            // Envoy's own user passes, and so does not come back to itself.
            let own = try await curl(in: front.pod, url, user: PodMesh.user)
            #expect(own.contains("outside of outside"))
            try await front.redirect(["APPMESH_EGRESS_IGNORED_PORTS": "7000"])
            #expect(try await front.curl(url, host: nil).contains("outside of outside 7000"))
            #expect(
                !(try await front.curl("http://\(outside.address):7001/", host: nil)
                    .contains("outside of"))
            )
            try await front.redirect(["APPMESH_EGRESS_IGNORED_IP": "\(outside.address)/32"])
            #expect(
                try await front.curl("http://\(outside.address):7001/", host: nil)
                    .contains("outside of outside 7001")
            )
            // As often as it was set, it is gone after one time.
            let disabled = try await front.pod.run([heddlePath, "redirect", "disable"])
            #expect(disabled.status == 0, "\(disabled.output)")
            let saved = try await front.pod.run(["iptables-save", "-t", "nat"])
            #expect(!saved.output.contains("APPMESH"))
        }
    }

    @Test func `Pods prove each other by files of their own under STRICT`() async throws {
        try await TestFolder.use { folder in
            let authority = try await TestAuthority("pods", in: folder.url.path)
            let certificate = try await authority.issue("pod", for: ["color.demo"])
            #expect(chown(certificate.key, uid_t(PodMesh.user), gid_t(PodMesh.user)) == 0)
            try await expectProof(certificate, authority)
        }
    }

    private func expectProof(
        _ certificate: TestCertificate,
        _ authority: TestAuthority
    ) async throws {
        let manifests =
            PodManifests.mesh() + PodManifests.secured(by: certificate, authority.certificate)
        try await PodMesh.run(manifests) { mesh in
            let (front, color) = (try mesh["front-1"], try mesh["color-1"])
            let answer = try await front.curl("http://198.51.100.1:8080/", host: "color.demo:8080")
            #expect(answer.contains("color of color-1 8080"))
            #expect(try await color.statistic("listener.0.0.0.0_15000.ssl.handshake") == 1)
            let outside = try await mesh.network.pod("outside")
            let plain = try await curl(in: outside, "http://\(color.pod.address):8080/")
            #expect(!plain.contains("color of"))
            let unproven = try await curl(
                in: outside,
                "https://\(color.pod.address):8080/",
                ["--insecure"]
            )
            #expect(!unproven.contains("color of"))
            let proven = try await curl(
                in: outside,
                "https://\(color.pod.address):8080/",
                ["--insecure", "--cert", certificate.chain, "--key", certificate.key]
            )
            #expect(proven.contains("color of color-1 8080"), "\(proven)")
        }
    }

    @Test func `both families are redirected where Pods have both`() async throws {
        let manifests =
            PodManifests.mesh(ipPreference: "IPv6_ONLY")
            + PodManifests.colors
        try await PodMesh.run(manifests, usesIPv6: true) { mesh in
            let front = try mesh["front-1"]
            let answer = try await front.curl("http://[2001:db8::1]:8080/", host: "color.demo:8080")
            #expect(answer.contains("color of color-1 8080"), "\(answer)")
            let older = try await front.curl("http://198.51.100.1:8080/", host: "color.demo:8080")
            #expect(older.contains("color of color-1 8080"), "\(older)")
        }
    }

    @Test func `without NET_ADMIN it says so, and a dry run shows the rules`() async throws {
        try await PodNetwork.use { network in
            let pod = try await network.pod("poor")
            let result = try await pod.run(
                ["setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin", heddlePath]
                    + ["redirect", "--app-ports", "8080"]
            )
            #expect(result.status == 1)
            #expect(result.output.contains("NET_ADMIN"), "\(result.output)")
            let rules = try await pod.run([
                heddlePath, "redirect", "--app-ports", "8080", "--dry-run",
            ])
            #expect(rules.output.contains("--dports 8080 -j REDIRECT --to-ports 15000"))
            let saved = try await pod.run(["iptables-save", "-t", "nat"])
            #expect(!saved.output.contains("APPMESH"))
        }
    }

    @Test(arguments: ["nft", "legacy"])
    func `either kind of iptables takes the rules, as often as they are set`(
        _ variant: String
    ) async throws {
        try await PodNetwork.use { network in
            let pod = try await network.pod(variant)
            let folder = FileManager.default.temporaryDirectory
                .appendingPathComponent("heddle-iptables-\(UUID().uuidString)")
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            defer { try? FileManager.default.removeItem(at: folder) }
            for program in ["iptables", "ip6tables"] {
                for verb in ["save", "restore"] {
                    try FileManager.default.createSymbolicLink(
                        atPath: folder.appendingPathComponent("\(program)-\(verb)").path,
                        withDestinationPath: "/usr/sbin/\(program)-\(variant)-\(verb)"
                    )
                }
            }
            for _ in 1...3 {
                let result = try await pod.run(
                    [heddlePath, "redirect"],
                    environment: ["PATH": folder.path, "APPMESH_APP_PORTS": "8080"]
                )
                #expect(result.status == 0, "\(result.output)")
            }
            let saved = try await pod.run(["iptables-\(variant)-save", "-t", "nat"])
            let lines = saved.output.split(separator: "\n").filter { $0.hasPrefix("-A") }
            #expect(lines.count == 6, "\(saved.output)")
        }
    }
}
