/// Which virtual nodes and virtual gateways select a Pod: those of its namespace whose `podSelector` matches
/// its labels, by the rule of App Mesh's injector.
///
/// Selectors are found by a label that they ask for, as looking through all of them for each of thousands of
/// Pods takes seconds.
public struct PodSelectors: Sendable {
    /// A label in a namespace.
    private struct Label: Hashable {
        var namespace: String
        var key: String
        var value: String
    }

    private typealias Entry = (owner: ObjectID, selector: LabelSelector)
    private var entries: [Label: [Entry]] = [:]
    /// Those that ask for no certain label, by namespace.
    private var others: [String: [Entry]] = [:]

    /// Takes the selectors of `world`, or of one namespace of it.
    public init(of world: World, in namespace: String? = nil) {
        func entry<Spec: ObjectSpec>(_ object: Object<Spec>, _ selector: LabelSelector?) -> Entry? {
            guard namespace == nil || namespace == object.metadata.namespace else { return nil }
            return selector.map { (object.id, $0) }
        }
        let all =
            world.virtualNodes.values.compactMap { entry($0, $0.spec.podSelector) }
            + world.virtualGateways.values.compactMap { entry($0, $0.spec.podSelector) }
        var uses: [Label: Int] = [:]
        for entry in all {
            for label in Self.labels(of: entry) { uses[label, default: 0] += 1 }
        }
        for entry in all {
            // Some labels are those of many.
            let rarest = Self.labels(of: entry).min { uses[$0, default: 0] < uses[$1, default: 0] }
            if let rarest {
                entries[rarest, default: []].append(entry)
            } else {
                others[entry.owner.namespace, default: []].append(entry)
            }
        }
    }

    private static func labels(of entry: Entry) -> [Label] {
        entry.selector.matchLabels.map {
            Label(namespace: entry.owner.namespace, key: $0.key, value: $0.value)
        }
    }

    /// The nodes and gateways that select a Pod with `labels` in `namespace`, sorted: none, the one that it
    /// belongs to, or several, which is a mistake.
    public func owners(selecting labels: [String: String], in namespace: String) -> [ObjectID] {
        var candidates = others[namespace] ?? []
        for (key, value) in labels {
            candidates += entries[Label(namespace: namespace, key: key, value: value)] ?? []
        }
        return candidates.filter { $0.selector.matches(labels) }.map(\.owner).sorted()
    }
}
