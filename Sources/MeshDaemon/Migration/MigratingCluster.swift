internal import MeshManifests
internal import MeshModel
internal import MeshPlan

/// A cluster as Heddle would see it, while checks look at it.
struct MigratingCluster {
    /// What was read.
    let cluster: ClusterDocuments
    /// The Pods by who made them.
    private(set) var groups: [PodGroup]
    /// What stands in each object of a mesh that has a name.
    private(set) var documents: [ObjectID: JSONValue] = [:]
    /// The objects without mistakes, and a Workload for each node and gateway that has Pods.
    private(set) var world = World()
    /// The nodes and gateways that select each group's Pods.
    private(set) var owners: [MigrationObject: [ObjectID]] = [:]
    /// The nodes and gateways that select Pods.
    private(set) var selecting: Set<ObjectID> = []
    /// What Heddle would make of it.
    private(set) var plan = Plan()
    /// What was found.
    private(set) var findings: [MigrationFinding] = []

    /// Reads `cluster`; `options` are those with which Heddle is to run.
    init(_ cluster: ClusterDocuments, options: PlanOptions) {
        self.cluster = cluster
        groups = podGroups(of: cluster)
        for document in cluster.documents where isMeshDocument(document) { add(document) }
        assumeDesignations()
        setInjectionModes()
        selectPods()
        plan = MeshPlan.plan(world, nowSeconds: 0, options: options)
    }

    mutating func report(_ finding: MigrationFinding) { findings.append(finding) }

    private mutating func add(_ document: JSONValue) {
        let decoded = decodeObject(document)
        world.diagnostics += decoded.diagnostics
        if let kind = document["kind"]?.string.flatMap(Kind.init(rawValue:)), !document.name.isEmpty
        {
            let namespace = document.namespace.isEmpty ? "default" : document.namespace
            let reference = ObjectReference(
                namespace: kind.isNamespaced ? namespace : "",
                name: document.name
            )
            documents[ObjectID(kind, reference)] = document
        }
        if let object = decoded.object { world.insert(object) }
    }

    // MARK: Mesh and gateway of objects

    /// Whether Namespaces are known, without whose labels no selector can be asked.
    var knowsNamespaces: Bool { cluster.isComplete(Kind.namespace.plural) }

    /// Where Namespaces or Meshes could not be read, lets those objects be a mesh's, or a gateway's, that
    /// say so themselves; and where just one is there, all of them.
    private mutating func assumeDesignations() {
        guard !knowsNamespaces || !isKnown(.mesh) else { return }
        var members: [String: Set<String>] = [:]
        var routes: [ObjectReference: Set<String>] = [:]
        for (id, document) in documents where id.kind.isNamespaced {
            let mesh = document.value(at: "spec.meshRef.name")?.string ?? onlyMesh
            if let mesh { members[mesh, default: []].insert(id.namespace) }
            guard id.kind == .gatewayRoute else { continue }
            let name = document.value(at: "spec.virtualGatewayRef.name")?.string
            let namespace = document.value(at: "spec.virtualGatewayRef.namespace")?.string
            let gateway = name.map {
                ObjectReference(namespace: namespace ?? id.namespace, name: $0)
            }
            if let gateway = gateway ?? onlyGateway {
                routes[gateway, default: []].insert(id.namespace)
            }
        }
        for (name, namespaces) in members {
            let reference = ObjectReference(name: name)
            if world.meshes[reference] == nil, !isKnown(.mesh) {
                let spec = MeshSpec(awsName: name)
                world.insert(.mesh(Mesh(metadata: Metadata(name: name), spec: spec)))
            }
            let selector = selector(of: namespaces)
            world.meshes[reference]?.spec.namespaceSelector = selector
        }
        for (gateway, namespaces) in routes {
            let selector = selector(of: namespaces)
            world.virtualGateways[gateway]?.spec.namespaceSelector = selector
        }
    }

    private var onlyMesh: String? {
        world.meshes.count == 1 ? world.meshes.keys.first?.name : nil
    }

    private var onlyGateway: ObjectReference? {
        world.virtualGateways.count == 1 ? world.virtualGateways.keys.first : nil
    }

    private func selector(of namespaces: Set<String>) -> LabelSelector {
        LabelSelector(matchExpressions: [
            LabelSelector.Requirement(
                key: "kubernetes.io/metadata.name",
                operator: .in,
                values: namespaces.sorted()
            )
        ])
    }

    /// Whether every object of `kind` is here.
    func isKnown(_ kind: Kind) -> Bool {
        let name = kind.group.isEmpty ? kind.plural : "\(kind.plural).\(kind.group)"
        return cluster.isComplete(name)
    }

    // MARK: Pods

    private mutating func setInjectionModes() {
        let modes = Dictionary(
            uniqueKeysWithValues: world.namespaces.values.map { namespace in
                (namespace.metadata.name, namespace.metadata.labels[injectionKey])
            }
        )
        for group in groups.indices {
            for pod in groups[group].pods.indices {
                let own = groups[group].pods[pod].annotations[injectionKey]
                let mode = own ?? modes[groups[group].pods[pod].namespace] ?? nil
                groups[group].pods[pod].injectionMode = mode?.lowercased()
            }
        }
    }

    /// Finds whose Pods there are, and lets one Workload stand for all Pods of each node and gateway.
    private mutating func selectPods() {
        let selectors = PodSelectors(of: world)
        for group in groups {
            guard let pod = group.pods.first else { continue }
            let namespace = pod.namespace
            let found = selectors.owners(selecting: pod.labels, in: namespace)
            owners[group.controller] = found
            guard found.count == 1, let owner = found.first, !pod.usesHostNetwork,
                selecting.insert(owner).inserted
            else { continue }
            let metadata = Metadata(
                name: group.controller.name,
                namespace: namespace,
                labels: pod.labels
            )
            let spec = WorkloadSpec(pod: PodPlacement(uid: "", address: "192.0.2.1"))
            world.insert(.workload(Workload(metadata: metadata, spec: spec)))
        }
    }

    /// The one node or gateway that selects the Pods of `group`; nil when there is none, or several.
    func owner(of group: PodGroup) -> ObjectID? {
        let found = owners[group.controller] ?? []
        return found.count == 1 ? found.first : nil
    }

    /// The mesh of `id`.
    func mesh(of id: ObjectID) -> Mesh? {
        plan.mesh(of: id).flatMap { world.meshes[$0] }
    }
}

/// The label of Namespaces, and the annotation of Pods, by which the injector goes.
let injectionKey = "appmesh.k8s.aws/sidecarInjectorWebhook"

/// Whether `document` is an object of App Mesh or of Heddle, or a Namespace.
private func isMeshDocument(_ document: JSONValue) -> Bool {
    let kind = document["kind"]?.string
    switch document.group {
    case Kind.mesh.group: return true
    case Kind.trafficPolicy.group: return kind != Kind.workload.rawValue
    case "": return kind == Kind.namespace.rawValue
    default: return false
    }
}

extension MigrationObject {
    /// The object of a mesh `id`.
    init(_ id: ObjectID) {
        self.init(kind: id.kind.rawValue, namespace: id.namespace, name: id.name)
    }
}
