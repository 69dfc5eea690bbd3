internal import KubernetesAPI
internal import Logging
internal import MeshModel

/// A line for the log.
struct LogLine: Hashable, Sendable {
    var level: Logger.Level
    var message: String
    var metadata: [String: String] = [:]
}

extension Logger {
    func log(_ line: LogLine) {
        log(
            level: line.level,
            "\(line.message)",
            metadata: line.metadata.mapValues { "\($0)" }
        )
    }
}

/// What is known of a kind of objects that a cluster has.
public struct KubernetesReading: Hashable, Sendable {
    /// The kind as rights name it: `virtualnodes.appmesh.k8s.aws`.
    public var resource: String
    /// Whether all its objects were listed once.
    public var isListed: Bool
    /// Whether there is no world before.
    public var isEssential: Bool
    /// Why it can't be listed or watched at present; nil when nothing failed.
    public var problem: String?
}

/// Which kinds were read, and which can't be.
///
/// A world is complete when each kind that it can't do without has been listed once, and each other one
/// has been, or has failed for so long that the others do not wait for it any longer.
struct ReadingState: Sendable {
    /// For how long an incomplete world waits for a kind that it can do without.
    struct Patience: Hashable, Sendable {
        /// For a kind that this service account may not list, or that the server does not know: soon
        /// after its own start a server may say so of all.
        var denied: Duration
        /// For a kind that can't be listed for other reasons.
        var unavailable: Duration
    }

    private struct Failure {
        var trouble: Trouble
        var since: Duration
    }

    private let resources: [KubernetesResource]
    private let dispensable: Set<KubernetesResource>
    private let patience: Patience
    private var listed: Set<KubernetesResource> = []
    private var failures: [KubernetesResource: Failure] = [:]

    /// - Parameters:
    ///   - resources: All kinds.
    ///   - dispensable: Those without which there is a world, too.
    ///   - patience: For how long it waits for these.
    init(
        _ resources: [KubernetesResource],
        dispensable: Set<KubernetesResource>,
        patience: Patience
    ) {
        self.resources = resources
        self.dispensable = dispensable
        self.patience = patience
    }

    /// All objects of `resource` were told.
    ///
    /// A failure lasts until `didRecover`: who may list and not watch sees each change late.
    mutating func didList(_ resource: KubernetesResource) { listed.insert(resource) }

    /// `resource` can't be read at present.
    ///
    /// - Returns: What to log: a line for each kind that is denied, one for a server that does not
    ///   answer whatever it is asked, and none for what goes on.
    mutating func didFail(
        _ resource: KubernetesResource,
        _ error: KubernetesError,
        at now: Duration
    ) -> [LogLine] {
        let trouble = Trouble(error, resource)
        let last = failures[resource]
        // In what words a server refuses may vary, and each change of a text would be one of the world.
        if let last, last.trouble.isSame(as: trouble) { return [] }
        let isFirst = !failures.values.contains { $0.trouble.kind == .unavailable }
        failures[resource] = Failure(trouble: trouble, since: last?.since ?? now)
        guard trouble.kind != .unavailable || isFirst else { return [] }
        return [trouble.line(isAwaited: isAwaited(resource))]
    }

    /// `resource` can be listed and watched again.
    mutating func didRecover(_ resource: KubernetesResource) -> [LogLine] {
        guard let failure = failures.removeValue(forKey: resource) else { return [] }
        let others = failures.values.contains { $0.trouble.kind == .unavailable }
        guard failure.trouble.kind != .unavailable || !others else { return [] }
        let isDenial = failure.trouble.kind != .unavailable
        return [
            LogLine(
                level: .notice,
                message: isDenial
                    ? "kubernetes objects can be read again" : "kubernetes API answers again",
                metadata: isDenial ? ["resource": resource.qualifiedName] : [:]
            )
        ]
    }

    /// Whether the world has all that it can have at `now`.
    func isComplete(at now: Duration) -> Bool {
        resources.allSatisfy {
            listed.contains($0) || (deadline(of: $0).map { $0 <= now } ?? false)
        }
    }

    /// What is known of each kind, in the order of names.
    var readings: [KubernetesReading] {
        resources.map { resource in
            KubernetesReading(
                resource: resource.qualifiedName,
                isListed: listed.contains(resource),
                isEssential: !dispensable.contains(resource),
                problem: failures[resource]?.trouble.told
            )
        }.sorted { $0.resource < $1.resource }
    }

    /// When a kind that fails is waited for no longer; nil while one has neither failed nor been
    /// listed, or is one that is waited for without end.
    var completion: Duration? {
        let missing = resources.filter { !listed.contains($0) }
        let deadlines = missing.compactMap(deadline)
        return deadlines.count == missing.count ? deadlines.max() : nil
    }

    private func isAwaited(_ resource: KubernetesResource) -> Bool {
        !dispensable.contains(resource) && !listed.contains(resource)
    }

    private func deadline(of resource: KubernetesResource) -> Duration? {
        guard dispensable.contains(resource) else { return nil }
        return failures[resource].map { failure in
            failure.since
                + (failure.trouble.kind == .unavailable ? patience.unavailable : patience.denied)
        }
    }

    /// What can't be read, sorted.
    var diagnostics: [Diagnostic] {
        var found: [Diagnostic] = []
        for (resource, failure) in failures where failure.trouble.kind != .unavailable {
            found.append(failure.trouble.diagnostic(wasListed: listed.contains(resource)))
        }
        let unavailable = failures.filter { $0.value.trouble.kind == .unavailable }
        if !unavailable.isEmpty {
            let names = unavailable.keys.map(\.qualifiedName).sorted()
            let what =
                names.count == resources.count
                ? "the Kubernetes API server does not answer"
                : "the Kubernetes API server does not list \(enumeration(names))"
            found.append(
                Diagnostic(.warning, problem: "\(what); what was read before stays in force")
            )
        }
        return found.sorted()
    }
}

/// Why objects of a kind can't be read.
private struct Trouble {
    enum Kind {
        /// Rights are missing.
        case forbidden
        /// The server does not know the kind.
        case unknown
        /// Everything else, which passes by itself, or has nothing to do with the kind.
        case unavailable
    }

    let kind: Kind
    /// Whether a watch failed, and lists make up for it.
    let isOfWatch: Bool
    let resource: KubernetesResource
    let problem: String
    let remedy: String?

    init(_ error: KubernetesError, _ resource: KubernetesResource) {
        self.resource = resource
        isOfWatch = error.request.hasPrefix("watch")
        if error.isForbidden {
            kind = .forbidden
            let verb = isOfWatch ? "watch" : "list"
            problem = "\(account(in: error)) may not \(verb) \(resource.qualifiedName)"
            remedy = "grant verbs get, list and watch in a ClusterRole"
        } else if error.isNotFound {
            kind = .unknown
            problem = "the cluster has no \(resource.qualifiedName) of \(resource.apiVersion)"
            remedy = "install Heddle's CRDs"
        } else {
            kind = .unavailable
            problem = error.description
            remedy = nil
        }
    }

    /// Whether the same has to be done about `other`.
    func isSame(as other: Trouble) -> Bool {
        kind == other.kind && (kind == .unavailable || isOfWatch == other.isOfWatch)
    }

    /// Problem and remedy.
    var told: String { remedy.map { "\(problem); \($0)" } ?? problem }

    func line(isAwaited: Bool) -> LogLine {
        let what =
            kind == .unavailable
            ? "kubernetes API does not answer" : "kubernetes objects cannot be read"
        return LogLine(
            level: .warning,
            message: isAwaited ? "\(what); not ready before they are listed" : what,
            metadata: ["resource": resource.qualifiedName, "problem": told]
        )
    }

    func diagnostic(wasListed: Bool) -> Diagnostic {
        let isNode = resource == .nodes
        let effect =
            wasListed && isOfWatch
            ? "so that changes are seen by lists alone, up to half a minute late"
            : isNode
                ? "so that zones of Pods are not known"
                : wasListed
                    ? "so that those known before stay in force" : "so that none are in force"
        return Diagnostic(
            isNode ? .warning : .error,
            problem: "\(problem), \(effect)",
            remedy: remedy
        )
    }
}

/// Whom the server took Heddle for when it refused a request.
func account(in error: KubernetesError) -> String {
    guard case .status(let status) = error.kind,
        let start = status.message.firstRange(of: "User \"")
    else { return "heddle" }
    let rest = status.message[start.upperBound...]
    let user = rest.prefix { $0 != "\"" }.prefix(300)
    let parts = user.split(separator: ":")
    guard parts.count == 4, parts[0] == "system", parts[1] == "serviceaccount" else {
        return "the user \(user)"
    }
    return "the service account \(parts[2])/\(parts[3])"
}
