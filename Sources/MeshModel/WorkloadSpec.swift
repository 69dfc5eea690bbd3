/// `spec` of a Workload: one instance of an application on this host, what a Pod is in Kubernetes.
public struct WorkloadSpec: ObjectSpec {
    /// Workload.
    public static var kind: Kind { .workload }

    /// Where the application listens, an IP address; nil is 127.0.0.1.
    ///
    /// Of a gateway an address of this host on which it takes requests too; nil is none.
    public var address: String?
    /// Virtual node port to application port, or gateway port to the port on `address`; a port that
    /// is absent stays the same.
    public var ports: [Port: Port]
    /// The application's command line; empty when Heddle does not run it.
    public var command: [String]
    /// Environment variables of the application.
    public var environment: [String: String]
    /// Working directory of the application, absolute; default the manifest's folder.
    public var workingDirectory: String?
    /// Resources of the proxy.
    public var sidecar: SidecarResources
    /// Folders of certificates: the path that manifests name, absolute, to the folder here, absolute
    /// (`sidecar.secretMounts`).
    ///
    /// What `appmesh.k8s.aws/secretMounts` did for a Pod: paths of `tls` in manifests are those of the
    /// proxy's own file system.
    public var secretMounts: [String: String]
    /// The Pod that it stands for; nil of one on this host.
    public var pod: PodPlacement?

    /// Makes a workload.
    public init(
        address: String? = nil,
        ports: [Port: Port] = [:],
        command: [String] = [],
        environment: [String: String] = [:],
        workingDirectory: String? = nil,
        sidecar: SidecarResources = SidecarResources(),
        secretMounts: [String: String] = [:],
        pod: PodPlacement? = nil
    ) {
        self.address = address
        self.ports = ports
        self.command = command
        self.environment = environment
        self.workingDirectory = workingDirectory
        self.sidecar = sidecar
        self.secretMounts = secretMounts
        self.pod = pod
    }

    /// Where the application listens.
    public var applicationAddress: String { address ?? "127.0.0.1" }
}

/// Resources of a proxy (`sidecar.resources`).
///
/// Requests default to App Mesh's advice, 250m and 256Mi.
public struct SidecarResources: Hashable, Codable, Sendable {
    /// `requests.cpu`, in thousandths of a core.
    public var cpuRequestMillicores: Int
    /// `requests.memory`, in bytes.
    public var memoryRequestBytes: Int
    /// `limits.cpu`, in thousandths of a core; nil is no limit.
    public var cpuLimitMillicores: Int?
    /// `limits.memory`, in bytes; nil is no limit.
    public var memoryLimitBytes: Int?

    /// Makes resources; without arguments App Mesh's advice.
    public init(
        cpuRequestMillicores: Int = 250,
        memoryRequestBytes: Int = 256 << 20,
        cpuLimitMillicores: Int? = nil,
        memoryLimitBytes: Int? = nil
    ) {
        self.cpuRequestMillicores = cpuRequestMillicores
        self.memoryRequestBytes = memoryRequestBytes
        self.cpuLimitMillicores = cpuLimitMillicores
        self.memoryLimitBytes = memoryLimitBytes
    }
}
