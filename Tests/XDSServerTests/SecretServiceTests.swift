import EnvoyAPI
import MeshIdentity
import MeshModel
import MeshTesting
import MeshPlan
import SwiftProtobuf
import Testing

@testable import XDSServer

/// Secrets over a real socket.
@Suite(.timeLimit(.minutes(2))) struct `Secret service` {
    private let blue = proxy("blue")
    private let red = proxy("red")
    fileprivate let trust = SecretSpec.trust([.mesh("demo")])

    private func certificate(_ name: String) -> SecretSpec {
        let owner = object(.virtualNode, name)
        let uri = "spiffe://demo/demo/\(name)"
        return .certificate(.issued(Identity(mesh: "demo", owner: owner, uri: uri)))
    }

    private func material(_ version: String, of name: String) -> SecretMaterial {
        let key = "key \(version) of \(name)"
        return SecretMaterial(
            version: version,
            content: .certificate(chain: "chain \(version) of \(name)", privateKey: key)
        )
    }

    private func bundle(_ version: String) -> SecretMaterial {
        SecretMaterial(version: version, content: .trust("bundle \(version)"))
    }

    /// A store whose two proxies have a certificate each and share trust.
    private func store() -> SnapshotStore {
        let store = SnapshotStore()
        store.authorize(token: "blue-token", for: blue)
        store.authorize(token: "red-token", for: red)
        store.publish([blue: Snapshot(), red: Snapshot()], secrets: plans)
        return store
    }

    private var plans: [ProxyID: [String: SecretSpec]] {
        [
            blue: ["cert-blue": certificate("blue"), "trust": trust],
            red: ["cert-red": certificate("red"), "trust": trust],
        ]
    }

    private func secrets(
        _ response: Delta
    ) throws -> [Envoy_Extensions_TransportSockets_Tls_V3_Secret] {
        try response.resources.map { try .init(serializedBytes: $0.resource.value) }
    }

    @Test
    func `each proxy gets its own secrets in the version of the material, and hears of changes`()
        async throws
    {
        let store = store()
        store.publish(secrets: [
            certificate("blue"): material("1", of: "blue"),
            certificate("red"): material("1", of: "red"), trust: bundle("a"),
        ])
        try await withService(store) { path in
            try await withClient(path, token: "blue-token") { client in
                client.send(request(.secrets, subscribe: ["cert-blue", "trust"]))
                // Each comes by itself, as Envoy tells nothing of the one that it refuses of many.
                let responses = [try await client.accept(), try await client.accept()]
                #expect(Set(responses.map(\.typeURL)) == [ResourceType.secrets.typeURL])
                #expect(responses.map { $0.resources.map(\.name) } == [["trust"], ["cert-blue"]])
                #expect(responses.map { $0.resources.map(\.version) } == [["a"], ["1"]])
                let sent = try responses.flatMap(secrets)
                #expect(sent.map(\.name) == ["trust", "cert-blue"])
                #expect(sent[1].tlsCertificate.certificateChain.inlineString == "chain 1 of blue")
                #expect(sent[1].tlsCertificate.privateKey.inlineString == "key 1 of blue")
                #expect(sent[0].validationContext.trustedCa.inlineString == "bundle a")

                // What concerns another is not heard of.
                store.publish(secrets: [
                    certificate("blue"): material("1", of: "blue"),
                    certificate("red"): material("2", of: "red"), trust: bundle("a"),
                ])
                store.publish(secrets: [
                    certificate("blue"): material("2", of: "blue"),
                    certificate("red"): material("2", of: "red"), trust: bundle("a"),
                ])
                let next = try await client.accept()
                #expect(next.resources.map(\.name) == ["cert-blue"])
                #expect(next.resources.map(\.version) == ["2"])
            }
        }
    }

    @Test func `a proxy that asks for another's secret gets nothing, and the log tells`()
        async throws
    {
        let store = store()
        store.publish(secrets: [
            certificate("blue"): material("1", of: "blue"),
            certificate("red"): material("1", of: "red"), trust: bundle("a"),
        ])
        let log = LogRecorder()
        try await withService(store, log: log) { path in
            try await withClient(path, token: "blue-token") { client in
                client.send(request(.secrets, subscribe: ["cert-red", "x\ny"]))
                let response = try await client.accept()
                #expect(response.resources.isEmpty)
                #expect(response.removedResources == ["cert-red", "x\ny"])
                // It changes, and still is not sent.
                store.publish(secrets: [
                    certificate("red"): material("2", of: "red"), trust: bundle("a"),
                ])
                client.send(request(.secrets, subscribe: ["cert-red", "trust"]))
                let second = try await client.accept()
                #expect(second.resources.map(\.name) == ["trust"])
                #expect(second.removedResources == ["cert-red"])
            }
        }
        #expect(
            log.texts.sorted() == [
                "secret refused proxy=demo/blue secret=cert-red",
                #"secret refused proxy=demo/blue secret=x\u{a}y"#,
            ]
        )
    }

    @Test func `distribution is complete once every proxy has acknowledged`()
        async throws
    {
        let store = store()
        store.publish(secrets: [trust: bundle("a")])
        #expect(store.areSecretsDistributed)
        try await withService(store) { path in
            let (gates, opened) = AsyncStream.makeStream(of: Void.self)
            let (ends, ended) = AsyncStream.makeStream(of: Void.self)
            try await withThrowingTaskGroup { group in
                group.addTask {
                    try await withClient(path, token: "red-token") { two in
                        two.ask()
                        _ = try await two.accept()
                        opened.yield()
                        let second = try await two.next()
                        await until(store) {
                            store.currentObservations[proxy("blue")]?.sync[.secrets] == .synced
                        }
                        #expect(!store.areSecretsDistributed)
                        var answer = request(.secrets)
                        answer.responseNonce = second.nonce
                        answer.errorDetail.message = "no"
                        two.send(answer)
                        await until(store) {
                            store.currentObservations[proxy("red")]?.refusals.map(\.objects)
                                == [[object(.workload, "red")]]
                        }
                        #expect(!store.areSecretsDistributed)
                    }
                    ended.yield()
                }
                try await withClient(path, token: "blue-token") { one in
                    one.ask()
                    _ = try await one.accept()
                    var gate = gates.makeAsyncIterator()
                    await gate.next()
                    await until(store) { store.areSecretsDistributed }
                    store.publish(secrets: [trust: bundle("b")])
                    #expect(!store.areSecretsDistributed)
                    _ = try await one.accept()
                    var end = ends.makeAsyncIterator()
                    await end.next()
                    // Who is gone may go on with what it has, as long as it is trusted.
                    #expect(!store.areSecretsDistributed)
                    store.revoke(proxy("red"))
                    #expect(store.areSecretsDistributed)
                }
                try await group.waitForAll()
            }
        }
    }

    @Test func `a secret is encoded once for all who share it, and goes with the last of them`()
        throws
    {
        var shelf = SecretShelf()
        _ = shelf.setMaterials([trust: bundle("a"), certificate("red"): material("1", of: "red")])
        for (proxy, plan) in plans { shelf.setPlan(plan, of: proxy) }
        let resource = try #require(shelf[blue].resources["trust"])
        #expect(shelf[red].resources["trust"] === resource)
        #expect(shelf[blue].names == ["cert-blue", "trust"])
        #expect(shelf[blue].resources.keys.sorted() == ["trust"])
        let changed = shelf.setMaterials([
            trust: bundle("a"), certificate("red"): material("2", of: "red"),
        ])
        #expect(changed == [red])
        #expect(shelf[blue].resources["trust"] === resource)
        shelf.setPlan([:], of: red)
        #expect(shelf[red] == ProxySecrets())
        shelf.setPlan(["trust": trust], of: blue)
        #expect(shelf[blue].resources["trust"] === resource)
    }
}

extension TestClient {
    /// Asks for all clusters and listeners, of which there are none, and for trust.
    fileprivate func ask() {
        send(request(.clusters))
        send(request(.listeners))
        send(request(.secrets, subscribe: ["trust"]))
    }
}

/// Waits for an observation with which `condition` holds.
private func until(_ store: SnapshotStore, _ condition: () -> Bool) async {
    var changes = store.observations.makeAsyncIterator()
    while !condition() { _ = await changes.next(isolation: #isolation) }
}
