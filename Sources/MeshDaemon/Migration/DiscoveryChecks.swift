internal import MeshModel
internal import MeshPlan

extension MigratingCluster {
    /// How callers find nodes, and what proxies may reach beside them.
    mutating func checkDiscovery() {
        for node in world.virtualNodes.values.sorted(by: { $0.reference < $1.reference }) {
            switch node.spec.serviceDiscovery {
            case .awsCloudMap(let namespaceName, let serviceName, _, _):
                checkCloudMap(node, "\(serviceName).\(namespaceName)")
            case .dns(let hostname, let responseType, _):
                checkDNS(node, hostname, isBalanced: responseType == .loadBalancer)
            case nil: break
            }
        }
        for mesh in world.meshes.values.sorted(by: { $0.reference < $1.reference }) {
            checkEgress(of: mesh)
            checkOwner(of: mesh)
        }
        checkNamesInCloudMap()
        checkReferences()
    }

    /// Whether it is known which Pods there are.
    private var knowsPods: Bool { cluster.isComplete("pods") || !groups.isEmpty }

    private mutating func checkCloudMap(_ node: VirtualNode, _ service: String) {
        let field = "spec.serviceDiscovery.awsCloudMap"
        let object = MigrationObject(node.id)
        let available = plan.statuses[node.id]?.conditions.first { $0.type == "EndpointsAvailable" }
        let hasPods = available?.status == .true
        if hasPods || selecting.contains(node.id) || node.spec.listeners.isEmpty {
            return report(
                MigrationFinding(
                    .changes,
                    .cloudMapPods,
                    object,
                    field: field,
                    value: service,
                    "its Pods are its endpoints, over EDS; nobody registers them in Cloud Map any more, "
                        + "nor takes out those that are registered",
                    remedy:
                        "where anything looks that name up, an application in the mesh too, give the "
                        + "name another way first; then delete the service in Cloud Map"
                )
            )
        }
        if node.spec.podSelector != nil || !knowsPods {
            return report(
                MigrationFinding(
                    .changes,
                    .cloudMapPods,
                    object,
                    field: field,
                    value: service,
                    knowsPods
                        ? "its podSelector selects no Pod at present; it has no endpoint until it does, as "
                            + "Heddle does not ask Cloud Map"
                        : "whether Pods answer for it is not known here; Heddle does not ask Cloud Map"
                )
            )
        }
        report(
            MigrationFinding(
                .blocks,
                .cloudMapExternal,
                object,
                field: field,
                value: service,
                "what is registered in Cloud Map from elsewhere is not found: no Pod answers for it, and "
                    + "Heddle does not ask Cloud Map",
                remedy:
                    "when Heddle runs and App Mesh's webhooks are gone, and before Pods are restarted: "
                    + "kubectl -n NAMESPACE patch virtualnode/NAME --type merge -p "
                    + "'{\"spec\":{\"serviceDiscovery\":{\"awsCloudMap\":null,\"dns\":"
                    + "{\"hostname\":\"HOST\"}}}}', where HOST is a name that DNS has, such as that of "
                    + "a private DNS namespace; App Mesh's webhook refuses it"
            )
        )
    }

    /// Names of services that stand in a zone of Cloud Map: applications look them up before any proxy
    /// sees a request.
    private mutating func checkNamesInCloudMap() {
        let zones = world.virtualNodes.values.compactMap { node -> String? in
            guard case .awsCloudMap(let zone, _, _, _) = node.spec.serviceDiscovery else {
                return nil
            }
            return ".\(zone)"
        }
        for service in world.virtualServices.values.sorted(by: { $0.reference < $1.reference })
        where zones.contains(where: { service.spec.awsName.hasSuffix($0) }) {
            report(
                MigrationFinding(
                    .changes,
                    .cloudMapName,
                    MigrationObject(service.id),
                    field: "spec.awsName",
                    value: service.spec.awsName,
                    "applications look this name up in a zone that Cloud Map fills: once its service there "
                        + "is deleted they find no address, before any proxy sees a request; until then the "
                        + "addresses get old, which matters past the mesh alone",
                    remedy:
                        "before you delete it there, let the name have any address: by CoreDNS (rewrite "
                        + "name \(service.spec.awsName) SERVICE.NAMESPACE.svc.cluster.local), or by a "
                        + "record in a private zone"
                )
            )
        }
    }

    private mutating func checkDNS(_ node: VirtualNode, _ hostname: String, isBalanced: Bool) {
        let object = MigrationObject(node.id)
        guard selecting.contains(node.id) else {
            if !node.spec.listeners.isEmpty, node.spec.podSelector != nil, knowsPods {
                report(
                    MigrationFinding(
                        .works,
                        .endpointsFromPods,
                        object,
                        field: "spec.podSelector",
                        "it selects no Pod at present, so that callers look up its DNS name"
                    )
                )
            }
            return
        }
        guard !node.spec.listeners.isEmpty else { return }
        report(
            MigrationFinding(
                .changes,
                .endpointsFromPods,
                object,
                field: "spec.serviceDiscovery.dns.hostname",
                value: hostname,
                "callers reach its Pods themselves, over EDS, and its name is not looked up any more",
                remedy:
                    "where other things than its Pods answer to that name, take away its podSelector"
            )
        )
        for (index, listener) in node.spec.listeners.enumerated()
        where isBalanced && listener.outlierDetection != nil {
            report(
                MigrationFinding(
                    .changes,
                    .outlierDetection,
                    object,
                    field: "spec.listeners[\(index)].outlierDetection",
                    "it begins to act: callers see each Pod, where they saw one endpoint behind a name"
                )
            )
        }
    }

    private mutating func checkEgress(of mesh: Mesh) {
        let isOpen = mesh.spec.egressFilter == .allowAll
        report(
            MigrationFinding(
                .works,
                .egressFilter,
                MigrationObject(mesh.id),
                field: "spec.egressFilter.type",
                value: mesh.spec.egressFilter.rawValue,
                isOpen
                    ? "proxies let everything pass that is no backend"
                    : "proxies let nothing pass beside backends and "
                        + mesh.spec.alwaysAllowed.map { "\($0.host):\($0.port)" }
                        .joined(separator: ", ")
            )
        )
    }

    private mutating func checkOwner(of mesh: Mesh) {
        guard let owner = mesh.spec.meshOwner else { return }
        report(
            MigrationFinding(
                .changes,
                .meshOwner,
                MigrationObject(mesh.id),
                field: "spec.meshOwner",
                value: owner,
                "it is part of node ids and nothing else: no account shares a mesh with another, and the "
                    + "mesh has the objects of this cluster alone",
                remedy: "apply here what the other account's clusters have to call, with "
                    + "serviceDiscovery.dns of where it answers"
            )
        )
    }

    /// References by ARN that lead somewhere, of which account and mesh do not count.
    private mutating func checkReferences() {
        let broken = Set(
            findings.filter { $0.check == .reference }.map {
                "\($0.object?.description ?? "")\($0.field)"
            }
        )
        for (id, document) in sortedDocuments where id.kind.group == Kind.mesh.group {
            for (field, arn) in texts(in: document["spec"] ?? .null, at: "spec")
            where field.hasSuffix("ARN") && arn.contains(":appmesh:") {
                let object = MigrationObject(id)
                guard !broken.contains("\(object)\(field)") else { continue }
                report(
                    MigrationFinding(
                        .works,
                        .reference,
                        object,
                        field: field,
                        value: arn,
                        "the name in which the ARN ends counts, of this mesh; its region, account and mesh "
                            + "do not"
                    )
                )
            }
        }
    }
}

/// Every text in `value`, with its path.
func texts(in value: JSONValue, at path: String) -> [(path: String, text: String)] {
    switch value {
    case .string(let text): [(path, text)]
    case .array(let values):
        values.enumerated().flatMap { texts(in: $1, at: "\(path)[\($0)]") }
    case .object(let members):
        members.sorted { $0.key < $1.key }.flatMap { texts(in: $1, at: "\(path).\($0)") }
    case .null, .bool, .integer, .number: []
    }
}
