import MeshManifests
import MeshModel
import Testing

@Suite struct RouteTests {
    @Test func `every field of a virtual router is decoded`() throws {
        let text = manifest(
            "VirtualRouter",
            "colors",
            """
            listeners: [{portMapping: {port: 8080, protocol: http}}]
            routes:
              - name: all
                priority: 10
                httpRoute:
                  match:
                    path: {regex: "/a.*"}
                    method: POST
                    scheme: https
                    port: 8080
                    headers:
                      - {name: a, match: {exact: x}}
                      - {name: b, invert: true, match: {range: {start: -1, end: 5}}}
                      - {name: c}
                    queryParameters: [{name: q, match: {exact: "1"}}, {name: p}]
                  action:
                    weightedTargets:
                      - {virtualNodeRef: {name: blue}, weight: 30, port: 9000}
                      - {virtualNodeARN: "arn:aws:appmesh:r:1:mesh/m/virtualNode/n", weight: 70}
                  retryPolicy:
                    maxRetries: 0
                    perRetryTimeout: {unit: ms, value: 2000}
                    httpRetryEvents: [server-error, stream-error]
                    tcpRetryEvents: [connection-error]
                  timeout: {perRequest: {unit: s, value: 1}}
              - name: calls
                grpcRoute:
                  match:
                    serviceName: a.B
                    methodName: C
                    metadata: [{name: m, match: {}}, {name: s, match: {suffix: z}}]
                  action: {weightedTargets: [{virtualNodeRef: {name: g, namespace: n}, weight: 0}]}
                  retryPolicy:
                    maxRetries: 2
                    perRetryTimeout: {unit: s, value: 1}
                    grpcRetryEvents: [deadline-exceeded]
              - name: stream
                tcpRoute:
                  match: {port: 8080}
                  action: {weightedTargets: [{virtualNodeRef: {name: blue}, weight: 1}]}
                  timeout: {idle: {unit: s, value: 7}}
            """
        )
        let file = decode(text)
        #expect(file.diagnostics.isEmpty, "\(file.diagnostics)")
        let router = try #require(file.router)
        #expect(router.spec.awsName == "colors_demo")
        #expect(router.spec.listeners.map(\.protocol) == [.http])
        #expect(router.spec.routes == (try Self.expectedRoutes()))
        #expect(router.manifest.lines["spec.routes[1].grpcRoute.match"] == 32)
    }

    private static func expectedRoutes() throws -> [RouteSpec] {
        let blue = TargetReference.object(ObjectReference(namespace: "demo", name: "blue"))
        let arn = "arn:aws:appmesh:r:1:mesh/m/virtualNode/n"
        let weights = try [0, 1, 30, 70].map { try #require(Weight($0)) }
        return [
            RouteSpec(
                name: "all",
                priority: 10,
                match: .http(
                    HTTPRouteMatch(
                        path: .regex("/a.*"),
                        headers: [
                            HeaderMatch(name: "a", match: .exact("x")),
                            HeaderMatch(name: "b", invert: true, match: .range(start: -1, end: 5)),
                            HeaderMatch(name: "c"),
                        ],
                        method: .post,
                        scheme: "https",
                        queryParameters: [
                            QueryParameterMatch(name: "q", exact: "1"),
                            QueryParameterMatch(name: "p"),
                        ],
                        port: Port(8080)
                    )
                ),
                weightedTargets: [
                    WeightedTarget(virtualNode: blue, weight: weights[2], port: Port(9000)),
                    WeightedTarget(virtualNode: .arn(awsName: "n", arn: arn), weight: weights[3]),
                ],
                retryPolicy: RetryPolicySpec(
                    maxRetries: 0,
                    perRetryTimeout: .seconds(2),
                    httpEvents: [.serverError, .streamError],
                    connectionError: true
                ),
                timeout: Timeouts(perRequest: .seconds(1))
            ),
            RouteSpec(
                name: "calls",
                match: .grpc(
                    GRPCRouteMatch(
                        serviceName: "a.B",
                        methodName: "C",
                        metadata: [
                            HeaderMatch(name: "m"), HeaderMatch(name: "s", match: .suffix("z")),
                        ]
                    )
                ),
                weightedTargets: [
                    WeightedTarget(
                        virtualNode: .object(ObjectReference(namespace: "n", name: "g")),
                        weight: weights[0]
                    )
                ],
                retryPolicy: RetryPolicySpec(
                    maxRetries: 2,
                    perRetryTimeout: .seconds(1),
                    grpcEvents: [.deadlineExceeded]
                )
            ),
            RouteSpec(
                name: "stream",
                match: .tcp(port: Port(8080)),
                weightedTargets: [WeightedTarget(virtualNode: blue, weight: weights[1])],
                timeout: Timeouts(idle: .seconds(7))
            ),
        ]
    }

    @Test func `every field of a gateway route is decoded`() throws {
        let text = manifest(
            "GatewayRoute",
            "paths",
            """
            awsName: p
            priority: 3
            http2Route:
              match:
                prefix: /paths
                hostname: {suffix: .example.com}
                headers: [{name: a, match: {prefix: x}}]
                method: GET
                queryParameters: [{name: q}]
                port: 8088
              action:
                target:
                  port: 8080
                  virtualService: {virtualServiceRef: {name: colors}}
                rewrite:
                  hostname: {defaultTargetHostname: DISABLED}
                  prefix: {value: /v1/}
            meshRef: {name: m, uid: u}
            virtualGatewayRef: {name: g, namespace: n, uid: v}
            """
        )
        let file = decode(text)
        #expect(file.diagnostics.isEmpty, "\(file.diagnostics)")
        let match = HTTPGatewayRouteMatch(
            path: .prefix("/paths"),
            hostname: .suffix(".example.com"),
            headers: [HeaderMatch(name: "a", match: .prefix("x"))],
            method: .get,
            queryParameters: [QueryParameterMatch(name: "q")],
            port: Port(8088)
        )
        let expected = GatewayRouteSpec(
            awsName: "p",
            priority: 3,
            rule: .http2(
                match,
                GatewayRouteRewrite(usesTargetHostname: false, path: .prefix("/v1/"))
            ),
            virtualService: .object(ObjectReference(namespace: "demo", name: "colors")),
            targetPort: Port(8080),
            meshRef: DesignatedReference(name: "m", uid: "u"),
            virtualGatewayRef: DesignatedReference(name: "g", namespace: "n", uid: "v")
        )
        #expect(file.gatewayRoute?.spec == expected)
    }

    @Test(arguments: [
        ("prefix: {defaultPrefix: DISABLED}", GatewayRouteRewrite(path: .unchanged)),
        ("prefix: {defaultPrefix: ENABLED}", GatewayRouteRewrite(path: .defaultPrefix)),
        ("path: {exact: /x}", GatewayRouteRewrite(path: .exact("/x"))),
        ("hostname: {}", GatewayRouteRewrite()),
        ("hostname: {defaultTargetHostname: ENABLED}", GatewayRouteRewrite()),
    ])
    func `a rewrite is one of App Mesh's five`(yaml: String, expected: GatewayRouteRewrite) {
        let spec = """
            httpRoute:
              match: {prefix: /}
              action:
                target: {virtualService: {virtualServiceRef: {name: b}}}
                rewrite: {\(yaml)}
            """
        let route = decode(manifest("GatewayRoute", "a", spec)).gatewayRoute
        #expect(route?.spec.rule == .http(HTTPGatewayRouteMatch(path: .prefix("/")), expected))
        #expect(route?.spec.priority == 1000)
    }

    @Test(arguments: [("match: {port: 6379}, ", Port(6379)), ("match: {}, ", nil), ("", nil)])
    func `a tcp gateway route matches at most a port`(match: String, port: Port?) {
        let target = "target: {port: 1, virtualService: {virtualServiceRef: {name: b}}}"
        let file = decode(
            manifest("GatewayRoute", "a", "tcpRoute: {\(match)action: {\(target)}}")
        )
        #expect(file.diagnostics.isEmpty, "\(file.diagnostics)")
        let expected = GatewayRouteSpec(
            awsName: "a_demo",
            rule: .tcp(port: port),
            virtualService: .object(ObjectReference(namespace: "demo", name: "b")),
            targetPort: Port(1)
        )
        #expect(file.gatewayRoute?.spec == expected)
    }

    @Test func `a grpc gateway route rewrites the hostname only`() {
        let spec = """
            grpcRoute:
              match: {serviceName: a.B, hostname: {exact: h}, metadata: [{name: m}], port: 1}
              action:
                target: {virtualService: {virtualServiceRef: {name: b}}}
                rewrite: {hostname: {defaultTargetHostname: DISABLED}}
            """
        let match = GRPCGatewayRouteMatch(
            serviceName: "a.B",
            hostname: .exact("h"),
            metadata: [HeaderMatch(name: "m")],
            port: Port(1)
        )
        #expect(
            decode(manifest("GatewayRoute", "a", spec)).gatewayRoute?.spec.rule
                == .grpc(match, GatewayRouteRewrite(usesTargetHostname: false))
        )
    }
}
