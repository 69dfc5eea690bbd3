internal import EnvoyAPI
internal import MeshModel
internal import SwiftProtobuf

/// The HTTP filters behind traffic policies, in the order in which they see a request.
///
/// Every listener has them, switched off: a route switches on what it asks for, so that a policy changes
/// routes only and no connection is drained.
func policyFilters() throws
    -> [Envoy_Extensions_Filters_Network_HttpConnectionManager_V3_HttpFilter]
{
    typealias Filter = Envoy_Extensions_Filters_Network_HttpConnectionManager_V3_HttpFilter
    func filter(_ name: String, _ configuration: some Message) throws -> Filter {
        var filter = Filter()
        filter.name = name
        filter.typedConfig = try packed(configuration)
        filter.disabled = true
        return filter
    }
    var rateLimit = Envoy_Extensions_Filters_Http_LocalRatelimit_V3_LocalRateLimit()
    rateLimit.statPrefix = rateLimitStatPrefix
    return [
        try filter(corsFilter, Envoy_Extensions_Filters_Http_Cors_V3_Cors()),
        try filter(rateLimitFilter, rateLimit),
        try filter(faultFilter, Envoy_Extensions_Filters_Http_Fault_V3_HTTPFault()),
    ]
}

private let corsFilter = "envoy.filters.http.cors"
private let rateLimitFilter = "envoy.filters.http.local_ratelimit"
private let faultFilter = "envoy.filters.http.fault"
private let rateLimitStatPrefix = "rate_limit"

extension Envoy_Config_Route_V3_Route {
    /// Adds headers, CORS and fault.
    mutating func apply(_ features: TrafficFeatures) throws {
        if let changes = features.requestHeaders {
            requestHeadersToAdd += options(for: changes)
            requestHeadersToRemove += changes.remove
        }
        if let changes = features.responseHeaders {
            responseHeadersToAdd += options(for: changes)
            responseHeadersToRemove += changes.remove
        }
        if let cors = features.cors {
            typedPerFilterConfig[corsFilter] = try packed(corsPolicy(for: cors))
        }
        if let fault = features.fault {
            typedPerFilterConfig[faultFilter] = try packed(httpFault(for: fault))
        }
    }
}

/// What answers a browser's preflight request for a route that asks for more than a path.
///
/// Such a request has neither the method nor the headers of the one that it announces. None is needed
/// for a route without CORS.
func preflight(
    of route: Envoy_Config_Route_V3_Route
) -> [Envoy_Config_Route_V3_Route] {
    let clusters = route.route.weightedClusters.clusters.map(\.name) + [route.route.cluster]
    guard let cors = route.typedPerFilterConfig[corsFilter],
        let cluster = clusters.first(where: { !$0.isEmpty }),
        !route.match.headers.isEmpty || !route.match.queryParameters.isEmpty
            || route.match.hasGrpc
    else { return [] }
    var result = Envoy_Config_Route_V3_Route()
    result.match = route.match
    result.match.clearGrpc()
    let method = route.match.headers.first { $0.name == ":method" && !$0.invertMatch }
    result.match.headers = [
        headerMatcher(HeaderMatch(name: ":method", match: .exact("OPTIONS"))),
        headerMatcher(HeaderMatch(name: "origin", match: .present)),
        headerMatcher(
            HeaderMatch(
                name: "access-control-request-method",
                match: method.map { .exact($0.stringMatch.exact) } ?? .present
            )
        ),
    ]
    // Envoy answers itself, but not for a direct response.
    result.route.cluster = cluster
    result.typedPerFilterConfig[corsFilter] = cors
    return [result]
}

/// The sharing of requests with a mirror.
func mirrorPolicy(
    for mirror: ResolvedMirror
) -> Envoy_Config_Route_V3_RouteAction.RequestMirrorPolicy {
    var policy = Envoy_Config_Route_V3_RouteAction.RequestMirrorPolicy()
    policy.cluster = ClusterName.egress(mirror.target)
    // Else the copy has "-shadow" in its Host.
    policy.disableShadowHostSuffixAppend = true
    policy.runtimeFraction.defaultValue = fraction(mirror.percentage)
    return policy
}

extension Envoy_Config_Route_V3_RouteAction {
    /// Makes requests draw on `limit`, which is one of those of the route configuration.
    mutating func draw(on limit: SharedRateLimit?) {
        guard let limit else { return }
        var action = Envoy_Config_Route_V3_RateLimit.Action()
        action.genericKey.descriptorValue = limit.name
        var rateLimit = Envoy_Config_Route_V3_RateLimit()
        rateLimit.actions = [action]
        rateLimits = [rateLimit]
    }
}

extension Envoy_Config_Route_V3_RouteConfiguration {
    /// Declares the limits that its routes draw on.
    ///
    /// Envoy counts for each place where a limit is configured; so it is here, once, and
    /// all routes that share it name it.
    mutating func declare(_ limits: [SharedRateLimit?]) throws {
        let limits = Set(limits.compactMap { $0 }).sorted { $0.name < $1.name }
        guard !limits.isEmpty else { return }
        typedPerFilterConfig[rateLimitFilter] = try packed(localRateLimit(for: limits))
    }
}

private func options(
    for changes: HeaderChanges
) -> [Envoy_Config_Core_V3_HeaderValueOption] {
    func option(
        _ header: (key: String, value: String),
        _ action: Envoy_Config_Core_V3_HeaderValueOption.HeaderAppendAction
    ) -> Envoy_Config_Core_V3_HeaderValueOption {
        var option = Envoy_Config_Core_V3_HeaderValueOption()
        option.header.key = header.key
        option.header.value = header.value
        option.appendAction = action
        option.keepEmptyValue = true
        return option
    }
    let set = changes.set.sorted { $0.key < $1.key }
    let add = changes.add.sorted { $0.key < $1.key }
    return set.map { option($0, .overwriteIfExistsOrAdd) }
        + add.map { option($0, .appendIfExistsOrAdd) }
}

private func corsPolicy(
    for policy: CORSPolicy
) -> Envoy_Extensions_Filters_Http_Cors_V3_CorsPolicy {
    var result = Envoy_Extensions_Filters_Http_Cors_V3_CorsPolicy()
    result.allowOriginStringMatch = policy.allowOrigins.map { origin in
        var matcher = Envoy_Type_Matcher_V3_StringMatcher()
        switch origin {
        case .exact(let text): matcher.exact = text
        case .prefix(let text): matcher.prefix = text
        case .suffix(let text): matcher.suffix = text
        case .regex(let text): matcher.safeRegex.regex = text
        }
        return matcher
    }
    result.allowMethods = policy.allowMethods.joined(separator: ",")
    result.allowHeaders = policy.allowHeaders.joined(separator: ",")
    result.exposeHeaders = policy.exposeHeaders.joined(separator: ",")
    if let age = policy.maxAge { result.maxAge = "\(age.components.seconds)" }
    result.forwardNotMatchingPreflights = .init(false)
    if policy.allowCredentials { result.allowCredentials = .init(true) }
    return result
}

/// Each proxy counts for itself, all its workers together; what is over a limit gets 429.
private func localRateLimit(
    for limits: [SharedRateLimit]
) -> Envoy_Extensions_Filters_Http_LocalRatelimit_V3_LocalRateLimit {
    var result = Envoy_Extensions_Filters_Http_LocalRatelimit_V3_LocalRateLimit()
    result.statPrefix = rateLimitStatPrefix
    // Envoy asks for a bucket of all requests; this one never runs dry.
    result.tokenBucket.maxTokens = .max
    result.tokenBucket.tokensPerFill = .init(.max)
    result.tokenBucket.fillInterval = Google_Protobuf_Duration(.seconds(1))
    result.alwaysConsumeDefaultTokenBucket = .init(false)
    result.descriptors = limits.map { shared in
        var entry = Envoy_Extensions_Common_Ratelimit_V3_RateLimitDescriptor.Entry()
        entry.key = "generic_key"
        entry.value = shared.name
        var descriptor = Envoy_Extensions_Common_Ratelimit_V3_LocalRateLimitDescriptor()
        descriptor.entries = [entry]
        descriptor.tokenBucket.maxTokens = UInt32(clamping: shared.limit.burst)
        descriptor.tokenBucket.tokensPerFill = .init(UInt32(clamping: shared.limit.requests))
        descriptor.tokenBucket.fillInterval = Google_Protobuf_Duration(shared.limit.interval)
        return descriptor
    }
    result.filterEnabled.defaultValue = fraction(.all)
    result.filterEnforced.defaultValue = fraction(.all)
    // Callers retry UNAVAILABLE by default, which is what a gRPC client would get otherwise.
    result.rateLimitedAsResourceExhausted = true
    return result
}

private func httpFault(
    for fault: Fault
) -> Envoy_Extensions_Filters_Http_Fault_V3_HTTPFault {
    var result = Envoy_Extensions_Filters_Http_Fault_V3_HTTPFault()
    if let delay = fault.delay {
        result.delay.fixedDelay = Google_Protobuf_Duration(delay.duration)
        result.delay.percentage = fraction(delay.percentage)
    }
    if let abort = fault.abort {
        switch abort.status {
        case .http(let status): result.abort.httpStatus = UInt32(clamping: status)
        case .grpc(let status): result.abort.grpcStatus = UInt32(clamping: status)
        }
        result.abort.percentage = fraction(abort.percentage)
    }
    return result
}

private func fraction(_ percentage: Percentage) -> Envoy_Type_V3_FractionalPercent {
    var fraction = Envoy_Type_V3_FractionalPercent()
    fraction.numerator = UInt32(clamping: percentage.millionths)
    fraction.denominator = .million
    return fraction
}
