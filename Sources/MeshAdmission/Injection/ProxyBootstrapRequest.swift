public import MeshModel

/// What the bootstrap of a Pod's proxy has to say.
public struct ProxyBootstrapRequest: Hashable, Sendable {
    /// Envoy's `node.id`.
    public var nodeID: String
    /// The virtual node or gateway whose proxy it is.
    public var owner: ObjectID
    /// Its mesh.
    public var mesh: ObjectReference
    /// Where Envoy's admin interface listens, on 127.0.0.1.
    public var adminPort: Int
    /// Where `/ready` and `/stats/prometheus` are answered, to kubelet and Prometheus.
    public var readinessPort: Int
    /// The last part of the path `/drain/...` on the readiness port, by which kubelet has the proxy
    /// drain; nil is no such path.
    public var drainSecret: String?
    /// For how many seconds the proxy drains, and goes on.
    public var drainSeconds: Int
    /// The file with the token by which the proxy proves who it is; it is renewed.
    public var tokenPath: String
    /// The Unix socket of an SDS server beside the proxy; nil when there is none.
    public var sdsSocketPath: String?
    /// The memory that the proxy may take, in bytes; nil is any.
    public var memoryLimitBytes: Int?
    /// Where the proxy sends its statistics; the address may be a variable, `$(STATSD_ADDRESS)`, in
    /// whose place kubelet puts an address.
    public var stats: InjectionSettings.Stats

    /// Makes a request.
    public init(
        nodeID: String,
        owner: ObjectID,
        mesh: ObjectReference,
        adminPort: Int,
        readinessPort: Int,
        drainSecret: String?,
        drainSeconds: Int,
        tokenPath: String,
        sdsSocketPath: String? = nil,
        memoryLimitBytes: Int? = nil,
        stats: InjectionSettings.Stats = InjectionSettings.Stats()
    ) {
        self.nodeID = nodeID
        self.owner = owner
        self.mesh = mesh
        self.adminPort = adminPort
        self.readinessPort = readinessPort
        self.drainSecret = drainSecret
        self.drainSeconds = drainSeconds
        self.tokenPath = tokenPath
        self.sdsSocketPath = sdsSocketPath
        self.memoryLimitBytes = memoryLimitBytes
        self.stats = stats
    }
}
