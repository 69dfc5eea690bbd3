import MeshManifests
import MeshModel
import Testing

@Suite struct TrafficPolicyTests {
    /// Every field that policies have, in three policies, as not every target takes every feature.
    static let text =
        manifest(
            "TrafficPolicy",
            "color-limits",
            """
            targetRefs:
              - {kind: VirtualService, name: color}
              - {kind: VirtualRouter, name: colors, routes: [red, blue], namespace: demo}
            rateLimit: {requests: 100, interval: {unit: s, value: 2}, burst: 200}
            requestHeaders:
              set: {x-a: "%REQ(X-REQUEST-ID)%"}
              add: {x-c: "100%%"}
              remove: [X-E]
            responseHeaders: {remove: [server]}
            cors:
              allowOrigins: [{exact: "https://a"}, {prefix: "http://"}, {suffix: .b}, {regex: "c.*"}]
              allowMethods: [GET, POST]
              allowHeaders: ["*"]
              exposeHeaders: [x-request-id]
              maxAge: {unit: s, value: 600}
              allowCredentials: true
            fault:
              delay: {duration: {unit: ms, value: 200}, percentage: 10}
              abort: {httpStatus: 503, percentage: 0.0025}
            mirror: {virtualNodeRef: {name: shadow, namespace: other}, port: 8080, percentage: 12.5}
            retryPolicy:
              maxRetries: 3
              perRetryTimeout: {unit: s, value: 2}
              httpRetryEvents: [gateway-error]
              tcpRetryEvents: [connection-error]
              grpcRetryEvents: [unavailable]
            retryBackOff:
              baseInterval: {unit: ms, value: 25}
              maxInterval: {unit: ms, value: 100}
            retryOtherTargets: true
            timeout: {perRequest: {unit: s, value: 5}, idle: {unit: s, value: 60}}
            """
        ) + "---\n"
        + manifest(
            "TrafficPolicy",
            "sticky",
            """
            targetRefs: [{kind: VirtualNode, name: blue}]
            fault: {abort: {grpcStatus: 14}}
            loadBalancing:
              algorithm: RING_HASH
              panicThreshold: 0
              hashOn:
                - header: x-user
                - cookie: {name: session, ttl: {unit: s, value: 0}}
                - cookie: {name: session}
                - queryParameter: user
                - sourceAddress: true
            """
        ) + "---\n"
        + manifest(
            "TrafficPolicy",
            "edge",
            """
            targetRefs: [{kind: VirtualGateway, name: entry}, {kind: GatewayRoute, name: paths}]
            rateLimit: {requests: 1}
            """
        )

    @Test func `every field of a policy is decoded`() throws {
        let file = decode(Self.text)
        #expect(file.diagnostics.isEmpty, "\(file.diagnostics)")
        let specs = file.objects.compactMap { object -> TrafficPolicySpec? in
            guard case .trafficPolicy(let policy) = object else { return nil }
            return policy.spec
        }
        try #require(specs.count == 3)
        #expect(
            specs[0].targets == [
                PolicyTarget(kind: .virtualService, name: "color"),
                PolicyTarget(kind: .virtualRouter, name: "colors", routes: ["red", "blue"]),
            ]
        )
        #expect(specs[0].features == (try Self.expectedFeatures()))
        #expect(
            specs[1]
                == TrafficPolicySpec(
                    targets: [PolicyTarget(kind: .virtualNode, name: "blue")],
                    features: TrafficFeatures(
                        fault: Fault(abort: Fault.Abort(status: .grpc(14))),
                        loadBalancing: LoadBalancing(
                            algorithm: .ringHash,
                            hashOn: [
                                .header("x-user"), .cookie(name: "session", ttl: .zero),
                                .cookie(name: "session", ttl: nil), .queryParameter("user"),
                                .sourceAddress,
                            ],
                            panicThreshold: 0
                        )
                    )
                )
        )
        #expect(
            specs[2].features
                == TrafficFeatures(
                    rateLimit: RateLimit(requests: 1, interval: .seconds(1), burst: 1)
                )
        )
    }

    private static func expectedFeatures() throws -> TrafficFeatures {
        TrafficFeatures(
            rateLimit: RateLimit(requests: 100, interval: .seconds(2), burst: 200),
            requestHeaders: HeaderChanges(
                set: ["x-a": "%REQ(X-REQUEST-ID)%"],
                add: ["x-c": "100%%"],
                remove: ["X-E"]
            ),
            responseHeaders: HeaderChanges(remove: ["server"]),
            cors: CORSPolicy(
                allowOrigins: [
                    .exact("https://a"), .prefix("http://"), .suffix(".b"), .regex("c.*"),
                ],
                allowMethods: ["GET", "POST"],
                allowHeaders: ["*"],
                exposeHeaders: ["x-request-id"],
                maxAge: .seconds(600),
                allowCredentials: true
            ),
            fault: Fault(
                delay: Fault.Delay(
                    duration: .milliseconds(200),
                    percentage: try #require(Percentage(millionths: 100_000))
                ),
                abort: Fault.Abort(
                    status: .http(503),
                    percentage: try #require(Percentage(millionths: 25))
                )
            ),
            mirror: Mirror(
                virtualNode: .object(ObjectReference(namespace: "other", name: "shadow")),
                port: Port(8080),
                percentage: try #require(Percentage(millionths: 125_000))
            ),
            retryPolicy: RetryPolicySpec(
                maxRetries: 3,
                perRetryTimeout: .seconds(2),
                httpEvents: [.gatewayError],
                connectionError: true,
                grpcEvents: [.unavailable]
            ),
            retryBackOff: RetryBackOff(
                baseInterval: .milliseconds(25),
                maxInterval: .milliseconds(100)
            ),
            retryOtherTargets: true,
            timeout: Timeouts(perRequest: .seconds(5), idle: .seconds(60))
        )
    }

    @Test(arguments: [
        ("{unit: ms, value: 25}", Duration.milliseconds(250)),
        ("{unit: s, value: 9223372035}", .seconds(9_223_372_035)),
    ])
    func `the longest back-off is ten times the base unless it says`(
        base: String,
        longest: Duration
    ) {
        let text = manifest(
            "TrafficPolicy",
            "a",
            "targetRefs: [{kind: VirtualRouter, name: b}]\nretryBackOff: {baseInterval: \(base)}"
        )
        #expect(decode(text).policy?.spec.features.retryBackOff?.maxInterval == longest)
    }

    @Test(arguments: [
        ("0", 0), ("100", 1_000_000), ("0.0001", 1), ("33.3333", 333_333), ("100.0", 1_000_000),
        ("1e1", 100_000),
    ])
    func `a percentage has up to four decimals`(yaml: String, millionths: Int) {
        let text = manifest(
            "TrafficPolicy",
            "a",
            "targetRefs: [{kind: VirtualNode, name: b}]\n"
                + "fault: {abort: {httpStatus: 500, percentage: \(yaml)}}"
        )
        let abort = decode(text).policy?.spec.features.fault?.abort
        #expect(abort?.percentage == Percentage(millionths: millionths))
    }

    @Test(arguments: TrafficFeature.allCases)
    func `each feature can be had for the kinds that take it`(feature: TrafficFeature) {
        let specs: [TrafficFeature: String] = [
            .rateLimit: "{requests: 1}", .requestHeaders: "{remove: [a]}",
            .responseHeaders: "{add: {a: b}}", .cors: "{allowOrigins: [{exact: a}]}",
            .fault: "{abort: {httpStatus: 500}}", .mirror: "{virtualNodeRef: {name: a}}",
            .retryPolicy:
                "{maxRetries: 1, perRetryTimeout: {unit: s, value: 1}, httpRetryEvents: [client-error]}",
            .retryBackOff: "{baseInterval: {unit: ms, value: 1}}",
            .retryOtherTargets: "true", .timeout: "{idle: {unit: s, value: 0}}",
            .loadBalancing: "{algorithm: RANDOM}",
        ]
        for kind in PolicyTarget.kinds {
            let file = decode(
                manifest(
                    "TrafficPolicy",
                    "a",
                    "targetRefs: [{kind: \(kind.rawValue), name: b}]\n"
                        + "\(feature.rawValue): \(specs[feature] ?? "")"
                )
            )
            #expect(file.diagnostics.isEmpty == feature.targets.contains(kind), "\(kind)")
        }
    }
}
