import GRPCCore
import HTTPClient
import MeshModel
import MeshTesting
import Testing

/// Which requests each kind of match takes.
@Suite(.enabled(if: envoyIsExpected), .serialized, .timeLimit(.minutes(1)))
struct RouteTests {
    /// A match, the requests that it takes, and those that it leaves to the next route.
    struct Row {
        var match: String
        var hits: [Ask]
        var misses: [Ask]

        init(_ match: String, hits: [Ask], misses: [Ask]) {
            (self.match, self.hits, self.misses) = (match, hits, misses)
        }

        /// A match of the header `x`.
        init(_ path: String, x match: String, hits: [String], misses: [String], absent: Bool) {
            self.init(
                "{prefix: \(path), headers: [{name: x, \(match)}]}",
                hits: hits.map { .get(path, ["x": $0]) } + (absent ? [.get(path)] : []),
                misses: misses.map { .get(path, ["x": $0]) } + (absent ? [] : [.get(path)])
            )
        }
    }

    private static let paths = [
        Row(
            "{prefix: /prefix/a}",
            hits: [.get("/prefix/a"), .get("/prefix/abc"), .get("/prefix/a/b?c=d")],
            misses: [.get("/prefix"), .get("/prefix/A"), .get("/x/prefix/a")]
        ),
        Row(
            "{path: {exact: /exact}}",
            hits: [.get("/exact"), .get("/exact?a=b")],
            misses: [.get("/exact/"), .get("/exactly"), .get("/Exact")]
        ),
        Row(
            #"{path: {regex: "/regex/[0-9]+"}}"#,
            hits: [.get("/regex/12"), .get("/regex/12?a=b")],
            misses: [.get("/regex/12a"), .get("/a/regex/12"), .get("/regex/")]
        ),
    ]

    private static let methods = ["DELETE", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"].map {
        Row(
            "{prefix: /method-\($0), method: \($0)}",
            hits: [Ask(method: $0, path: "/method-\($0)")],
            misses: [.get("/method-\($0)")]
        )
    }

    private static let headers = [
        Row(
            "/header-exact",
            x: "match: {exact: blue}",
            hits: ["blue"],
            misses: ["Blue", "bluer", "red"],
            absent: false
        ),
        Row(
            "/header-prefix",
            x: "match: {prefix: bl}",
            hits: ["bl", "blue"],
            misses: ["ablue", "b"],
            absent: false
        ),
        Row(
            "/header-suffix",
            x: "match: {suffix: ue}",
            hits: ["ue", "blue"],
            misses: ["bluer", "e"],
            absent: false
        ),
        Row(
            "/header-regex",
            x: #"match: {regex: "b.*e|red"}"#,
            hits: ["be", "blue", "red"],
            misses: ["a blue", "bluer", "redder"],
            absent: false
        ),
        Row(
            "/header-range",
            x: "match: {range: {start: -1, end: 10}}",
            hits: ["-1", "0", "9"],
            misses: ["-2", "10", "5.5", "five"],
            absent: false
        ),
        // Without a match, presence counts.
        Row("/header-present", x: "invert: false", hits: ["", "any"], misses: [], absent: false),
        Row("/header-absent", x: "invert: true", hits: [], misses: ["", "any"], absent: true),
        Row(
            "/header-not-exact",
            x: "invert: true, match: {exact: blue}",
            hits: ["red", "bluer"],
            misses: ["blue"],
            absent: false
        ),
        Row(
            "/header-not-in-range",
            x: "invert: true, match: {range: {start: 0, end: 10}}",
            hits: ["10", "-1"],
            misses: ["0", "9"],
            absent: false
        ),
    ]

    private static let rest = [
        Row(
            "{prefix: /parameter, queryParameters: [{name: v, match: {exact: \"1\"}}]}",
            hits: [.get("/parameter?v=1"), .get("/parameter/a?b=c&v=1")],
            misses: [.get("/parameter"), .get("/parameter?v=12"), .get("/parameter?w=1")]
        ),
        Row(
            "{prefix: /given, queryParameters: [{name: v}]}",
            hits: [.get("/given?v=1"), .get("/given?v="), .get("/given?a&v")],
            misses: [.get("/given"), .get("/given?V=1"), .get("/given?a=v")]
        ),
        Row(
            "{prefix: /https, scheme: https}",
            hits: [.get("/https", ["X-Forwarded-Proto": "https"])],
            misses: [.get("/https")]
        ),
        Row(
            "{prefix: /http/, scheme: http}",
            hits: [.get("/http/")],
            misses: [.get("/http/", ["X-Forwarded-Proto": "https"])]
        ),
        // Every condition counts.
        Row(
            "{prefix: /all, method: GET, queryParameters: [{name: v}], "
                + "headers: [{name: x}, {name: y, match: {exact: \"1\"}}]}",
            hits: [.get("/all?v", ["x": "a", "y": "1"])],
            misses: [
                .get("/all", ["x": "a", "y": "1"]), .get("/all?v", ["y": "1"]),
                .get("/all?v", ["x": "a", "y": "2"]),
                Ask(method: "PUT", path: "/all?v", headers: [.init("x", "a"), .init("y", "1")]),
            ]
        ),
    ]

    /// Routes that all take `GET /ordered/long`, each to the node that its name starts with.
    private static let order: [(service: String, routes: [String])] = [
        (
            "priority",
            [
                Manifests.route(
                    ["miss": 1],
                    name: "exact",
                    match: "{path: {exact: /ordered/long}}"
                ),
                Manifests.route(
                    ["miss": 1],
                    name: "later",
                    priority: 10,
                    match: "{path: {exact: /ordered/long}, headers: [{name: x}]}"
                ),
                Manifests.route(["hit": 1], name: "first", priority: 9),
            ]
        ),
        (
            "zero",
            [
                Manifests.route(["miss": 1], name: "one", priority: 1, match: "{prefix: /ordered}"),
                Manifests.route(["hit": 1], name: "zero", priority: 0),
            ]
        ),
        (
            "longest",
            [
                Manifests.route(["miss": 1], name: "short", match: "{prefix: /ordered}"),
                Manifests.route(["hit": 1], name: "long", match: "{prefix: /ordered/long}"),
                Manifests.route(["miss": 1], name: "all"),
            ]
        ),
        (
            "exact",
            [
                Manifests.route(["miss": 1], name: "prefix", match: "{prefix: /ordered/long}"),
                Manifests.route(["hit": 1], name: "exact", match: "{path: {exact: /ordered/long}}"),
            ]
        ),
        (
            "conditions",
            [
                Manifests.route(["miss": 1], name: "plain", match: "{prefix: /ordered}"),
                Manifests.route(
                    ["hit": 1],
                    name: "header",
                    match: "{prefix: /ordered, headers: [{name: x}]}"
                ),
            ]
        ),
    ]

    @Test func `requests go where their path, method, headers, parameters and scheme say`()
        async throws
    {
        let rows = Self.paths + Self.methods + Self.headers + Self.rest
        // Priority keeps them in the table's order before the one that takes all.
        let routes =
            rows.enumerated().map { index, row in
                Manifests.route(["hit": 1], name: "row-\(index)", priority: index, match: row.match)
            } + [Manifests.route(["miss": 1])]
        let base =
            Manifests.mesh()
            + Manifests.running("front", backends: ["table"] + Self.order.map(\.service))
            + Manifests.served("hit", appPort: "APP1") + Manifests.served("miss", appPort: "APP2")
            + Manifests.routed("table", listeners: [8080: "http"], routes: routes)
            + Self.order.map {
                Manifests.routed($0.service, listeners: [8080: "http"], routes: $0.routes)
            }.joined()
        try await RunningMesh.run(["mesh.yaml": base]) { mesh in
            for row in rows {
                for (asks, name) in [(row.hits, "hit"), (row.misses, "miss")] {
                    for ask in asks { try await expect(ask, of: mesh, to: name, by: row.match) }
                }
            }
            for (service, _) in Self.order {
                let answer = try await mesh.request(
                    from: "front",
                    host: "\(service).demo:8080",
                    path: "/ordered/long",
                    headers: [HTTPField("x", "1")]
                )
                #expect(answer.name == "hit", "\(service)")
            }
        }
    }

    private func expect(
        _ ask: Ask,
        of mesh: RunningMesh,
        to name: String,
        by match: String
    ) async throws {
        let number = name == "hit" ? 1 : 2
        let path = ask.path.prefix { $0 != "?" }
        let before = try await mesh.application(number).counts("\(path)")
        let answer = try await mesh.request(
            from: "front",
            host: "table.demo:8080",
            method: ask.method,
            path: ask.path,
            headers: ask.headers
        )
        #expect(answer.status == 200, "\(ask), \(match)")
        if ask.method == "HEAD" {
            // There is no body that tells who answered.
            let after = try await mesh.application(number).counts("\(path)")
            #expect(after.attempts == before.attempts + 1, "\(ask), \(match)")
            return
        }
        #expect(answer.name == name, "\(ask), \(match)")
        #expect(answer.answer["method"]?.string == ask.method)
        #expect(answer.answer["path"]?.string == ask.path)
    }

    @Test func `each port of a router has its routes, and each target its port`() async throws {
        let workload = """
            ---
            apiVersion: heddle.dev/v1alpha1
            kind: Workload
            metadata: {name: two, namespace: demo, labels: {app: two}}
            spec:
              command: [python3, app.py]
              env: {NAME: two, PORT: "APP1,APP2"}
              ports: {8080: APP1, 9090: APP2}

            """
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

            """
        func route(_ name: String, _ match: String, port: Int) -> String {
            Manifests.route(["two": 1], name: name, match: match, targetPort: port)
        }
        let crossed = Manifests.routed(
            "crossed",
            listeners: [7070: "http", 8080: "http"],
            routes: [
                route("a", "{prefix: /, port: 7070}", port: 8080),
                route("b", "{prefix: /, port: 8080}", port: 9090),
                route("c", "{prefix: /only-here, port: 7070}", port: 9090),
                route("d", "{prefix: /anywhere}", port: 8080),
            ]
        )
        // Without a port, a target means the listener on the router's port.
        let same = Manifests.routed(
            "same",
            listeners: [8080: "http", 9090: "http"],
            routes: [Manifests.route(["two": 1])]
        )
        let base =
            Manifests.mesh()
            + Manifests.running("front", backends: ["crossed", "same", "two"])
            + crossed + same + Manifests.service("two") + node + workload
        try await RunningMesh.run(["mesh.yaml": base]) { mesh in
            let ports = [1: mesh.application(1).port, 2: mesh.application(2).port]
            let rows: [(host: String, port: Int, path: String, application: Int)] = [
                ("crossed", 7070, "/", 1), ("crossed", 8080, "/", 2),
                ("crossed", 7070, "/only-here", 2), ("crossed", 8080, "/only-here", 2),
                ("crossed", 7070, "/anywhere", 1), ("crossed", 8080, "/anywhere", 1),
                ("same", 8080, "/", 1), ("same", 9090, "/", 2),
                ("two", 8080, "/", 1), ("two", 9090, "/", 2),
            ]
            for row in rows {
                for port in [row.port, 15001] {
                    let answer = try await mesh.request(
                        from: "front",
                        host: "\(row.host).demo:\(row.port)",
                        path: row.path,
                        port: port
                    )
                    #expect(answer.answer["port"]?.integer == ports[row.application], "\(row)")
                }
            }
            let other = try await mesh.request(from: "front", host: "crossed.demo:9090")
            #expect(other.status == 404)
        }
    }

    /// A match of gRPC calls, the calls that it takes, and those that it leaves to the next route.
    private typealias CallRow = (
        match: String, hits: [(String, GRPCCore.Metadata)], misses: [(String, GRPCCore.Metadata)]
    )

    private static let calls: [CallRow] = [
        (
            "{serviceName: echo.Echo, methodName: Call}",
            [("Echo/Call", [:])],
            [("Echo/Say", [:]), ("Echoes/Call", [:])]
        ),
        ("{serviceName: echo.Other}", [("Other/Say", [:]), ("Other/Call", [:])], []),
        (
            "{metadata: [{name: exact, match: {exact: blue}}]}",
            [("Echo/Say", ["exact": "blue"])],
            [("Echo/Say", ["exact": "bluer"])]
        ),
        (
            "{metadata: [{name: prefix, match: {prefix: bl}}]}",
            [("Echo/Say", ["prefix": "blue"])],
            [("Echo/Say", ["prefix": "ablue"])]
        ),
        (
            "{metadata: [{name: suffix, match: {suffix: ue}}]}",
            [("Echo/Say", ["suffix": "blue"])],
            [("Echo/Say", ["suffix": "bluer"])]
        ),
        (
            #"{metadata: [{name: regex, match: {regex: "b.*e"}}]}"#,
            [("Echo/Say", ["regex": "blue"])],
            [("Echo/Say", ["regex": "bluer"])]
        ),
        (
            "{metadata: [{name: range, match: {range: {start: 1, end: 3}}}]}",
            [("Echo/Say", ["range": "1"]), ("Echo/Say", ["range": "2"])],
            [("Echo/Say", ["range": "3"]), ("Echo/Say", ["range": "x"])]
        ),
        ("{metadata: [{name: present}]}", [("Echo/Say", ["present": "any"])], []),
        (
            "{serviceName: echo.Echoes, methodName: Say, metadata: [{name: absent, invert: true}]}",
            [("Echoes/Say", [:])],
            [("Echoes/Say", ["absent": "no"])]
        ),
        (
            "{metadata: [{name: a}, {name: b, invert: true, match: {exact: blue}}]}",
            [("Echo/Say", ["a": "1", "b": "red"])],
            [("Echo/Say", ["a": "1", "b": "blue"]), ("Echo/Say", ["b": "red"])]
        ),
    ]

    @Test func `gRPC calls go where their service, method and metadata say`() async throws {
        let routes =
            Self.calls.enumerated().map { index, row in
                Manifests.route(
                    ["hit": 1],
                    name: "row-\(index)",
                    type: "grpcRoute",
                    priority: index,
                    match: row.match
                )
            } + [Manifests.route(["miss": 1], type: "grpcRoute", match: "{}")]
        try await EchoServer.run(["hit", "miss"]) { _, ports in
            let base =
                Manifests.mesh()
                + Manifests.running("front", protocol: "grpc", backends: ["table"])
                + Manifests.running("hit", appPort: ports[0], protocol: "grpc")
                + Manifests.running("miss", appPort: ports[1], protocol: "grpc")
                + Manifests.routed("table", listeners: [8080: "grpc"], routes: routes)
            try await RunningMesh.run(["mesh.yaml": base]) { mesh in
                let address = try await mesh.egressAddress(of: "front")
                try await EchoClient.run(address, port: 8080, authority: "table.demo:8080") {
                    client in
                    for row in Self.calls {
                        for (calls, name) in [(row.hits, "hit"), (row.misses, "miss")] {
                            for (path, metadata) in calls {
                                let answer = try await client.say("", to: path, metadata: metadata)
                                #expect(answer.message == "\(name): ", "\(path), \(row.match)")
                            }
                        }
                    }
                }
            }
        }
    }
}
