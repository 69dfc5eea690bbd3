import Foundation
import GRPCCore
import HTTPClient
import MeshModel
import MeshTesting
import Synchronization
import Testing

/// How often a request is sent, by what its route's policy says and the application answers.
@Suite(.enabled(if: envoyIsExpected), .serialized, .timeLimit(.minutes(1)))
struct RetryTests {
    /// A policy, what the application answers one attempt after the other, the status that the
    /// client sees, and how many attempts the application sees.
    private typealias Row = (
        policy: String, answers: [TestApplication.Answer], status: Int, attempts: Int
    )

    /// Policies by the prefix of the route that has them.
    private static let policies = [
        "default": nil,
        "none": "{maxRetries: 0, perRetryTimeout: {unit: s, value: 1}, "
            + "httpRetryEvents: [server-error, gateway-error]}",
        "server": policy(1, "httpRetryEvents: [server-error]"),
        "gateway": policy(1, "httpRetryEvents: [gateway-error]"),
        "client": policy(1, "httpRetryEvents: [client-error]"),
        "stream": policy(1, "httpRetryEvents: [stream-error]"),
        "connection": policy(1, "tcpRetryEvents: [connection-error]"),
        "several": policy(4, "httpRetryEvents: [gateway-error, client-error]"),
        "brief": policy(2, "httpRetryEvents: [server-error]", perRetryMilliseconds: 100),
        "brief-client": policy(2, "httpRetryEvents: [client-error]", perRetryMilliseconds: 100),
    ]

    private static func policy(
        _ maxRetries: Int,
        _ events: String,
        perRetryMilliseconds: Int = 15_000
    ) -> String {
        "{maxRetries: \(maxRetries), perRetryTimeout: {unit: ms, value: \(perRetryMilliseconds)}, "
            + "\(events)}"
    }

    private static let rows: [Row] =
        [
            ("default", [.status(503), .status(503)], 200, 3),
            ("default", [.status(503), .status(503), .status(503)], 503, 3),
            ("default", [.reset, .reset], 200, 3),
            ("default", [.status(500)], 500, 1),
            ("default", [.status(502)], 502, 1),
            ("default", [.status(504)], 504, 1),
            ("default", [.status(409)], 409, 1),
            ("default", [.status(503), .status(500)], 500, 2),
            ("none", [.status(503)], 503, 1),
            ("none", [.reset], 503, 1),
            ("server", [.status(500), .status(500)], 500, 2),
            ("server", [.reset], 200, 2),
            ("several", [.status(502), .status(409), .status(503), .status(504)], 200, 5),
            ("several", [.status(502), .status(500)], 500, 2),
            ("stream", [.reset], 503, 1),
            ("connection", [.reset], 503, 1),
            // An attempt that takes too long is given up, and only some events are that.
            ("brief", [.hold], 200, 2),
            ("brief", [.hold, .hold], 200, 3),
            ("brief", [.hold, .hold, .hold], 504, 3),
            ("brief-client", [.hold], 504, 1),
        ] + retried("server", [500, 501, 502, 503, 504, 505, 506, 507, 508, 510, 511], [509, 409])
        + retried("gateway", [502, 503, 504], [500, 501, 505, 409])
        + retried("client", [409], [400, 404, 408, 429, 500, 503])
        + retried("stream", [], [409, 500, 503]) + retried("connection", [], [409, 500, 503])

    /// Rows of statuses that are sent again once, and of others.
    private static func retried(_ policy: String, _ statuses: [Int], _ others: [Int]) -> [Row] {
        statuses.map { (policy, [.status($0)], 200, 2) }
            + others.map { (policy, [.status($0)], $0, 1) }
    }

    @Test func `a policy says what is sent again, and how often`() async throws {
        let routes = Self.policies.map { name, policy in
            Manifests.route(
                ["color": 1],
                name: name,
                match: "{prefix: /\(name)/}",
                rest: policy.map { "retryPolicy: \($0)" } ?? ""
            )
        }
        let base =
            Manifests.mesh() + Manifests.running("front", backends: ["color", "plain"])
            + Manifests.served("color", appPort: "APP1")
            + Manifests.routed("color", listeners: [8080: "http"], routes: routes)
            + Manifests.served("plain", appPort: "APP2") + Manifests.service("plain")
        try await RunningMesh.run(["mesh.yaml": base]) { mesh in
            for (index, row) in Self.rows.enumerated() {
                let path = "/\(row.policy)/\(index)"
                let application = mesh.application(1)
                try await application.answer(next: row.answers, to: path)
                let answer = try await mesh.request(
                    from: "front",
                    host: "color.demo:8080",
                    method: "POST",
                    path: path,
                    body: "the body"
                )
                let counts = try await application.counts(path)
                #expect(answer.status == row.status, "\(row)")
                #expect(counts.attempts == row.attempts, "\(row)")
                #expect(counts.requests == 1, "\(row)")
                if answer.status == 200 {
                    #expect(answer.answer["body"]?.string == "the body", "\(row)")
                }
                // What was given up is given up at the application too.
                let held = row.answers.filter { "\($0)" == "hold" }.count
                try await application.wait(path, gone: held)
            }
            // A service that a node provides has the default too.
            try await mesh.application(2).answer(next: [.status(503), .status(503)])
            let answer = try await mesh.request(from: "front", host: "plain.demo:8080")
            #expect(answer.status == 200)
            #expect(answer.answer["attempt"]?.integer == 3)
        }
    }

    @Test func `a retry goes to another workload of the node`() async throws {
        let routes = [
            Manifests.route(["color": 1]),
            Manifests.route(
                ["color": 1],
                name: "connection",
                match: "{prefix: /connection}",
                rest: "retryPolicy: \(Self.policy(1, "tcpRetryEvents: [connection-error]"))"
            ),
            Manifests.route(
                ["color": 1],
                name: "none",
                match: "{prefix: /none}",
                rest: "retryPolicy: \(Self.policy(0, "tcpRetryEvents: [connection-error]"))"
            ),
        ]
        let base =
            Manifests.mesh() + Manifests.running("front", backends: ["color"])
            + Manifests.node("color")
            + Manifests.workload("good", of: "color", appPort: "APP1")
            + Manifests.workload("bad", of: "color", appPort: "APP2")
            + Manifests.routed("color", listeners: [8080: "http"], routes: routes)
        try await RunningMesh.run(["mesh.yaml": base]) { mesh in
            func names(_ path: String) async throws -> [String] {
                var names: [String] = []
                for _ in 0..<20 {
                    let answer = try await mesh.request(
                        from: "front",
                        host: "color.demo:8080",
                        path: path
                    )
                    names.append(answer.status == 200 ? answer.name ?? "" : "\(answer.status)")
                }
                return names
            }
            #expect(try await Set(names("/")) == ["good", "bad"])
            let bad = mesh.application(2)
            try await bad.answer(always: .status(503))
            #expect(try await Set(names("/retried")) == ["good"])
            let counts = try await bad.counts("/retried")
            #expect(counts.attempts > 0)
            #expect(counts.attempts == counts.requests, "no request came to it twice")
            #expect(try await Set(names("/connection")) == ["good", "503"])

            // Of an Envoy that is gone, before anybody knows.
            try await bad.answer(always: .status(200))
            let pid = pid_t(try #require(try await mesh.sidecar("bad", "pid")?.integer))
            let front = try await mesh.egressAddress(of: "front")
            let address = try await mesh.ingressAddress(of: "bad")
            try await mesh.withoutHeddle {
                kill(pid, SIGKILL)
                try await refusal(of: mesh, "http://\(address):8080/")
                var names: [String: Set<String>] = [:]
                for path in ["/none", "/connection", "/"] {
                    for _ in 0..<20 {
                        let answer = try await mesh.request(
                            "http://\(front):8080\(path)",
                            headers: [HTTPField("Host", "color.demo:8080")]
                        )
                        names[path, default: []].insert(answer.name ?? "\(answer.status)")
                    }
                }
                #expect(
                    names == ["/none": ["good", "503"], "/connection": ["good"], "/": ["good"]]
                )
            }
            _ = try await mesh.line(containing: "ready: demo/bad")
        }
    }

    /// Returns once nobody takes connections to `url`.
    private func refusal(of mesh: RunningMesh, _ url: String) async throws {
        while true {
            try Task.checkCancellation()
            do {
                _ = try await mesh.request(url)
            } catch let error as HTTPError where error.kind == .cannotConnect {
                return
            } catch {}
        }
    }

    @Test func `a stream that the application refuses is sent again`() async throws {
        let policies = [
            ("stream", "httpRetryEvents: [stream-error]"),
            ("client", "httpRetryEvents: [client-error]"),
        ]
        let routes =
            policies.map { name, events in
                Manifests.route(
                    ["outside": 1],
                    name: name,
                    type: "http2Route",
                    match: "{prefix: /\(name)}",
                    rest: "retryPolicy: \(Self.policy(2, events))"
                )
            } + [Manifests.route(["outside": 1], type: "http2Route")]
        // Without a workload of its own, the node's application is called directly: between two
        // proxies, a refusal becomes a 503.
        let base =
            Manifests.mesh() + Manifests.running("front", protocol: "http2", backends: ["color"])
            + Manifests.served("application", appPort: "APP1")
            + Manifests.node("outside", protocol: "http2", port: "APP1", hostname: "127.0.0.1")
            + Manifests.routed("color", listeners: [8080: "http2"], routes: routes)
        try await RunningMesh.run(["mesh.yaml": base]) { mesh in
            let application = mesh.application(1)
            let rows: [Row] = [
                ("stream", [.reset, .reset], 200, 3), ("stream", [.status(503)], 503, 1),
                ("client", [.reset], 503, 1), ("client", [.status(409)], 200, 2),
                ("default", [.reset, .reset], 200, 3),
                ("default", [.reset, .reset, .reset], 503, 3),
            ]
            for row in rows {
                let before = try await application.counts()
                try await application.answer(next: row.answers)
                let answer = try await mesh.request(
                    from: "front",
                    host: "color.demo:8080",
                    path: "/\(row.policy)"
                )
                #expect(answer.status == row.status, "\(row)")
                let after = try await application.counts()
                #expect(after.attempts - before.attempts == row.attempts, "\(row)")
            }
        }
    }

    /// gRPC events, and the codes that each has sent again.
    private static let grpcEvents: [(event: String, code: RPCError.Code)] = [
        ("cancelled", .cancelled), ("deadline-exceeded", .deadlineExceeded),
        ("internal", .internalError), ("resource-exhausted", .resourceExhausted),
        ("unavailable", .unavailable),
    ]

    @Test func `a gRPC call is sent again for its route's events alone`() async throws {
        let routes =
            Self.grpcEvents.map { event, _ in
                Manifests.route(
                    ["blue": 1],
                    name: event,
                    type: "grpcRoute",
                    match: "{metadata: [{name: event, match: {exact: \(event)}}]}",
                    rest: "retryPolicy: \(Self.policy(1, "grpcRetryEvents: [\(event)]"))"
                )
            } + [Manifests.route(["blue": 1], type: "grpcRoute", match: "{}")]
        try await EchoServer.run(["blue"]) { servers, ports in
            let server = servers[0]
            let base =
                Manifests.mesh()
                + Manifests.running("front", protocol: "grpc", backends: ["color"])
                + Manifests.running("blue", appPort: ports[0], protocol: "grpc")
                + Manifests.routed("color", listeners: [8080: "grpc"], routes: routes)
            try await RunningMesh.run(["mesh.yaml": base]) { mesh in
                let address = try await mesh.egressAddress(of: "front")
                try await EchoClient.run(address, port: 8080, authority: "color.demo:8080") {
                    client in
                    func say(_ event: String, refused codes: [RPCError.Code]) async -> Outcome {
                        await Outcome(of: client, at: server, event: event, refused: codes)
                    }
                    for (event, code) in Self.grpcEvents {
                        #expect(await say(event, refused: [code]) == Outcome(calls: 2), "\(event)")
                        #expect(
                            await say(event, refused: [code, code])
                                == Outcome(code: code, calls: 2),
                            "\(event)"
                        )
                        for (other, code) in Self.grpcEvents where other != event {
                            #expect(
                                await say(event, refused: [code]) == Outcome(code: code, calls: 1),
                                "\(event)"
                            )
                        }
                    }
                    // The default: two retries, of unavailable.
                    let code = RPCError.Code.unavailable
                    #expect(await say("", refused: [code, code]) == Outcome(calls: 3))
                    #expect(
                        await say("", refused: [code, code, code]) == Outcome(code: code, calls: 3)
                    )
                    #expect(
                        await say("", refused: [.internalError])
                            == Outcome(code: .internalError, calls: 1)
                    )
                }
            }
        }
    }
}

/// How a call ended for the client, and how often it came to the server.
private struct Outcome: Equatable {
    /// nil when it went well.
    var code: RPCError.Code?
    var calls: Int

    init(code: RPCError.Code? = nil, calls: Int) {
        (self.code, self.calls) = (code, calls)
    }

    /// The outcome of a call whose attempts are refused with `codes`, one after the other.
    init(
        of client: EchoClient,
        at server: EchoServer,
        event: String,
        refused codes: [RPCError.Code]
    ) async {
        server.refusals.withLock { $0 = codes }
        server.calls.withLock { $0 = 0 }
        do {
            _ = try await client.say("hi", metadata: ["event": "\(event)"])
        } catch {
            code = (error as? RPCError)?.code ?? .unknown
        }
        calls = server.calls.withLock { $0 }
    }
}
