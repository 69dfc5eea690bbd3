public import MeshModel

/// What is to be done for a world: the result of planning.
public struct Plan: Sendable {
    /// Each proxy that shall run.
    public var proxies: [ProxyID: ProxyPlan] = [:]
    /// The status of each object.
    public var statuses: [ObjectID: ObjectStatus] = [:]
    /// Every problem of the world, those of its inputs included, sorted.
    public var diagnostics: [Diagnostic] = []
    /// Addresses of all proxies, present and removed; the next plan's `Observations.addresses`.
    public var addresses: [ProxyID: ProxyAddresses] = [:]

    /// What each proxy should ask for.
    public var sizing: [ProxyID: SizingRecommendation] = [:]

    /// Which mesh each namespace and which node or gateway each Workload belongs to.
    public var designations = Designations()

    /// The mesh of each object that belongs to one.
    var meshes: [ObjectID: ObjectReference] = [:]

    /// Who may call whom.
    public var topology = MeshTopology()

    /// What changes at one proxy only once others have followed.
    var transition = Transition()

    /// Makes an empty plan.
    public init() {}

    /// The mesh of `id`, or of its namespace where the object has none of its own.
    public func mesh(of id: ObjectID) -> ObjectReference? {
        meshes[id] ?? designations.meshes[id.namespace]
    }
}

/// What was chosen for a namespace and for a Workload, and stays chosen while it still fits.
///
/// App Mesh chose once, when an object or a pod was created, so that a mesh or node that is added
/// later takes nothing over.
public struct Designations: Hashable, Codable, Sendable {
    /// The mesh of each namespace.
    public var meshes: [String: ObjectReference] = [:]
    /// The virtual node or virtual gateway of each Workload.
    public var owners: [ObjectReference: ObjectID] = [:]

    /// Makes designations of nothing.
    public init() {}
}

/// One proxy that shall run.
public struct ProxyPlan: Hashable, Codable, Sendable {
    /// The proxy.
    public var id: ProxyID
    /// The VirtualNode or VirtualGateway whose proxy this is.
    public var owner: ObjectID
    /// Envoy's `node.id`, App Mesh's resource name: `mesh/<mesh>/virtualNode/<awsName>`.
    public var nodeID: String
    /// The addresses that it owns; in a Pod that of the Pod, empty while it has none, and 127.0.0.1.
    public var addresses: ProxyAddresses
    /// The Pod in which it runs; nil of one on this host.
    public var pod: PodPlacement?
    /// The ports on which it listens at its ingress address.
    public var ingressPorts: [Port]
    /// The ports on which it listens at its egress address.
    public var egressPorts: [Port]
    /// Envoy's worker threads.
    public var concurrency: Int
    /// What its Workload asks for it.
    public var resources: SidecarResources
    /// All that it receives over ADS.
    public var snapshot: Snapshot
    /// Its secrets by their names in SDS, and where each comes from.
    public var secrets: [String: SecretSpec]
    /// The file of its access log; nil when there is none.
    public var accessLogPath: String?
    /// What goes with its statistics; nil of a proxy that an earlier version of Heddle planned.
    public var statistics: ProxyStatistics?
    /// What it checks of its application for all callers.
    public var probes: [Probe]
    /// The application that Heddle runs beside it.
    public var application: ApplicationPlan?

    /// Makes a proxy's plan.
    public init(
        id: ProxyID,
        owner: ObjectID,
        nodeID: String,
        addresses: ProxyAddresses,
        pod: PodPlacement? = nil,
        ingressPorts: [Port] = [],
        egressPorts: [Port] = [],
        concurrency: Int = 1,
        resources: SidecarResources = SidecarResources(),
        snapshot: Snapshot = Snapshot(),
        secrets: [String: SecretSpec] = [:],
        accessLogPath: String? = nil,
        statistics: ProxyStatistics? = nil,
        probes: [Probe] = [],
        application: ApplicationPlan? = nil
    ) {
        self.id = id
        self.owner = owner
        self.nodeID = nodeID
        self.addresses = addresses
        self.pod = pod
        self.ingressPorts = ingressPorts
        self.egressPorts = egressPorts
        self.concurrency = concurrency
        self.resources = resources
        self.snapshot = snapshot
        self.secrets = secrets
        self.accessLogPath = accessLogPath
        self.statistics = statistics
        self.probes = probes
        self.application = application
    }
}

/// An application's process that Heddle runs.
public struct ApplicationPlan: Hashable, Codable, Sendable {
    /// Program and arguments; the program is looked up in PATH.
    public var command: [String]
    /// Variables beside those that Heddle itself has: the Workload's own and the proxy's addresses.
    public var environment: [String: String]
    /// Absolute; nil is Heddle's own.
    public var workingDirectory: String?
    /// The IP address on which it listens.
    public var address: String
    /// The ports on which it listens: it is ready once each takes connections.
    public var ports: [Port]

    /// Makes an application's plan.
    public init(
        command: [String],
        environment: [String: String] = [:],
        workingDirectory: String? = nil,
        address: String = "127.0.0.1",
        ports: [Port] = []
    ) {
        self.command = command
        self.environment = environment
        self.workingDirectory = workingDirectory
        self.address = address
        self.ports = ports
    }
}
