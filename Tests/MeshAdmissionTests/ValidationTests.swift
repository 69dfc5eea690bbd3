import MeshAdmission
import MeshModel
import Testing

/// A rule of App Mesh's webhooks, and an object that breaks it.
struct Rule: Sendable, CustomTestStringConvertible {
    var kind: Kind
    var message: String
    var spec: String
    /// The field that the refusal names.
    var field: String

    init(_ kind: Kind, _ message: String, _ field: String, _ spec: String) {
        self.kind = kind
        self.message = message
        self.field = field
        self.spec = spec
    }

    var testDescription: String { "\(kind.rawValue): \(message)" }
}

private let target =
    #""action": {"target": {"virtualService": {"virtualServiceRef": {"name": "v"}}}}"#

private func gatewayRule(_ message: String, _ field: String, _ match: String) -> Rule {
    Rule(
        .gatewayRoute,
        message,
        "spec.httpRoute.\(field)",
        #"{"httpRoute": {"match": \#(match), \#(target)}}"#
    )
}

private func rewriteRule(
    _ message: String,
    _ field: String,
    _ rewrite: String,
    prefix: String = "/a/"
) -> Rule {
    let action =
        #""action": {"rewrite": \#(rewrite), "target": {"virtualService": {"virtualServiceRef": {"name": "v"}}}}"#
    return Rule(
        .gatewayRoute,
        message,
        "spec.httpRoute.\(field)",
        #"{"httpRoute": {"match": {"prefix": "\#(prefix)"}, \#(action)}}"#
    )
}

private func grpcRule(_ message: String, _ field: String, _ match: String) -> Rule {
    Rule(
        .gatewayRoute,
        message,
        "spec.grpcRoute.\(field)",
        #"{"grpcRoute": {"match": \#(match), \#(target)}}"#
    )
}

private func routeRule(_ type: String, _ message: String, _ field: String, _ match: String) -> Rule
{
    Rule(
        .virtualRouter,
        message,
        "spec.routes[0].\(type).match\(field)",
        #"{"routes": [{"name": "a", "\#(type)": {"match": \#(match), "action": {"weightedTargets": [{"virtualNodeRef": {"name": "n"}, "weight": 1}]}}}]}"#
    )
}

private let rules: [Rule] =
    [
        Rule(
            .mesh,
            #"unknown value "IPv4_PREFERRED"; use IPv4_ONLY or IPv6_ONLY"#,
            "spec.meshServiceDiscovery.ipPreference",
            #"{"meshServiceDiscovery": {"ipPreference": "IPv4_PREFERRED"}}"#
        ),
        Rule(
            .virtualNode,
            "ServiceDiscovery missing for VirtualNode-blue. ServiceDiscovery must be specified when a listener is specified.",
            "spec",
            #"{"listeners": [{"portMapping": {"port": 8080, "protocol": "http"}}]}"#
        ),
        Rule(
            .virtualNode,
            "ServiceDiscovery missing for VirtualNode-blue.",
            "spec",
            #"{"listeners": []}"#
        ),
        Rule(
            .virtualNode,
            "VirtualNode-blue has duplicate VirtualServiceReferences a",
            "spec.backends[1].virtualService.virtualServiceRef",
            #"{"backends": [{"virtualService": {"virtualServiceRef": {"name": "a"}}}, {"virtualService": {"virtualServiceRef": {"name": "a", "namespace": "demo"}}}]}"#
        ),
        Rule(
            .virtualNode,
            "VirtualNode-blue has duplicate VirtualServiceReferenceARNs arn:x",
            "spec.backends[1].virtualService.virtualServiceARN",
            #"{"backends": [{"virtualService": {"virtualServiceARN": "arn:x"}}, {"virtualService": {"virtualServiceARN": "arn:x"}}]}"#
        ),
        Rule(
            .virtualNode,
            "Only one type of Virtual Node Connection Pool is allowed",
            "spec.listeners[0].connectionPool",
            #"{"serviceDiscovery": {"dns": {"hostname": "a"}}, "listeners": [{"portMapping": {"port": 8080, "protocol": "http"}, "connectionPool": {"http": {"maxConnections": 1}, "grpc": {"maxRequests": 1}}}]}"#
        ),
        Rule(
            .virtualGateway,
            "Only one type of Virtual Gateway Connection Pool is allowed",
            "spec.listeners[0].connectionPool",
            #"{"listeners": [{"portMapping": {"port": 8080, "protocol": "http"}, "connectionPool": {"http": {"maxConnections": 1}, "http2": {"maxRequests": 1}}}]}"#
        ),
        Rule(
            .virtualRouter,
            "VirtualRouter-blue has duplicate route entries for a",
            "spec.routes[1].name",
            #"{"routes": [{"name": "a"}, {"name": "a"}]}"#
        ),
        routeRule("httpRoute", "Either Prefix or Path must be specified", "", "{}"),
        routeRule("http2Route", "Either Prefix or Path must be specified", "", "{}"),
        routeRule(
            "httpRoute",
            "Both Prefix and Path cannot be specified, only 1 allowed",
            "",
            #"{"prefix": "/", "path": {"exact": "/"}}"#
        ),
        routeRule(
            "http2Route",
            "Either exact or regex for path must be specified",
            ".path",
            #"{"path": {}}"#
        ),
        routeRule(
            "httpRoute",
            "Both exact and regex for path are not allowed. Only one must be specified",
            ".path",
            #"{"path": {"exact": "/", "regex": "/"}}"#
        ),
        Rule(.gatewayRoute, "Missing GatewayRoute Type in GatewayRoute Spec", "spec", "{}"),
        Rule(
            .gatewayRoute,
            "Found multiple types in GatewayRoute Spec. Only 1 (GRPC/HTTP/HTTP2) allowed",
            "spec",
            #"{"httpRoute": {"match": {"prefix": "/"}}, "grpcRoute": {"match": {"serviceName": "s"}}}"#
        ),
        gatewayRule("Either prefix or path or hostname must be specified", "match", "{}"),
        gatewayRule(
            "Both prefix and path cannot be specified. Only 1 allowed",
            "match",
            #"{"prefix": "/", "path": {"exact": "/"}}"#
        ),
        gatewayRule(
            "Either exact or regex for path must be specified",
            "match.path",
            #"{"path": {}}"#
        ),
        gatewayRule(
            "Both exact and regex for path are not allowed",
            "match.path",
            #"{"path": {"exact": "/", "regex": "/"}}"#
        ),
        gatewayRule(
            "Either exact or suffix match for hostname must be specified",
            "match.hostname",
            #"{"hostname": {}}"#
        ),
        gatewayRule(
            "Both exact and suffix match for hostname are not allowed. Only one must be specified",
            "match.hostname",
            #"{"hostname": {"exact": "a", "suffix": "b"}}"#
        ),
        gatewayRule(
            "Too many Match Filters specified, only 1 allowed per header",
            "match.headers[0].match",
            #"{"prefix": "/", "headers": [{"name": "h", "match": {"exact": "a", "prefix": "b"}}]}"#
        ),
        gatewayRule(
            "Missing Match criteria for one or more header match block, don't specify match block if you dont need it",
            "match.headers[0].match",
            #"{"prefix": "/", "headers": [{"name": "h", "match": {}}]}"#
        ),
        gatewayRule(
            "Invalid Match Range specified, end has to be greater than start",
            "match.headers[0].match.range",
            #"{"prefix": "/", "headers": [{"name": "h", "match": {"range": {"start": 3, "end": 3}}}]}"#
        ),
        // App Mesh's webhook stopped at the first header with a range.
        gatewayRule(
            "Too many Match Filters specified, only 1 allowed per header",
            "match.headers[1].match",
            #"{"prefix": "/", "headers": [{"name": "h", "match": {"range": {"start": 3, "end": 4}}}, {"name": "i", "match": {"exact": "a", "prefix": "b"}}]}"#
        ),
        // It looked at query parameters only where there were no headers.
        gatewayRule(
            "Missing Match criteria for one or more exact query match block, don't specify match block if you dont need it",
            "match.queryParameters[0].match",
            #"{"prefix": "/", "headers": [{"name": "h"}], "queryParameters": [{"name": "q", "match": {}}]}"#
        ),
        rewriteRule(
            "Either prefix, path or hostname for rewrite must be specified",
            "action.rewrite",
            "{}"
        ),
        rewriteRule(
            "Both prefix and path for rewrites cannot be specified. Only 1 allowed",
            "action.rewrite",
            #"{"prefix": {"value": "/"}, "path": {"exact": "/"}}"#
        ),
        rewriteRule(
            "Prefix to be matched on must start with '/'",
            "match.prefix",
            #"{"prefix": {"value": "/"}}"#,
            prefix: "a/"
        ),
        rewriteRule(
            "Cannot specify both defaultPrefix and prefix for rewrite, only 1 allowed",
            "action.rewrite.prefix",
            #"{"prefix": {"defaultPrefix": "ENABLED", "value": "/"}}"#
        ),
        rewriteRule(
            "New Rewrite Prefix must start and end with '/'",
            "action.rewrite.prefix.value",
            #"{"prefix": {"value": "/a"}}"#
        ),
        rewriteRule(
            "New Rewrite Prefix must start and end with '/'",
            "action.rewrite.prefix.value",
            #"{"prefix": {"value": "a/"}}"#
        ),
        grpcRule("Either servicename or hostname must be specified", "match", "{}"),
        grpcRule(
            "Either exact or suffix match for hostname must be specified",
            "match.hostname",
            #"{"hostname": {}}"#
        ),
        grpcRule(
            "Too many Match Filters specified, only 1 allowed per metadata",
            "match.metadata[0].match",
            #"{"serviceName": "s", "metadata": [{"name": "m", "match": {"exact": "a", "suffix": "b"}}]}"#
        ),
        grpcRule(
            "Invalid Match Range specified, end has to be greater than start",
            "match.metadata[0].match.range",
            #"{"serviceName": "s", "metadata": [{"name": "m", "match": {"range": {"start": 4, "end": 2}}}]}"#
        ),
    ]

@Suite struct ValidationTests {
    @Test(arguments: rules)
    func `an object that breaks a rule of App Mesh's is refused in its words`(rule: Rule) throws {
        let broken = object(rule.kind, try json(rule.spec))
        for old in [JSONValue.null, object(rule.kind, ["before": true])] {
            let refusal = try #require(try validate(rule.kind, broken, old: old).refusal)
            let first = try #require(refusal.split(separator: "\n").first)
            let name = rule.kind.isNamespaced ? "demo/blue" : "blue"
            #expect(first.hasPrefix("\(rule.kind.rawValue) \(name): \(rule.field): "))
            #expect(first.contains(rule.message))
        }
    }

    @Test(arguments: rules)
    func `what an update leaves as it was is not held against it`(rule: Rule) throws {
        let old = object(rule.kind, try json(rule.spec), metadata: ["finalizers": ["a"]])
        var new = old
        new["metadata"]?["finalizers"] = []
        #expect(try validate(rule.kind, new, old: old).refusal == nil)
        new["spec"]?["more"] = true
        #expect(try validate(rule.kind, new, old: old).refusal != nil)
        new["metadata"]?["deletionTimestamp"] = "2026-01-02T03:04:05Z"
        #expect(try validate(rule.kind, new, old: old).refusal == nil)
    }

    @Test func `every mistake is reported at once`() throws {
        let spec = try json(
            #"{"routes": [{"name": "a"}, {"name": "a", "httpRoute": {"match": {}}}]}"#
        )
        let refusal = try #require(
            try validate(.virtualRouter, object(.virtualRouter, spec)).refusal
        )
        #expect(refusal.split(separator: "\n").count == 2)
    }

    private static let accepted: [(Kind, String)] = [
        (.virtualNode, "{}"), (.virtualService, #"{"provider": {}}"#), (.backendGroup, "{}"),
        (
            .virtualNode,
            #"{"backends": [{"virtualService": {"virtualServiceRef": {"name": "a"}}}, {"virtualService": {"virtualServiceRef": {"name": "a", "namespace": "other"}}}]}"#
        ),
        (
            .gatewayRoute,
            #"{"httpRoute": {"match": {"hostname": {"suffix": ".a"}, "headers": [{"name": "h"}]}, \#(target)}}"#
        ),
        (
            .gatewayRoute,
            #"{"grpcRoute": {"match": {"serviceName": "s", "hostname": {}, "metadata": [{"name": "m", "match": {}}]}, \#(target)}}"#
        ),
        (.gatewayRoute, #"{"tcpRoute": {\#(target)}}"#),
        (
            .virtualRouter,
            #"{"routes": [{"name": "a", "grpcRoute": {"match": {}}, "tcpRoute": {}}]}"#
        ),
    ]

    @Test(arguments: accepted)
    func `what App Mesh's webhooks let pass, passes`(kind: Kind, spec: String) throws {
        #expect(try validate(kind, object(kind, try json(spec))).refusal == nil)
    }

    @Test func `what App Mesh's API refused later is a warning`() throws {
        let spec = try json(
            #"{"routes": [{"name": "a", "httpRoute": {"match": {"prefix": "/"}, "action": {"weightedTargets": [{"virtualNodeRef": {"name": "n"}, "weight": 101}]}}}]}"#
        )
        let outcome = try validate(.virtualRouter, object(.virtualRouter, spec))
        #expect(outcome.refusal == nil)
        #expect(
            outcome.verdict.warnings == [
                "VirtualRouter demo/blue: spec.routes[0].httpRoute.action.weightedTargets[0].weight: "
                    + "101 is out of range; use 0 to 100"
            ]
        )
    }

    @Test func `an update that takes an object out of use is refused, and no other`() throws {
        func router(_ weight: Int, _ name: String = "a") throws -> JSONValue {
            object(
                .virtualRouter,
                try json(
                    #"{"routes": [{"name": "\#(name)", "httpRoute": {"match": {"prefix": "/"}, "action": {"weightedTargets": [{"virtualNodeRef": {"name": "n"}, "weight": \#(weight)}]}}}]}"#
                )
            )
        }
        let (good, broken) = (try router(100), try router(101))
        let message =
            "VirtualRouter demo/blue: spec.routes[0].httpRoute.action.weightedTargets[0].weight: "
            + "101 is out of range; use 0 to 100"
        #expect(try validate(.virtualRouter, broken, old: good).refusal == message)
        #expect(try validate(.virtualRouter, good, old: broken).refusal == nil)
        // It is out of use already.
        let outcome = try validate(.virtualRouter, router(101, "b"), old: broken)
        #expect(outcome.refusal == nil)
        #expect(outcome.verdict.warnings == [message])
    }

    @Test func `an annotation that takes a mesh out of use is refused`() throws {
        let mesh = object(.mesh, ["namespaceSelector": [:]])
        var broken = mesh
        broken["metadata"]?["annotations"] = ["heddle.dev/mtls": "STRIKT"]
        let refusal = try #require(try validate(.mesh, broken, old: mesh).refusal)
        #expect(refusal.contains("heddle.dev/mtls"))
        var labelled = broken
        labelled["metadata"]?["labels"] = ["a": "b"]
        #expect(try validate(.mesh, labelled, old: broken).refusal == nil)
    }

    @Test func `warnings are few and short`() throws {
        let routes = JSONValue.array(
            (0..<100).map { ["name": .string("r\($0)"), "priority": -1, "grpcRoute": [:]] }
        )
        let outcome = try validate(.virtualRouter, object(.virtualRouter, ["routes": routes]))
        let shown = outcome.verdict.review(uid: "u")["response"]?["warnings"]?.array ?? []
        #expect(shown.count == 15)
        #expect(shown.allSatisfy { ($0.string?.unicodeScalars.count ?? 0) <= 256 })
        #expect(shown.last?.string?.hasSuffix("more warnings") == true)
    }

    @Test(arguments: [Kind.trafficPolicy, .certificateMapping])
    func `an object of Heddle's own with a mistake is refused`(kind: Kind) throws {
        let broken = object(kind, ["nothing": 1])
        let refusal = try #require(try validate(kind, broken).refusal)
        #expect(refusal.hasPrefix(kind.rawValue))
        var labelled = broken
        labelled["metadata"]?["labels"] = ["a": "b"]
        #expect(try validate(kind, labelled, old: broken).refusal == nil)
    }
}

@Suite struct ImmutabilityTests {
    private static let old: JSONValue = [
        "awsName": "n", "meshRef": ["name": "demo", "uid": "u"],
        "virtualGatewayRef": ["name": "g", "namespace": "demo", "uid": "u"],
        "serviceDiscovery": ["awsCloudMap": ["namespaceName": "a", "serviceName": "b"]],
    ]

    private static let changes: [(Kind, String, String)] = [
        (.mesh, #"{"awsName": "m"}"#, "spec.awsName"),
        (.virtualNode, #"{"awsName": "m"}"#, "spec.awsName"),
        (
            .virtualService, #"{"awsName": "m", "meshRef": {"name": "other", "uid": "u"}}"#,
            "spec.awsName,spec.meshRef"
        ),
        (.virtualRouter, #"{"meshRef": {"name": "demo", "uid": "v"}}"#, "spec.meshRef"),
        (.virtualGateway, #"{"meshRef": null}"#, "spec.meshRef"),
        (.backendGroup, #"{"meshRef": {"name": "other", "uid": "u"}}"#, "spec.meshRef"),
        (
            .gatewayRoute,
            #"{"awsName": "m", "meshRef": {"name": "other", "uid": "u"}, "virtualGatewayRef": {"name": "h", "uid": "u"}}"#,
            "spec.awsName,spec.meshRef,spec.virtualGatewayRef"
        ),
        (
            .virtualNode,
            #"{"serviceDiscovery": {"awsCloudMap": {"namespaceName": "a", "serviceName": "c"}}}"#,
            "spec.serviceDiscovery.awsCloudMap"
        ),
        (
            .virtualNode,
            #"{"serviceDiscovery": {"dns": {"hostname": "a"}, "awsCloudMap": {"namespaceName": "a", "serviceName": "c"}}}"#,
            "spec.serviceDiscovery.awsCloudMap"
        ),
        (
            .virtualNode, #"{"serviceDiscovery": {"awsCloudMap": null}}"#,
            "spec.serviceDiscovery.awsCloudMap"
        ),
        // App Mesh's webhook crashed at this one.
        (.virtualNode, #"{"serviceDiscovery": null}"#, "spec.serviceDiscovery.awsCloudMap"),
    ]

    @Test(arguments: changes)
    func `what may not change is refused`(kind: Kind, change: String, fields: String) throws {
        var spec = Self.old
        for (key, value) in try #require(try json(change).object) { spec[key] = value }
        let outcome = try validate(kind, object(kind, spec), old: object(kind, Self.old))
        #expect(
            try #require(outcome.refusal).contains(
                "\(kind.rawValue) update may not change these fields: \(fields);"
            )
        )
    }

    @Test(arguments: [
        // Argo Rollouts and Flagger.
        (
            Kind.virtualRouter,
            #"{"routes": [{"name": "a", "httpRoute": {"match": {"prefix": "/"}, "action": {"weightedTargets": [{"virtualNodeRef": {"name": "n"}, "weight": 30}]}}}]}"#
        ),
        (.virtualNode, #"{"podSelector": {"matchLabels": {"rollouts-pod-template-hash": "abc"}}}"#),
        (.virtualService, #"{"provider": {"virtualRouter": {"virtualRouterRef": {"name": "r"}}}}"#),
        // App Mesh refused this one, as AWS could not do it.
        (.virtualNode, #"{"serviceDiscovery": {"dns": {"hostname": "a"}}}"#),
        (
            .virtualNode,
            #"{"serviceDiscovery": {"dns": {"hostname": "a"}, "awsCloudMap": null}}"#
        ),
    ])
    func `everything else may change`(kind: Kind, change: String) throws {
        var spec = Self.old
        for (key, value) in try #require(try json(change).object) { spec[key] = value }
        #expect(try validate(kind, object(kind, spec), old: object(kind, Self.old)).refusal == nil)
    }

    @Test func `an object from before the webhook may get what it lacks`() throws {
        let old = object(.virtualNode, ["serviceDiscovery": ["dns": ["hostname": "a"]]])
        let new = object(
            .virtualNode,
            [
                "awsName": "blue_demo", "meshRef": ["name": "demo", "uid": "u"],
                "serviceDiscovery": ["awsCloudMap": ["namespaceName": "a", "serviceName": "b"]],
            ]
        )
        #expect(try validate(.virtualNode, new, old: old).refusal == nil)
        let renamed = object(.virtualNode, ["awsName": "other"])
        #expect(try validate(.virtualNode, renamed, old: object(.virtualNode, [:])).refusal != nil)
    }
}
