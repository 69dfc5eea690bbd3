import EnvoyAPI
import GRPCCore
import Glibc
import Logging
import MeshModel
import MeshTesting
import MeshPlan
import SwiftProtobuf
import Testing

@testable import XDSServer

/// The service over a real socket.
@Suite(.timeLimit(.minutes(2))) struct `xDS service` {
    private let blue = proxy("blue")
    private let red = proxy("red")

    private func store() throws -> SnapshotStore {
        let store = SnapshotStore()
        store.authorize(token: "blue-token", for: blue)
        store.authorize(token: "red-token", for: red)
        try store.publish([
            blue: snapshot(cluster("for-blue")), red: snapshot(cluster("for-red")),
        ])
        return store
    }

    @Test func `a proxy gets its own snapshot, encoded as protobuf reads it`() async throws {
        let store = try store()
        let expected = try cluster("for-blue")
        try await withService(store) { path in
            try await withClient(path, token: "blue-token") { client in
                client.send(request(.clusters))
                let response = try await client.accept()
                #expect(response.typeURL == ResourceType.clusters.typeURL)
                #expect(response.resources.map(\.name) == ["for-blue"])
                #expect(response.resources.map(\.version) == [expected.version])
                #expect(response.resources.map { Array($0.resource.value) } == [expected.payload])
                #expect(!response.nonce.isEmpty)
            }
        }
    }

    @Test(arguments: [nil, "wrong"])
    func `an unknown token is refused`(token: String?) async throws {
        let store = try store()
        try await withService(store) { path in
            let error = await #expect(throws: RPCError.self) {
                try await withClient(path, token: token) { client in
                    client.send(request(.clusters))
                    _ = try await client.next()
                }
            }
            #expect(error?.code == .unauthenticated)
            #expect(error?.message.contains("token") == true)
        }
    }

    @Test func `each type that is not served is logged once, and many end the stream`()
        async throws
    {
        let log = LogRecorder()
        try await withService(try store(), log: log, level: .notice) { path in
            try await withClient(path, token: "blue-token") { client in
                for number in 0..<UnknownTypes.limit {
                    var unknown = request(.clusters)
                    unknown.typeURL = "type \(number)"
                    for _ in 0..<3 { client.send(unknown) }
                }
                let error = await #expect(throws: RPCError.self) {
                    while true { _ = try await client.next() }
                }
                #expect(error?.code == .invalidArgument)
            }
        }
        #expect(log.texts.filter { $0.contains("not served") }.count == UnknownTypes.limit)
    }

    @Test func `a change arrives, and observations follow it`() async throws {
        let store = try store()
        let blue = blue
        try await withService(store) { path in
            try await withClient(path, token: "blue-token") { client in
                var observations = store.observations.makeAsyncIterator()
                client.send(request(.clusters))
                _ = try await client.accept()
                while let all = await observations.next(isolation: #isolation) {
                    if all[blue]?.sync[.clusters] == .synced { break }
                }
                try store.publish([blue: snapshot(cluster("for-blue", "2"))])
                let response = try await client.accept()
                #expect(response.resources.map(\.name) == ["for-blue"])
                while let all = await observations.next(isolation: #isolation) {
                    if all[blue]?.sync[.clusters] == .synced { break }
                }
            }
            var observations = store.observations.makeAsyncIterator()
            while store.currentObservations[blue]?.isConnected == true {
                _ = await observations.next(isolation: #isolation)
            }
        }
    }

    @Test func `a second stream takes over, and a removed proxy's stream ends`() async throws {
        let store = try store()
        try await withService(store) { path in
            try await withClient(path, token: "blue-token") { first in
                first.send(request(.clusters))
                _ = try await first.accept()
                try await withClient(path, token: "blue-token") { second in
                    second.send(request(.clusters))
                    _ = try await second.accept()
                    store.publish([:])
                    let error = await #expect(throws: RPCError.self) { try await second.next() }
                    #expect(error?.code == .notFound)
                }
                let error = await #expect(throws: RPCError.self) { try await first.next() }
                #expect(error?.code == .aborted)
            }
        }
    }

    @Test func `a client that does not read holds up neither another nor the shutdown`()
        async throws
    {
        let store = try store()
        let blue = blue
        let red = red
        // More than the client's window takes.
        let large = try snapshot(cluster("large", String(repeating: "x", count: 1 << 20)))
        try store.publish([blue: large, red: snapshot(cluster("for-red"))])
        let clock = ContinuousClock()
        let stopped = try await withService(store) { path in
            let stalled = stalledClient(path, token: "blue-token")
            defer { stalled.cancel() }
            var observations = store.observations.makeAsyncIterator()
            while store.currentObservations[blue]?.sync[.clusters] != .pending {
                _ = await observations.next(isolation: #isolation)
            }
            try await withClient(path, token: "red-token") { live in
                live.send(request(.clusters))
                for version in 2...20 {
                    _ = try await live.accept()
                    try store.publish([
                        blue: large, red: snapshot(cluster("for-red", "\(version)")),
                    ])
                }
            }
            return clock.now
        }
        #expect(clock.now - stopped < .seconds(5))
    }

    @Test func `a socket that nobody listens on is replaced, another is not`() async throws {
        let path = try temporaryFolder() + "/made/xds.sock"
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let descriptor = try UnixSocket.listen(path: path)
        var status = stat()
        #expect(stat(path, &status) == 0 && status.st_mode & 0o777 == 0o600)
        #expect(stat(String(path.dropLast(9)), &status) == 0 && status.st_mode & 0o777 == 0o700)
        let error = #expect(throws: ListenError.self) {
            try XDSService(socketPath: path, store: SnapshotStore(), logger: logger)
        }
        let problem = "cannot listen on \(path) for xDS: address in use"
        #expect(error?.description.hasPrefix(problem) == true)
        close(descriptor)
        close(try UnixSocket.listen(path: path))
    }
}

/// A connection that sends a request and then never reads, until it is cancelled.
private func stalledClient(_ path: String, token: String) -> Task<Void, any Error> {
    Task {
        try await withClient(path, token: token, windowBytes: 65_535) { client in
            client.send(request(.clusters))
            let (never, continuation) = AsyncStream.makeStream(of: Void.self)
            for await _ in never {}
            continuation.finish()
        }
    }
}
