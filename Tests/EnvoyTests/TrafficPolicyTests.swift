import Foundation
import GRPCCore
import HTTPClient
import MeshModel
import MeshTesting
import Synchronization
import Testing

/// What traffic policies add to App Mesh's objects.
@Suite(.enabled(if: envoyIsExpected), .serialized, .timeLimit(.minutes(1)))
struct TrafficPolicyTests {
    private static let forever = "{unit: s, value: 3600}"

    /// Policies for services that the node "blue" provides, each called as its policy.
    private static let services: KeyValuePairs<String, String> = [
        "limited": "rateLimit: {requests: 2, burst: 3, interval: \(forever)}",
        "refilled": "rateLimit: {requests: 1, interval: {unit: ms, value: 100}}",
        "changed":
            "requestHeaders: {set: {x-set: mesh, x-empty: \"\"}, add: {x-add: mesh}, remove: [x-remove]}, "
            + "responseHeaders: {set: {x-name: mesh}, add: {x-new: mesh}}",
        "added": "responseHeaders: {add: {x-name: mesh}}",
        "removed": "responseHeaders: {remove: [x-name]}",
        "cors": "cors: {allowOrigins: [{exact: \"https://a.example.com\"}], "
            + "allowMethods: [PUT, GET], allowHeaders: [x-user], exposeHeaders: [x-name], "
            + "maxAge: {unit: s, value: 600}, allowCredentials: true}",
        "aborted": "fault: {abort: {httpStatus: 418}}",
        "often": "fault: {abort: {httpStatus: 418, percentage: 50}}",
        "delayed": "fault: {delay: {duration: {unit: ms, value: 300}}}",
        "brief": "timeout: {perRequest: {unit: ms, value: 200}}",
        "patient": "retryPolicy: {maxRetries: 4, perRetryTimeout: {unit: s, value: 9}, "
            + "httpRetryEvents: [client-error]}, "
            + "retryBackOff: {baseInterval: {unit: ms, value: 1}, maxInterval: {unit: ms, value: 2}}",
        "mirrored": "mirror: {virtualNodeRef: {name: shadow}}",
    ]

    @Test func `a policy acts on the virtual service that it targets`() async throws {
        let base =
            Manifests.mesh()
            + Manifests.running("front", backends: Self.services.map(\.key) + ["plain"])
            + Manifests.served("blue", appPort: "APP1")
            + Manifests.served("shadow", appPort: "APP2")
            + Manifests.service("plain", by: "blue")
            + Self.services.map { name, features in
                Manifests.service(name, by: "blue")
                    + Manifests.policy(name, for: "VirtualService/\(name)", features: features)
            }.joined()
        try await RunningMesh.run(["mesh.yaml": base]) { mesh in
            let calls = Calls(mesh: mesh)
            try await checkRateLimit(calls)
            try await checkHeaders(calls)
            try await checkCORS(calls)
            try await checkFaults(calls)
            try await checkTimeoutsAndRetries(calls)
            try await checkMirror(calls)
        }
    }

    /// Calls from the node "front", on a path that each service has to itself.
    private struct Calls {
        var mesh: RunningMesh

        func callAsFunction(
            _ service: String,
            method: String = "GET",
            _ headers: KeyValuePairs<String, String> = [:]
        ) async throws -> HTTPResponse {
            try await mesh.request(
                from: "front",
                host: "\(service).demo:8080",
                method: method,
                path: "/\(service)",
                headers: headers.map { HTTPField($0.key, $0.value) }
            )
        }

        /// How often the application was asked for a service.
        func attempts(_ service: String) async throws -> Int {
            try await mesh.application(1).counts("/\(service)").attempts
        }
    }

    private func checkRateLimit(_ call: Calls) async throws {
        var statuses: [Int] = []
        for _ in 0..<6 { statuses.append(try await call("limited").status) }
        #expect(statuses == [200, 200, 200, 429, 429, 429])
        #expect(try await call.attempts("limited") == 3)
        #expect(try await call("plain").status == 200, "other services are not limited")
        for expected in [200, 429, 200, 429, 200] {
            while try await call("refilled").status != expected {}
        }
    }

    private func checkHeaders(_ call: Calls) async throws {
        let changed = try await call(
            "changed",
            ["x-set": "mine", "x-add": "mine", "x-remove": "mine"]
        )
        let seen = changed.answer["headers"]
        #expect(seen?["x-set"] == .string("mesh"))
        #expect(seen?["x-add"] == .string("mine,mesh"))
        #expect(seen?["x-remove"] == nil)
        #expect(seen?["x-empty"] == .string(""))
        #expect(values("x-name", changed) == ["mesh"])
        #expect(values("x-new", changed) == ["mesh"])
        #expect(values("x-name", try await call("added")) == ["blue", "mesh"])
        #expect(values("x-name", try await call("removed")) == [])
    }

    private func values(_ name: String, _ response: HTTPResponse) -> [String] {
        response.head.headers.filter { $0.name.lowercased() == name }.map(\.value)
    }

    private func checkCORS(_ call: Calls) async throws {
        let origin = "https://a.example.com"
        let preflight = try await call(
            "cors",
            method: "OPTIONS",
            ["Origin": origin, "Access-Control-Request-Method": "PUT"]
        )
        #expect(preflight.status == 200)
        #expect(values("access-control-allow-origin", preflight) == [origin])
        #expect(values("access-control-allow-methods", preflight) == ["PUT,GET"])
        #expect(values("access-control-allow-headers", preflight) == ["x-user"])
        #expect(values("access-control-max-age", preflight) == ["600"])
        #expect(values("access-control-allow-credentials", preflight) == ["true"])
        let strange = try await call(
            "cors",
            method: "OPTIONS",
            ["Origin": "https://b.example.com", "Access-Control-Request-Method": "PUT"]
        )
        #expect(values("access-control-allow-origin", strange) == [])
        #expect(try await call.attempts("cors") == 0, "preflights are answered by the proxy")

        let answer = try await call("cors", method: "PUT", ["Origin": origin])
        #expect(answer.name == "blue")
        #expect(values("access-control-allow-origin", answer) == [origin])
        #expect(values("access-control-expose-headers", answer) == ["x-name"])
        let other = try await call("cors", ["Origin": "https://b.example.com"])
        #expect(other.name == "blue", "what to make of it is up to the browser")
        #expect(values("access-control-allow-origin", other) == [])
    }

    private func checkFaults(_ call: Calls) async throws {
        #expect(try await call("aborted").status == 418)
        #expect(try await call.attempts("aborted") == 0)
        var aborted = 0
        for _ in 0..<100 where try await call("often").status == 418 { aborted += 1 }
        // That it is outside is as likely as one in 60 million.
        #expect((23...77).contains(aborted))
        #expect(try await call.attempts("often") == 100 - aborted)
        let clock = ContinuousClock()
        let time = try await clock.measure {
            let answer = try await call("delayed")
            #expect(answer.status == 200)
        }
        #expect(time >= .milliseconds(300))
    }

    private func checkTimeoutsAndRetries(_ call: Calls) async throws {
        let application = call.mesh.application(1)
        try await application.answer(next: [.hold], to: "/brief")
        #expect(try await call("brief").status == 504)
        try await application.wait("/brief", gone: 1)
        let conflict = TestApplication.Answer.status(409)
        try await application.answer(next: Array(repeating: conflict, count: 4), to: "/patient")
        #expect(try await call("patient").status == 200)
        #expect(try await call.attempts("patient") == 5)
        try await application.answer(next: [conflict], to: "/plain")
        #expect(try await call("plain").status == 409, "other services have the default")
    }

    private func checkMirror(_ call: Calls) async throws {
        let mirror = call.mesh.application(2)
        // Whatever the mirror does, the client does not see it.
        try await mirror.answer(next: [.status(500), .reset, .hold])
        for number in 1...4 {
            #expect(try await call("mirrored").name == "blue")
            try await mirror.wait("/mirrored", attempts: number)
        }
        #expect(try await call.attempts("mirrored") == 4)
        #expect(try await mirror.counts("/mirrored").host == "mirrored.demo:8080")
        try await mirror.release()
    }

    @Test func `a policy acts on the routes, nodes, gateways and gateway routes that it targets`()
        async throws
    {
        let routes = ["one", "two"].map {
            Manifests.route(["blue": 1], name: $0, match: "{prefix: /\($0)}")
        }
        func limit(_ requests: Int) -> String {
            "rateLimit: {requests: \(requests), interval: \(Self.forever)}"
        }
        func stamp(_ name: String) -> String { "requestHeaders: {add: {x-stamps: \(name)}}" }
        let policies = [
            Manifests.policy("router", for: "VirtualRouter/color", features: stamp("router")),
            Manifests.policy("route", for: "VirtualRouter/color/one", features: limit(1)),
            Manifests.policy("service", for: "VirtualService/color", features: limit(3)),
            Manifests.policy("node", for: "VirtualNode/blue", features: limit(5)),
            Manifests.policy("gateway", for: "VirtualGateway/gateway", features: limit(4)),
            Manifests.policy("way", for: "GatewayRoute/few", features: limit(1)),
        ]
        let base =
            Manifests.mesh() + Manifests.running("front", backends: ["color", "green"])
            + Manifests.routed("color", listeners: [8080: "http"], routes: routes)
            + Manifests.served("blue", appPort: "APP1") + Manifests.served("green", appPort: "APP2")
            + Manifests.service("green") + Manifests.service("blue")
            + Manifests.gateway(listeners: [8080: "http"])
            + Manifests.gatewayRoute("few", to: "green", match: "{prefix: /few}")
            + Manifests.gatewayRoute("many", to: "green", match: "{prefix: /}")
            + Manifests.policy("green", for: "VirtualNode/green", features: stamp("node"))
            + policies.joined()
        try await RunningMesh.run(["mesh.yaml": base]) { mesh in
            func statuses(_ path: String, _ count: Int) async throws -> [Int] {
                var statuses: [Int] = []
                for _ in 0..<count {
                    let answer = try await mesh.request(
                        from: "front",
                        host: "color.demo:8080",
                        path: path
                    )
                    if answer.status == 200 {
                        #expect(answer.answer["headers"]?["x-stamps"] == .string("router"))
                    }
                    statuses.append(answer.status)
                }
                return statuses
            }
            // The most specific limit counts on the caller's side.
            #expect(try await statuses("/one", 3) == [200, 429, 429])
            #expect(try await statuses("/two", 4) == [200, 200, 200, 429])
            // The node's own is counted where requests come in: one is left.
            let blue = "http://\(try await mesh.ingressAddress(of: "blue")):8080/"
            #expect(try await mesh.request(blue).status == 200)
            #expect(try await mesh.request(blue).status == 429)

            let gateway = "http://\(try await mesh.ingressAddress(of: "gateway")):8080"
            var found: [Int] = []
            for path in ["/few", "/few", "/", "/", "/", "/", "/"] {
                let answer = try await mesh.request(gateway + path)
                if answer.status == 200 {
                    #expect(answer.answer["headers"]?["x-stamps"] == .string("node"))
                }
                found.append(answer.status)
            }
            #expect(found == [200, 429, 200, 200, 200, 200, 429])
        }
    }

    @Test func `browsers may call routes that ask for more than a path, and through gateways`()
        async throws
    {
        let match = "{prefix: /, method: PUT, headers: [{name: x-user}]}"
        let cors = "cors: {allowOrigins: [{suffix: .example.com}], allowMethods: [PUT]}"
        let base =
            Manifests.mesh() + Manifests.running("front", backends: ["color"])
            + Manifests.served("blue", appPort: "APP1")
            + Manifests.routed("color", routes: Manifests.route(["blue": 1], match: match))
            + Manifests.routed("plain", routes: Manifests.route(["blue": 1]))
            + Manifests.gateway(listeners: [8080: "http"])
            + Manifests.gatewayRoute("color", to: "plain", match: match)
            + Manifests.policy(
                "cors",
                for: "VirtualRouter/color",
                "GatewayRoute/color",
                features: cors
            )
        try await RunningMesh.run(["mesh.yaml": base]) { mesh in
            let origin = HTTPField("Origin", "https://a.example.com")
            let announced = HTTPField("Access-Control-Request-Method", "PUT")
            let addresses = [
                try await mesh.egressAddress(of: "front"),
                try await mesh.ingressAddress(of: "gateway"),
            ]
            for address in addresses {
                func answer(_ method: String, _ headers: HTTPField...) async throws -> HTTPResponse
                {
                    let host = HTTPField("Host", "color.demo:8080")
                    return try await mesh.request(
                        "http://\(address):8080/",
                        method: method,
                        headers: headers + [host]
                    )
                }
                let preflight = try await answer("OPTIONS", origin, announced)
                #expect(preflight.status == 200)
                #expect(values("access-control-allow-origin", preflight) == [origin.value])
                let call = try await answer("PUT", origin, HTTPField("x-user", "me"))
                #expect(call.name == "blue")
                #expect(values("access-control-allow-origin", call) == [origin.value])
                // Neither is the request that the route asks for.
                #expect(try await answer("PUT", origin).status == 404)
                #expect(try await answer("OPTIONS", HTTPField("x-user", "me")).status == 404)
            }
            #expect(try await mesh.application(1).counts().attempts == 2)
        }
    }

    @Test func `a retry may go to another weighted target where a policy says so`() async throws {
        let routes = Manifests.route(["blue": 1, "green": 1])
        let base =
            Manifests.mesh() + Manifests.running("front", backends: ["color", "plain"])
            + Manifests.served("blue", appPort: "APP1") + Manifests.served("green", appPort: "APP2")
            + Manifests.routed("color", routes: routes) + Manifests.routed("plain", routes: routes)
            + Manifests.policy(
                "other",
                for: "VirtualService/color",
                features: "retryOtherTargets: true"
            )
        try await RunningMesh.run(["mesh.yaml": base]) { mesh in
            let blue = mesh.application(1)
            try await blue.answer(always: .status(503))
            func statuses(_ service: String) async throws -> Set<Int> {
                var statuses: Set<Int> = []
                for _ in 0..<30 {
                    let host = "\(service).demo:8080"
                    let answer = try await mesh.request(
                        from: "front",
                        host: host,
                        path: "/\(service)"
                    )
                    statuses.insert(answer.status)
                }
                return statuses
            }
            #expect(try await statuses("color") == [200])
            let counts = try await blue.counts("/color")
            #expect(counts.requests > 0)
            #expect(counts.attempts == counts.requests)
            #expect(try await statuses("plain") == [200, 503])
        }
    }

    @Test func `requests stick to a workload by their header or cookie`() async throws {
        let nodes = [
            ("header", "[{header: x-user}]"),
            ("cookie", "[{cookie: {name: session, ttl: {unit: s, value: 60}}}]"),
        ]
        let base =
            Manifests.mesh() + Manifests.running("front", backends: nodes.map(\.0))
            + nodes.enumerated().map { index, node in
                Manifests.node(node.0) + Manifests.service(node.0)
                    + (1...3).map {
                        Manifests.workload(
                            "\(node.0)-\($0)",
                            of: node.0,
                            appPort: "APP\(3 * index + $0)"
                        )
                    }.joined()
                    + Manifests.policy(
                        node.0,
                        for: "VirtualNode/\(node.0)",
                        features: "loadBalancing: {algorithm: RING_HASH, hashOn: \(node.1)}"
                    )
            }.joined()
        try await RunningMesh.run(["mesh.yaml": base]) { mesh in
            func answer(_ host: String, _ headers: [HTTPField]) async throws -> HTTPResponse {
                try await mesh.request(from: "front", host: "\(host).demo:8080", headers: headers)
            }
            // An endpoint that comes in moves some users: all have to be there first.
            for node in nodes {
                var known: Set<String?> = []
                for user in 1... {
                    let headers = [
                        HTTPField("x-user", "early-\(user)"), HTTPField("Connection", "close"),
                    ]
                    known.insert(try await answer(node.0, headers).name)
                    if known.count == 3 { break }
                }
            }
            var names: Set<String?> = []
            for user in 1...30 {
                let header = HTTPField("x-user", "user-\(user)")
                let first = try await answer("header", [header]).name
                #expect(try await answer("header", [header]).name == first)
                names.insert(first)
            }
            #expect(names.count == 3)

            names = []
            for _ in 1...30 {
                // A client's cookie is made of its address and port.
                let first = try await answer("cookie", [HTTPField("Connection", "close")])
                let cookie = try #require(values("set-cookie", first).first)
                #expect(cookie.hasPrefix("session="))
                let header = HTTPField("Cookie", "\(cookie.prefix { $0 != ";" })")
                let second = try await answer("cookie", [header])
                #expect(second.name == first.name)
                #expect(values("set-cookie", second) == [])
                names.insert(first.name)
            }
            #expect(names.count == 3)
        }
    }

    @Test func `gRPC calls are limited, aborted and changed too`() async throws {
        try await EchoServer.run(["color"]) { servers, ports in
            let services: KeyValuePairs<String, String> = [
                "limited": "rateLimit: {requests: 1, interval: \(Self.forever)}",
                "aborted": "fault: {abort: {grpcStatus: 15}}",
                "changed": "responseHeaders: {set: {x-node: mesh}}",
            ]
            let base =
                Manifests.mesh()
                + Manifests.running("front", protocol: "grpc", backends: services.map(\.key))
                + Manifests.running("color", appPort: ports[0], protocol: "grpc")
                + services.map { name, features in
                    Manifests.service(name, by: "color")
                        + Manifests.policy(name, for: "VirtualService/\(name)", features: features)
                }.joined()
            try await RunningMesh.run(["mesh.yaml": base]) { mesh in
                let address = try await mesh.egressAddress(of: "front")
                func run(
                    _ service: String,
                    _ body: (EchoClient) async throws -> Void
                ) async throws {
                    let authority = "\(service).demo:8080"
                    try await EchoClient.run(address, port: 8080, authority: authority, body)
                }
                try await run("limited") { client in
                    let answer = try await client.say("hi")
                    #expect(answer.message == "color: hi")
                    await expect(.resourceExhausted) { try await client.say("hi") }
                }
                try await run("aborted") { client in
                    await expect(.dataLoss) { try await client.say("hi") }
                }
                try await run("changed") { client in
                    let answer = try await client.say("hi")
                    #expect(Array(answer.metadata[stringValues: "x-node"]) == ["mesh"])
                }
                #expect(servers[0].calls.withLock { $0 } == 2)
            }
        }
    }
}
