/// What a proxy is expected to use, going by what it is configured with and how much it is asked.
///
/// The numbers of Envoy 1.40 are in one place, each with its origin.
struct Forecast: Hashable, Sendable {
    /// Memory of its own, in bytes.
    var memoryBytes: Int
    /// Processor time, in thousandths of a core.
    var cpuMillicores: Double

    /// An idle Envoy without configuration, measured: 14 MiB of its own.
    static let baseBytes = 14 << 20
    /// A cluster has 40 to 60 KiB with its virtual host, measured; it is most of that.
    static let bytesPerCluster = 44 << 10
    /// See `bytesPerCluster`.
    static let bytesPerVirtualHost = 12 << 10
    /// A matcher, an action and its statistics; an estimate.
    static let bytesPerRoute = 4 << 10
    /// A host with its statistics; an estimate.
    static let bytesPerEndpoint = 4 << 10
    /// Filter chains and their statistics; an estimate.
    static let bytesPerListener = 256 << 10
    /// A TLS context; an estimate.
    static let bytesPerSecret = 128 << 10
    /// Connections and their buffers: of the 60 MB that Istio publishes for 1,000 requests a second,
    /// what is not configuration.
    static let bytesPerRequestPerSecond = 24 << 10

    /// An idle Envoy, measured: 2 to 5 thousandths of a core.
    static let baseMillicores = 5.0
    /// Measured: 0.2 to 0.4 cores for 1,000 requests a second.
    static let millicoresPerRequestPerSecond = 0.4

    /// Forecasts the use of a proxy.
    init(_ configuration: ConfigurationSize, requestsPerSecond: Double) {
        let rate = requestsPerSecond.isFinite ? min(max(requestsPerSecond, 0), 1e6) : 0
        memoryBytes =
            Self.baseBytes
            + configuration.clusters * Self.bytesPerCluster
            + configuration.virtualHosts * Self.bytesPerVirtualHost
            + configuration.routes * Self.bytesPerRoute
            + configuration.endpoints * Self.bytesPerEndpoint
            + configuration.listeners * Self.bytesPerListener
            + configuration.secrets * Self.bytesPerSecret
            + Int(rate * Double(Self.bytesPerRequestPerSecond))
        cpuMillicores = Self.baseMillicores + rate * Self.millicoresPerRequestPerSecond
    }
}
