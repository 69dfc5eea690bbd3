import MeshIdentity
import MeshModel
import MeshPlan
import MeshTesting
import Testing

@testable import XDSServer

/// What real Envoys tell of the callers that they refuse.
@Suite(
    .timeLimit(.minutes(2)),
    .enabled(if: EnvoyProcess.binary != nil || EnvoyProcess.isRequired, "no Envoy")
)
struct `Denials with Envoy` {
    @Test func `a caller that is refused, or would be, is named by its certificate`() async throws {
        let blue = proxy("blue")
        let authority = try await TestAuthority("authority", in: temporaryFolder())
        let uri = "spiffe://demo/demo/blue"
        let own = SecretSpec.certificate(
            .issued(Identity(mesh: "demo", owner: object(.virtualNode, "blue"), uri: uri))
        )
        let trust = SecretSpec.trust([.mesh("demo")])
        let (enforcing, trying, calling, probing) = (
            freePort(), freePort(), freePort(), freePort()
        )
        let names = TLSNames(certificate: "cert", trust: "trust")
        let serving = try snapshot(
            edsCluster("enforcing", tls: names),
            endpoints("enforcing", port: enforcing),
            edsCluster("trying", tls: names),
            endpoints("trying", port: trying),
            listener(
                "enforcing",
                port: enforcing,
                route: "r",
                tls: names,
                control: TestAccessControl(isEnforced: true, token: "blue")
            ),
            listener(
                "trying",
                port: trying,
                route: "r",
                tls: names,
                control: TestAccessControl(isEnforced: false, token: "blue")
            ),
            listener("calling", port: calling, route: "to-enforcing"),
            listener("probing", port: probing, route: "to-trying"),
            routes("r", to: .text("hello")),
            routes("to-enforcing", to: .cluster("enforcing")),
            routes("to-trying", to: .cluster("trying"))
        )
        let store = SnapshotStore()
        store.authorize(token: "blue", for: blue)
        store.publish([blue: serving], secrets: [blue: ["cert": own, "trust": trust]])
        store.publish(secrets: [
            own: try await authority.certificate(uri, serial: 1), trust: try authority.trust(),
        ])
        let log = LogRecorder()
        try await withService(store, log: log) { path in
            let envoy = try EnvoyProcess(ads: path, token: "blue", folder: try temporaryFolder())
            try await observed(store, blue) { Set($0.sync.values) == [.synced] }
            try await until { get(port: calling)?.hasSuffix("RBAC: access denied") == true }
            try await until { get(port: probing)?.hasSuffix("hello") == true }
            let caller = AccessDenial(caller: uri, verdict: .denied)
            let trial = AccessDenial(caller: uri, verdict: .shadow)
            try await until {
                let counts = store.denials[blue] ?? [:]
                return counts[caller] != nil && counts[trial] != nil
            }
            #expect(store.denials[blue]?.count == 2)
            #expect(
                log.texts.contains { line in
                    line.hasPrefix("request denied authority=test caller=\(uri) count=1 method=GET")
                        && line.contains("path=/ port=\(enforcing) proxy=demo/blue")
                        && line.hasSuffix("verdict=denied")
                }
            )
            _ = envoy
        }
    }
}
