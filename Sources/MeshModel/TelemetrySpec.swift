/// How the requests of a mesh are traced (the annotations `heddle.dev/tracing`,
/// `heddle.dev/tracing-endpoint`, `heddle.dev/trace-sampling` and `heddle.dev/trace-sampling-rules`
/// of a Mesh).
public struct TracingSpec: Hashable, Sendable {
    /// Where spans go, and in whose format.
    public enum Provider: String, CaseIterable, Hashable, Sendable {
        /// Segments over UDP, as AWS X-Ray's daemon takes them; by default Heddle itself does.
        case xRay = "x-ray"
        /// OTLP over gRPC; by default Heddle itself takes it.
        case openTelemetry = "otlp"
        /// Zipkin's HTTP API, version 2.
        case zipkin
        /// Jaeger, which takes what Zipkin takes.
        case jaeger
        /// A Datadog agent.
        case datadog

        /// Where the provider's own collector listens on this host.
        public var defaultEndpoint: TelemetryEndpoint {
            switch self {
            case .xRay: .xRay
            case .openTelemetry: .openTelemetry
            case .zipkin, .jaeger: TelemetryEndpoint(host: "127.0.0.1", port: .zipkin)
            case .datadog: TelemetryEndpoint(host: "127.0.0.1", port: .datadog)
            }
        }
    }

    /// Where spans go.
    public var provider: Provider
    /// Host and port of the collector; nil is the provider's own default on this host.
    public var endpoint: TelemetryEndpoint?
    /// What is traced of all requests.
    public var sampling: TraceSampling

    /// Makes a specification.
    public init(
        provider: Provider,
        endpoint: TelemetryEndpoint? = nil,
        sampling: TraceSampling = TraceSampling()
    ) {
        self.provider = provider
        self.endpoint = endpoint
        self.sampling = sampling
    }
}

/// What is traced of all requests; on a VirtualNode or a VirtualGateway in place of its mesh's.
public struct TraceSampling: Hashable, Sendable {
    /// App Mesh's default rate, 5 %.
    public static let defaultRate = 0.05

    /// The share of requests, from 0 to 1 (`heddle.dev/trace-sampling`); nil where nothing is said.
    public var rate: Double?
    /// X-Ray's local sampling rules, version 2, as JSON (`heddle.dev/trace-sampling-rules`); nil makes
    /// them from `rate`, with one more request each second.
    public var rules: String?

    /// Makes a choice.
    public init(rate: Double? = nil, rules: String? = nil) {
        self.rate = rate
        self.rules = rules
    }
}

/// Where telemetry is sent over the network.
public struct TelemetryEndpoint: Hashable, Codable, Sendable, CustomStringConvertible {
    /// A host's name or IP address, without brackets.
    public var host: String
    /// The port.
    public var port: Port

    /// Makes an endpoint.
    public init(host: String, port: Port) {
        self.host = host
        self.port = port
    }

    /// Where X-Ray's daemon listens, 127.0.0.1:2000.
    public static let xRay = TelemetryEndpoint(host: "127.0.0.1", port: .xRay)
    /// Where a collector of OTLP listens for gRPC, 127.0.0.1:4317.
    public static let openTelemetry = TelemetryEndpoint(host: "127.0.0.1", port: .openTelemetry)

    /// `host:port`.
    public var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}

/// Where a mesh's telemetry goes beyond this host (the annotation `heddle.dev/export` of a Mesh:
/// `x-ray`, `cloudwatch`, `cloudwatch-logs`, `otlp=http://host:4318`, with commas between).
public struct TelemetryExport: Hashable, Sendable {
    /// Traces to AWS X-Ray.
    public var xRay: Bool
    /// Metrics to Amazon CloudWatch.
    public var cloudWatch: Bool
    /// Access logs to Amazon CloudWatch Logs.
    public var cloudWatchLogs: Bool
    /// Traces and access logs to an OpenTelemetry collector over HTTP: `http[s]://host[:port]`; nil is
    /// none.
    public var openTelemetryURL: String?

    /// Makes a choice; without arguments nothing leaves the host.
    public init(
        xRay: Bool = false,
        cloudWatch: Bool = false,
        cloudWatchLogs: Bool = false,
        openTelemetryURL: String? = nil
    ) {
        self.xRay = xRay
        self.cloudWatch = cloudWatch
        self.cloudWatchLogs = cloudWatchLogs
        self.openTelemetryURL = openTelemetryURL
    }

    /// Whether nothing leaves the host.
    public var isEmpty: Bool { self == TelemetryExport() }
}

/// Where proxies send their statistics as DogStatsD (the annotation `heddle.dev/dogstatsd` of a Mesh).
public enum DogStatsDAddress: Hashable, Codable, Sendable {
    /// `host:port`; an IP address, as Envoy takes no name.
    case udp(TelemetryEndpoint)
    /// `unix:/path`.
    case unixSocket(String)
}
