public import MeshModel
public import MeshPlan

/// How a daemon runs.
public struct DaemonConfiguration: Sendable {
    /// Folders and files of manifests.
    public var paths: [String]
    /// Where what outlives the daemon is kept.
    public var stateDirectory: String
    /// The Envoy that runs proxies.
    public var envoy: EnvoyBinary
    /// Where the local API listens beside its Unix socket; nil is nowhere.
    public var apiAddress: HostAndPort?
    /// Where segments of AWS X-Ray's are taken over UDP; nil is nowhere.
    public var xRayAddress: TelemetryEndpoint?
    /// Where traces are taken by OTLP over gRPC; nil is nowhere.
    public var openTelemetryAddress: TelemetryEndpoint?
    /// Where proxies take their addresses from.
    public var addressRanges: AddressRanges
    /// For how long a removed proxy, or every one at the end, may finish its requests.
    public var drainTime: Duration
    /// How long a certificate lasts that Heddle issues.
    public var certificateLifetime: Duration
    /// The authority that signs those of meshes; nil is a root of Heddle's own.
    public var authority: FileCertificate?
    /// The Unix socket, absolute, of an SDS server that serves what manifests name by `sds`; nil is
    /// none.
    public var sdsSocketPath: String?
    /// Whether proxies and applications go on when the daemon ends.
    public var keepsProxies: Bool
    /// At how many bytes the log of a proxy or an application is put aside and begun anew.
    public var logSizeBytes: Int
    /// What the client commands need to reach this daemon, such as `--state-dir DIR`.
    public var clientOptions: String

    /// Makes a configuration.
    public init(
        paths: [String],
        stateDirectory: String,
        envoy: EnvoyBinary,
        apiAddress: HostAndPort?,
        xRayAddress: TelemetryEndpoint? = nil,
        openTelemetryAddress: TelemetryEndpoint? = nil,
        addressRanges: AddressRanges = .loopback,
        drainTime: Duration = .seconds(20),
        certificateLifetime: Duration = .seconds(3600),
        authority: FileCertificate? = nil,
        sdsSocketPath: String? = nil,
        keepsProxies: Bool = false,
        logSizeBytes: Int = 10 << 20,
        clientOptions: String = ""
    ) {
        self.paths = paths
        self.stateDirectory = stateDirectory
        self.envoy = envoy
        self.apiAddress = apiAddress
        self.xRayAddress = xRayAddress
        self.openTelemetryAddress = openTelemetryAddress
        self.addressRanges = addressRanges
        self.drainTime = drainTime
        self.certificateLifetime = certificateLifetime
        self.authority = authority
        self.sdsSocketPath = sdsSocketPath
        self.keepsProxies = keepsProxies
        self.logSizeBytes = logSizeBytes
        self.clientOptions = clientOptions
    }
}
