import MeshModel
import MeshPlan

/// A proxy as the API shows it.
struct ProxyDocument: Hashable {
    /// The API object.
    var document: JSONValue

    /// Namespace and name.
    var reference: ObjectReference {
        ObjectReference(
            namespace: document["metadata"]?["namespace"]?.string ?? "",
            name: document["metadata"]?["name"]?.string ?? ""
        )
    }

    /// The name of the virtual node or virtual gateway.
    var owner: String { document["spec"]?["owner"]?["name"]?.string ?? "" }

    /// What its Workload asks for it.
    var resources: SidecarResources {
        ResourceQuantity.resources(document["spec"]?["resources"]) ?? SidecarResources()
    }

    /// `status`.
    var status: JSONValue { document["status"] ?? [:] }

    /// How it is, in one word.
    var state: String { status["state"]?.string ?? "Pending" }

    /// Whether an upgrade would start another Envoy, or start it differently.
    var isOutdated: Bool { status["outdated"] == true }

    /// How to take its state.
    var verdict: ProxyState.Verdict {
        guard status["ready"] != true else { return .good }
        return transientWorkloadReasons.contains(state) ? .changing : .bad
    }

    /// The colour of its state.
    var colour: Colour {
        switch verdict {
        case .good: .green
        case .changing: .yellow
        case .bad: .red
        }
    }
}

/// Which proxies a command is about.
struct ProxySelection: Hashable {
    /// `NAMESPACE/NAME`, or names alone; empty is all.
    var names: [String]
    /// `-n`; nil is all namespaces.
    var namespace: String?

    /// The proxies, by namespace and name, and the version of the list that they are from.
    func proxies(
        _ client: LocalAPIClient
    ) async throws -> (proxies: [ProxyDocument], list: JSONValue) {
        var list = try await client.document(Proxies.path(namespace: namespace))
        let all = (list["items"]?.array ?? []).map(ProxyDocument.init(document:))
        let selected = try select(all)
        list["items"] = .array(selected.map(\.document))
        return (selected, list)
    }

    /// Those of `all` that are named, each once, in the order of `all`.
    private func select(_ all: [ProxyDocument]) throws(ClientFailure) -> [ProxyDocument] {
        guard !names.isEmpty else { return all }
        var selected: Set<ObjectReference> = []
        for name in names {
            let found = all.map(\.reference).filter { $0.description == name || $0.name == name }
            if found.count > 1 {
                let places = found.map(\.description).joined(separator: ", ")
                throw ClientFailure(
                    .usage,
                    "\"\(name)\" names several proxies: \(places); write one of them"
                )
            }
            guard let reference = found.first else { throw notFound(name, all) }
            selected.insert(reference)
        }
        return all.filter { selected.contains($0.reference) }
    }

    private func notFound(_ name: String, _ all: [ProxyDocument]) -> ClientFailure {
        let place = namespace.map { " in namespace \($0)" } ?? ""
        let known = all.map(\.reference)
        let near =
            nearestName(to: name, among: known.map(\.name))
            ?? nearestName(to: name, among: known.map(\.description))
        let hint = near.map { "did you mean \"\($0)\"?" } ?? "see \"heddle proxies\""
        return ClientFailure(.badNews, "no proxy \"\(name)\"\(place); \(hint)")
    }
}
