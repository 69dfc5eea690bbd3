extension InjectionSettings {
    /// The proxy (`sidecar`).
    public struct Sidecar: Hashable, Codable, Sendable {
        /// `sidecar.image`: a stock Envoy.
        public var image = Image(repository: "envoyproxy/envoy", tag: "v1.40.0")
        /// `sidecar.logLevel`: trace, debug, info, warning, error, critical or off.
        public var logLevel = "info"
        /// `sidecar.envoyAdminAccessPort`: where Envoy's admin interface listens within the Pod.
        public var envoyAdminAccessPort = 9901
        /// `sidecar.readinessPort`: where the proxy answers `/ready` and `/stats/prometheus` to
        /// kubelet and Prometheus.
        public var readinessPort = 9902
        /// `sidecar.resources`: of the containers that are added, where annotations say nothing.
        public var resources = Resources()
        /// `sidecar.lifecycleHooks`: when the proxy begins and ends.
        public var lifecycleHooks = LifecycleHooks()
        /// `sidecar.probes`: how kubelet asks for its readiness.
        public var probes = Probes()
        /// `sidecar.waitUntilProxyReady`: whether applications start only once their proxy is ready;
        /// it takes native sidecars.
        public var waitUntilProxyReady = false

        enum CodingKeys: String, CodingKey, CaseIterable {
            case image, logLevel, envoyAdminAccessPort, readinessPort, resources, lifecycleHooks
            case probes, waitUntilProxyReady
        }

        /// Makes it with its defaults.
        public init() {}

        /// Reads it; what is left out has its default.
        public init(from decoder: any Decoder) throws {
            let values = try decoder.settings(CodingKeys.self)
            try values.read(.image, &image)
            try values.read(.logLevel, &logLevel)
            try values.read(.envoyAdminAccessPort, &envoyAdminAccessPort)
            try values.read(.readinessPort, &readinessPort)
            try values.read(.resources, &resources)
            try values.read(.lifecycleHooks, &lifecycleHooks)
            try values.read(.probes, &probes)
            try values.read(.waitUntilProxyReady, &waitUntilProxyReady)
        }
    }

    /// `resources` of a container.
    public struct Resources: Hashable, Codable, Sendable {
        /// `requests`: App Mesh's advice.
        public var requests = Amounts(cpu: "250m", memory: "256Mi")
        /// `limits`: none.
        public var limits = Amounts(cpu: "", memory: "")

        enum CodingKeys: String, CodingKey, CaseIterable { case requests, limits }

        /// Makes them with their defaults.
        public init() {}

        /// Reads them; what is left out has its default.
        public init(from decoder: any Decoder) throws {
            let values = try decoder.settings(CodingKeys.self)
            try values.readParts(.requests, &requests)
            try values.readParts(.limits, &limits)
        }
    }

    /// Quantities of a container's `resources`; empty is none.
    public struct Amounts: Hashable, Codable, Sendable {
        /// Processor time, such as `250m`.
        public var cpu: String
        /// Memory, such as `256Mi`.
        public var memory: String

        /// Makes amounts.
        public init(cpu: String, memory: String) {
            self.cpu = cpu
            self.memory = memory
        }
    }

    /// When the proxy begins and ends (`sidecar.lifecycleHooks`).
    public struct LifecycleHooks: Hashable, Codable, Sendable {
        /// `preStopDelay`: how many seconds the proxy goes on when its Pod ends, so that callers learn
        /// of it before it is gone; 0 is not at all.
        public var preStopDelay = 20
        /// `postStartInterval`: how many seconds lie between looks at a starting proxy.
        public var postStartInterval = 5
        /// `postStartTimeout`: after how many seconds a proxy that is not ready is started again.
        public var postStartTimeout = 180

        enum CodingKeys: String, CodingKey, CaseIterable {
            case preStopDelay, postStartInterval, postStartTimeout
        }

        /// Makes them with their defaults.
        public init() {}

        /// Reads them; what is left out has its default.
        public init(from decoder: any Decoder) throws {
            let values = try decoder.settings(CodingKeys.self)
            try values.read(.preStopDelay, &preStopDelay)
            try values.read(.postStartInterval, &postStartInterval)
            try values.read(.postStartTimeout, &postStartTimeout)
        }
    }

    /// How kubelet asks for the proxy's readiness (`sidecar.probes`).
    public struct Probes: Hashable, Codable, Sendable {
        /// `readinessProbeInitialDelay`, in seconds.
        public var readinessProbeInitialDelay = 1
        /// `readinessProbePeriod`, in seconds.
        public var readinessProbePeriod = 10

        enum CodingKeys: String, CodingKey, CaseIterable {
            case readinessProbeInitialDelay, readinessProbePeriod
        }

        /// Makes them with their defaults.
        public init() {}

        /// Reads them; what is left out has its default.
        public init(from decoder: any Decoder) throws {
            let values = try decoder.settings(CodingKeys.self)
            try values.read(.readinessProbeInitialDelay, &readinessProbeInitialDelay)
            try values.read(.readinessProbePeriod, &readinessProbePeriod)
        }
    }

    /// The collector of traces (`tracing`).
    public struct Tracing: Hashable, Codable, Sendable {
        /// Who collects traces.
        public enum Provider: String, Hashable, Codable, Sendable {
            case xRay = "x-ray"
            case jaeger
            case datadog
        }

        /// `tracing.enabled`.
        public var enabled = false
        /// `tracing.provider`: `x-ray` adds a container with X-Ray's daemon.
        public var provider = Provider.xRay
        /// `tracing.address`; empty is the provider's own default.
        ///
        /// `ref:status.hostIP` is the address of the Kubernetes node that the Pod is on.
        public var address = ""
        /// `tracing.port`; 0 is the provider's own default.
        public var port = 0
        /// `tracing.samplingRate`: X-Ray's share of requests, from 0 to 1.
        public var samplingRate = 0.05
        /// `tracing.logLevel`: of X-Ray's daemon: dev, debug, info, prod, warn or error.
        public var logLevel = ""
        /// `tracing.role`: the ARN of a role that X-Ray's daemon assumes.
        public var role = ""

        enum CodingKeys: String, CodingKey, CaseIterable {
            case enabled, provider, address, port, samplingRate, logLevel, role
        }

        /// Makes it with its defaults.
        public init() {}

        /// Reads it; what is left out has its default.
        public init(from decoder: any Decoder) throws {
            let values = try decoder.settings(CodingKeys.self)
            try values.read(.enabled, &enabled)
            try values.read(.provider, &provider)
            try values.read(.address, &address)
            try values.read(.port, &port)
            try values.read(.samplingRate, &samplingRate)
            try values.read(.logLevel, &logLevel)
            try values.read(.role, &role)
        }
    }

    /// Where proxies send their statistics (`stats`).
    public struct Stats: Hashable, Codable, Sendable {
        /// `stats.tagsEnabled`: whether App Mesh's tags go with them.
        public var tagsEnabled = false
        /// `stats.statsdEnabled`: whether they are sent as DogStatsD.
        public var statsdEnabled = false
        /// `stats.statsdAddress`; `ref:status.hostIP` is the address of the Kubernetes node.
        public var statsdAddress = "127.0.0.1"
        /// `stats.statsdPort`.
        public var statsdPort = 8125
        /// `stats.statsdSocketPath`: a Unix socket in place of address and port.
        public var statsdSocketPath = ""

        enum CodingKeys: String, CodingKey, CaseIterable {
            case tagsEnabled, statsdEnabled, statsdAddress, statsdPort, statsdSocketPath
        }

        /// Makes it with its defaults.
        public init() {}

        /// Reads it; what is left out has its default.
        public init(from decoder: any Decoder) throws {
            let values = try decoder.settings(CodingKeys.self)
            try values.read(.tagsEnabled, &tagsEnabled)
            try values.read(.statsdEnabled, &statsdEnabled)
            try values.read(.statsdAddress, &statsdAddress)
            try values.read(.statsdPort, &statsdPort)
            try values.read(.statsdSocketPath, &statsdSocketPath)
        }
    }
}
