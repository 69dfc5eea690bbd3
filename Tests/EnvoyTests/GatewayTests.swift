import Foundation
import GRPCCore
import HTTPClient
import MeshModel
import MeshTesting
import Synchronization
import Testing

/// What enters by a gateway, and what the applications behind it see.
@Suite(.enabled(if: envoyIsExpected), .serialized, .timeLimit(.minutes(1)))
struct GatewayTests {
    /// A route's match and rewrite, and for each path asked for the one that the application sees.
    private typealias Rewrite = (
        match: String, rewrite: String, paths: KeyValuePairs<String, String>
    )

    private static let rewrites: [Rewrite] = [
        (
            "{prefix: /default}", "",
            [
                "/default": "/", "/default/": "/", "/default/a/b?c=d": "/a/b?c=d",
                "/default?a=b": "/?a=b",
            ]
        ),
        ("{prefix: /slash/}", "", ["/slash/a": "/a", "/slash/": "/"]),
        ("{prefix: /enabled}", "prefix: {defaultPrefix: ENABLED}", ["/enabled/a": "/a"]),
        ("{prefix: /kept}", "prefix: {defaultPrefix: DISABLED}", ["/kept/a": "/kept/a"]),
        ("{prefix: /old/}", "prefix: {value: /new/}", ["/old/a?b=c": "/new/a?b=c"]),
        ("{prefix: /any}", "path: {exact: /one}", ["/any/path?a=b": "/one?a=b", "/any": "/one"]),
        ("{path: {exact: /exact}}", "", ["/exact?a=b": "/exact?a=b"]),
        ("{path: {exact: /from}}", "path: {exact: /to}", ["/from?a=b": "/to?a=b"]),
        (#"{path: {regex: "/regex/[0-9]+"}}"#, "", ["/regex/12?a=b": "/regex/12?a=b"]),
    ]

    /// A route's match, the requests that it takes, and requests that no route takes.
    private static let matches: [(match: String, hits: [Ask], misses: [Ask])] = [
        (
            "{hostname: {exact: api.example.com}}",
            [
                .get("/exact-host", ["Host": "api.example.com"]),
                .get("/exact-host", ["Host": "API.example.com:8080"]),
            ],
            [
                .get("/exact-host"), .get("/exact-host", ["Host": "b.api.example.com"]),
                .get("/exact-host", ["Host": "api.example.com.au"]),
            ]
        ),
        (
            "{hostname: {suffix: .example.org}}",
            [
                .get("/suffix", ["Host": "a.example.org"]),
                .get("/suffix", ["Host": "a.b.example.org:80"]),
            ],
            [.get("/suffix", ["Host": "example.org"]), .get("/suffix", ["Host": "anexample.org"])]
        ),
        (
            "{prefix: /both/, hostname: {exact: both.example.com}}",
            [.get("/both/", ["Host": "both.example.com"])],
            [.get("/both/"), .get("/", ["Host": "both.example.com"])]
        ),
        (
            "{prefix: /method/, method: POST}",
            [Ask(method: "POST", path: "/method/")], [.get("/method/")]
        ),
        (
            "{prefix: /header/, headers: [{name: x, match: {prefix: blue}}]}",
            [.get("/header/", ["x": "bluer"])],
            [.get("/header/"), .get("/header/", ["x": "red"])]
        ),
        (
            "{prefix: /not/, headers: [{name: x, invert: true, match: {exact: red}}]}",
            [.get("/not/", ["x": "blue"])], [.get("/not/", ["x": "red"])]
        ),
        (
            "{prefix: /parameter/, queryParameters: [{name: v, match: {exact: \"1\"}}]}",
            [.get("/parameter/?v=1")], [.get("/parameter/"), .get("/parameter/?v=2")]
        ),
    ]

    /// Routes that take one path each; the request must reach green.
    private static let order: [(path: String, routes: [String])] = [
        (
            "/priority/long",
            [
                Manifests.gatewayRoute(
                    "exact",
                    to: "blue",
                    priority: 10,
                    match: "{path: {exact: /priority/long}}"
                ),
                Manifests.gatewayRoute(
                    "first",
                    to: "green",
                    priority: 9,
                    match: "{prefix: /priority}"
                ),
                Manifests.gatewayRoute("last", to: "blue", match: "{prefix: /priority/long}"),
            ]
        ),
        (
            "/longest/prefix/",
            [
                Manifests.gatewayRoute("short", to: "blue", match: "{prefix: /longest}"),
                Manifests.gatewayRoute("long", to: "green", match: "{prefix: /longest/prefix}"),
            ]
        ),
    ]

    @Test func `a request finds its service by host, path and the rest, and is rewritten`()
        async throws
    {
        let routes =
            Self.rewrites.enumerated().map {
                Manifests.gatewayRoute(
                    "rewrite-\($0.offset)",
                    to: "blue",
                    match: $0.element.match,
                    rewrite: $0.element.rewrite
                )
            }
            + Self.matches.enumerated().map {
                Manifests.gatewayRoute("match-\($0.offset)", to: "blue", match: $0.element.match)
            } + Self.order.flatMap(\.routes) + [
                Manifests.gatewayRoute(
                    "host",
                    to: "blue",
                    match: "{prefix: /host/}",
                    rewrite: "hostname: {defaultTargetHostname: DISABLED}"
                ),
                Manifests.gatewayRoute(
                    "target",
                    to: "blue",
                    match: "{prefix: /target/}",
                    rewrite: "hostname: {defaultTargetHostname: ENABLED}"
                ),
            ]
        let base =
            Manifests.mesh() + Manifests.gateway(listeners: [8080: "http"])
            + Manifests.served("blue", appPort: "APP1") + Manifests.service("blue")
            + Manifests.served("green", appPort: "APP2") + Manifests.service("green")
        try await RunningMesh.run(["mesh.yaml": base, "routes.yaml": routes.joined()]) { mesh in
            let url = "http://\(try await mesh.ingressAddress(of: "gateway")):8080"
            func answer(to ask: Ask) async throws -> HTTPResponse {
                try await mesh.request(url + ask.path, method: ask.method, headers: ask.headers)
            }
            for (match, rewrite, paths) in Self.rewrites {
                for (path, expected) in paths {
                    let answer = try await answer(to: .get(path))
                    #expect(answer.name == "blue", "\(path), \(match)")
                    #expect(answer.answer["path"]?.string == expected, "\(match), \(rewrite)")
                    #expect(answer.answer["host"]?.string == "blue.demo", "\(match), \(rewrite)")
                }
            }
            for (match, hits, misses) in Self.matches {
                for ask in hits {
                    let answer = try await answer(to: ask)
                    #expect(answer.name == "blue", "\(ask), \(match)")
                    #expect(answer.answer["host"]?.string == "blue.demo", "\(match)")
                }
                for ask in misses {
                    #expect(try await answer(to: ask).status == 404, "\(ask), \(match)")
                }
            }
            for (path, _) in Self.order {
                #expect(try await answer(to: .get(path)).name == "green", "\(path)")
            }
            try await checkHosts(answer)
            #expect(try await answer(to: .get("/")).status == 404)
        }
    }

    private func checkHosts(_ answer: (Ask) async throws -> HTTPResponse) async throws {
        let own = "x-app-mesh-virtual-service"
        let kept = try await answer(
            .get("/host/", ["Host": "shop.example.com", own: "green.demo"])
        )
        #expect(kept.name == "blue", "the gateway's own header is not the client's to give")
        #expect(kept.answer["host"]?.string == "shop.example.com")
        #expect(kept.answer["headers"]?[own] == nil)
        let target = try await answer(.get("/target/", ["Host": "shop.example.com"]))
        #expect(target.answer["host"]?.string == "blue.demo")
        #expect(target.answer["headers"]?[own] == nil)
    }

    @Test func `each listener has its routes, and each target its port`() async throws {
        let node = """
            ---
            apiVersion: appmesh.k8s.aws/v1beta2
            kind: VirtualNode
            metadata: {name: two, namespace: demo}
            spec:
              podSelector: {matchLabels: {app: two}}
              listeners:
                - portMapping: {port: 8080, protocol: http}
                - portMapping: {port: 9090, protocol: http}
              serviceDiscovery: {dns: {hostname: two.demo.svc.cluster.local}}
            ---
            apiVersion: heddle.dev/v1alpha1
            kind: Workload
            metadata: {name: two, namespace: demo, labels: {app: two}}
            spec:
              command: [python3, app.py]
              env: {NAME: two, PORT: "APP1,APP2"}
              ports: {8080: APP1, 9090: APP2}

            """
        let db = Manifests.served("db", appPort: "APP3", protocol: "tcp", port: 5432)
        let base =
            Manifests.mesh() + node + Manifests.service("two") + db + Manifests.service("db")
            + Manifests.gateway(listeners: [7070: "http", 7071: "http", 7072: "http", 7073: "tcp"])
            + Manifests.gatewayRoute("a", to: "two", port: 9090, match: "{prefix: /, port: 7070}")
            + Manifests.gatewayRoute("b", to: "two", port: 8080, match: "{prefix: /, port: 7071}")
            + Manifests.gatewayRoute("c", to: "two", port: 8080, match: "{prefix: /all/}")
            + Manifests.gatewayRoute("d", to: "db", type: "tcpRoute", match: "{port: 7073}")
        try await RunningMesh.run(["mesh.yaml": base]) { mesh in
            let address = try await mesh.ingressAddress(of: "gateway")
            let rows = [(7070, "/", 2), (7071, "/", 1), (7070, "/all/", 1), (7072, "/all/", 1)]
            for (port, path, application) in rows {
                let answer = try await mesh.request("http://\(address):\(port)\(path)")
                let expected = mesh.application(application).port
                #expect(answer.answer["port"]?.integer == expected, "\(port), \(path)")
            }
            #expect(try await mesh.request("http://\(address):7072/").status == 404)
            try await TCPConnection.run(address, port: 7073) { connection in
                let answer = try await connection.exchange("hi")
                #expect(answer == "db: hi")
            }
        }
    }

    @Test func `the routes of a service count behind a gateway too`() async throws {
        let routes = [
            Manifests.route(
                ["blue": 1],
                name: "brief",
                match: "{prefix: /brief}",
                rest: "timeout: {perRequest: {unit: ms, value: 200}}"
            ),
            Manifests.route(
                ["blue": 1],
                name: "gone",
                match: "{prefix: /gone}",
                rest: "retryPolicy: {maxRetries: 1, perRetryTimeout: {unit: s, value: 1}, "
                    + "httpRetryEvents: [client-error]}"
            ),
            Manifests.route(["blue": 1, "green": 1], name: "split", match: "{prefix: /split}"),
            Manifests.route(["blue": 1], match: "{prefix: /plain}"),
        ]
        let base =
            Manifests.mesh() + Manifests.gateway(listeners: [8080: "http"])
            + Manifests.gatewayRoute("all", to: "color", match: "{prefix: /}")
            + Manifests.gatewayRoute("under", to: "color", match: "{prefix: /under}")
            + Manifests.served("blue", appPort: "APP1") + Manifests.served("green", appPort: "APP2")
            + Manifests.routed("color", listeners: [8080: "http"], routes: routes)
        try await RunningMesh.run(["mesh.yaml": base]) { mesh in
            let url = "http://\(try await mesh.ingressAddress(of: "gateway")):8080"
            let blue = mesh.application(1)
            let rows: [(path: String, answers: [TestApplication.Answer], status: Int, Int)] = [
                ("/plain", [.status(503), .status(503)], 200, 3),
                ("/plain/more", [.status(503), .status(503), .status(503)], 503, 3),
                ("/gone", [.status(409)], 200, 2), ("/gone/503", [.status(503)], 503, 1),
                ("/brief", [.hold], 504, 1),
            ]
            for (path, answers, status, attempts) in rows {
                try await blue.answer(next: answers, to: path)
                #expect(try await mesh.request(url + path).status == status, "\(path)")
                #expect(try await blue.counts(path).attempts == attempts, "\(path)")
            }
            try await blue.wait("/brief", gone: 1)
            var names: Set<String?> = []
            while names.count < 2 { names.insert(try await mesh.request(url + "/split").name) }
            #expect(names == ["blue", "green"])
            // They see the path as it was rewritten.
            #expect(try await mesh.request(url + "/under/plain").status == 200)
            #expect(try await mesh.request(url + "/under/under/plain").status == 404)
            #expect(try await mesh.request(url + "/other").status == 404)
        }
    }

    @Test func `gRPC calls find their service by name, host and metadata`() async throws {
        try await EchoServer.run(["blue", "green"]) { servers, ports in
            let base =
                Manifests.mesh() + Manifests.gateway(listeners: [9000: "grpc"])
                + Manifests.running("blue", appPort: ports[0], protocol: "grpc")
                + Manifests.running("green", appPort: ports[1], protocol: "grpc")
                + Manifests.service("blue") + Manifests.service("green")
                + [
                    ("echo", "blue", "{serviceName: echo.Echo}"),
                    ("host", "green", "{hostname: {exact: green.example.com}}"),
                    (
                        "metadata", "green",
                        "{serviceName: echo.Other, metadata: [{name: x, match: {exact: green}}]}"
                    ),
                ].map { name, service, match in
                    Manifests.gatewayRoute(name, to: service, type: "grpcRoute", match: match)
                }.joined()
            try await RunningMesh.run(["mesh.yaml": base]) { mesh in
                let address = try await mesh.ingressAddress(of: "gateway")
                try await EchoClient.run(address, port: 9000, authority: "any.example.com") {
                    client in
                    let answer = try await client.say("hi")
                    #expect(answer.message == "blue: hi")
                    let green = try await client.say(
                        "hi",
                        to: "Other/Say",
                        metadata: ["x": "green"]
                    )
                    #expect(green.message == "green: hi")
                    await expect(.unimplemented) { try await client.say("hi", to: "Other/Say") }
                    servers[0].refusals.withLock { $0 = [.unavailable, .unavailable] }
                    #expect(try await client.say("again").message == "blue: again")
                    try await client.chat { chat in
                        let answer = try await chat.exchange("1")
                        #expect(answer == "blue: 1")
                    }
                }
                try await EchoClient.run(address, port: 9000, authority: "green.example.com") {
                    client in
                    let answer = try await client.say("hi", to: "Other/Say")
                    #expect(answer.message == "green: hi")
                }
            }
        }
    }
}
