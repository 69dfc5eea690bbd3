/// `spec` of a TrafficPolicy: what it adds to App Mesh's objects that App Mesh never had.
public struct TrafficPolicySpec: ObjectSpec {
    /// TrafficPolicy.
    public static var kind: Kind { .trafficPolicy }

    /// `targetRefs`: one to sixteen objects of the policy's own namespace, each once.
    public var targets: [PolicyTarget]
    /// What the policy adds to each target; at least one feature, and only those that every target
    /// takes (`TrafficFeature.targets`).
    public var features: TrafficFeatures

    /// Makes a policy.
    public init(targets: [PolicyTarget], features: TrafficFeatures) {
        self.targets = targets
        self.features = features
    }
}

/// An object that a policy applies to (`targetRefs[]`).
public struct PolicyTarget: Hashable, Sendable {
    /// The kinds that policies may target.
    public static let kinds: [Kind] = [
        .virtualService, .virtualRouter, .virtualNode, .virtualGateway, .gatewayRoute,
    ]

    /// `kind`, one of `kinds`.
    public var kind: Kind
    /// `name`, in the policy's namespace.
    public var name: String
    /// `routes`, the names of a VirtualRouter's routes; nil is all, and never set for other kinds.
    public var routes: [String]?

    /// Makes a target.
    public init(kind: Kind, name: String, routes: [String]? = nil) {
        self.kind = kind
        self.name = name
        self.routes = routes
    }
}

/// The features of policies; the raw value is the field of `spec`.
public enum TrafficFeature: String, CaseIterable, Hashable, Sendable {
    case rateLimit
    case requestHeaders
    case responseHeaders
    case cors
    case fault
    case mirror
    case retryPolicy
    case retryBackOff
    case retryOtherTargets
    case timeout
    case loadBalancing

    /// The kinds of objects that take the feature.
    public var targets: [Kind] {
        switch self {
        case .rateLimit, .requestHeaders, .responseHeaders, .cors, .fault: PolicyTarget.kinds
        case .mirror, .retryPolicy, .retryBackOff, .retryOtherTargets, .timeout:
            [.virtualService, .virtualRouter]
        case .loadBalancing: [.virtualNode]
        }
    }
}

/// What a policy adds.
public struct TrafficFeatures: Hashable, Sendable {
    /// `rateLimit`, counted by each proxy for itself.
    public var rateLimit: RateLimit?
    /// `requestHeaders`.
    public var requestHeaders: HeaderChanges?
    /// `responseHeaders`.
    public var responseHeaders: HeaderChanges?
    /// `cors`.
    public var cors: CORSPolicy?
    /// `fault`.
    public var fault: Fault?
    /// `mirror`.
    public var mirror: Mirror?
    /// `retryPolicy`, for routes that have none of their own.
    public var retryPolicy: RetryPolicySpec?
    /// `retryBackOff`.
    public var retryBackOff: RetryBackOff?
    /// `retryOtherTargets`: whether a retry goes to another weighted target than the one that failed.
    public var retryOtherTargets: Bool?
    /// `timeout`; at least one of the two is set.
    public var timeout: Timeouts?
    /// `loadBalancing`.
    public var loadBalancing: LoadBalancing?

    /// Makes features; without arguments none.
    public init(
        rateLimit: RateLimit? = nil,
        requestHeaders: HeaderChanges? = nil,
        responseHeaders: HeaderChanges? = nil,
        cors: CORSPolicy? = nil,
        fault: Fault? = nil,
        mirror: Mirror? = nil,
        retryPolicy: RetryPolicySpec? = nil,
        retryBackOff: RetryBackOff? = nil,
        retryOtherTargets: Bool? = nil,
        timeout: Timeouts? = nil,
        loadBalancing: LoadBalancing? = nil
    ) {
        self.rateLimit = rateLimit
        self.requestHeaders = requestHeaders
        self.responseHeaders = responseHeaders
        self.cors = cors
        self.fault = fault
        self.mirror = mirror
        self.retryPolicy = retryPolicy
        self.retryBackOff = retryBackOff
        self.retryOtherTargets = retryOtherTargets
        self.timeout = timeout
        self.loadBalancing = loadBalancing
    }
}
