internal import MeshModel
internal import MeshPlan

extension ProxyMemory {
    /// A short hash of what the proxy accepted, whatever the order; nil of nothing.
    ///
    /// Guarantee: equal versions give equal hashes in every process.
    var acceptedVersion: String? {
        var sum: UInt64 = 0
        var isEmpty = true
        for (index, type) in ResourceType.allCases.enumerated() {
            let factor = UInt64(2 * index + 1)
            for resource in accepted[type].values {
                isEmpty = false
                sum &+= hash(of: resource) &* factor
            }
        }
        guard !isEmpty else { return nil }
        let digits = String(sum >> 16, radix: 16)
        return String(repeating: "0", count: 12 - digits.count) + digits
    }

    /// What the proxy has in force, nil while it is on the way from one to another.
    var lastGood: Snapshot? {
        guard let acknowledgedVersion, acceptedVersion == acknowledgedVersion else { return nil }
        var snapshot = Snapshot()
        for type in ResourceType.allCases { snapshot[type] = accepted[type] }
        return snapshot
    }
}

/// The version is a hash itself, of bytes that hold the name; that of a secret is none.
private func hash(of resource: EncodedResource) -> UInt64 {
    if resource.type != .secrets, let hash = UInt64(resource.version, radix: 16) { return hash }
    let bytes = [resource.name.utf8, "\0".utf8, resource.version.utf8].joined()
    return bytes.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
}

extension DeltaSession {
    /// Notes what the proxy accepted, once it has answered all.
    mutating func noteAcknowledged() {
        guard hasUnnotedAnswers, isAnswered() else { return }
        hasUnnotedAnswers = false
        memory.acknowledgedVersion = memory.acceptedVersion
        memory.former = PerType([:])
    }

    /// Whether the proxy has all that it shall have, or refuses it.
    private mutating func isAnswered() -> Bool {
        guard let target, subscriptions[.clusters].isOpen, subscriptions[.listeners].isOpen else {
            return false
        }
        for type in ResourceType.allCases {
            guard subscriptions[type].claimed.isEmpty, sync(type) != .pending else { return false }
            // Envoy asks for routes and secrets after it answered of what needs them.
            guard memory.hasRefusals || memory.accepted[type] == target[type] else { return false }
        }
        return true
    }
}
