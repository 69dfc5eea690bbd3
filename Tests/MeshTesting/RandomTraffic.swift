internal import MeshModel

// Gateways, their routes, and traffic policies of random worlds.

extension RandomWorld {
    /// A gateway that takes the routes of its own namespace.
    mutating func gateway(_ name: String, _ namespace: String) -> VirtualGatewaySpec {
        VirtualGatewaySpec(
            awsName: "\(name)_\(namespace)",
            namespaceSelector: LabelSelector(
                matchLabels: ["kubernetes.io/metadata.name": namespace]
            ),
            podSelector: LabelSelector(matchLabels: ["app": "edge"]),
            listeners: mappings(atLeast: 1).map {
                ListenerSpec(portMapping: $0, tls: listenerTLS(namespace))
            },
            backendDefaults: clientPolicy(namespace)
        )
    }

    /// A gateway route of any type.
    mutating func gatewayRoute(_ name: String, _ namespace: String) -> GatewayRouteSpec {
        let port = generator.chance(30) ? generator.pick(ports) : nil
        let path = generator.pick([PathMatch.prefix("/"), .prefix("/a/"), .exact("/a")])
        let rewrite = GatewayRouteRewrite(
            usesTargetHostname: generator.chance(50),
            path: generator.pick([.defaultPrefix, .unchanged])
        )
        let rules: [GatewayRouteSpec.Rule] = [
            .http(HTTPGatewayRouteMatch(path: path, port: port), rewrite),
            .http2(
                HTTPGatewayRouteMatch(path: path, hostname: .suffix(".a"), port: port),
                rewrite
            ),
            .grpc(GRPCGatewayRouteMatch(serviceName: "a.B", port: port), GatewayRouteRewrite()),
            .tcp(port: port),
        ]
        return GatewayRouteSpec(
            awsName: "\(name)_\(namespace)",
            priority: generator.pick([0, 1000]),
            rule: generator.pick(rules),
            virtualService: target(.virtualService, namespace),
            targetPort: generator.chance(30) ? generator.pick(ports) : nil
        )
    }

    /// A policy of features that its targets take; some targets do not exist.
    mutating func policy(_ namespace: String) -> TrafficPolicySpec {
        let kind = generator.pick(PolicyTarget.kinds)
        let names = (0...4).map { "o\($0)" }.shuffled(using: &generator).prefix(number(1...2))
        let targets = names.map { name in
            let isRouter = kind == .virtualRouter && generator.chance(50)
            return PolicyTarget(kind: kind, name: name, routes: isRouter ? ["r0", "r4"] : nil)
        }
        var features = TrafficFeatures(rateLimit: RateLimit(requests: number(1...100)))
        for feature in TrafficFeature.allCases
        where feature.targets.contains(kind) && generator.chance(40) {
            add(feature, to: &features, namespace)
        }
        return TrafficPolicySpec(targets: targets, features: features)
    }

    private mutating func add(
        _ feature: TrafficFeature,
        to features: inout TrafficFeatures,
        _ namespace: String
    ) {
        let percentage = Percentage(millionths: number(0...1_000_000)) ?? .all
        switch feature {
        case .rateLimit:
            features.rateLimit = RateLimit(
                requests: number(1...100),
                interval: .milliseconds(number(50...2000)),
                burst: number(100...200)
            )
        case .requestHeaders:
            features.requestHeaders = HeaderChanges(set: ["x-a": "%PROTOCOL%"], remove: ["x-b"])
        case .responseHeaders: features.responseHeaders = HeaderChanges(add: ["x-a": "b"])
        case .cors:
            features.cors = CORSPolicy(
                allowOrigins: [generator.pick([.exact("*"), .suffix(".a"), .regex("a.*")])],
                allowMethods: ["GET"],
                maxAge: generator.pick([nil, .seconds(60)]),
                allowCredentials: generator.chance(50)
            )
        case .fault:
            features.fault = Fault(
                delay: Fault.Delay(duration: .milliseconds(5), percentage: percentage),
                abort: generator.pick([
                    nil, Fault.Abort(status: .http(503), percentage: percentage),
                    Fault.Abort(status: .grpc(14)),
                ])
            )
        case .mirror:
            features.mirror = Mirror(
                virtualNode: target(.virtualNode, namespace),
                port: generator.chance(30) ? generator.pick(ports) : nil,
                percentage: percentage
            )
        case .retryPolicy:
            features.retryPolicy = RetryPolicySpec(
                maxRetries: number(0...3),
                perRetryTimeout: .seconds(1),
                connectionError: true
            )
        case .retryBackOff:
            features.retryBackOff = RetryBackOff(
                baseInterval: .milliseconds(number(1...25)),
                maxInterval: .milliseconds(250)
            )
        case .retryOtherTargets: features.retryOtherTargets = generator.chance(50)
        case .timeout: features.timeout = timeouts()
        case .loadBalancing:
            let algorithm = generator.pick(LoadBalancing.Algorithm.allCases)
            let keys: [HashKey] = [
                .header("x-a"), .cookie(name: "a", ttl: .zero), .queryParameter("a"),
                .sourceAddress,
            ]
            features.loadBalancing = LoadBalancing(
                algorithm: algorithm,
                hashOn: algorithm.isByHash ? [generator.pick(keys)] : [],
                panicThreshold: generator.pick([nil, 0, 50])
            )
        }
    }
}
