internal import MeshModel

/// The finalizers of App Mesh's controller.
private let finalizerPrefix = "finalizers.appmesh.k8s.aws/"

extension MigratingCluster {
    /// What App Mesh's controller left in objects.
    mutating func checkLegacies() {
        for (id, document) in sortedDocuments where id.kind.group == Kind.mesh.group {
            let metadata = document["metadata"]
            let finalizers = (metadata?["finalizers"]?.array ?? []).compactMap(\.string)
            checkFinalizers(finalizers, of: id)
            if let time = metadata?["deletionTimestamp"]?.string {
                checkDeletion(at: time, finalizers, of: id)
            }
            checkStatus(document, of: id)
        }
    }

    private mutating func checkFinalizers(_ finalizers: [String], of id: ObjectID) {
        let own = finalizers.filter { $0.hasPrefix(finalizerPrefix) }
        guard !own.isEmpty else { return }
        report(
            MigrationFinding(
                .works,
                .finalizers,
                MigrationObject(id),
                field: "metadata.finalizers",
                value: own.map { String($0.dropFirst(finalizerPrefix.count)) }.joined(
                    separator: ", "
                ),
                "Heddle takes away App Mesh's finalizers, as nobody else would; what stands for the object "
                    + "in AWS stays there",
                remedy:
                    "when nothing needs it any more, delete the mesh in the AWS account, and the "
                    + "services in Cloud Map"
            )
        )
    }

    private mutating func checkDeletion(
        at time: String,
        _ finalizers: [String],
        of id: ObjectID
    ) {
        let referring = objectsReferring(to: id)
        if !referring.isEmpty {
            let others = referring.count > 3 ? " and \(referring.count - 3) more" : ""
            return report(
                MigrationFinding(
                    .blocks,
                    .terminating,
                    MigrationObject(id),
                    field: "metadata.deletionTimestamp",
                    value: referring.prefix(3).map(\.description).joined(separator: ", ") + others,
                    "it is to be deleted and goes once Heddle has taken away the finalizers, and what is "
                        + "not refers to it",
                    remedy:
                        "describe it under another name, and let what refers to it refer to that; or take "
                        + "the references away"
                )
            )
        }
        let members = membersOf(id)
        let guards = ["\(finalizerPrefix)mesh-members", "\(finalizerPrefix)virtualgateway-members"]
        let isGuarded = finalizers.contains(where: guards.contains)
        let others = finalizers.filter { !$0.hasPrefix(finalizerPrefix) }
        let field = "metadata.deletionTimestamp"
        if members > 0, !isGuarded, others.isEmpty {
            return report(
                MigrationFinding(
                    .blocks,
                    .terminating,
                    MigrationObject(id),
                    field: field,
                    value: time,
                    "it is to be deleted, and nothing keeps it for its members once Heddle has taken away "
                        + "the other finalizers of App Mesh",
                    remedy:
                        "save the manifest, and apply it anew when it is gone: what has no more finalizers "
                        + "can't be kept"
                )
            )
        }
        let consequence =
            if members > 0 {
                "it is to be deleted once its last member is, and until then goes on and takes no new ones"
            } else if others.isEmpty {
                "it is to be deleted, and is gone once Heddle has taken away the finalizers"
            } else {
                "it is to be deleted, and stays until others take away "
                    + others.joined(separator: ", ")
            }
        report(
            MigrationFinding(
                .changes,
                .terminating,
                MigrationObject(id),
                field: field,
                value: time,
                consequence,
                remedy: "if you still need it, keep its manifest and apply it anew when it is gone"
            )
        )
    }

    /// The objects that are to stay and refer to `id`, and the Pods that it selects.
    private func objectsReferring(to id: ObjectID) -> [MigrationObject] {
        let key: String
        switch id.kind {
        case .virtualNode: key = "virtualNodeRef"
        case .virtualService: key = "virtualServiceRef"
        case .virtualRouter: key = "virtualRouterRef"
        case .mesh, .virtualGateway, .gatewayRoute, .backendGroup, .trafficPolicy, .workload,
            .namespace, .certificateMapping:
            return []
        }
        var found = Set(groups.filter { owners[$0.controller] == [id] }.map(\.controller))
        for (other, document) in documents
        where other != id && document["metadata"]?["deletionTimestamp"]?.string == nil {
            for (path, name) in texts(in: document["spec"] ?? .null, at: "spec")
            where name == id.name && path.hasSuffix(".\(key).name") {
                let namespace = document.value(at: "\(path.dropLast(5)).namespace")?.string
                if namespace ?? other.namespace == id.namespace {
                    found.insert(MigrationObject(other))
                }
            }
        }
        return found.sorted()
    }

    /// How many objects belong to the mesh or gateway `id`.
    private func membersOf(_ id: ObjectID) -> Int {
        documents.count { member, document in
            switch id.kind {
            case .mesh:
                let given = document.value(at: "spec.meshRef.name")?.string
                return member.kind.group == Kind.mesh.group && member.kind.isNamespaced
                    && member.kind != .backendGroup
                    && (given ?? mesh(of: member)?.metadata.name) == id.name
            case .virtualGateway:
                let name = document.value(at: "spec.virtualGatewayRef.name")?.string
                let namespace = document.value(at: "spec.virtualGatewayRef.namespace")?.string
                return member.kind == .gatewayRoute && name == id.name
                    && (namespace ?? member.namespace) == id.namespace
            default: return false
            }
        }
    }

    /// Says of a Mesh what becomes of the ARNs of all its members.
    private mutating func checkStatus(_ document: JSONValue, of id: ObjectID) {
        guard id.kind == .mesh, let arn = document.value(at: "status.meshARN")?.string,
            !arn.hasPrefix("arn:aws:appmesh:local:")
        else { return }
        report(
            MigrationFinding(
                .changes,
                .status,
                MigrationObject(id),
                field: "status.meshARN",
                value: arn,
                "its ARN and those of its members become ones of region \"local\" and account 000000000000, "
                    + "which name nothing in AWS",
                remedy: "nothing, unless a script or an IAM policy goes by ARNs"
            )
        )
    }
}
