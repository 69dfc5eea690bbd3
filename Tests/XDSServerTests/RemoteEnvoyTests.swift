import EnvoyAPI
import FoundationEssentials
import MeshIdentity
import MeshModel
import MeshPlan
import MeshTesting
import ServiceLifecycle
import Synchronization
import Testing

@testable import XDSServer

/// A real Envoy with the bootstrap of a Pod, and its token in a file that changes.
@Suite(
    .enabled(if: EnvoyProcess.binary != nil || EnvoyProcess.isRequired),
    .timeLimit(.minutes(2)),
    .serialized
)
struct `Envoy of a Pod` {
    private let blue = proxy("blue-1")
    private let node = "mesh/m/virtualNode/blue"

    /// A token file as kubelet keeps it: a link to a folder that is replaced.
    private func write(_ token: String, to folder: String, _ number: Int) async throws {
        let script = """
            mkdir ..\(number) && printf %s "$1" >..\(number)/token && ln -s ..\(number) ..new \
            && mv -T ..new ..data && { [ -L token ] || ln -s ..data/token token; }
            """
        let result = try await runCommand(
            "/usr/bin/env",
            ["sh", "-c", "cd \(folder) && \(script)", "sh", token]
        )
        #expect(result.status == 0)
    }

    private func parameters(
        _ server: RemoteServer,
        _ folder: String,
        agent: Int
    ) throws -> PodBootstrapParameters {
        let authority = try Data(contentsOf: URL(filePath: server.authority.certificate))
        return PodBootstrapParameters(
            xdsHost: "127.0.0.1",
            xdsPort: try #require(Port(server.port)),
            serverName: "localhost",
            rootCertificates: String(decoding: authority, as: UTF8.self),
            tokenPath: folder + "/token",
            adminPort: try #require(Port(Int(freePort()))),
            agentAddress: "127.0.0.1",
            agentPort: try #require(Port(agent)),
            drain: .init(secret: "0123456789abcdef", seconds: 1)
        )
    }

    private func store() throws -> SnapshotStore {
        let store = SnapshotStore()
        store.admit([blue: RemoteProxy(nodeID: node, podUID: "uid of blue-1")])
        // Envoy begins to answer once it has its listeners.
        try store.publish([
            blue: snapshot(
                cluster("for-blue"),
                listener("for-blue", port: freePort(), route: "for-blue"),
                routes("for-blue", to: .text("hello"))
            )
        ])
        return store
    }

    private func until(
        _ store: SnapshotStore,
        _ condition: (XDSObservation) -> Bool
    ) async throws {
        var changes = store.observations.makeAsyncIterator()
        while true {
            if let seen = store.currentObservations[blue], condition(seen) { return }
            try #require(await changes.next(isolation: #isolation) != nil)
        }
    }

    @Test
    func `it takes its configuration, and comes back with the token that is in the file then`()
        async throws
    {
        let store = try store()
        try await withRemoteServer(store) { server in
            let folder = try temporaryFolder()
            try await write(server.reviews.token("first", pod: "blue-1"), to: folder, 1)
            let parameters = try parameters(server, folder, agent: Int(freePort()))
            let bootstrap = try podBootstrap(nodeID: node, parameters)
            let envoy = try EnvoyProcess(bootstrap: bootstrap, folder: folder)
            try await until(store) { $0.isConnected && $0.sync[.clusters] == .synced }

            // The next stream has the next token, and no other would do.
            try await write(server.reviews.token("second", pod: "blue-1"), to: folder, 2)
            server.reviews.forget("first")
            server.opened.clear()
            store.endStreams()
            try await poll {
                server.opened.value.map(\.service)
            } until: {
                $0.contains("envoy.service.discovery.v3.AggregatedDiscoveryService")
            }
            try store.publish([blue: snapshot(cluster("for-blue", "2"))])
            try await until(store) { $0.sync[.clusters] == .synced }
            withExtendedLifetime(envoy) {}
        }
    }

    @Test func `its agent's port tells whether it is ready and drains it, and does nothing else`()
        async throws
    {
        let store = try store()
        try await withRemoteServer(store) { server in
            let folder = try temporaryFolder()
            try await write(server.reviews.token("t", pod: "blue-1"), to: folder, 1)
            let agent = freePort()
            let parameters = try parameters(server, folder, agent: Int(agent))
            let bootstrap = try podBootstrap(nodeID: node, parameters)
            let envoy = try EnvoyProcess(bootstrap: bootstrap, folder: folder)
            func status(_ path: String) async throws -> String {
                let answer = try await runCommand(
                    "/usr/bin/env",
                    [
                        "curl", "-s", "-o", "/dev/null", "--path-as-is", "-w", "%{http_code}",
                        "http://127.0.0.1:\(agent)\(path)",
                    ]
                )
                return answer.output
            }
            try await poll {
                try await status("/ready")
            } until: {
                $0 == "200"
            }
            #expect(try await status("/stats/prometheus?usedonly") == "200")
            for path in [
                "/config_dump", "/ready/../config_dump", "/stats", "/quitquitquit", "/drain/",
                "/drain/0123456789abcdee", "/",
            ] {
                #expect(try await status(path) == "404", "\(path)")
            }
            let post = try await runCommand(
                "/usr/bin/env",
                [
                    "curl", "-s", "-X", "POST", "-w", "%{http_code}",
                    "http://127.0.0.1:\(agent)/ready",
                ]
            )
            #expect(post.output.hasSuffix("404"))
            #expect(try await status("/drain/0123456789abcdef") == "200")
            withExtendedLifetime(envoy) {}
        }
    }

    @Test func `ADS and HDS are of one Envoy, and another one says so`() async throws {
        let store = try store()
        let envoys = Mutex<[String]>([])
        try await withRemoteServer(store) { server in
            let folder = try temporaryFolder()
            try await write(server.reviews.token("t", pod: "blue-1"), to: folder, 1)
            func start() async throws -> EnvoyProcess {
                let parameters = try parameters(server, folder, agent: Int(freePort()))
                let bootstrap = try podBootstrap(nodeID: node, parameters)
                let envoy = try EnvoyProcess(bootstrap: bootstrap, folder: folder)
                try await until(store) { $0.isConnected && $0.sync[.clusters] == .synced }
                let opened = try await poll {
                    server.opened.value
                } until: {
                    Set($0.map(\.service)).count == 2
                }
                #expect(Set(opened.map(\.envoy)).count == 1)
                envoys.withLock { $0 += opened.map(\.envoy) }
                server.opened.clear()
                return envoy
            }
            do {
                let first = try await start()
                withExtendedLifetime(first) {}
            }
            try await until(store) { !$0.isConnected }
            server.opened.clear()
            let second = try await start()
            withExtendedLifetime(second) {}
        }
        #expect(Set(envoys.withLock { $0 }).count == 2)
        #expect(envoys.withLock { $0 }.allSatisfy { !$0.isEmpty })
    }
}
