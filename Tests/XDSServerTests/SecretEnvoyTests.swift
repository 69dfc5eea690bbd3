import MeshIdentity
import MeshModel
import MeshPlan
import MeshTesting
import Testing

@testable import XDSServer

/// Secrets with real Envoys: front calls blue over mutual TLS.
@Suite(
    .timeLimit(.minutes(2)),
    .enabled(if: EnvoyProcess.binary != nil || EnvoyProcess.isRequired, "no Envoy")
)
struct `Secrets with Envoy` {
    private let blue = proxy("blue")
    private let front = proxy("front")

    private func spec(_ name: String) -> SecretSpec {
        let owner = object(.virtualNode, name)
        let uri = "spiffe://demo/demo/\(name)"
        return .certificate(.issued(Identity(mesh: "demo", owner: owner, uri: uri)))
    }

    @Test func `certificates rotate, come late, are refused and survive a reconnect`() async throws
    {
        let authority = try await TestAuthority("authority", in: temporaryFolder())
        let trust = SecretSpec.trust([.mesh("demo")])
        let firstMaterials = [
            spec("blue"): try await authority.certificate("spiffe://demo/demo/blue", serial: 1),
            spec("front"): try await authority.certificate("spiffe://demo/demo/front", serial: 2),
            trust: try authority.trust(),
        ]
        let (port, calling, latePort) = (freePort(), freePort(), freePort())
        let own = TLSNames(certificate: "cert-blue", trust: "trust")
        let callers = TLSNames(certificate: "cert-front", trust: "trust")
        let late = TLSNames(certificate: "cert-late", trust: "trust")
        let serving = try snapshot(
            cluster("unused"),
            listener("in", port: port, route: "r", tls: own),
            routes("r", to: .text("hello"))
        )
        let calls = try snapshot(
            edsCluster("blue", tls: callers),
            endpoints("blue", port: port),
            listener("out", port: calling, route: "r"),
            routes("r", to: .cluster("blue"))
        )
        let firstPlans = [
            blue: ["cert-blue": spec("blue"), "trust": trust],
            front: ["cert-front": spec("front"), "trust": trust],
        ]
        let store = SnapshotStore()
        store.authorize(token: "blue", for: blue)
        store.authorize(token: "front", for: front)
        store.publish([blue: serving, front: calls], secrets: firstPlans)
        store.publish(secrets: firstMaterials)
        try await withService(store) { path in
            var (materials, plans) = (firstMaterials, firstPlans)
            let folder = try temporaryFolder()
            let envoys = [
                try EnvoyProcess(ads: path, token: "blue", folder: folder),
                try EnvoyProcess(ads: path, token: "front", folder: try temporaryFolder()),
            ]
            try await observed(store, blue) { Set($0.sync.values) == [.synced] }
            try await observed(store, front) { Set($0.sync.values) == [.synced] }
            try await until { get(port: calling)?.hasSuffix("hello") == true }
            #expect(try await serial(at: port) == 1)
            #expect(store.areSecretsDistributed)

            // A new certificate takes the place of the old one.
            materials[spec("blue")] = try await authority.certificate(
                "spiffe://demo/demo/blue",
                serial: 3
            )
            store.publish(secrets: materials)
            #expect(!store.areSecretsDistributed)
            try await observed(store, blue) { _ in store.areSecretsDistributed }
            try await poll {
                try await serial(at: port)
            } until: {
                $0 == 3
            }
            #expect(get(port: calling)?.hasSuffix("hello") == true)

            // A key of another certificate is refused, and the one before stays.
            let good = try await authority.certificate("spiffe://demo/demo/blue", serial: 4)
            materials[spec("blue")] = try good.withKey(of: #require(materials[spec("front")]))
            store.publish(secrets: materials)
            let refused = try await observed(store, blue) { !$0.refusals.isEmpty }
            #expect(refused.refusals.map(\.resource) == ["cert-blue"])
            #expect(refused.refusals.map(\.version) == ["bad"])
            #expect(refused.refusals.map(\.keptVersion) == ["3"])
            #expect(refused.refusals.map(\.objects) == [[object(.virtualNode, "blue")]])
            #expect(refused.refusals[0].message.contains("KEY_VALUES_MISMATCH"))
            #expect(refused.sync[.secrets] == .refused)
            #expect(!store.areSecretsDistributed)
            #expect(try await serial(at: port) == 3)
            materials[spec("blue")] = good
            store.publish(secrets: materials)
            try await observed(store, blue) {
                $0.refusals.isEmpty && $0.sync[.secrets] == .synced
            }
            try await poll {
                try await serial(at: port)
            } until: {
                $0 == 4
            }

            // After a reconnect it tells what it has, and gets what is new.
            let fifth = try await authority.certificate("spiffe://demo/demo/blue", serial: 5)
            try await withClient(path, token: "blue") { client in
                client.send(request(.routes))
                try await observed(store, proxy("blue")) {
                    $0.isConnected && $0.sync[.clusters] != .pending
                }
            }
            materials[spec("blue")] = fifth
            store.publish(secrets: materials)
            try await observed(store, blue) {
                $0.isConnected && $0.sync[.listeners] == .synced && $0.sync[.secrets] == .synced
            }
            try await poll {
                try await serial(at: port)
            } until: {
                $0 == 5
            }

            // A listener whose certificate is not there yet holds up nothing, and is not taken.
            var more = serving
            try more.insert(listener("late", port: latePort, route: "r", tls: late))
            try more.insert(listener("plain", port: freePort(), route: "r"))
            plans[blue]?["cert-late"] = spec("late")
            store.publish([blue: more, front: calls], secrets: plans)
            let waiting = try await observed(store, blue) {
                $0.listeners["plain"] != nil && $0.sync[.secrets] == .pending
            }
            #expect(waiting.listeners.keys.sorted() == ["in", "plain"])
            #expect(try await serial(at: latePort) == nil)
            materials[spec("late")] = try await authority.certificate(
                "spiffe://demo/demo/late",
                serial: 6
            )
            store.publish(secrets: materials)
            try await observed(store, blue) { $0.listeners["late"] != nil }
            try await poll {
                try await serial(at: latePort)
            } until: {
                $0 == 6
            }

            // What leaves the plan leaves the proxy.
            plans[blue]?["cert-late"] = nil
            store.publish([blue: serving, front: calls], secrets: plans)
            try await observed(store, blue) {
                Set($0.sync.values) == [.synced] && $0.listeners.keys.sorted() == ["in"]
            }
            #expect(get(port: calling)?.hasSuffix("hello") == true)
            _ = envoys
        }
    }
}

extension SecretMaterial {
    private struct NoCertificate: Error {}

    /// The certificate with the key of `other`.
    func withKey(of other: SecretMaterial) throws -> SecretMaterial {
        guard case .certificate(let chain, _) = content,
            case .certificate(_, let key) = other.content
        else { throw NoCertificate() }
        return SecretMaterial(version: "bad", content: .certificate(chain: chain, privateKey: key))
    }
}
