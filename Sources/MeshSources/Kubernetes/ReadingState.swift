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

/// Which kinds were read, and which can't be.
///
/// A world is complete when each kind has been listed once, or the server has said for a while that it
/// has none to list. One that fails in another way is waited for however long that takes: a world
/// without it would take from proxies what they have.
struct ReadingState: Sendable {
    private struct Failure {
        var trouble: Trouble
        /// Since when the kind is denied; nil when it is not.
        var deniedSince: Duration?
    }

    private let resources: [KubernetesResource]
    /// For how long an incomplete world waits for a kind that this service account may not list, or that
    /// the server does not know: soon after its own start a server may say so of all.
    private let deniedPatience: Duration
    private var listed: Set<KubernetesResource> = []
    private var failures: [KubernetesResource: Failure] = [:]

    init(_ resources: [KubernetesResource], deniedPatience: Duration) {
        self.resources = resources
        self.deniedPatience = deniedPatience
    }

    /// All objects of `resource` were told.
    mutating func didList(_ resource: KubernetesResource) -> [LogLine] {
        listed.insert(resource)
        return didRecover(resource)
    }

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
        if let last, last.trouble.kind == trouble.kind { return [] }
        let isFirst = !failures.values.contains { $0.trouble.kind == .unavailable }
        failures[resource] = Failure(
            trouble: trouble,
            deniedSince: trouble.kind == .unavailable ? nil : last?.deniedSince ?? now
        )
        guard trouble.kind != .unavailable || isFirst else { return [] }
        return [trouble.line]
    }

    /// `resource` can be read again.
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

    /// When the kinds that are not listed are waited for no longer; nil while one of them is not denied.
    var completion: Duration? {
        let missing = resources.filter { !listed.contains($0) }
        let deadlines = missing.compactMap(deadline)
        return deadlines.count == missing.count ? deadlines.max() : nil
    }

    private func deadline(of resource: KubernetesResource) -> Duration? {
        failures[resource]?.deniedSince.map { $0 + deniedPatience }
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
    let resource: KubernetesResource
    let problem: String
    let remedy: String?

    init(_ error: KubernetesError, _ resource: KubernetesResource) {
        self.resource = resource
        if error.isForbidden {
            kind = .forbidden
            let verb = error.request.hasPrefix("watch") ? "watch" : "list"
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

    var line: LogLine {
        LogLine(
            level: .warning,
            message: kind == .unavailable
                ? "kubernetes API does not answer" : "kubernetes objects cannot be read",
            metadata: [
                "resource": resource.qualifiedName,
                "problem": remedy.map { "\(problem); \($0)" } ?? problem,
            ]
        )
    }

    func diagnostic(wasListed: Bool) -> Diagnostic {
        let isNode = resource == .nodes
        let effect =
            isNode
            ? "so that zones of Pods are not known"
            : wasListed ? "so that those known before stay in force" : "so that none are in force"
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
