/// `spec` of a VirtualNode.
public struct VirtualNodeSpec: ObjectSpec {
    /// VirtualNode.
    public static var kind: Kind { .virtualNode }

    /// Default `<name>_<namespace>`.
    public var awsName: String
    /// Workloads (pods) of the namespace that belong to the node; nil selects none.
    public var podSelector: LabelSelector?
    /// `listeners`; empty for a node that only calls others.
    public var listeners: [ListenerSpec]
    /// `serviceDiscovery`; present when there are listeners.
    public var serviceDiscovery: ServiceDiscovery?
    /// `backends`.
    public var backends: [Backend]
    /// `backendGroups`.
    public var backendGroups: [BackendGroupReference]
    /// `backendDefaults.clientPolicy.tls`.
    public var backendDefaults: ClientTLS?
    /// `logging.accessLog.file`.
    public var accessLog: AccessLog?
    /// `meshRef`, which only dumps of a cluster carry.
    public var meshRef: DesignatedReference?
    /// What is traced in place of what the mesh says (the annotations `heddle.dev/trace-sampling` and
    /// `heddle.dev/trace-sampling-rules`).
    public var traceSampling: TraceSampling

    /// Makes a virtual node.
    public init(
        awsName: String,
        podSelector: LabelSelector? = nil,
        listeners: [ListenerSpec] = [],
        serviceDiscovery: ServiceDiscovery? = nil,
        backends: [Backend] = [],
        backendGroups: [BackendGroupReference] = [],
        backendDefaults: ClientTLS? = nil,
        accessLog: AccessLog? = nil,
        meshRef: DesignatedReference? = nil,
        traceSampling: TraceSampling = TraceSampling()
    ) {
        self.awsName = awsName
        self.podSelector = podSelector
        self.listeners = listeners
        self.serviceDiscovery = serviceDiscovery
        self.backends = backends
        self.backendGroups = backendGroups
        self.backendDefaults = backendDefaults
        self.accessLog = accessLog
        self.meshRef = meshRef
        self.traceSampling = traceSampling
    }
}

/// How callers find the endpoints of a virtual node (`serviceDiscovery`).
public enum ServiceDiscovery: Hashable, Sendable {
    /// `dns.responseType`.
    public enum DNSResponseType: String, CaseIterable, Hashable, Sendable {
        /// Every address of the answer is an endpoint.
        case endpoints = "ENDPOINTS"
        /// One logical endpoint. The default.
        case loadBalancer = "LOADBALANCER"
    }

    case dns(hostname: String, responseType: DNSResponseType, ipPreference: IPPreference?)
    /// Cloud Map: instances must carry all of `attributes`.
    case awsCloudMap(
        namespaceName: String,
        serviceName: String,
        attributes: [String: String],
        ipPreference: IPPreference?
    )
}

/// A virtual service that a node calls (`backends[]`).
public struct Backend: Hashable, Sendable {
    /// `virtualService.virtualServiceRef` or `virtualService.virtualServiceARN`.
    public var virtualService: TargetReference
    /// `virtualService.clientPolicy.tls`; overrides `backendDefaults`.
    public var clientPolicy: ClientTLS?

    /// Makes a backend.
    public init(virtualService: TargetReference, clientPolicy: ClientTLS? = nil) {
        self.virtualService = virtualService
        self.clientPolicy = clientPolicy
    }
}

/// A BackendGroup that a node uses (`backendGroups[]`).
public enum BackendGroupReference: Hashable, Sendable {
    case group(ObjectReference)
    /// The name `*`: every VirtualService of the namespace.
    case everything(namespace: String)
}
