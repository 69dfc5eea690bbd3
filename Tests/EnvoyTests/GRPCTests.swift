import Foundation
import GRPCCore
import MeshModel
import MeshTesting
import Synchronization
import Testing

/// gRPC and HTTP/2 from end to end: the applications are gRPC servers, which speak HTTP/2 alone.
@Suite(.enabled(if: envoyIsExpected), .serialized, .timeLimit(.minutes(2)))
struct GRPCTests {
    /// A mesh whose node "front" calls the service "color", and nodes with echo servers.
    private func mesh(
        _ ports: KeyValuePairs<String, Int>,
        protocol listenerProtocol: String = "grpc"
    ) -> String {
        Manifests.mesh()
            + Manifests.running("front", protocol: listenerProtocol, backends: ["color"])
            + ports.map { Manifests.running($0.key, appPort: $0.value, protocol: listenerProtocol) }
            .joined()
    }

    private func router(_ routes: [String]) -> String {
        Manifests.routed("color", protocol: "grpc", routes: routes.joined(separator: ", "))
    }

    private func route(
        _ name: String,
        _ match: String,
        _ targets: KeyValuePairs<String, Int>,
        timeoutMilliseconds: Int = 15_000
    ) -> String {
        let list = targets.map { "{virtualNodeRef: {name: \($0.key)}, weight: \($0.value)}" }
        return "{name: \(name), grpcRoute: {match: \(match), action: {weightedTargets: "
            + "[\(list.joined(separator: ", "))]}, "
            + "timeout: {perRequest: {unit: ms, value: \(timeoutMilliseconds)}}}}"
    }

    /// Runs `body` with a client that calls "color" from "front".
    private func call(
        _ mesh: RunningMesh,
        port: Int = 8080,
        authority: String = "color.demo:8080",
        _ body: (EchoClient) async throws -> Void
    ) async throws {
        let address = try #require(try await mesh.sidecar("front", "egressAddress")?.string)
        try await EchoClient.run(address, port: port, authority: authority, body)
    }

    @Test func `calls reach the node that their service, method and metadata name`() async throws {
        let router = router([
            route("service", "{serviceName: echo.Echo}", ["blue": 1]),
            route("method", "{serviceName: echo.Echo, methodName: Call}", ["green": 1]),
            route("rest", "{serviceName: echo.Other}", ["blue": 1]),
            route(
                "metadata",
                "{serviceName: echo.Other, metadata: [{name: x-team, match: {exact: core}}]}",
                ["green": 1]
            ),
            route("missing", "{serviceName: echo.Missing}", ["nowhere": 1]),
        ])
        try await EchoServer.run(["blue", "green"]) { _, ports in
            let base = mesh(["blue": ports[0], "green": ports[1]])
            try await RunningMesh.run(["mesh.yaml": base, "router.yaml": router]) { mesh in
                for port in [8080, 15001] {
                    try await call(mesh, port: port) { try await checkRoutes($0) }
                }
                // The mesh does not know the name, and DROP_ALL lets nothing else pass.
                try await call(mesh, authority: "other.demo:8080") { client in
                    await expect(.unimplemented) { try await client.say("hi") }
                }
            }
        }
    }

    private func checkRoutes(_ client: EchoClient) async throws {
        let calls: [(path: String, metadata: GRPCCore.Metadata, node: String)] = [
            ("Echo/Say", [:], "blue"),
            ("Echo/Call", [:], "green"),
            ("Other/Say", [:], "blue"),
            ("Other/Say", ["x-team": "core"], "green"),
            ("Other/Say", ["x-team": "corer"], "blue"),
        ]
        for call in calls {
            let answer = try await client.say("hi", to: call.path, metadata: call.metadata)
            #expect(answer.message == "\(call.node): hi", "\(call)")
        }
        // The servers have these services, and no route leads to them.
        await expect(.unimplemented) { try await client.say("hi", to: "Unrouted/Say") }
        await expect(.unimplemented) { try await client.say("hi", to: "Echoes/Say") }
        await expect(.unavailable) { try await client.say("hi", to: "Missing/Say") }
    }

    @Test(arguments: ["grpc", "http2"])
    func `statuses, trailers and streams pass`(_ listenerProtocol: String) async throws {
        try await EchoServer.run(["color"]) { _, ports in
            let base =
                mesh(["color": ports[0]], protocol: listenerProtocol) + Manifests.service("color")
            try await RunningMesh.run(["mesh.yaml": base]) { mesh in
                try await call(mesh) { client in
                    let answer = try await client.say("hi")
                    #expect(Array(answer.metadata[stringValues: "x-node"]) == ["color"])
                    #expect(Array(answer.trailers[stringValues: "x-answered"]) == ["1"])
                    #expect(Array(answer.trailers[binaryValues: "x-raw-bin"]) == [[0, 255]])

                    let error = await expect(.dataLoss) { try await client.say("fail") }
                    #expect(error?.message == "verlören: 100 %")
                    #expect(error.map { Array($0.metadata[stringValues: "x-answered"]) } == ["0"])

                    let long = String(repeating: "0123456789abcdef", count: 1 << 17)
                    #expect(try await client.say(long).message == "color: \(long)")

                    try await client.chat { chat in
                        for number in 1...3 {
                            #expect(try await chat.exchange("\(number)") == "color: \(number)")
                        }
                        let trailers = try await chat.end()
                        #expect(trailers.map { Array($0[stringValues: "x-answered"]) } == ["3"])
                    }
                    await expect(.dataLoss) {
                        try await client.chat { chat in
                            #expect(try await chat.exchange("1") == "color: 1")
                            _ = try await chat.exchange("fail")
                        }
                    }
                }
            }
        }
    }

    @Test func `a call ends with its route's timeout, at the server too`() async throws {
        try await EchoServer.run(["blue"]) { servers, ports in
            let base = mesh(["blue": ports[0]])
            let router = router([route("all", "{}", ["blue": 1], timeoutMilliseconds: 200)])
            try await RunningMesh.run(["mesh.yaml": base, "router.yaml": router]) { mesh in
                try await call(mesh) { client in
                    let error = await expect(.unavailable) {
                        try await client.say("hi", metadata: ["x-wait": ""])
                    }
                    #expect(error?.message == "upstream request timeout")
                    var cancelled = servers[0].cancelled.stream.makeAsyncIterator()
                    #expect(await cancelled.next() != nil)
                    // The connection serves on.
                    let answer = try await client.say("hi")
                    #expect(answer.message == "blue: hi")
                }
            }
        }
    }

    @Test func `saved weights move the calls, lose none and leave a stream where it is`()
        async throws
    {
        try await EchoServer.run(["blue", "green"]) { _, ports in
            let base = mesh(["blue": ports[0], "green": ports[1]])
            try await RunningMesh.run(["mesh.yaml": base, "router.yaml": router(blue: 100)]) {
                mesh in
                try await call(mesh) { client in
                    try await client.chat { chat in
                        #expect(try await chat.exchange("before") == "blue: before")
                        let seen = try await calls(of: client) {
                            for blue in [70, 30, 0] {
                                try mesh.save("router.yaml", router(blue: blue))
                                _ = try await mesh.line(containing: "in force")
                            }
                        }
                        #expect(seen.isSubset(of: ["blue: hi", "green: hi"]))
                        #expect(try await chat.exchange("after") == "blue: after")
                        #expect(try await chat.end() != nil)
                    }
                    for _ in 0..<20 {
                        #expect(try await client.say("hi").message == "green: hi")
                    }
                }
            }
        }
    }

    /// A target without weight is left out, so its cluster comes and goes with it.
    private func router(blue: Int) -> String {
        switch blue {
        case 100: router([route("all", "{}", ["blue": 1])])
        case 0: router([route("all", "{}", ["green": 1])])
        default: router([route("all", "{}", ["blue": blue, "green": 100 - blue])])
        }
    }

    /// The different answers to calls that are made, four at a time, until `changes` returns.
    ///
    /// - Throws: The error of the first call that fails.
    private func calls(
        of client: EchoClient,
        during changes: () async throws -> Void
    ) async throws -> Set<String> {
        let end = End()
        return try await withThrowingTaskGroup(of: Set<String>.self) { group in
            for _ in 0..<4 {
                group.addTask {
                    var answers: Set<String> = []
                    repeat {
                        answers.insert(try await client.say("hi").message)
                    } while !end.hasCome.load(ordering: .relaxed)
                    return answers
                }
            }
            try await changes()
            end.hasCome.store(true, ordering: .relaxed)
            return try await group.reduce(into: []) { $0.formUnion($1) }
        }
    }

    @Test func `HTTP/2 passes with prior knowledge, and HTTP/1 is translated to it`() async throws {
        let routes = """
            {name: all, http2Route: {match: {prefix: /echo.Echo/, method: POST}, action: {
              weightedTargets: [{virtualNodeRef: {name: blue}, weight: 1}]}}}
            """
        try await EchoServer.run(["blue"]) { _, ports in
            let base =
                mesh(["blue": ports[0]], protocol: "http2")
                + Manifests.routed("color", protocol: "http2", routes: routes)
            try await RunningMesh.run(["mesh.yaml": base]) { mesh in
                // A message of gRPC: no compression, its length, and its bytes.
                let file = mesh.folder.appendingPathComponent("message")
                try Data([0, 0, 0, 0, 2] + Array("hi".utf8)).write(to: file)
                let call = [
                    "--header", "content-type: application/grpc", "--header", "te: trailers",
                    "--data-binary", "@\(file.path)",
                ]
                for version in [1, 2] {
                    let option = version == 1 ? "--http1.1" : "--http2-prior-knowledge"
                    let answer = try await curl(mesh, [option] + call, path: "/echo.Echo/Say")
                    let digit = version == 1 ? "1.1" : "2"
                    #expect(answer.hasPrefix("HTTP/\(digit) 200"), "\(answer)")
                    #expect(answer.contains("blue: hi"))
                    // Envoy leaves trailers out of HTTP/1.
                    #expect(answer.contains("x-answered: 1") == (version == 2), "\(answer)")
                }
                let refused = try await curl(
                    mesh,
                    ["--http2-prior-knowledge"],
                    path: "/echo.Echo/Say"
                )
                #expect(refused.hasPrefix("HTTP/2 404"), "\(refused)")
            }
        }
    }

    /// What `curl` prints of the answer to a request of "color" from "front", headers included.
    private func curl(
        _ mesh: RunningMesh,
        _ arguments: [String],
        path: String
    ) async throws -> String {
        let address = try #require(try await mesh.sidecar("front", "egressAddress")?.string)
        let all =
            ["curl", "--silent", "--show-error", "--include", "--max-time", "20"] + arguments
            + ["--header", "Host: color.demo:8080", "http://\(address):8080\(path)"]
        return try await runCommand("/usr/bin/env", all).output
    }
}

/// Tells tasks that they shall end, without harm to what they are about.
private final class End: Sendable {
    let hasCome = Atomic(false)
}
