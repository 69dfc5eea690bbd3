import MeshManifests
import MeshModel
import Testing

/// The rules of traffic policies, one by one.
@Suite struct TrafficPolicyRuleTests {
    @Test(arguments: targets + limits + headers + cors + faults + retries + balancing)
    func `a broken rule is one error`(rule: BrokenRule) {
        let file = decode(manifest(rule.kind, "a", rule.spec))
        let message = "TrafficPolicy demo/a: \(rule.message)"
        #expect(file.diagnostics.map(\.message) == [message])
        #expect(file.diagnostics.first?.severity == .error)
        #expect(file.objects.isEmpty)
    }

    @Test func `a mistake is said with its line`() {
        let text = manifest(
            "TrafficPolicy",
            "a",
            """
            targetRefs: [{kind: VirtualService, name: b}]
            requestHeaders:
              set:
                x-a: "%REC(a)%"
            """
        )
        let expected =
            "demo.yaml:8: error: TrafficPolicy demo/a: spec.requestHeaders.set.x-a: Envoy has no "
            + "operator \"REC\"; did you mean \"REQ\"?"
        #expect(reports(text) == [expected])
    }

    /// A policy with a rate limit for these targets.
    private static func targets(_ targets: String, _ message: String) -> BrokenRule {
        BrokenRule("TrafficPolicy", "rateLimit: {requests: 1}\n\(targets)", message)
    }

    static let targets = [
        targets("", "spec.targetRefs: missing; give a list"),
        targets("targetRefs: []", "spec.targetRefs: the list has 0 elements; give 1 to 16"),
        targets(
            "targetRefs: [\((1...17).map { "{kind: VirtualNode, name: n\($0)}" }.joined(separator: ", "))]",
            "spec.targetRefs: the list has 17 elements; give 1 to 16"
        ),
        targets(
            "targetRefs: [{kind: VirtualNode}]",
            "spec.targetRefs[0].name: missing; give a string"
        ),
        targets(
            "targetRefs: [{name: b}]",
            "spec.targetRefs[0].kind: missing; use VirtualService, VirtualRouter, VirtualNode, VirtualGateway or GatewayRoute"
        ),
        targets(
            "targetRefs: [{kind: Mesh, name: b}]",
            #"spec.targetRefs[0].kind: unknown value "Mesh"; use VirtualService, VirtualRouter, VirtualNode, VirtualGateway or GatewayRoute"#
        ),
        targets(
            "targetRefs: [{kind: VirtualNode, name: b, namespace: other}]",
            #"spec.targetRefs[0].namespace: "other" is not the policy's namespace, "demo"; put a policy into the namespace of its targets"#
        ),
        targets(
            "targetRefs: [{kind: VirtualNode, name: b}, {kind: VirtualNode, name: b}]",
            #"spec.targetRefs[1]: duplicate target VirtualNode "b" (first on line 6); keep one"#
        ),
        targets(
            "targetRefs: [{kind: VirtualNode, name: b, routes: [r]}]",
            "spec.targetRefs[0].routes: a VirtualNode has no routes to choose from; remove it"
        ),
        targets(
            "targetRefs: [{kind: VirtualRouter, name: b, routes: []}]",
            "spec.targetRefs[0].routes: the list has 0 elements; give at least 1"
        ),
        BrokenRule(
            "TrafficPolicy",
            "targetRefs: [{kind: VirtualNode, name: b}]",
            "spec: the policy has no feature; give one of rateLimit, requestHeaders, responseHeaders, cors, fault, mirror, retryPolicy, retryBackOff, retryOtherTargets, timeout or loadBalancing"
        ),
        feature(
            "mirror: {virtualNodeRef: {name: c}}",
            of: "VirtualNode",
            #"spec.mirror: the target VirtualNode "b" takes no mirror; use it in a policy for VirtualService or VirtualRouter"#
        ),
        feature(
            "timeout: {idle: {unit: s, value: 1}}",
            of: "GatewayRoute",
            #"spec.timeout: the target GatewayRoute "b" takes no timeout; use it in a policy for VirtualService or VirtualRouter"#
        ),
        BrokenRule(
            "TrafficPolicy",
            "targetRefs: [{kind: VirtualNode, name: b}, {kind: VirtualService, name: c}]\nloadBalancing: {algorithm: RANDOM}",
            #"spec.loadBalancing: the target VirtualService "c" takes no loadBalancing; use it in a policy for VirtualNode"#
        ),
    ]

    /// A policy with this feature for one target.
    private static func feature(
        _ feature: String,
        of kind: String = "VirtualService",
        _ message: String
    ) -> BrokenRule {
        BrokenRule(
            "TrafficPolicy",
            "targetRefs: [{kind: \(kind), name: b}]\n\(feature)",
            message
        )
    }

    static let limits = [
        feature(
            "rateLimit: {}",
            "spec.rateLimit.requests: missing; give an integer from 1 to 4294967295"
        ),
        feature(
            "rateLimit: {requests: 0}",
            "spec.rateLimit.requests: 0 is out of range; use 1 to 4294967295"
        ),
        feature(
            "rateLimit: {requests: 5, burst: 4}",
            "spec.rateLimit.burst: 4 is less than the 5 requests of an interval; use 5 or more"
        ),
        feature(
            "rateLimit: {requests: 5, interval: {unit: ms, value: 49}}",
            "spec.rateLimit.interval: it is less than 50 ms; use 50 ms or more"
        ),
        feature(
            "rateLimit: {requests: 5, interval: {unit: m, value: 1}}",
            #"spec.rateLimit.interval.unit: unknown value "m"; use s or ms"#
        ),
    ]

    static let headers = [
        feature(
            "requestHeaders: {}",
            "spec.requestHeaders: none of set, add and remove is given; give at least one of them"
        ),
        feature(
            "requestHeaders: {set: {\":path\": /a}}",
            #"spec.requestHeaders.set.:path: ":path" cannot be changed here; name another header; a GatewayRoute can rewrite host and path"#
        ),
        feature(
            "requestHeaders: {remove: [Host]}",
            #"spec.requestHeaders.remove[0]: "Host" cannot be changed here; name another header; a GatewayRoute can rewrite host and path"#
        ),
        feature(
            "responseHeaders: {add: {a b: c}}",
            #"spec.responseHeaders.add.a b: "a b" is no header name; use letters, digits and "-""#
        ),
        feature(
            "responseHeaders: {add: {\"\": c}}",
            #"spec.responseHeaders.add.: "" is no header name; use letters, digits and "-""#
        ),
        feature(
            "responseHeaders: {set: {x-a: b}, remove: [X-A]}",
            #"spec.responseHeaders.remove[0]: "X-A" is changed twice (first on line 6); keep one"#
        ),
        feature(
            "responseHeaders: {set: {x-a: 1}}",
            "spec.responseHeaders.set.x-a: expected a string, found the number 1; quote it"
        ),
        feature(
            "responseHeaders: {set: {x-a: \"b\\nc\"}}",
            #"spec.responseHeaders.set.x-a: "b\nc" is no header value; use up to 16384 printable characters on one line"#
        ),
        feature(
            "responseHeaders: {set: {x-a: 100%}}",
            #"spec.responseHeaders.set.x-a: "%" is no command operator; write "%%" for a percent sign"#
        ),
    ]

    static let cors = [
        feature("cors: {}", "spec.cors.allowOrigins: missing; give a list"),
        feature(
            "cors: {allowOrigins: []}",
            "spec.cors.allowOrigins: the list has 0 elements; give at least 1"
        ),
        feature(
            "cors: {allowOrigins: [{}]}",
            "spec.cors.allowOrigins[0]: none of exact, prefix, suffix and regex is given; give exactly one"
        ),
        feature(
            "cors: {allowOrigins: [{exact: a, regex: b}]}",
            "spec.cors.allowOrigins[0].regex: exact and regex are given, and only one is allowed; keep one"
        ),
        feature(
            "cors: {allowOrigins: [{regex: \"(\"}]}",
            #"spec.cors.allowOrigins[0].regex: "(" is no regular expression of RE2: missing ")"; correct it"#
        ),
        feature(
            "cors: {allowOrigins: [{prefix: \"\"}]}",
            "spec.cors.allowOrigins[0].prefix: the string is empty; use 1 to 255 characters"
        ),
        feature(
            "cors: {allowOrigins: [{exact: a}], allowMethods: [\"GET,PUT\"]}",
            #"spec.cors.allowMethods[0]: "GET,PUT" is no method; use letters, digits and "-""#
        ),
        feature(
            "cors: {allowOrigins: [{exact: a}], exposeHeaders: [\"x a\"]}",
            #"spec.cors.exposeHeaders[0]: "x a" is no header name; use letters, digits and "-""#
        ),
        feature(
            "cors: {allowOrigins: [{exact: a}], maxAge: {unit: ms, value: 1500}}",
            "spec.cors.maxAge: browsers count whole seconds; use unit s"
        ),
        feature(
            "cors: {allowOrigins: [{exact: a}], allowCredentials: yes}",
            #"spec.cors.allowCredentials: expected true or false, found the string "yes"; write true or false"#
        ),
    ]

    private static func delay(_ percentage: String, _ message: String) -> BrokenRule {
        feature(
            "fault: {delay: {duration: {unit: s, value: 1}, percentage: \(percentage)}}",
            "spec.fault.delay.percentage: \(message)"
        )
    }

    static let faults = [
        feature("fault: {}", "spec.fault: neither delay nor abort is given; give one or both"),
        feature("fault: {delay: {}}", "spec.fault.delay.duration: missing; add it"),
        feature(
            "fault: {delay: {duration: {unit: s, value: 0}}}",
            "spec.fault.delay.duration: it is less than 1 ms; use 1 ms or more"
        ),
        delay("101", "the number 101 is out of range; use 0 to 100"),
        delay("-0.5", "the number -0.5 is out of range; use 0 to 100"),
        delay("0.00001", "the number 0.00001 has more than four decimals; round it"),
        delay("'5'", #"expected a number, found the string "5"; remove the quotes"#),
        delay("5%", #"expected a number, found the string "5%"; give a number from 0 to 100"#),
        delay("[5]", "expected a number, found a list; give a number from 0 to 100"),
        feature(
            "fault: {abort: {}}",
            "spec.fault.abort: neither httpStatus nor grpcStatus is given; give exactly one"
        ),
        feature(
            "fault: {abort: {httpStatus: 500, grpcStatus: 1}}",
            "spec.fault.abort.grpcStatus: httpStatus and grpcStatus are given, and only one is allowed; keep one"
        ),
        feature(
            "fault: {abort: {httpStatus: 199}}",
            "spec.fault.abort.httpStatus: 199 is out of range; use 200 to 599"
        ),
        feature(
            "fault: {abort: {grpcStatus: 17}}",
            "spec.fault.abort.grpcStatus: 17 is out of range; use 0 to 16"
        ),
        feature(
            "mirror: {percentage: 5}",
            "spec.mirror: neither virtualNodeRef nor virtualNodeARN is given; give exactly one"
        ),
        feature(
            "mirror: {virtualNodeRef: {name: b}, port: 0}",
            "spec.mirror.port: 0 is out of range; use 1 to 65535"
        ),
    ]

    static let retries = [
        feature(
            "retryPolicy: {maxRetries: 1, perRetryTimeout: {unit: s, value: 1}}",
            "spec.retryPolicy: the retry policy names no event; give one of httpRetryEvents, tcpRetryEvents or grpcRetryEvents"
        ),
        feature(
            "retryBackOff: {maxInterval: {unit: s, value: 1}}",
            "spec.retryBackOff.baseInterval: missing; add it"
        ),
        feature(
            "retryBackOff: {baseInterval: {unit: ms, value: 0}}",
            "spec.retryBackOff.baseInterval: it is less than 1 ms; use 1 ms or more"
        ),
        feature(
            "retryBackOff: {baseInterval: {unit: ms, value: 2}, maxInterval: {unit: ms, value: 1}}",
            "spec.retryBackOff.maxInterval: it is less than baseInterval; use baseInterval or more"
        ),
        feature(
            "timeout: {}",
            "spec.timeout: neither perRequest nor idle is given; give one or both"
        ),
        feature(
            "timeout: {perRequest: {unit: s, value: -1}}",
            "spec.timeout.perRequest.value: -1 is out of range; use 0 to 9223372035"
        ),
    ]

    private static func balancing(_ fields: String, _ message: String) -> BrokenRule {
        feature("loadBalancing: {\(fields)}", of: "VirtualNode", "spec.loadBalancing\(message)")
    }

    private static func hashOn(_ key: String, _ message: String) -> BrokenRule {
        balancing("algorithm: MAGLEV, hashOn: [\(key)]", ".hashOn[0]\(message)")
    }

    static let balancing = [
        balancing(
            "panicThreshold: 101",
            ".panicThreshold: 101 is out of range; use 0 to 100"
        ),
        balancing(
            "algorithm: ring_hash, hashOn: [{header: a}]",
            #".algorithm: unknown value "ring_hash"; use ROUND_ROBIN, LEAST_REQUEST, RANDOM, RING_HASH or MAGLEV"#
        ),
        balancing("", ": neither algorithm nor panicThreshold is given; give at least one of them"),
        balancing(
            "panicThreshold: 5, hashOn: [{header: a}]",
            ".hashOn: ROUND_ROBIN does not hash; remove it, or use RING_HASH or MAGLEV"
        ),
        balancing(
            "algorithm: RING_HASH",
            ".hashOn: missing; name what RING_HASH hashes, such as [{header: x-user}]"
        ),
        balancing(
            "algorithm: RANDOM, hashOn: [{header: a}]",
            ".hashOn: RANDOM does not hash; remove it, or use RING_HASH or MAGLEV"
        ),
        balancing(
            "algorithm: MAGLEV, hashOn: []",
            ".hashOn: the list has 0 elements; give at least 1"
        ),
        hashOn(
            "{}",
            ": none of header, cookie, queryParameter and sourceAddress is given; give exactly one"
        ),
        hashOn(
            "{header: a, sourceAddress: true}",
            ".sourceAddress: header and sourceAddress are given, and only one is allowed; keep one"
        ),
        hashOn("{header: a b}", #".header: "a b" is no header name; use letters, digits and "-""#),
        hashOn("{cookie: {}}", ".cookie.name: missing; give a string"),
        hashOn(
            "{cookie: {name: a=b}}",
            #".cookie.name: "a=b" is no cookie's name; use letters, digits and "-""#
        ),
        hashOn(
            "{queryParameter: \"\"}",
            ".queryParameter: the string is empty; use 1 to 255 characters"
        ),
        hashOn(
            "{sourceAddress: false}",
            ".sourceAddress: false hashes on nothing; write true, or remove it"
        ),
    ]
}
