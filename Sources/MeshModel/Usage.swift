/// What one proxy uses at a moment, measured every few seconds.
public struct ProxyUsage: Hashable, Sendable {
    /// When it was measured, in seconds since 1970.
    public var timeSeconds: Double
    /// Over how many seconds rates were measured: from the measurement before to this one.
    public var intervalSeconds: Double
    /// Processor time, in thousandths of a core.
    public var cpuMillicores: Double
    /// Memory of its own: anonymous and shared pages in use, without the pages of its binary.
    public var memoryBytes: Int
    /// All pages in use, those of its binary too, as `ps` shows them.
    public var residentBytes: Int
    /// What Envoy's allocator has given out (`server.memory_allocated`).
    public var heapBytes: Int
    /// Open connections to its listeners.
    public var connections: Int
    /// Requests that it answered, in both directions.
    public var requestsPerSecond: Double
    /// The share of time in which it wanted to run and its CPU limit did not let it, from 0 to 1.
    public var throttledShare: Double

    /// Makes a measurement.
    public init(
        timeSeconds: Double,
        intervalSeconds: Double,
        cpuMillicores: Double,
        memoryBytes: Int,
        residentBytes: Int = 0,
        heapBytes: Int = 0,
        connections: Int = 0,
        requestsPerSecond: Double = 0,
        throttledShare: Double = 0
    ) {
        self.timeSeconds = timeSeconds
        self.intervalSeconds = intervalSeconds
        self.cpuMillicores = cpuMillicores
        self.memoryBytes = memoryBytes
        self.residentBytes = residentBytes
        self.heapBytes = heapBytes
        self.connections = connections
        self.requestsPerSecond = requestsPerSecond
        self.throttledShare = throttledShare
    }
}

/// What is known of a proxy's use over time, as far as a recommendation needs it.
public struct UsageSummary: Hashable, Sendable {
    /// One resource over time; older use weighs less.
    public struct Spread: Hashable, Sendable {
        /// The median.
        public var median: Double
        /// The 90th percentile, which recommendations aim at.
        public var percentile90: Double
        /// The 95th percentile.
        public var percentile95: Double
        /// The highest that was seen while it still counts.
        public var maximum: Double

        /// Makes a spread.
        public init(
            median: Double,
            percentile90: Double,
            percentile95: Double,
            maximum: Double
        ) {
            self.median = median
            self.percentile90 = percentile90
            self.percentile95 = percentile95
            self.maximum = maximum
        }
    }

    /// Processor time, in thousandths of a core.
    public var cpuMillicores: Spread
    /// Memory, in bytes.
    public var memoryBytes: Spread
    /// Requests a second: the 95th percentile.
    public var requestsPerSecond: Double
    /// How much the history says: how many days were measured, pauses left out.
    public var confidence: Double
    /// How often the kernel ended it for its memory limit.
    public var outOfMemoryKills: Int
    /// The limit under which that happened last, in bytes; nil when it never did.
    public var outOfMemoryLimitBytes: Int?
    /// What memory would have been enough, as far as one can say, when it was ended or refused work
    /// for want of it; nil when it never was short of it.
    public var neededMemoryBytes: Int?
    /// How often it refused work as its memory ran short.
    public var sheddingPeriods: Int
    /// The share of time, lately, in which its CPU limit held it up, from 0 to 1.
    public var throttledShare: Double

    /// Makes a summary.
    public init(
        cpuMillicores: Spread,
        memoryBytes: Spread,
        requestsPerSecond: Double = 0,
        confidence: Double = 0,
        outOfMemoryKills: Int = 0,
        outOfMemoryLimitBytes: Int? = nil,
        neededMemoryBytes: Int? = nil,
        sheddingPeriods: Int = 0,
        throttledShare: Double = 0
    ) {
        self.cpuMillicores = cpuMillicores
        self.memoryBytes = memoryBytes
        self.requestsPerSecond = requestsPerSecond
        self.confidence = confidence
        self.outOfMemoryKills = outOfMemoryKills
        self.outOfMemoryLimitBytes = outOfMemoryLimitBytes
        self.neededMemoryBytes = neededMemoryBytes
        self.sheddingPeriods = sheddingPeriods
        self.throttledShare = throttledShare
    }
}

/// How the limits of a proxy are enforced.
public enum LimitEnforcement: Hashable, Sendable {
    /// By the kernel, in a control group, beside Envoy's own overload manager.
    case controlGroup
    /// By Envoy's own overload manager and its number of threads alone; why the kernel does not, as a
    /// clause: `no permission to write /sys/fs/cgroup/memory`.
    case proxyOnly(reason: String)
}
