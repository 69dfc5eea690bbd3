import Foundation
import HTTPClient
import MeshModel
import MeshTesting
import Testing

/// Changes of who may call whom, and how, while requests go on that nobody sends again.
@Suite(.enabled(if: envoyIsExpected), .serialized, .timeLimit(.minutes(1)))
struct TransitionTests {
    private static func mesh(_ annotations: String?) -> String {
        Manifests.mesh(annotations: annotations ?? "")
    }

    /// A service whose requests go to `targets`, each once.
    private static func color(_ targets: KeyValuePairs<String, Int>) -> String {
        let once =
            "retryPolicy: {maxRetries: 0, perRetryTimeout: {unit: s, value: 15}, "
            + "httpRetryEvents: [server-error]}"
        return Manifests.routed("color", routes: Manifests.route(targets, rest: once))
    }

    /// Front calls color, which blue provides, and nobody calls green.
    private static let controlled = [
        "mesh.yaml":
            mesh("heddle.dev/mtls: STRICT, heddle.dev/access-control: enforce")
            + Manifests.running("front", backends: ["color"])
            + Manifests.served("blue", appPort: "APP1")
            + Manifests.served("green", appPort: "APP2"),
        "route.yaml": color(["blue": 1]),
    ]

    /// Runs `body` while front calls color, and expects that every call is answered.
    private static func expectNoFailure(
        _ mesh: RunningMesh,
        _ body: (Load) async throws -> Void
    ) async throws {
        let egress = try await mesh.egressAddress(of: "front")
        let host = [HTTPField("Host", "color.demo:8080")]
        let outcome = try await Load.run(
            { try await mesh.request("http://\(egress):8080/", headers: host) },
            body
        )
        var denials: [String] = []
        if !outcome.failures.isEmpty {
            for name in ["blue", "green"] {
                let count = try? await mesh.statistics("http.", "rbac.denied", of: name)
                denials.append("\(name) refused \(count ?? 0)")
            }
        }
        #expect(outcome.failures == [], "\(denials)")
        #expect(outcome.requests >= 500)
    }

    @Test func `a route gets a target and loses one, and no request is refused`() async throws {
        try await TestFolder.use { place in
            try await RunningMesh.run(Self.controlled, in: place) { mesh in
                let authority = try TestAuthority(ofMesh: "demo", mesh, in: place)
                let front = try await authority.issue("front", for: ["spiffe://demo/demo/front"])
                try await Self.expectNoFailure(mesh) { load in
                    try await load.more(20)
                    for (old, new) in [("blue", "green"), ("green", "blue"), ("blue", "green")] {
                        try mesh.save("route.yaml", Self.color([old: 1, new: 1]))
                        try await load.more(80, by: new)
                        try mesh.save("route.yaml", Self.color([new: 1]))
                        // In the end the old target admits front no more.
                        let address = try await mesh.ingressAddress(of: old)
                        try await poll {
                            try await curl(address, port: 8080, as: front)
                        } until: {
                            $0.status == 403
                        }
                    }
                    try await load.more(20)
                }
            }
        }
    }

    @Test func `a caller that lags is let in until it calls no more`() async throws {
        try await TestFolder.use { place in
            try await RunningMesh.run(Self.controlled, in: place) { mesh in
                let authority = try TestAuthority(ofMesh: "demo", mesh, in: place)
                let front = try await authority.issue("front", for: ["spiffe://demo/demo/front"])
                let blue = try await mesh.ingressAddress(of: "blue")
                try await Self.expectNoFailure(mesh) { load in
                    try await load.more(500)
                    try await mesh.withoutProxy("front") {
                        try await Self.route(["green": 1], in: mesh)
                        for _ in 0..<5 {
                            let answer = try await curl(blue, port: 8080, as: front)
                            #expect(answer.status == 200, "\(answer.text)")
                        }
                    }
                    try await poll {
                        try await curl(blue, port: 8080, as: front)
                    } until: {
                        $0.status == 403
                    }
                    try await load.more(20)
                }
            }
        }
    }

    /// Routes color to `targets`, and waits until Heddle has planned for it.
    private static func route(
        _ targets: KeyValuePairs<String, Int>,
        in mesh: RunningMesh
    ) async throws {
        try mesh.save("route.yaml", color(targets))
        try await poll {
            let router = try await mesh.object(
                "appmesh.k8s.aws/v1beta2",
                "virtualrouters",
                "color"
            )
            let route = router["spec"]?["routes"]?.array?.first?["httpRoute"]
            return route?["action"]?["weightedTargets"]?.array?.compactMap {
                $0["virtualNodeRef"]?["name"]?.string
            }
        } until: {
            $0 == targets.map(\.key)
        }
    }

    @Test func `a mesh is moved to mutual TLS and back, and no request fails`() async throws {
        let nodes =
            Manifests.running("front", backends: ["color"])
            + Manifests.served("blue", appPort: "APP1") + Self.color(["blue": 1])
        let files = ["mesh.yaml": Self.mesh(nil), "nodes.yaml": nodes]
        try await RunningMesh.run(files) { mesh in
            let address = try await mesh.ingressAddress(of: "blue")
            try await Self.expectNoFailure(mesh) { load in
                let rows: [(mode: String?, plaintext: Int?)] = [
                    (nil, 200), ("PERMISSIVE", 200), ("STRICT", nil), ("PERMISSIVE", 200),
                    (nil, 200),
                ]
                for (mode, plaintext) in rows {
                    try mesh.save("mesh.yaml", Self.mesh(mode.map { "heddle.dev/mtls: \($0)" }))
                    try await poll {
                        try await curl(address, port: 8080, scheme: "http").status
                    } until: {
                        $0 == plaintext
                    }
                    try await poll {
                        try await presentedCertificate(address, port: 8080).serial
                    } until: {
                        ($0 != nil) == (mode != nil)
                    }
                    try await load.more(100)
                    // Until then a connection may go on in plaintext.
                    guard mode == "STRICT" else { continue }
                    try await poll {
                        let prefix = "cluster.cds_egress_demo_blue"
                        return try await mesh.statistics(prefix, "ssl.handshake", of: "front")
                    } until: {
                        $0 > 0
                    }
                }
            }
        }
    }
}
