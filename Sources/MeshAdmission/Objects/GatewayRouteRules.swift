internal import MeshModel

/// The rules of App Mesh's webhook that the `spec` of a GatewayRoute breaks.
///
/// Every header, metadata and query parameter is looked at; App Mesh's webhook stopped at the first
/// with a range, and looked at query parameters only where there were no headers.
func gatewayRouteBreaches(_ spec: Field) -> [Breach] {
    // App Mesh has no tcpRoute; Heddle has.
    let types = ["httpRoute", "http2Route", "grpcRoute", "tcpRoute"]
    let routes = types.compactMap { spec[$0] }
    guard let route = routes.first else {
        return [
            Breach(
                spec,
                "Missing GatewayRoute Type in GatewayRoute Spec",
                "give one of httpRoute, http2Route and grpcRoute; tcpRoute is for one host without Kubernetes"
            )
        ]
    }
    guard routes.count == 1 else {
        return [
            Breach(
                spec,
                "Found multiple types in GatewayRoute Spec. Only 1 (GRPC/HTTP/HTTP2) allowed",
                "keep one"
            )
        ]
    }
    if spec.has("tcpRoute") { return [] }
    // The schema asks for a match; what is none counts as an empty one.
    let match = route["match"] ?? Field(path: "\(route.path).match", value: [:])
    if spec.has("grpcRoute") { return grpcMatchBreaches(match) }
    var breaches = httpMatchBreaches(match)
    if let rewrite = route["action"]?["rewrite"] { breaches += rewriteBreaches(rewrite, match) }
    return breaches
}

private func httpMatchBreaches(_ match: Field) -> [Breach] {
    var breaches: [Breach] = []
    if !match.has("prefix"), !match.has("path"), !match.has("hostname") {
        breaches.append(
            Breach(
                match,
                "Either prefix or path or hostname must be specified",
                "give at least one of them"
            )
        )
    }
    if match.has("prefix"), match.has("path") {
        breaches.append(
            Breach(
                match,
                "Both prefix and path cannot be specified. Only 1 allowed",
                "keep one"
            )
        )
    }
    if let path = match["path"] { breaches += pathBreaches(path) }
    if let hostname = match["hostname"] { breaches += hostnameBreaches(hostname) }
    breaches += match.list("headers").flatMap { matcherBreaches($0, "header", mayBeEmpty: false) }
    for parameter in match.list("queryParameters") {
        guard let matcher = parameter["match"], !matcher.has("exact") else { continue }
        breaches.append(
            Breach(
                matcher,
                "Missing Match criteria for one or more exact query match block, don't specify "
                    + "match block if you dont need it",
                "give exact, or remove match"
            )
        )
    }
    return breaches
}

private func grpcMatchBreaches(_ match: Field) -> [Breach] {
    var breaches: [Breach] = []
    if !match.has("serviceName") {
        if let hostname = match["hostname"] {
            breaches += hostnameBreaches(hostname)
        } else {
            breaches.append(
                Breach(
                    match,
                    "Either servicename or hostname must be specified",
                    "give serviceName or hostname"
                )
            )
        }
    }
    breaches += match.list("metadata").flatMap { matcherBreaches($0, "metadata", mayBeEmpty: true) }
    return breaches
}

private func hostnameBreaches(_ hostname: Field) -> [Breach] {
    switch (hostname.has("exact"), hostname.has("suffix")) {
    case (false, false):
        [
            Breach(
                hostname,
                "Either exact or suffix match for hostname must be specified",
                "give one of them"
            )
        ]
    case (true, true):
        [
            Breach(
                hostname,
                "Both exact and suffix match for hostname are not allowed. Only one must be "
                    + "specified",
                "keep one"
            )
        ]
    case (true, false), (false, true): []
    }
}

/// What is wrong with the `match` of a header or metadata.
private func matcherBreaches(_ holder: Field, _ words: String, mayBeEmpty: Bool) -> [Breach] {
    guard let match = holder["match"] else { return [] }
    let given = ["exact", "prefix", "regex", "suffix", "range"].filter(match.has)
    if given.count > 1 {
        return [
            Breach(
                match,
                "Too many Match Filters specified, only 1 allowed per \(words)",
                "keep one of \(given.joined(separator: ", "))"
            )
        ]
    }
    if given.isEmpty, !mayBeEmpty {
        return [
            Breach(
                match,
                "Missing Match criteria for one or more \(words) match block, don't specify match "
                    + "block if you dont need it",
                "give one of exact, prefix, suffix, regex and range, or remove match"
            )
        ]
    }
    guard let range = match["range"], let start = range["start"]?.value.integer,
        let end = range["end"]?.value.integer, start >= end
    else { return [] }
    return [
        Breach(
            range,
            "Invalid Match Range specified, end has to be greater than start",
            "give an end above \(start)"
        )
    ]
}

private func rewriteBreaches(_ rewrite: Field, _ match: Field) -> [Breach] {
    var breaches: [Breach] = []
    if !rewrite.has("prefix"), !rewrite.has("path"), !rewrite.has("hostname") {
        breaches.append(
            Breach(
                rewrite,
                "Either prefix, path or hostname for rewrite must be specified",
                "give one, or remove rewrite"
            )
        )
    }
    if rewrite.has("prefix"), rewrite.has("path") {
        breaches.append(
            Breach(
                rewrite,
                "Both prefix and path for rewrites cannot be specified. Only 1 allowed",
                "keep one"
            )
        )
    }
    guard let prefix = rewrite["prefix"] else { return breaches }
    if let matched = match["prefix"], let text = matched.value.string, !text.hasPrefix("/") {
        breaches.append(
            Breach(matched, "Prefix to be matched on must start with '/'", "put \"/\" before it")
        )
    }
    if prefix.has("defaultPrefix"), prefix.has("value") {
        breaches.append(
            Breach(
                prefix,
                "Cannot specify both defaultPrefix and prefix for rewrite, only 1 allowed",
                "keep one"
            )
        )
    }
    if let value = prefix["value"], let text = value.value.string,
        !text.hasPrefix("/") || !text.hasSuffix("/")
    {
        breaches.append(
            Breach(
                value,
                "New Rewrite Prefix must start and end with '/'",
                "put \"/\" at both ends"
            )
        )
    }
    return breaches
}
