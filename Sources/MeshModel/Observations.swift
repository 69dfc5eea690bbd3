/// A proxy, by the Workload that it stands beside.
public struct ProxyID: Hashable, Codable, Sendable, Comparable, CustomStringConvertible {
    /// Namespace and name of the Workload.
    public var workload: ObjectReference

    /// The proxy beside `workload`.
    public init(_ workload: ObjectReference) { self.workload = workload }

    /// `namespace/name` of the Workload.
    public var description: String { workload.description }

    /// Orders by namespace, then by name.
    public static func < (left: ProxyID, right: ProxyID) -> Bool { left.workload < right.workload }
}

/// The types of xDS resources that proxies receive.
public enum ResourceType: String, CaseIterable, Hashable, Codable, Sendable {
    case clusters
    case endpoints
    case listeners
    case routes
    /// Certificates and trust, which no plan contains.
    case secrets
}

/// What the world outside answered: the other input of a plan.
public struct Observations: Hashable, Sendable {
    /// What is known of each proxy; a proxy without an entry has not been started.
    public var proxies: [ProxyID: ProxyObservation] = [:]
    /// Addresses given to proxies so far, of removed ones too.
    public var addresses: [ProxyID: ProxyAddresses] = [:]
    /// What is known of certificates and authorities.
    public var identity = IdentityObservations()
    /// What became of the telemetry that meshes export, by the mesh; one that exports nothing, or has
    /// tried nothing yet, has no entry.
    public var telemetry: [ObjectID: TelemetryObservation] = [:]
    /// Conditions of the last plan, for their transition times.
    public var conditions: [ObjectID: [Condition]] = [:]

    /// Makes observations of nothing.
    public init() {}
}

/// What became of the telemetry that a mesh exports.
public struct TelemetryObservation: Hashable, Sendable {
    /// Problem and remedy of each export that fails at present, by what is exported.
    ///
    /// That is `x-ray`, `cloudwatch`, `cloudwatch-logs` or `otlp`. What works has no entry.
    public var problems: [String: String]
    /// Whether a problem is one of credentials or rights, and waits for its owner.
    public var isDenied: Bool

    /// Makes an observation; without arguments all went well.
    public init(problems: [String: String] = [:], isDenied: Bool = false) {
        self.problems = problems
        self.isDenied = isDenied
    }
}

/// The two loopback addresses that a proxy owns on one host.
public struct ProxyAddresses: Hashable, Codable, Sendable {
    /// Where it takes requests for its application.
    public var ingress: String
    /// Where it takes requests from its application.
    public var egress: String

    /// Makes a pair of addresses.
    public init(ingress: String, egress: String) {
        self.ingress = ingress
        self.egress = egress
    }
}

/// What is known of one proxy and its application.
public struct ProxyObservation: Hashable, Sendable {
    /// The Envoy process; nil before its first start.
    public var process: ProcessObservation?
    /// The application's process, when Heddle runs it.
    public var application: ProcessObservation?
    /// What the proxy told the xDS server.
    public var xds: XDSObservation
    /// What it used so far; nil before enough is known.
    public var usage: UsageSummary?
    /// How its limits are enforced; nil when it has none, or was not started.
    public var enforcement: LimitEnforcement?

    /// Makes an observation; without arguments that of a proxy not yet seen.
    public init(
        process: ProcessObservation? = nil,
        application: ProcessObservation? = nil,
        xds: XDSObservation = XDSObservation(),
        usage: UsageSummary? = nil,
        enforcement: LimitEnforcement? = nil
    ) {
        self.process = process
        self.application = application
        self.xds = xds
        self.usage = usage
        self.enforcement = enforcement
    }
}

extension ProxyObservation {
    /// Whether requests to the proxy are answered, as far as the processes tell.
    public var isServing: Bool {
        (process?.phase ?? .running) == .running && (application?.phase ?? .running) == .running
    }
}

/// A process that Heddle runs.
public struct ProcessObservation: Hashable, Sendable {
    /// Where a process is in its life.
    public enum Phase: String, CaseIterable, Hashable, Sendable {
        /// It runs and is not ready.
        case starting = "Starting"
        /// It runs and is ready.
        case running = "Running"
        /// It ended, and starts again after a pause.
        case backingOff = "BackingOff"
        /// It is being removed and finishes what it has begun.
        case draining = "Draining"
        /// It ended and does not start again.
        case stopped = "Stopped"
    }

    /// Where it is in its life.
    public var phase: Phase
    /// The process id while it runs.
    public var pid: Int?
    /// How often it was started again after it ended by itself.
    public var restarts: Int
    /// When the running process started, in seconds since 1970.
    public var startTimeSeconds: Int?
    /// Why it last ended or could not start: `killed by signal 9`, `exited with code 1: <last line>`.
    public var lastError: String?
    /// How often it ended by itself without having run for long in between.
    public var failures: Int
    /// Of an Envoy, how often it was replaced by another without a pause (hot restart) since it started.
    public var upgrades: Int
    /// Of an Envoy that answers, its version: `1.40.0`.
    public var version: String?
    /// Whether an upgrade would start another binary, or start it differently.
    public var isOutdated: Bool
    /// How often the kernel ended it as it went over its memory limit, as far as this daemon saw.
    public var outOfMemoryKills: Int

    /// Makes an observation.
    public init(
        phase: Phase,
        pid: Int? = nil,
        restarts: Int = 0,
        startTimeSeconds: Int? = nil,
        lastError: String? = nil,
        failures: Int = 0,
        upgrades: Int = 0,
        version: String? = nil,
        isOutdated: Bool = false,
        outOfMemoryKills: Int = 0
    ) {
        self.phase = phase
        self.pid = pid
        self.restarts = restarts
        self.startTimeSeconds = startTimeSeconds
        self.lastError = lastError
        self.failures = failures
        self.upgrades = upgrades
        self.version = version
        self.isOutdated = isOutdated
        self.outOfMemoryKills = outOfMemoryKills
    }
}

/// What a proxy told the xDS server.
public struct XDSObservation: Hashable, Sendable {
    /// How far a proxy is with the resources of one type.
    public enum Sync: String, CaseIterable, Hashable, Sendable {
        /// Nothing was sent.
        case notSent = "NotSent"
        /// Sent and not yet answered, or waiting to be sent.
        case pending = "Pending"
        /// All of it was accepted.
        case synced = "Synced"
        /// Some of it was refused; the proxy keeps what it had.
        case refused = "Refused"
    }

    /// Whether a stream is open.
    public var isConnected: Bool
    /// How far the proxy is, by type.
    public var sync: [ResourceType: Sync]
    /// What the proxy refuses at present.
    public var refusals: [Refusal]
    /// The version of each listener that the proxy accepted last, by name.
    public var listeners: [String: String]
    /// What the proxy's checks of its own application tell, by the listener's port; a port is absent
    /// while nothing is known.
    public var health: [Port: ApplicationHealth]
    /// A short hash of all that the proxy accepted last; nil before it accepted anything.
    public var acknowledgedVersion: String?

    /// Makes an observation; without arguments that of a proxy that never connected.
    public init(
        isConnected: Bool = false,
        sync: [ResourceType: Sync] = [:],
        refusals: [Refusal] = [],
        listeners: [String: String] = [:],
        health: [Port: ApplicationHealth] = [:],
        acknowledgedVersion: String? = nil
    ) {
        self.isConnected = isConnected
        self.sync = sync
        self.refusals = refusals
        self.listeners = listeners
        self.health = health
        self.acknowledgedVersion = acknowledgedVersion
    }
}

/// A resource that a proxy refused (a NACK), and keeps an older version of, or none.
public struct Refusal: Hashable, Codable, Sendable {
    /// The resource's type.
    public var type: ResourceType
    /// The resource's name.
    public var resource: String
    /// The version that was refused.
    public var version: String
    /// The version that the proxy keeps; nil when it has none.
    public var keptVersion: String?
    /// Envoy's own reason, one line.
    public var message: String
    /// The objects that changed between the kept and the refused version, or all that the resource
    /// was made from.
    public var objects: [ObjectID]

    /// Makes a refusal.
    public init(
        type: ResourceType,
        resource: String,
        version: String,
        keptVersion: String? = nil,
        message: String,
        objects: [ObjectID]
    ) {
        self.type = type
        self.resource = resource
        self.version = version
        self.keptVersion = keptVersion
        self.message = message
        self.objects = objects
    }
}
