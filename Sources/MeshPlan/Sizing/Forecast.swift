/// What a proxy is expected to use, going by what it is configured with and how much it is asked.
///
/// The numbers of Envoy 1.40 are in one place, each with its origin.
struct Forecast: Hashable, Sendable {
    /// Memory of its own, in bytes.
    var memoryBytes: Int
    /// Processor time, in thousandths of a core.
    var cpuMillicores: Double

    /// Measured: 15.8 to 16.5 MB with ADS, health discovery and three clusters, 14.4 MB without.
    ///
    /// A second idle worker costs nothing.
    static let baseBytes = 16 << 20
    /// Measured: 50 kB, or 53 kB with a second worker.
    static let bytesPerCluster = 53_000
    /// Measured: 2.4 kB.
    static let bytesPerEndpoint = 2_400
    /// Measured: 50 kB with an HTTP connection manager, or 55 kB with a second worker.
    static let bytesPerListener = 55_000
    /// Measured: 7.5 kB with its first route.
    static let bytesPerVirtualHost = 1_400
    /// Measured: 6.1 kB.
    static let bytesPerRoute = 6_100
    /// A certificate's chain and key, and the TLS context over it; an estimate.
    static let bytesPerSecret = 32_000
    /// A request in flight has 23 to 49 kB, measured, and an idle connection up to 26 kB; the
    /// estimate is that there is one for every ten requests a second.
    static let bytesPerRequestPerSecond = 5_000

    /// An idle Envoy has 2 to 5 thousandths of a core, measured.
    static let baseMillicores = 5.0
    /// Measured: 0.086 to 0.097 thousandths of a core, and a tenth more with mTLS.
    static let millicoresPerRequestPerSecond = 0.11

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
