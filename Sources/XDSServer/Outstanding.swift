internal import MeshModel
internal import MeshPlan

extension DeltaSession {
    /// What a type still has to be told.
    struct Outstanding {
        var send: [EncodedResource] = []
        /// Resources that the proxy has and shall not have.
        var remove: [String] = []
        /// Resources that the proxy asked for and that do not exist.
        var absent: [String] = []

        var isEmpty: Bool { send.isEmpty && remove.isEmpty && absent.isEmpty }
    }

    mutating func outstanding(_ type: ResourceType) -> Outstanding {
        var result = Outstanding()
        guard !subscriptions[type].unchecked.isEmpty else { return result }
        let subscription = subscriptions[type]
        var checked: [String] = []
        for name in subscription.unchecked {
            let has = subscription.has(name)
            let isDemanded = subscription.demanded.contains(name)
            switch subscription.wants(name) ? desired(type, name) : .keep {
            case .have(let resource) where isDemanded || subscription.held[name] != resource:
                result.send.append(resource)
            case .nothing where isDemanded && type == .endpoints,
                .keep where isDemanded && type == .endpoints:
                // Envoy keeps the hosts that a cluster has, and a cluster that warms goes on.
                result.absent.append(name)
            case .nothing where has || mayLinger(type, name): result.remove.append(name)
            case .keep where comesLater(type, name): checked.append(name)
            case .nothing where isDemanded, .keep where isDemanded && !has:
                result.absent.append(name)
            case .have, .keep, .nothing: checked.append(name)
            }
        }
        subscriptions[type].unchecked.subtract(checked)
        return result
    }

    /// Whether the proxy may have `name` without telling.
    ///
    /// On a new stream Envoy does not name what it took from a response of which it refused another
    /// part. To remove too much does no harm.
    private func mayLinger(_ type: ResourceType, _ name: String) -> Bool {
        switch type {
        case .clusters, .listeners:
            memory.accepted[type][name] != nil || memory.unanswered[type].contains(name)
        case .endpoints, .routes, .secrets: false
        }
    }
}
