/// `spec` of a Mesh.
public struct MeshSpec: ObjectSpec {
    /// Mesh.
    public static var kind: Kind { .mesh }

    /// What proxies may reach beyond their backends (`egressFilter.type`).
    public enum EgressFilter: String, CaseIterable, Hashable, Sendable {
        case allowAll = "ALLOW_ALL"
        case dropAll = "DROP_ALL"
    }

    /// The mesh's name in node ids and resource names; default `metadata.name`.
    public var awsName: String
    /// Whose namespaces' objects belong to the mesh; nil selects none.
    public var namespaceSelector: LabelSelector?
    /// Default `DROP_ALL`, as the App Mesh API has it.
    public var egressFilter: EgressFilter
    /// The account that owns a shared mesh; becomes `mesh/<name>@<owner>` in node ids.
    public var meshOwner: String?
    /// `meshServiceDiscovery.ipPreference`.
    public var ipPreference: IPPreference?
    /// What proxies may reach under every `egressFilter`, each once (the annotation
    /// `heddle.dev/always-allowed`).
    public var alwaysAllowed: [AllowedDestination]
    /// Who probes endpoints (the annotation `heddle.dev/health-checks`).
    public var healthChecks: HealthCheckMode
    /// Mutual TLS between all proxies by Heddle's identities, where an object says nothing of its own
    /// (the annotation `heddle.dev/mtls`); nil is none.
    public var mutualTLS: MutualTLSMode?
    /// Whether callers need a backend for what they call (the annotation `heddle.dev/access-control`);
    /// nil enforces it where `mutualTLS` is strict, and else does nothing.
    public var accessControl: AccessControlMode?
    /// The SPIFFE trust domain (the annotation `heddle.dev/trust-domain`); nil is `metadata.name`.
    public var trustDomain: String?
    /// How requests are traced; nil is not at all.
    public var tracing: TracingSpec?
    /// Where telemetry goes beyond this host.
    public var export: TelemetryExport
    /// Where proxies send statistics as DogStatsD; nil is nowhere.
    public var dogStatsD: DogStatsDAddress?

    /// Makes a mesh.
    public init(
        awsName: String,
        namespaceSelector: LabelSelector? = nil,
        egressFilter: EgressFilter = .dropAll,
        meshOwner: String? = nil,
        ipPreference: IPPreference? = nil,
        alwaysAllowed: [AllowedDestination] = [.amazonWebServices],
        healthChecks: HealthCheckMode = .callers,
        mutualTLS: MutualTLSMode? = nil,
        accessControl: AccessControlMode? = nil,
        trustDomain: String? = nil,
        tracing: TracingSpec? = nil,
        export: TelemetryExport = TelemetryExport(),
        dogStatsD: DogStatsDAddress? = nil
    ) {
        self.awsName = awsName
        self.namespaceSelector = namespaceSelector
        self.egressFilter = egressFilter
        self.meshOwner = meshOwner
        self.ipPreference = ipPreference
        self.alwaysAllowed = alwaysAllowed
        self.healthChecks = healthChecks
        self.mutualTLS = mutualTLS
        self.accessControl = accessControl
        self.trustDomain = trustDomain
        self.tracing = tracing
        self.export = export
        self.dogStatsD = dogStatsD
    }
}

/// Mutual TLS of a whole mesh.
public enum MutualTLSMode: String, CaseIterable, Hashable, Sendable {
    /// Proxies call each other over mutual TLS, and take plaintext too.
    case permissive = "PERMISSIVE"
    /// Proxies take nothing but mutual TLS.
    case strict = "STRICT"
}

/// What happens to a proven caller that has not declared what it calls as its backend.
public enum AccessControlMode: String, CaseIterable, Hashable, Sendable {
    /// It is refused.
    case enforce
    /// It is let through, counted and logged.
    case shadow
    /// Nothing.
    case off
}

/// A host that proxies may reach without a backend.
public struct AllowedDestination: Hashable, Sendable {
    /// A host name in lower case, or `*.` and the domain whose hosts it stands for.
    public var host: String
    /// The port.
    public var port: Port

    /// Makes a destination.
    public init(host: String, port: Port = .https) {
        self.host = host
        self.port = port
    }

    /// What App Mesh let pass from everywhere, which is the default.
    public static let amazonWebServices = AllowedDestination(host: "*.amazonaws.com")
}

/// Who probes the endpoints of listeners with a `healthCheck`.
public enum HealthCheckMode: String, CaseIterable, Hashable, Sendable {
    /// The proxy of every caller does, as in App Mesh.
    case callers
    /// Each workload's own proxy does, once for all callers.
    case once
}

/// `spec` of a Namespace: nothing that matters to a mesh.
public struct NamespaceSpec: ObjectSpec {
    /// Namespace.
    public static var kind: Kind { .namespace }

    /// Makes the one value.
    public init() {}
}

/// A `meshRef` or `virtualGatewayRef` that a manifest carries, which only dumps of a
/// cluster do.
public struct DesignatedReference: Hashable, Sendable {
    /// `name`.
    public var name: String
    /// `namespace`, for gateways.
    public var namespace: String?
    /// `uid` of the object at the time.
    public var uid: String

    /// Makes a reference.
    public init(name: String, namespace: String? = nil, uid: String) {
        self.name = name
        self.namespace = namespace
        self.uid = uid
    }
}
