internal import MeshModel

extension Resolution {
    /// Matches workloads with virtual nodes and virtual gateways by the rule of App Mesh's injector:
    /// just one of them selects a workload, by the labels, in its namespace.
    mutating func selectWorkloads(after previous: Designations) {
        let selectors = PodSelectors(of: world)
        for workload in world.workloads.values.sorted(by: { $0.reference < $1.reference }) {
            var selecting = selectors.owners(
                selecting: workload.metadata.labels,
                in: workload.metadata.namespace
            )
            if selecting.count > 1, let chosen = previous.owners[workload.reference],
                selecting.contains(chosen)
            {
                let others = selecting.filter { $0 != chosen }.map(\.description)
                report(
                    workload.diagnostic(
                        .warning,
                        "metadata.labels",
                        "\(others.joined(separator: ", ")) selects it too; it stays with \(chosen)",
                        remedy: "narrow the podSelector of all but one"
                    )
                )
                selecting = [chosen]
            }
            guard selecting.count == 1, let owner = selecting.first else {
                // Most Pods of a cluster belong to no mesh.
                if selecting.isEmpty, workload.isUninjected { continue }
                report(selectionFailure(of: workload, selecting))
                continue
            }
            guard let ports = listenerPorts(of: owner) else {
                report(
                    workload.diagnostic(
                        .error,
                        "metadata.labels",
                        "\(owner.words) selects it and is not in use",
                        remedy: "mend the \(owner.kind.rawValue)"
                    )
                )
                continue
            }
            checkPorts(of: workload, against: ports, of: owner)
            owners[workload.reference] = owner
            workloads[owner, default: []].append(workload)
        }
    }

    /// The virtual node of `workload`; nil when it has none, or a gateway.
    func node(of workload: ObjectReference) -> VirtualNode? {
        guard let owner = owners[workload], owner.kind == .virtualNode else { return nil }
        return world.virtualNodes[owner.reference]
    }

    /// The ports of the node or gateway `owner`; nil when it belongs to no mesh or does not have its
    /// name for itself.
    private func listenerPorts(of owner: ObjectID) -> [Port]? {
        if owner.kind == .virtualNode, let node = world.virtualNodes[owner.reference],
            mesh(of: owner) != nil, isIndexed(node, \.awsName)
        {
            return node.spec.listeners.map(\.portMapping.port)
        }
        if owner.kind == .virtualGateway, let gateway = world.virtualGateways[owner.reference],
            mesh(of: owner) != nil, isIndexed(gateway, \.awsName)
        {
            return gateway.spec.listeners.map(\.portMapping.port)
        }
        return nil
    }

    private mutating func checkPorts(
        of workload: Workload,
        against ports: [Port],
        of owner: ObjectID
    ) {
        for port in workload.spec.ports.keys.sorted() where !ports.contains(port) {
            report(
                workload.diagnostic(
                    .warning,
                    "spec.ports",
                    "\(owner.words) has no listener on port \(port)",
                    remedy: ports.isEmpty
                        ? "remove it"
                        : "map its listener ports: "
                            + ports.sorted().map(\.description).joined(separator: ", ")
                )
            )
        }
    }

    private func selectionFailure(of workload: Workload, _ selecting: [ObjectID]) -> Diagnostic {
        func failure(_ problem: String, _ remedy: String) -> Diagnostic {
            workload.diagnostic(.error, "metadata.labels", problem, remedy: remedy)
        }
        let nodes = selecting.filter { $0.kind == .virtualNode }
        let gateways = selecting.filter { $0.kind == .virtualGateway }
        if let node = nodes.first, let gateway = gateways.first {
            return failure(
                "both \(node.words) and \(gateway.words) select it",
                "please use podSelector on one"
            )
        }
        if let first = selecting.first {
            let names = selecting.map(\.name).joined(separator: ",")
            return failure(
                "found multiple matching \(first.kind.rawValue)s for "
                    + "\(workload.spec.pod == nil ? "workload" : "pod") "
                    + "\(workload.metadata.name): \(names)",
                "narrow the podSelector of all but one"
            )
        }
        let namespace = workload.metadata.namespace
        let suspects = invalid.filter {
            ($0.kind == .virtualNode || $0.kind == .virtualGateway) && $0.namespace == namespace
        }
        if let suspect = suspects.min() {
            return failure(
                "no VirtualNode selects it, and \(suspect.words) is invalid",
                "mend that, if it is the one"
            )
        }
        return failure(
            "no matching VirtualNode or VirtualGateway found in namespace \"\(namespace)\"",
            "give it the labels that a podSelector asks for"
        )
    }
}

extension ObjectID {
    /// `VirtualNode "demo/blue"`.
    fileprivate var words: String { "\(kind.rawValue) \"\(reference)\"" }
}
