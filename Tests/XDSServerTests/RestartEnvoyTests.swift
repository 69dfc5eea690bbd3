import Glibc
import MeshIdentity
import MeshModel
import MeshPlan
import MeshTesting
import Testing

@testable import XDSServer

/// What real Envoys make of a control plane that comes back, and of a host that is in the way.
@Suite(
    .timeLimit(.minutes(2)),
    .enabled(if: EnvoyProcess.binary != nil || EnvoyProcess.isRequired, "no Envoy")
)
struct `Restarts with Envoy` {
    private let blue = proxy("blue")

    /// How often the Envoy in `folder` took something, by subscription, and when it took each resource.
    private func taken(_ folder: String) throws -> (counts: [String], times: [String]) {
        let stats = try #require(admin(folder, "/stats?filter=update_success"))
        let dump = try #require(admin(folder, "/config_dump?include_eds"))
        return (
            stats.split(whereSeparator: \.isNewline).map(String.init)
                .filter { $0.contains("update_success") }.sorted(),
            dump.split(whereSeparator: \.isNewline).map(String.init)
                .filter { $0.contains("last_updated") }.sorted()
        )
    }

    @Test func `a new control plane with equal snapshots changes nothing at a proxy`() async throws
    {
        let authority = try await TestAuthority("authority", in: temporaryFolder())
        let uri = "spiffe://demo/demo/blue"
        let identity = Identity(mesh: "demo", owner: object(.virtualNode, "blue"), uri: uri)
        let spec = SecretSpec.certificate(.issued(identity))
        let trust = SecretSpec.trust([.mesh("demo")])
        let secrets = [
            spec: try await authority.certificate(uri, serial: 1), trust: try authority.trust(),
        ]
        let plans = ["cert": spec, "trust": trust]
        let names = TLSNames(certificate: "cert", trust: "trust")
        let port = freePort()
        let upstream = freePort()
        let target = try snapshot(
            edsCluster("a"),
            endpoints("a", port: upstream),
            edsCluster("b"),
            endpoints("b", port: upstream),
            listener("in", port: freePort(), route: "r", tls: names),
            listener("plain", port: port, route: "r"),
            listener("up", port: upstream, route: "u"),
            routes("r", to: .cluster("a")),
            routes("u", to: .text("hello"))
        )
        let folder = try temporaryFolder()
        let socket = folder + "/xds.sock"
        let blue = blue
        let first = SnapshotStore()
        first.authorize(token: "secret", for: blue)
        first.publish([blue: target], secrets: [blue: plans])
        first.publish(secrets: secrets)
        let (envoy, before) = try await withService(first, at: socket) { path in
            let envoy = try EnvoyProcess(ads: path, token: "secret", folder: folder)
            try await observed(first, blue) { $0.acknowledgedVersion != nil }
            try await until { get(port: port)?.hasSuffix("hello") == true }
            return (envoy, first.currentObservations[blue])
        }
        let takenBefore = try taken(folder)
        let lastGood = try #require(first.lastGood(of: blue))
        #expect(lastGood[.listeners] == target[.listeners])
        #expect(lastGood[.secrets].keys.sorted() == ["cert", "trust"])

        let second = SnapshotStore()
        second.authorize(token: "secret", for: blue, isAdopted: true)
        #expect(!second.areSecretsDistributed)
        try await withService(second, at: socket) { _ in
            let told = try await observed(second, blue) {
                $0.isConnected && $0.listeners.count == 3
            }
            #expect(told.listeners == before?.listeners)
            #expect(Set(told.sync.values) == [.notSent])
            second.publish([blue: target], secrets: [blue: plans])
            second.publish(secrets: secrets)
            let synced = try await observed(second, blue) { $0.acknowledgedVersion != nil }
            #expect(Set(synced.sync.values) == [.synced])
            #expect(synced.acknowledgedVersion == before?.acknowledgedVersion)
            #expect(second.lastGood(of: blue) == lastGood)
            #expect(second.areSecretsDistributed)
            let takenAfter = try taken(folder)
            #expect(takenAfter.counts == takenBefore.counts)
            #expect(takenAfter.times == takenBefore.times)
        }

        // One resource changed while nobody was there: it is sent, and no other.
        let third = SnapshotStore()
        third.authorize(token: "secret", for: blue, isAdopted: true)
        var changed = target
        try changed.insert(endpoints("b", port: freePort()))
        third.publish([blue: changed], secrets: [blue: plans])
        third.publish(secrets: secrets)
        try await withService(third, at: socket) { _ in
            try await observed(third, blue) { $0.acknowledgedVersion != nil }
            let takenAfter = try taken(folder)
            let differing = zip(takenBefore.counts, takenAfter.counts).filter { $0 != $1 }
            #expect(differing.map(\.1) == ["cluster.b.update_success: 2"])
        }
        _ = envoy
    }

    @Test func `a listener comes once its address is free, though nothing changes`() async throws {
        let port = freePort()
        let program = try #require(listen(at: port))
        let target = try snapshot(
            cluster("unused"),
            listener("in", port: port, route: "r"),
            routes("r", to: .text("hello"))
        )
        let store = SnapshotStore()
        let blue = blue
        store.authorize(token: "secret", for: blue)
        store.publish([blue: target])
        try await withService(store) { path in
            let envoy = try EnvoyProcess(ads: path, token: "secret", folder: temporaryFolder())
            let refused = try await observed(store, blue) { !$0.refusals.isEmpty }
            #expect(refused.refusals.map(\.resource) == ["in"])
            #expect(refused.refusals[0].message.contains("Address already in use"))
            close(program)
            let synced = try await observed(store, blue) { $0.refusals.isEmpty }
            #expect(synced.sync[.listeners] == .synced)
            try await until { get(port: port)?.hasSuffix("hello") == true }
            _ = envoy
        }
    }

    @Test func `an Envoy that follows another gets everything, and the other is refused`()
        async throws
    {
        let port = freePort()
        let target = try snapshot(
            edsCluster("a"),
            endpoints("a", port: 1),
            listener("in", port: port, route: "r"),
            routes("r", to: .text("hello"))
        )
        let store = SnapshotStore()
        let blue = blue
        store.authorize(token: "first", for: blue)
        store.publish([blue: target])
        try await withService(store) { path in
            let first = try EnvoyProcess(ads: path, token: "first", folder: temporaryFolder())
            let before = try await observed(store, blue) { $0.acknowledgedVersion != nil }
            store.authorize(token: "second", for: blue)
            #expect(store.currentObservations[blue] == before)
            let folder = try temporaryFolder()
            let second = try EnvoyProcess(ads: path, token: "second", folder: folder)
            try await observed(store, blue) { $0.acknowledgedVersion == nil }
            let after = try await observed(store, blue) { $0.acknowledgedVersion != nil }
            #expect(after == before)
            let counts = try taken(folder).counts
            #expect(counts.contains("listener_manager.lds.update_success: 1"))
            #expect(counts.contains("cluster_manager.cds.update_success: 1"))
            #expect(store.open(.local(token: "first")) == nil)
            #expect(store.formerProxy(token: "first") == blue)
            _ = (first, second)
        }
    }

    @Test func `a secret that is refused at its first delivery is told`() async throws {
        let authority = try await TestAuthority("authority", in: temporaryFolder())
        let uri = "spiffe://demo/demo/blue"
        let identity = Identity(mesh: "demo", owner: object(.virtualNode, "blue"), uri: uri)
        let spec = SecretSpec.certificate(.issued(identity))
        let trust = SecretSpec.trust([.mesh("demo")])
        let certificate = try await authority.certificate(uri, serial: 1)
        let other = try await authority.certificate(uri, serial: 2)
        let port = freePort()
        let target = try snapshot(
            cluster("unused"),
            listener(
                "in",
                port: port,
                route: "r",
                tls: TLSNames(certificate: "cert", trust: "trust")
            ),
            routes("r", to: .text("hello"))
        )
        let store = SnapshotStore()
        let blue = blue
        store.authorize(token: "secret", for: blue)
        store.publish([blue: target], secrets: [blue: ["cert": spec, "trust": trust]])
        store.publish(secrets: [
            spec: try certificate.withKey(of: other), trust: try authority.trust(),
        ])
        try await withService(store) { path in
            let envoy = try EnvoyProcess(ads: path, token: "secret", folder: temporaryFolder())
            let refused = try await observed(store, blue) {
                !$0.refusals.isEmpty && !$0.sync.values.contains(.pending)
            }
            #expect(refused.refusals.map(\.resource) == ["cert"])
            #expect(refused.sync[.secrets] == .refused)
            store.publish(secrets: [spec: certificate, trust: try authority.trust()])
            try await observed(store, blue) { $0.acknowledgedVersion != nil }
            try await poll {
                try await serial(at: port)
            } until: {
                $0 == 1
            }
            _ = envoy
        }
    }
}

/// A program that listens at `port`.
private func listen(at port: UInt16) -> CInt? {
    // Of its own: an Envoy that is started beside must not have it.
    let type = CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue)
    let descriptor = socket(AF_INET, type, 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = inet_addr("127.0.0.1")
    let size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let isBound = withUnsafePointer(to: address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, size) }
    }
    guard isBound == 0, Glibc.listen(descriptor, 1) == 0 else { return nil }
    return descriptor
}
