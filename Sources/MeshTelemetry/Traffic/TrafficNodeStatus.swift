/// What is known of a virtual node or gateway beside its traffic.
public struct TrafficNodeStatus: Hashable, Sendable {
    /// The mesh's `awsName`.
    public var mesh: String
    /// How many proxies it shall have.
    public var proxies: Int
    /// How many of them serve.
    public var readyProxies: Int
    /// The first false condition's reason and message.
    public var problem: String?
    /// Whether a proxy refused its configuration.
    public var isRefused: Bool

    /// Makes a status.
    public init(
        mesh: String,
        proxies: Int = 0,
        readyProxies: Int = 0,
        problem: String? = nil,
        isRefused: Bool = false
    ) {
        self.mesh = mesh
        self.proxies = proxies
        self.readyProxies = readyProxies
        self.problem = problem
        self.isRefused = isRefused
    }
}
