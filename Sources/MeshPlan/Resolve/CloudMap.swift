internal import MeshModel

/// A Cloud Map service, as virtual nodes name it.
private struct CloudMapService: Hashable {
    var mesh: ObjectReference
    var namespaceName: String
    var serviceName: String
}

extension Resolution {
    /// The workloads that answer for each virtual node: those that its `podSelector` selects.
    ///
    /// A node with Cloud Map discovery that selects none finds, as Cloud Map would, the workloads
    /// of the nodes that register in its Cloud Map service. An instance carries the attributes of
    /// the node that registers it and the labels of its workload, and must carry all the attributes
    /// that the finding node names.
    func instancesOfNodes() -> [ObjectReference: [Workload]] {
        var instances: [ObjectReference: [Workload]] = [:]
        var registered: [CloudMapService: [(workload: Workload, attributes: [String: String])]] =
            [:]
        for (owner, workloads) in workloads where owner.kind == .virtualNode {
            instances[owner.reference] = workloads
            guard let node = world.virtualNodes[owner.reference],
                let (service, attributes) = cloudMap(of: node)
            else { continue }
            registered[service, default: []] += workloads.map { workload in
                (
                    workload,
                    workload.metadata.labels.merging(attributes) { _, registered in registered }
                )
            }
        }
        for node in world.virtualNodes.values where instances[node.reference] == nil {
            guard let (service, attributes) = cloudMap(of: node) else { continue }
            let found = (registered[service] ?? []).filter { instance in
                attributes.allSatisfy { instance.attributes[$0.key] == $0.value }
            }
            guard !found.isEmpty else { continue }
            instances[node.reference] = found.map(\.workload).sorted {
                $0.reference < $1.reference
            }
        }
        return instances
    }

    private func cloudMap(
        of node: VirtualNode
    ) -> (service: CloudMapService, attributes: [String: String])? {
        guard let mesh = mesh(of: node.id),
            case .awsCloudMap(let namespaceName, let serviceName, let attributes, _) =
                node.spec.serviceDiscovery
        else { return nil }
        let service = CloudMapService(
            mesh: mesh.reference,
            namespaceName: namespaceName,
            serviceName: serviceName
        )
        return (service, attributes)
    }
}
