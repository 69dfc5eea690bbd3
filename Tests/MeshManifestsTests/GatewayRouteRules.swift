/// What GatewayRoutes may not say.
extension RuleTests {
    private static let target = "target: {virtualService: {virtualServiceRef: {name: b}}}"

    private static func gateway(_ match: String, _ rewrite: String? = nil) -> String {
        let rewrite = rewrite.map { ", rewrite: {\($0)}" } ?? ""
        return "httpRoute: {match: {\(match)}, action: {\(target)\(rewrite)}}"
    }

    static let gatewayRoutes = [
        BrokenRule(
            "GatewayRoute",
            "priority: 1",
            "spec: none of httpRoute, http2Route, grpcRoute and tcpRoute is given; give exactly one"
        ),
        BrokenRule(
            "GatewayRoute",
            "\(gateway("prefix: /"))\ngrpcRoute: {match: {serviceName: s}, action: {\(target)}}",
            "spec.grpcRoute: httpRoute and grpcRoute are given, and only one is allowed; keep one"
        ),
        BrokenRule(
            "GatewayRoute",
            gateway(""),
            "spec.httpRoute.match: none of prefix, path and hostname is given; give at least one of them"
        ),
        BrokenRule(
            "GatewayRoute",
            gateway("prefix: /, path: {exact: /}"),
            "spec.httpRoute.match.path: both prefix and path are given, and only one is allowed; keep one"
        ),
        BrokenRule(
            "GatewayRoute",
            gateway("hostname: {}"),
            "spec.httpRoute.match.hostname: neither exact nor suffix for hostname is given; give one of them"
        ),
        BrokenRule(
            "GatewayRoute",
            gateway("hostname: {exact: a, suffix: b}"),
            "spec.httpRoute.match.hostname.suffix: both exact and suffix for hostname are given, and only one is allowed; keep one"
        ),
        BrokenRule(
            "GatewayRoute",
            "grpcRoute: {match: {}, action: {\(target)}}",
            "spec.grpcRoute.match: neither serviceName nor hostname is given; give at least one of them"
        ),
        BrokenRule(
            "GatewayRoute",
            gateway("prefix: /", ""),
            "spec.httpRoute.action.rewrite: none of prefix, path and hostname is given; give one, or remove rewrite"
        ),
        BrokenRule(
            "GatewayRoute",
            gateway("prefix: /", "prefix: {value: /a/}, path: {exact: /}"),
            "spec.httpRoute.action.rewrite.path: both prefix and path are given, and only one is allowed; keep one"
        ),
        BrokenRule(
            "GatewayRoute",
            gateway("prefix: /", "prefix: {value: /a/, defaultPrefix: ENABLED}"),
            "spec.httpRoute.action.rewrite.prefix.value: defaultPrefix and value are given, and only one is allowed; keep one"
        ),
        BrokenRule(
            "GatewayRoute",
            gateway("prefix: /", "prefix: {value: /a}"),
            #"spec.httpRoute.action.rewrite.prefix.value: "/a" does not start and end with "/"; put "/" at both ends"#
        ),
        BrokenRule(
            "GatewayRoute",
            gateway("prefix: a", "prefix: {value: /a/}"),
            #"spec.httpRoute.match.prefix: "a" does not start with "/"; put "/" before it"#
        ),
        BrokenRule(
            "GatewayRoute",
            gateway("prefix: /", "hostname: {defaultTargetHostname: true}"),
            "spec.httpRoute.action.rewrite.hostname.defaultTargetHostname: expected a string, found true; quote it"
        ),
        BrokenRule(
            "GatewayRoute",
            gateway("prefix: /aws-appmesh/a"),
            #"spec.httpRoute.match.prefix: "/aws-appmesh/a" begins with "/aws-appmesh", which App Mesh reserves; use another name"#
        ),
        BrokenRule(
            "GatewayRoute",
            gateway("prefix: /aws-app-mesh"),
            #"spec.httpRoute.match.prefix: "/aws-app-mesh" begins with "/aws-app-mesh", which App Mesh reserves; use another name"#
        ),
        BrokenRule(
            "GatewayRoute",
            "grpcRoute: {match: {serviceName: /aws.app-mesh.A}, action: {\(target)}}",
            #"spec.grpcRoute.match.serviceName: "/aws.app-mesh.A" begins with "/aws.app-mesh", which App Mesh reserves; use another name"#
        ),
        BrokenRule(
            "GatewayRoute",
            "grpcRoute: {match: {serviceName: aws.appmesh}, action: {\(target)}}",
            #"spec.grpcRoute.match.serviceName: "aws.appmesh" begins with "aws.appmesh", which App Mesh reserves; use another name"#
        ),
        BrokenRule(
            "GatewayRoute",
            "tcpRoute: {match: {port: 0}, action: {\(target)}}",
            "spec.tcpRoute.match.port: 0 is out of range; use 1 to 65535"
        ),
        BrokenRule(
            "GatewayRoute",
            "tcpRoute: {match: {port: 1}}",
            "spec.tcpRoute.action: missing; add it"
        ),
    ]
}
