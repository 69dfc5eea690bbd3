internal import KubernetesAPI
internal import MeshModel

/// What the API server has of an object beside what a mesh reads in it.
struct LiveObject: Hashable, Sendable {
    /// Differs between an object and its re-creation under the same name.
    var uid: String
    /// Differs with each change.
    var resourceVersion: String
    /// Grows by one with each change of `spec`.
    var generation: Int
    /// Who has to let go of it before it is deleted.
    var finalizers: [String]
    /// Whether its deletion was asked for.
    var isBeingDeleted: Bool
    /// `status`.
    var status: JSONValue
    /// The mistakes of an object that no world has, as it never was without.
    var mistakes: [Diagnostic] = []

    fileprivate init(_ document: MeshDocument) {
        uid = document.metadata.uid ?? ""
        resourceVersion = document.metadata.resourceVersion ?? ""
        generation = document.metadata.generation ?? 1
        finalizers = document.metadata.finalizers ?? []
        isBeingDeleted = document.metadata.deletionTimestamp != nil
        status = document.status
    }
}

/// The world that a cluster's objects describe.
///
/// A mistake takes nothing away: while an object has one, its last good version stays in force. An
/// object that is being deleted stays until it is gone.
///
/// Pods are Workloads in namespaces with a VirtualNode or VirtualGateway, as only these select Pods, and
/// only Pods of their own namespace.
struct ClusterWorld: Sendable {
    /// What differs after an event.
    struct Change: Sendable {
        /// Whether the world does.
        var world = false
        /// Whether `processes` does.
        var processes = false
        /// The objects whose `live` does.
        var objects: Set<ObjectID> = []

        mutating func formUnion(_ other: Change) {
            world = world || other.world
            processes = processes || other.processes
            objects.formUnion(other.objects)
        }
    }

    /// The objects in force, without diagnostics.
    private(set) var world = World()
    /// What is known of the Pods among them.
    private(set) var processes: [ProxyID: ProcessObservation] = [:]
    /// The objects that the API server has.
    private(set) var live: [ObjectID: LiveObject] = [:]
    private var problems: [ObjectID: [Diagnostic]] = [:]
    /// By namespace and name, those of other namespaces too.
    private var pods: [String: [String: Pod]] = [:]
    /// The zones of Kubernetes nodes.
    private var zones: [String: String] = [:]
    /// The objects that select Pods, by namespace.
    private var selecting: [String: Set<ObjectID>] = [:]
    private var labels = SharedValues<[String: String]>()
    private var names = SharedValues<String>()

    /// What is wrong with objects, in no order.
    var diagnostics: [Diagnostic] { problems.values.flatMap(\.self) }

    // MARK: Objects

    /// Takes what an informer tells of objects of `kind`.
    mutating func take(_ event: InformerEvent<MeshDocument>, of kind: Kind) -> Change {
        var change = Change()
        switch event {
        case .replaced(let documents):
            let present = Set(documents.keys.map { ObjectID(kind, $0) })
            for id in live.keys where id.kind == kind && !present.contains(id) {
                change.formUnion(remove(id))
            }
            for document in documents.values { change.formUnion(put(document, kind)) }
        case .changed(let document): change = put(document, kind)
        case .deleted(let key): change = remove(ObjectID(kind, key))
        case .failed, .recovered: break
        }
        return change
    }

    private mutating func put(_ document: MeshDocument, _ kind: Kind) -> Change {
        let id = ObjectID(kind, document.metadata.key)
        let before = live[id]
        var after = LiveObject(document)
        var change = Change()
        let last = before?.uid == after.uid ? world.object(id) : nil
        var found = document.diagnostics
        if let object = document.object {
            if last.map({ $0.isSame(as: object) }) != true {
                world.insert(object)
                change.world = true
            }
        } else if var kept = last {
            found.append(Diagnostic(.warning, object: id, problem: "keeps its last good version"))
            // What is told of it is told of what was asked for last.
            kept.metadata.generation = after.generation
            world.insert(kept)
            // The same mistakes again are an answer to another question, which its status has to say.
            if before?.generation != after.generation { change.world = true }
        } else {
            if world.remove(id) { change.world = true }
            after.mistakes = found.filter { $0.severity == .error }
        }
        if problems[id] ?? [] != found {
            problems[id] = found.isEmpty ? nil : found
            change.world = true
        }
        if before != after { change.objects = [id] }
        live[id] = after
        if change.world { change.formUnion(noteSelection(by: id)) }
        return change
    }

    private mutating func remove(_ id: ObjectID) -> Change {
        var change = Change()
        if live.removeValue(forKey: id) != nil { change.objects = [id] }
        let hadProblems = problems.removeValue(forKey: id) != nil
        change.world = world.remove(id) || hadProblems
        if change.world { change.formUnion(noteSelection(by: id)) }
        return change
    }

    /// Lets the Pods of a namespace in when it gets its first object that selects Pods, and out when it
    /// loses the last.
    private mutating func noteSelection(by id: ObjectID) -> Change {
        guard id.kind == .virtualNode || id.kind == .virtualGateway else { return Change() }
        let had = selecting[id.namespace]?.isEmpty == false
        if world.object(id) != nil {
            selecting[id.namespace, default: []].insert(id)
        } else {
            selecting[id.namespace]?.remove(id)
            if selecting[id.namespace]?.isEmpty == true { selecting[id.namespace] = nil }
        }
        guard had != (selecting[id.namespace] != nil) else { return Change() }
        var change = Change()
        for pod in (pods[id.namespace] ?? [:]).values { change.formUnion(show(pod)) }
        return change
    }

    // MARK: Pods

    /// Takes what an informer tells of Pods.
    mutating func take(_ event: InformerEvent<Pod>) -> Change {
        var change = Change()
        switch event {
        case .replaced(let all):
            let gone = pods.values.flatMap(\.values).filter { all[$0.metadata.key] == nil }
            for pod in gone { change.formUnion(removePod(pod.metadata.key)) }
            for pod in all.values { change.formUnion(put(pod)) }
        case .changed(let pod): change = put(pod)
        case .deleted(let key): change = removePod(key)
        case .failed, .recovered: break
        }
        return change
    }

    private mutating func put(_ pod: Pod) -> Change {
        var pod = pod
        let key = pod.metadata.key
        // Most Pods share these with others.
        pod.metadata.labels = pod.metadata.labels.map { labels.shared($0) }
        pod.metadata.annotations = pod.metadata.annotations.map { labels.shared($0) }
        pod.nodeName = pod.nodeName.map { names.shared($0) }
        pod.metadata.namespace = names.shared(key.namespace)
        pod.metadata.resourceVersion = nil
        guard pods[key.namespace]?[key.name] != pod else { return Change() }
        pods[key.namespace, default: [:]][key.name] = pod
        return show(pod)
    }

    private mutating func removePod(_ key: ObjectKey) -> Change {
        guard pods[key.namespace]?.removeValue(forKey: key.name) != nil else { return Change() }
        if pods[key.namespace]?.isEmpty == true { pods[key.namespace] = nil }
        return hide(key)
    }

    /// Brings the world up to date with `pod`.
    private mutating func show(_ pod: Pod) -> Change {
        let key = pod.metadata.key
        guard selecting[key.namespace] != nil,
            let workload = pod.workload(zone: pod.nodeName.flatMap { zones[$0] })
        else { return hide(key) }
        var change = Change()
        let id = ProxyID(workload.reference)
        let last = world.workloads[id.workload]
        if last?.metadata != workload.metadata || last?.spec != workload.spec {
            world.workloads[id.workload] = workload
            change.world = true
        }
        let process = pod.process
        if processes[id] != process {
            processes[id] = process
            change.processes = true
        }
        return change
    }

    private mutating func hide(_ key: ObjectKey) -> Change {
        let reference = ObjectReference(namespace: key.namespace, name: key.name)
        var change = Change()
        change.world = world.workloads.removeValue(forKey: reference) != nil
        change.processes = processes.removeValue(forKey: ProxyID(reference)) != nil
        return change
    }

    // MARK: Kubernetes nodes

    /// Takes what an informer tells of Kubernetes nodes.
    mutating func take(_ event: InformerEvent<KubernetesNode>) -> Change {
        var next = zones
        switch event {
        case .replaced(let nodes):
            next = Dictionary(
                nodes.values.compactMap { node in node.zone.map { (node.metadata.name, $0) } },
                uniquingKeysWith: { first, _ in first }
            )
        case .changed(let node): next[node.metadata.name] = node.zone
        case .deleted(let key): next[key.name] = nil
        case .failed, .recovered: break
        }
        guard next != zones else { return Change() }
        let changed = Set(zones.keys).union(next.keys).filter { zones[$0] != next[$0] }
        zones = next
        var change = Change()
        for pod in pods.values.flatMap(\.values)
        where pod.nodeName.map(changed.contains) ?? false {
            change.formUnion(show(pod))
        }
        return change
    }
}

/// Has equal values share their memory.
private struct SharedValues<Value: Hashable & Sendable>: Sendable {
    private static var limit: Int { 20_000 }
    private var values: Set<Value> = []

    /// The first of the values that are equal to `value`.
    mutating func shared(_ value: Value) -> Value {
        // Of values that are gone nobody tells.
        if values.count >= Self.limit { values = [] }
        return values.insert(value).memberAfterInsert
    }
}

extension MeshObject {
    /// Whether `other` asks for the same; status and resource version do not count.
    fileprivate func isSame(as other: MeshObject) -> Bool {
        var metadata = metadata
        metadata.resourceVersion = other.metadata.resourceVersion
        return metadata == other.metadata
            && manifest.document["spec"] == other.manifest.document["spec"]
    }
}

extension World {
    /// The object `id`; nil when there is none.
    func object(_ id: ObjectID) -> MeshObject? {
        let key = id.reference
        return switch id.kind {
        case .mesh: meshes[key].map(MeshObject.mesh)
        case .namespace: namespaces[key].map(MeshObject.namespace)
        case .virtualNode: virtualNodes[key].map(MeshObject.virtualNode)
        case .virtualService: virtualServices[key].map(MeshObject.virtualService)
        case .virtualRouter: virtualRouters[key].map(MeshObject.virtualRouter)
        case .virtualGateway: virtualGateways[key].map(MeshObject.virtualGateway)
        case .gatewayRoute: gatewayRoutes[key].map(MeshObject.gatewayRoute)
        case .backendGroup: backendGroups[key].map(MeshObject.backendGroup)
        case .workload: workloads[key].map(MeshObject.workload)
        case .trafficPolicy: trafficPolicies[key].map(MeshObject.trafficPolicy)
        case .certificateMapping: certificateMappings[key].map(MeshObject.certificateMapping)
        }
    }

    /// Removes the object `id`; false when there was none.
    fileprivate mutating func remove(_ id: ObjectID) -> Bool {
        let key = id.reference
        return switch id.kind {
        case .mesh: meshes.removeValue(forKey: key) != nil
        case .namespace: namespaces.removeValue(forKey: key) != nil
        case .virtualNode: virtualNodes.removeValue(forKey: key) != nil
        case .virtualService: virtualServices.removeValue(forKey: key) != nil
        case .virtualRouter: virtualRouters.removeValue(forKey: key) != nil
        case .virtualGateway: virtualGateways.removeValue(forKey: key) != nil
        case .gatewayRoute: gatewayRoutes.removeValue(forKey: key) != nil
        case .backendGroup: backendGroups.removeValue(forKey: key) != nil
        case .workload: workloads.removeValue(forKey: key) != nil
        case .trafficPolicy: trafficPolicies.removeValue(forKey: key) != nil
        case .certificateMapping: certificateMappings.removeValue(forKey: key) != nil
        }
    }
}
