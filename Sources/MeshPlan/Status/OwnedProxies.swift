internal import MeshModel

/// The proxies of one virtual node or virtual gateway, and how they are.
struct OwnedProxies {
    /// One of them.
    struct Member {
        var plan: ProxyPlan
        var observation: ProxyObservation?
        /// Its Workload's readiness.
        var readiness: Condition
        var sizing: SizingRecommendation?

        var isReady: Bool { readiness.status == .true }
    }

    /// The object whose proxies these are.
    var owner: ObjectID
    /// What its instances are called: Workload or Pod.
    var noun = "Workload"
    /// How many Workloads it selects.
    var workloadCount: Int
    /// The Pods among them that should have a proxy of Heddle's and have none.
    var uninjected: [Workload] = []
    /// By namespace and name.
    var members: [Member]

    /// `ConfigAccepted` and `ProxiesReady`.
    var conditions: [Condition] { [configAccepted, proxiesReady] }

    // MARK: ConfigAccepted

    /// Whether the proxies acknowledged what they were sent.
    private var configAccepted: Condition {
        func condition(_ status: Condition.Status, _ reason: String, _ message: String) -> Condition
        {
            Condition(type: "ConfigAccepted", status: status, reason: reason, message: message)
        }
        if members.isEmpty { return withoutProxies("ConfigAccepted") }
        if let refused = refusedMessage { return condition(.false, refusedReason, refused) }
        let connected = members.filter { $0.observation?.xds.isConnected ?? false }
        // Of those that another replica serves it is told what they refuse.
        let elsewhere = members.filter {
            $0.plan.pod != nil && $0.isReady && !($0.observation?.xds.isConnected ?? false)
        }
        guard !connected.isEmpty || !elsewhere.isEmpty else {
            return condition(
                .unknown,
                "Disconnected",
                disconnectedMessage
            )
        }
        if connected.isEmpty { return condition(.true, "Accepted", elsewhereMessage) }
        let late = connected.filter { !$0.unanswered.isEmpty }
        if let first = late.first {
            let types = first.unanswered.map(\.rawValue).joined(separator: ", ")
            let others = late.count > 1 ? " (and \(late.count - 1) more)" : ""
            return condition(
                .unknown,
                "Pending",
                "Proxy \(first.plan.id)\(others) has not answered yet: \(types)."
            )
        }
        let took = "took all that \(connected.count == 1 ? "it was" : "they were") sent."
        let who =
            connected.count < members.count
            ? "The \(connected.count) connected of \(members.count) proxies"
            : members.count == 1 ? "Its proxy" : "All \(members.count) proxies"
        return condition(.true, "Accepted", "\(who) \(took)")
    }

    /// What proxies refused, in Envoy's words; nil when they refuse nothing.
    var refusedMessage: String? {
        let refusing = members.filter { $0.observation?.xds.refusals.isEmpty == false }
        guard let first = refusing.first, let refusal = first.observation?.xds.refusals.first else {
            return nil
        }
        return refusalMessage(refusal, by: first.plan.id, others: refusing.count - 1)
    }

    // MARK: ProxiesReady

    /// Whether all of the proxies serve and are configured.
    private var proxiesReady: Condition {
        let type = "ProxiesReady"
        if members.isEmpty { return withoutProxies(type) }
        let ready = members.count(where: \.isReady)
        if let message = uninjectedMessage {
            return Condition(
                type: type,
                status: .false,
                reason: uninjectedReason,
                message: "\(ready) of \(workloadCount) Pods are ready; \(message)."
            )
        }
        let worst = members.filter { !$0.isReady }
            .min { severity($0.readiness.reason) < severity($1.readiness.reason) }
        guard let worst else {
            return Condition(
                type: type,
                status: .true,
                reason: "Ready",
                message: ready == 1 ? "Its proxy is ready." : "All \(ready) proxies are ready."
            )
        }
        let are = members.count == 1 ? "proxy is" : "proxies are"
        let why = worst.readiness.message
        return Condition(
            type: type,
            status: .false,
            reason: worst.readiness.reason,
            message:
                "\(ready) of \(members.count) \(are) ready; \(worst.plan.pod == nil ? "Workload" : "Pod") \(worst.plan.id): "
                + why.prefix(1).lowercased() + why.dropFirst()
        )
    }

    /// The order in which what ails a proxy is told of, from the worst on.
    private func severity(_ reason: String) -> Int {
        let reasons = [
            crashLoopReason, "ProxyStopped", "ApplicationStopped", "ProxyBackingOff",
            "ApplicationBackingOff", "ConfigurationRefused", "Unhealthy", "Disconnected",
            "ProxyDraining", "ApplicationDraining", "Syncing", "ProxyStarting",
            "ApplicationStarting", "ApplicationPending", "Pending", "PodFailed", "PodNotReady",
            "PodPending", "PodTerminating",
        ]
        return reasons.firstIndex(of: reason) ?? 0
    }

    // MARK: None

    /// What `type` is of an object without proxies.
    ///
    /// A node whose instances are elsewhere has none here, as had a node of App Mesh without Pods, and
    /// nothing is wrong with that. Nobody answers for a gateway without proxies.
    private func withoutProxies(_ type: String) -> Condition {
        func condition(_ status: Condition.Status, _ reason: String, _ message: String) -> Condition
        {
            Condition(type: type, status: status, reason: reason, message: message)
        }
        if let message = uninjectedMessage, uninjected.count == workloadCount {
            return condition(.false, uninjectedReason, sentence(message))
        }
        if workloadCount > 0 {
            let workloads = workloadCount == 1 ? "Its \(noun) has" : "Its \(noun)s have"
            return condition(
                .false,
                "NotPlanned",
                "\(workloads) no proxy until what is wrong with \(owner.kind.rawValue) or Mesh is mended."
            )
        }
        guard owner.kind == .virtualGateway else {
            return condition(
                .true,
                "No\(noun)",
                "It selects no \(noun), so that it has no proxy here; callers find it by its "
                    + "serviceDiscovery."
            )
        }
        return condition(
            .false,
            "No\(noun)",
            "It selects no \(noun), so that no proxy of it runs; add one that its podSelector matches."
        )
    }

    /// That no proxy is connected; of Pods, some may be so to another replica.
    private var disconnectedMessage: String {
        let place = members.contains { $0.plan.pod != nil } ? " to the replica that says so" : ""
        return members.count == 1
            ? "Its proxy is not connected\(place)."
            : "None of its \(members.count) proxies is connected\(place)."
    }

    private var elsewhereMessage: String {
        members.count == 1
            ? "Another replica serves its proxy, which refuses nothing."
            : "Another replica serves its proxies, which refuse nothing."
    }

    /// How many Pods are ready; nil without any.
    ///
    /// Nothing depends on it: App Mesh's objects were active before any Pod was there.
    var podSummary: String? {
        let pods = members.filter { $0.plan.pod != nil }
        guard !pods.isEmpty || !uninjected.isEmpty else { return nil }
        let ready = pods.count(where: \.isReady)
        let count = pods.count + uninjected.count
        let noun = count == 1 ? "Pod is" : "Pods are"
        let summary = "\(ready) of \(count) \(noun) ready"
        return uninjectedMessage.map { "\(summary), and \($0)" } ?? summary
    }

    /// Which Pods have no proxy of Heddle's, and what to do.
    private var uninjectedMessage: String? {
        let label = "appmesh.k8s.aws/sidecarInjectorWebhook=enabled"
        let messages = [
            uninjectedMessage(
                .absent,
                ("has no proxy, as not injected", "have no proxy, as not injected"),
                "let them be made anew in a namespace with the label \(label)"
            ),
            uninjectedMessage(
                .other,
                ("runs App Mesh's Envoy", "run App Mesh's Envoy"),
                "let them be made anew, as \"kubectl rollout restart\" does"
            ),
        ]
        let told = messages.compactMap(\.self)
        return told.isEmpty ? nil : told.joined(separator: "; ")
    }

    private func uninjectedMessage(
        _ proxy: PodProxy,
        _ verb: (one: String, several: String),
        _ remedy: String
    ) -> String? {
        let pods = uninjected.filter { $0.spec.pod?.proxy == proxy }
        guard let first = pods.first?.reference else { return nil }
        let who =
            pods.count == 1
            ? "Pod \(first) \(verb.one)" : "Pod \(first) and \(pods.count - 1) more \(verb.several)"
        return "\(who): \(remedy)"
    }

    // MARK: Fields

    /// How many proxies a status lists.
    static let listedLimit = 100

    /// `sidecars`, with those that are not ready before others if there are too many, and how many
    /// there are.
    var fields: [String: JSONValue] {
        guard !members.isEmpty else { return [:] }
        var listed = members[...]
        if members.count > Self.listedLimit {
            let urgent = members.filter { !$0.isReady } + members.filter(\.isReady)
            listed = urgent.prefix(Self.listedLimit).sorted { $0.plan.id < $1.plan.id }[...]
        }
        return [
            "sidecars": .array(listed.map(\.document)),
            "sidecarCount": .integer(members.count),
            "readySidecarCount": .integer(members.count(where: \.isReady)),
        ]
    }
}

extension OwnedProxies.Member {
    /// The types of resources of which the proxy has not acknowledged the newest.
    fileprivate var unanswered: [ResourceType] {
        ResourceType.allCases.filter {
            switch observation?.xds.sync[$0] ?? .notSent {
            case .notSent, .pending: true
            case .synced, .refused: false
            }
        }
    }

    /// An element of `sidecars`.
    fileprivate var document: JSONValue {
        let process = observation?.process
        var document: JSONValue = [
            "name": .string(plan.id.workload.name),
            "state": .string(isReady ? "Running" : readiness.reason),
            "address": plan.addresses.ingress.isEmpty ? .null : .string(plan.addresses.ingress),
            "restarts": .integer(process?.restarts ?? 0),
            "upgrades": .integer(process?.upgrades ?? 0),
        ]
        // What it asks for is in its Workload's manifest and status.
        if let usage = observation?.usage {
            document["resources"] = resourcesDocument(plan.resources, sizing, usage)
        }
        if let version = observation?.xds.acknowledgedVersion {
            document["version"] = .string(version)
        }
        if let version = process?.version { document["envoyVersion"] = .string(version) }
        return document
    }
}

/// What a proxy asks for, what it used, and what it should ask for.
///
/// The last two are absent until there is a history, as a forecast changes with every manifest.
///
/// - Parameters:
///   - requested: What its Workload asks for.
///   - sizing: The recommendation.
///   - usage: What it used; nil before enough is known.
///   - includesReasons: Whether the recommendation's reasons are told.
/// - Returns: The document.
func resourcesDocument(
    _ requested: SidecarResources,
    _ sizing: SizingRecommendation?,
    _ usage: UsageSummary?,
    includesReasons: Bool = false
) -> JSONValue {
    var document: JSONValue = ["requested": requested.document]
    guard let usage else { return document }
    document["observed"] = [
        "cpu": usage.cpuMillicores.cpuQuantities, "memory": usage.memoryBytes.memoryQuantities,
    ]
    guard let sizing, !sizing.isForecast else { return document }
    document["recommended"] = sizing.recommended.document
    document["verdict"] = .string(sizing.verdict.rawValue)
    if includesReasons { document["reasons"] = .array(sizing.reasons.map(JSONValue.string)) }
    return document
}
