import MeshManifests
import MeshModel
import Testing

/// A spec that breaks one rule, and what is said about it.
struct BrokenRule: Sendable, CustomTestStringConvertible {
    var kind: String
    var spec: String
    /// The diagnostic without the object's name.
    var message: String

    init(_ kind: String, _ spec: String, _ message: String) {
        self.kind = kind
        self.spec = spec
        self.message = message
    }

    var testDescription: String { message }
}

/// The rules of App Mesh's webhooks and API, one by one.
@Suite struct RuleTests {
    @Test(arguments: meshAndNode + listeners + routers + gatewayRoutes + references)
    func `a broken rule is one error`(rule: BrokenRule) {
        let file = decode(manifest(rule.kind, "a", rule.spec))
        let object = rule.kind == "Mesh" ? "Mesh a" : "\(rule.kind) demo/a"
        #expect(file.diagnostics.map(\.message) == ["\(object): \(rule.message)"])
        #expect(file.diagnostics.first?.severity == .error)
        #expect(file.objects.isEmpty)
    }

    static let meshAndNode = [
        BrokenRule(
            "Mesh",
            "meshServiceDiscovery: {ipPreference: IPv4_PREFERRED}",
            #"spec.meshServiceDiscovery.ipPreference: unknown value "IPv4_PREFERRED"; use IPv4_ONLY or IPv6_ONLY"#
        ),
        BrokenRule(
            "Mesh",
            "egressFilter: {}",
            "spec.egressFilter.type: missing; use ALLOW_ALL or DROP_ALL"
        ),
        BrokenRule(
            "Mesh",
            "meshOwner: 123456789012",
            "spec.meshOwner: expected a string, found the number 123456789012; quote it"
        ),
        BrokenRule(
            "Mesh",
            "meshOwner: '123'",
            #"spec.meshOwner: "123" is 3 characters long; use 12 characters"#
        ),
        BrokenRule(
            "Mesh",
            "namespaceSelector: {matchExpressions: [{key: a, operator: Is}]}",
            #"spec.namespaceSelector.matchExpressions[0].operator: unknown value "Is"; use In, NotIn, Exists or DoesNotExist"#
        ),
        BrokenRule(
            "Mesh",
            "namespaceSelector: {matchExpressions: [{key: a, operator: In}]}",
            "spec.namespaceSelector.matchExpressions[0].values: In compares with no values; give values"
        ),
        BrokenRule(
            "VirtualNode",
            "listeners: []",
            "spec.serviceDiscovery: missing: serviceDiscovery must be specified when a listener is specified; add serviceDiscovery.dns.hostname, or remove listeners"
        ),
        BrokenRule(
            "VirtualNode",
            "backends: [{virtualService: {virtualServiceRef: {name: b}}}, {virtualService: {virtualServiceRef: {name: b, namespace: demo}}}]",
            #"spec.backends[1].virtualService: duplicate backend "demo/b" (first on line 5); remove one"#
        ),
        BrokenRule(
            "VirtualNode",
            "serviceDiscovery: {}",
            "spec.serviceDiscovery: neither dns nor awsCloudMap is given; give exactly one"
        ),
        BrokenRule(
            "VirtualNode",
            "serviceDiscovery: {dns: {hostname: a}, awsCloudMap: {namespaceName: a, serviceName: b}}",
            "spec.serviceDiscovery.awsCloudMap: dns and awsCloudMap are given, and only one is allowed; keep one"
        ),
        BrokenRule(
            "VirtualNode",
            "serviceDiscovery: {dns: {hostname: ''}}",
            "spec.serviceDiscovery.dns.hostname: the string is empty; use 1 to 253 characters"
        ),
        BrokenRule(
            "VirtualNode",
            "serviceDiscovery: {awsCloudMap: {namespaceName: a, serviceName: b, attributes: [{key: k, value: a}, {key: k, value: b}]}}",
            #"spec.serviceDiscovery.awsCloudMap.attributes[1].key: duplicate attribute "k" (first on line 5); remove one"#
        ),
        BrokenRule(
            "VirtualNode",
            "logging: {accessLog: {file: {path: /a, format: {}}}}",
            "spec.logging.accessLog.file.format: neither json nor text is given; give exactly one"
        ),
        BrokenRule(
            "VirtualNode",
            "logging: {accessLog: {file: {path: /a, format: {text: \(String(repeating: "x", count: 1001))}}}}",
            #"spec.logging.accessLog.file.format.text: "\#(String(repeating: "x", count: 80))…" is 1001 characters long; use 1 to 1000 characters"#
        ),
        BrokenRule(
            "VirtualNode",
            "awsName: \(String(repeating: "x", count: 256))",
            #"spec.awsName: "\#(String(repeating: "x", count: 80))…" is 256 characters long; use 0 to 255 characters"#
        ),
        BrokenRule(
            "VirtualNode",
            "backendDefaults: {clientPolicy: {tls: {}}}",
            "spec.backendDefaults.clientPolicy.tls.validation: missing; add it"
        ),
        BrokenRule(
            "VirtualNode",
            "backendDefaults: {clientPolicy: {tls: {enforce: yes, validation: {trust: {sds: {secretName: a}}}}}}",
            #"spec.backendDefaults.clientPolicy.tls.enforce: expected true or false, found the string "yes"; write true or false"#
        ),
        BrokenRule(
            "VirtualNode",
            "backendDefaults: {clientPolicy: {tls: {validation: {trust: {}}}}}",
            "spec.backendDefaults.clientPolicy.tls.validation.trust: none of acm, file and sds is given; give exactly one"
        ),
        BrokenRule("VirtualGateway", "podSelector: {}", "spec.listeners: missing; give a list"),
        BrokenRule(
            "VirtualGateway",
            "listeners: [{portMapping: {port: 80, protocol: tcp}, connectionPool: {http: {maxConnections: 1}}}]",
            #"spec.listeners[0].connectionPool.http: the connectionPool is for http, and the listener's protocol is tcp; put it under "tcp""#
        ),
    ]

    private static func listener(_ fields: String, protocol name: String = "http") -> String {
        "listeners: [{portMapping: {port: 80, protocol: \(name)}, \(fields)}]\n"
            + "serviceDiscovery: {dns: {hostname: a}}"
    }

    private static let check =
        "protocol: http, healthyThreshold: 2, unhealthyThreshold: 2, intervalMillis: 5000"

    static let listeners = [
        BrokenRule(
            "VirtualNode",
            listener("connectionPool: {http: {maxConnections: 1}, tcp: {maxConnections: 1}}"),
            "spec.listeners[0].connectionPool.tcp: http and tcp are given, and only one is allowed; keep one"
        ),
        BrokenRule(
            "VirtualGateway",
            "listeners: [{portMapping: {port: 1, protocol: tcp}, connectionPool: {tcp: {maxConnections: 1}}}]",
            "spec.listeners[0].connectionPool: a gateway's TCP connections go straight to their node; "
                + "limit them in the node's connectionPool"
        ),
        BrokenRule(
            "VirtualNode",
            listener("connectionPool: {grpc: {maxRequests: 1}}"),
            #"spec.listeners[0].connectionPool.grpc: the connectionPool is for grpc, and the listener's protocol is http; put it under "http""#
        ),
        BrokenRule(
            "VirtualNode",
            listener("timeout: {http: {}}", protocol: "http2"),
            #"spec.listeners[0].timeout.http: the timeout is for http, and the listener's protocol is http2; put it under "http2""#
        ),
        BrokenRule(
            "VirtualNode",
            listener("connectionPool: {http: {maxConnections: 0}}"),
            "spec.listeners[0].connectionPool.http.maxConnections: 0 is out of range; use 1 to 4294967295"
        ),
        BrokenRule(
            "VirtualNode",
            listener("healthCheck: {\(check), timeoutMillis: 100}"),
            "spec.listeners[0].healthCheck.timeoutMillis: 100 is out of range; use 2000 to 60000"
        ),
        BrokenRule(
            "VirtualNode",
            listener("healthCheck: {\(check)}"),
            "spec.listeners[0].healthCheck.timeoutMillis: missing; give an integer from 2000 to 60000"
        ),
        BrokenRule(
            "VirtualNode",
            listener("tls: {mode: LOOSE, certificate: {sds: {secretName: a}}}"),
            #"spec.listeners[0].tls.mode: unknown value "LOOSE"; use DISABLED, PERMISSIVE or STRICT"#
        ),
        BrokenRule(
            "VirtualNode",
            listener("tls: {mode: STRICT, certificate: {}}"),
            "spec.listeners[0].tls.certificate: none of acm, file and sds is given; give exactly one"
        ),
        BrokenRule(
            "VirtualNode",
            listener("timeout: {http: {idle: {unit: m, value: 1}}}"),
            #"spec.listeners[0].timeout.http.idle.unit: unknown value "m"; use s or ms"#
        ),
        BrokenRule(
            "VirtualNode",
            "listeners: [{portMapping: {port: 80, protocol: http}}, {portMapping: {port: 80, protocol: tcp}}]\nserviceDiscovery: {dns: {hostname: a}}",
            "spec.listeners[1].portMapping.port: duplicate listener port 80 (first on line 5); give each listener its own port"
        ),
        BrokenRule(
            "VirtualNode",
            "listeners: [{}]\nserviceDiscovery: {dns: {hostname: a}}",
            "spec.listeners[0].portMapping: missing; add it"
        ),
        BrokenRule(
            "VirtualGateway",
            "listeners: [{portMapping: {port: 80, protocol: udp}}]",
            #"spec.listeners[0].portMapping.protocol: unknown value "udp"; use grpc, http, http2 or tcp"#
        ),
        BrokenRule(
            "VirtualGateway",
            "listeners: [{portMapping: {port: 8080.0, protocol: http}}]",
            "spec.listeners[0].portMapping.port: expected an integer, found the number 8080.0; write 8080"
        ),
        BrokenRule(
            "VirtualGateway",
            "listeners: [{portMapping: {port: 80, protocol: http}, connectionPool: {http: {maxConnections: 1}, http2: {maxRequests: 1}}}]",
            "spec.listeners[0].connectionPool.http2: http and http2 are given, and only one is allowed; keep one"
        ),
        BrokenRule(
            "VirtualGateway",
            "listeners: [{portMapping: {port: 80, protocol: http}, tls: {mode: STRICT, certificate: {sds: {secretName: a}}, validation: {trust: {acm: {certificateAuthorityARNs: [a]}}}}}]",
            "spec.listeners[0].tls.validation.trust.acm: a listener cannot trust ACM authorities; use file or sds"
        ),
    ]

    private static let targets =
        "action: {weightedTargets: [{virtualNodeRef: {name: b}, weight: 1}]}"

    private static func http(_ match: String, _ more: String = targets) -> String {
        "routes: [{name: r, httpRoute: {match: {\(match)}, \(more)}}]"
    }

    static let routers = [
        BrokenRule(
            "VirtualRouter",
            "listeners: []",
            "spec.listeners: the list has 0 elements; give at least 1"
        ),
        BrokenRule(
            "VirtualRouter",
            "routes: [{name: r, tcpRoute: {\(targets)}}, {name: r, tcpRoute: {\(targets)}}]",
            #"spec.routes[1].name: duplicate route entries for "r" (first on line 5); rename one"#
        ),
        BrokenRule(
            "VirtualRouter",
            "routes: [{name: r}]",
            "spec.routes[0]: none of httpRoute, http2Route, grpcRoute and tcpRoute is given; give exactly one"
        ),
        BrokenRule(
            "VirtualRouter",
            "routes: [{name: r, tcpRoute: {\(targets)}, grpcRoute: {match: {}, \(targets)}}]",
            "spec.routes[0].tcpRoute: grpcRoute and tcpRoute are given, and only one is allowed; keep one"
        ),
        BrokenRule(
            "VirtualRouter",
            http(""),
            "spec.routes[0].httpRoute.match: neither prefix nor path is given; give one of them, such as prefix: /"
        ),
        BrokenRule(
            "VirtualRouter",
            http("prefix: /, path: {exact: /}"),
            "spec.routes[0].httpRoute.match.path: both prefix and path are given, and only one is allowed; keep one"
        ),
        BrokenRule(
            "VirtualRouter",
            http("path: {}"),
            "spec.routes[0].httpRoute.match.path: neither exact nor regex for path is given; give one of them"
        ),
        BrokenRule(
            "VirtualRouter",
            http("path: {exact: /, regex: /}"),
            "spec.routes[0].httpRoute.match.path.regex: both exact and regex for path are given, and only one is allowed; keep one"
        ),
        BrokenRule(
            "VirtualRouter",
            http("prefix: /, headers: [{name: \"a b\"}]"),
            #"spec.routes[0].httpRoute.match.headers[0].name: "a b" is no header name; use letters, digits and "-""#
        ),
        BrokenRule(
            "VirtualRouter",
            http("prefix: a"),
            #"spec.routes[0].httpRoute.match.prefix: "a" does not start with "/"; put "/" before it"#
        ),
        BrokenRule(
            "VirtualRouter",
            http("prefix: /, port: 0"),
            "spec.routes[0].httpRoute.match.port: 0 is out of range; use 1 to 65535"
        ),
        BrokenRule(
            "VirtualRouter",
            http("prefix: /, method: get"),
            #"spec.routes[0].httpRoute.match.method: unknown value "get"; use CONNECT, DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT or TRACE"#
        ),
        BrokenRule(
            "VirtualRouter",
            http("prefix: /, headers: [{name: h, match: {}}]"),
            "spec.routes[0].httpRoute.match.headers[0].match: none of exact, prefix, suffix, regex and range is given; give exactly one"
        ),
        BrokenRule(
            "VirtualRouter",
            http("prefix: /, headers: [{name: h, match: {exact: a, suffix: b}}]"),
            "spec.routes[0].httpRoute.match.headers[0].match.suffix: exact and suffix are given, and only one is allowed; keep one"
        ),
        BrokenRule(
            "VirtualRouter",
            http("prefix: /, headers: [{name: h, match: {regex: ''}}]"),
            "spec.routes[0].httpRoute.match.headers[0].match.regex: the string is empty; use 1 to 255 characters"
        ),
        BrokenRule(
            "VirtualRouter",
            http("prefix: /, headers: [{name: h, match: {range: {start: 5, end: 5}}}]"),
            "spec.routes[0].httpRoute.match.headers[0].match.range.end: the range ends at 5, and starts at 5; give an end above the start; it is exclusive"
        ),
        BrokenRule(
            "VirtualRouter",
            http("prefix: /, headers: [{name: h, match: {range: {start: 5}}}]"),
            "spec.routes[0].httpRoute.match.headers[0].match.range.end: missing; give an integer"
        ),
        BrokenRule(
            "VirtualRouter",
            http("prefix: /, headers: []"),
            "spec.routes[0].httpRoute.match.headers: the list has 0 elements; give 1 to 10"
        ),
        BrokenRule(
            "VirtualRouter",
            http("prefix: /, queryParameters: [{name: q, match: {}}]"),
            "spec.routes[0].httpRoute.match.queryParameters[0].match.exact: missing; give a string"
        ),
        BrokenRule(
            "VirtualRouter",
            http("prefix: /", "action: {weightedTargets: []}"),
            "spec.routes[0].httpRoute.action.weightedTargets: the list has 0 elements; give 1 to 10"
        ),
        BrokenRule(
            "VirtualRouter",
            http(
                "prefix: /",
                "action: {weightedTargets: [{virtualNodeRef: {name: b}, weight: 70}, {virtualNodeRef: {name: c}, weight: 31}]}"
            ),
            "spec.routes[0].httpRoute.action.weightedTargets: the weights add up to 101; use weights that add up to 100 at most"
        ),
        BrokenRule(
            "VirtualRouter",
            http(
                "prefix: /",
                "action: {weightedTargets: [{virtualNodeRef: {name: b}, weight: 1, port: 0}]}"
            ),
            "spec.routes[0].httpRoute.action.weightedTargets[0].port: 0 is out of range; use 1 to 65535"
        ),
        BrokenRule(
            "VirtualRouter",
            http(
                "prefix: /",
                "\(targets), retryPolicy: {maxRetries: 1, perRetryTimeout: {unit: s, value: 1}}"
            ),
            "spec.routes[0].httpRoute.retryPolicy: the retry policy names no event; give one of httpRetryEvents or tcpRetryEvents"
        ),
        BrokenRule(
            "VirtualRouter",
            http(
                "prefix: /",
                "\(targets), retryPolicy: {maxRetries: 1, httpRetryEvents: [all], perRetryTimeout: {unit: s, value: 1}}"
            ),
            #"spec.routes[0].httpRoute.retryPolicy.httpRetryEvents[0]: unknown value "all"; use server-error, gateway-error, client-error or stream-error"#
        ),
        BrokenRule(
            "VirtualRouter",
            "routes: [{name: r, priority: 1001, tcpRoute: {\(targets)}}]",
            "spec.routes[0].priority: 1001 is out of range; use 0 to 1000"
        ),
        BrokenRule(
            "VirtualRouter",
            "routes: [{name: r, grpcRoute: {match: {methodName: m}, \(targets)}}]",
            "spec.routes[0].grpcRoute.match.methodName: methodName is given without serviceName; add serviceName"
        ),
    ]

    static let references = [
        BrokenRule(
            "VirtualService",
            "provider: {virtualNode: {virtualNodeRef: {name: a}}, virtualRouter: {virtualRouterRef: {name: a}}}",
            "spec.provider.virtualRouter: virtualNode and virtualRouter are given, and only one is allowed; keep one"
        ),
        BrokenRule(
            "VirtualService",
            "provider: {virtualNode: {}}",
            "spec.provider.virtualNode: neither virtualNodeRef nor virtualNodeARN is given; give exactly one"
        ),
        BrokenRule(
            "VirtualService",
            "provider: {virtualNode: {virtualNodeARN: 'arn:aws:appmesh:r:1:mesh/m/virtualRouter/n'}}",
            #"spec.provider.virtualNode.virtualNodeARN: "arn:aws:appmesh:r:1:mesh/m/virtualRouter/n" is not the ARN of a virtualNode; write arn:<partition>:appmesh:<region>:<account>:mesh/<mesh>/virtualNode/<name>"#
        ),
        BrokenRule(
            "VirtualService",
            "provider: {virtualNode: {virtualNodeRef: {name: 8}}}",
            "spec.provider.virtualNode.virtualNodeRef.name: expected a string, found the number 8; quote it"
        ),
        BrokenRule(
            "VirtualService",
            "provider: [a]",
            "spec.provider: expected a mapping, found a list; put fields under it"
        ),
        BrokenRule(
            "BackendGroup",
            "virtualservices: {name: a}",
            "spec.virtualservices: expected a list, found a mapping; give a list"
        ),
    ]
}
