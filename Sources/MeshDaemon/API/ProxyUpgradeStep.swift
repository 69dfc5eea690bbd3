public import MeshModel

/// A step of the upgrade of one proxy: another Envoy takes over while the one before finishes what
/// it has begun (hot restart).
public struct ProxyUpgradeStep: Hashable, Sendable {
    /// How far it is; all but `starting` are the last.
    public enum Progress: Hashable, Sendable {
        /// Another Envoy starts beside the one that serves.
        case starting
        /// The other one serves; its version, and the seconds from its start.
        case done(version: String?, seconds: Double)
        /// It did not come to serve.
        ///
        /// Envoy's own reason, and what goes on serving, empty if nothing does:
        /// `Envoy 1.40.0 (pid 4711)`.
        case failed(reason: String, serving: String)
        /// There was nothing to do, or nothing to take over from.
        case skipped(reason: String)
    }

    /// The proxy.
    public var proxy: ProxyID
    /// The version of the Envoy that serves at the beginning; nil when it is not known.
    public var fromVersion: String?
    /// How far it is.
    public var progress: Progress

    /// Makes a step.
    public init(proxy: ProxyID, fromVersion: String? = nil, progress: Progress) {
        self.proxy = proxy
        self.fromVersion = fromVersion
        self.progress = progress
    }
}

/// Upgrades proxies to the Envoy and the bootstrap that the daemon has now, one after the other up to
/// the first that fails, and tells each step; nil are those that are outdated.
///
/// An upgrade that has begun goes on when nobody listens any more.
public typealias UpgradeHandler =
    @Sendable (
        _ proxies: Set<ProxyID>?, _ tell: (ProxyUpgradeStep) async throws -> Void
    ) async throws -> Void

/// What each proxy uses at the moment, as far as it was measured.
public typealias UsageSource = @Sendable () -> [ProxyID: ProxyUsage]

extension ProxyUpgradeStep {
    /// The step as the API tells it, on a line.
    var document: JSONValue {
        var document: JSONValue = [
            "namespace": .string(proxy.workload.namespace), "name": .string(proxy.workload.name),
        ]
        document["fromVersion"] = fromVersion.map(JSONValue.string)
        switch progress {
        case .starting: document["phase"] = "Starting"
        case .done(let version, let seconds):
            document["phase"] = "Done"
            document["version"] = version.map(JSONValue.string)
            document["seconds"] = .number(seconds)
        case .failed(let reason, let serving):
            document["phase"] = "Failed"
            document["reason"] = .string(reason)
            document["serving"] = .string(serving)
        case .skipped(let reason):
            document["phase"] = "Skipped"
            document["reason"] = .string(reason)
        }
        return document
    }

    /// Reads what `document` wrote; nil when it is of another daemon that tells more.
    init?(_ document: JSONValue) {
        guard let namespace = document["namespace"]?.string, let name = document["name"]?.string
        else { return nil }
        proxy = ProxyID(ObjectReference(namespace: namespace, name: name))
        fromVersion = document["fromVersion"]?.string
        switch document["phase"]?.string {
        case "Starting": progress = .starting
        case "Done":
            progress = .done(
                version: document["version"]?.string,
                seconds: document["seconds"]?.double ?? 0
            )
        case "Failed":
            progress = .failed(
                reason: document["reason"]?.string ?? "",
                serving: document["serving"]?.string ?? ""
            )
        case "Skipped": progress = .skipped(reason: document["reason"]?.string ?? "")
        case nil, .some: return nil
        }
    }
}

extension JSONValue {
    /// The number, whole or not.
    var double: Double? {
        switch self {
        case .integer(let value): Double(value)
        case .number(let value): value
        case .null, .bool, .string, .array, .object: nil
        }
    }
}
