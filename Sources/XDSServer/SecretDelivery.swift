internal import EnvoyAPI
internal import MeshModel
internal import MeshPlan

/// The secrets that a stream asked for and that its proxy's plan does not name.
struct SecretAudit: Sendable {
    private var names: Set<String> = []
    private var news: [String] = []

    /// More names than an Envoy would ask for by mistake; so a client can't fill the log.
    static let limit = 100

    /// Notes `name`, once.
    mutating func note(_ name: String) {
        guard names.count < SecretAudit.limit, names.insert(name).inserted else { return }
        news.append(name)
    }

    /// The names that were noted since the last call.
    mutating func takeNews() -> [String] {
        defer { news = [] }
        return news
    }
}

extension DeltaSession {
    /// Whether `name` is a secret that the proxy's plan names and that is not there yet.
    func comesLater(_ type: ResourceType, _ name: String) -> Bool {
        type == .secrets && plannedSecrets.contains(name) && target?[.secrets][name] == nil
    }

    /// Whether the proxy waits for a secret that is not there yet.
    var lacksSecrets: Bool {
        let secrets = subscriptions[.secrets]
        return secrets.isOpen
            && plannedSecrets.contains { name in
                secrets.wants(name) && comesLater(.secrets, name) && !secrets.has(name)
            }
    }

    /// Whether `resource` was sent and not answered yet.
    func isInFlight(_ resource: EncodedResource) -> Bool {
        subscriptions[resource.type].inFlight?.resources.contains(resource) == true
    }

    /// The one of `secrets` to send first.
    ///
    /// Envoy does not look again at a secret that it refused among others, and accepts it: so which
    /// one it refused shows only when each is sent by itself. It refuses the one with which it has all
    /// that a certificate's users need: so certificates come last.
    func firstSecret(_ secrets: [EncodedResource]) -> [EncodedResource] {
        let trust = secrets.filter { !certificates.contains($0.name) }
        let candidates = trust.isEmpty ? secrets : trust
        return candidates.min { $0.name < $1.name }.map { [$0] } ?? []
    }

    /// Takes note of the secrets that a request adds and drops.
    mutating func secretsRequested(_ request: Envoy_Service_Discovery_V3_DeltaDiscoveryRequest) {
        if target != nil { auditSecrets(request.resourceNamesSubscribe) }
        for name in request.resourceNamesUnsubscribe {
            memory.accepted[.secrets][name] = nil
            memory.refused[.secrets][name] = nil
        }
    }

    /// Notes which of `names` the proxy's plan does not name.
    ///
    /// One that it named before is no attempt: the proxy still drains what uses it.
    mutating func auditSecrets(_ names: some Sequence<String>) {
        for name in names
        where name != "*" && !plannedSecrets.contains(name)
            && memory.accepted[.secrets][name] == nil
        { secretAudit.note(name) }
    }

    /// Keeps no secret that is not needed once the stream has ended.
    mutating func forgetSecretsOfStream() {
        subscriptions[.secrets] = Subscription()
        memory.forgetOldSecrets(notIn: target?[.secrets] ?? [:])
    }

    /// Keeps no secret.
    mutating func forgetAllSecrets() {
        subscriptions[.secrets] = Subscription()
        memory.accepted[.secrets] = [:]
        memory.former[.secrets] = [:]
        memory.refused[.secrets] = [:]
    }

    /// Notes the listeners that the proxy uses by now.
    ///
    /// Those that it says it has, and of which nothing is known here, it uses: a control plane that was
    /// just started learns so what the one before knew.
    mutating func noteTakenListeners() {
        let accepted = memory.accepted[.listeners]
        let claimed = subscriptions[.listeners].claimed
        for (name, version) in claimed
        where memory.takenListeners[name] == nil && accepted[name] == nil {
            memory.takenListeners[name] = version
        }
        for (name, listener) in accepted where memory.takenListeners[name] != listener.version {
            let needed = listener.secretNames
            guard needed.allSatisfy({ memory.accepted[.secrets][$0] != nil }) else { continue }
            memory.takenListeners[name] = listener.version
        }
        for name in memory.takenListeners.keys
        where accepted[name] == nil && claimed[name] == nil {
            memory.takenListeners[name] = nil
        }
    }
}
