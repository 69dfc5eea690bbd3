/// All objects at one moment, and what was wrong with the inputs they came from.
public struct World: Sendable {
    /// Meshes by name.
    public var meshes: [ObjectReference: Mesh] = [:]
    /// Namespaces by name.
    public var namespaces: [ObjectReference: Namespace] = [:]
    /// Virtual nodes by namespace and name.
    public var virtualNodes: [ObjectReference: VirtualNode] = [:]
    /// Virtual services by namespace and name.
    public var virtualServices: [ObjectReference: VirtualService] = [:]
    /// Virtual routers by namespace and name.
    public var virtualRouters: [ObjectReference: VirtualRouter] = [:]
    /// Virtual gateways by namespace and name.
    public var virtualGateways: [ObjectReference: VirtualGateway] = [:]
    /// Gateway routes by namespace and name.
    public var gatewayRoutes: [ObjectReference: GatewayRoute] = [:]
    /// Backend groups by namespace and name.
    public var backendGroups: [ObjectReference: BackendGroup] = [:]
    /// Workloads by namespace and name.
    public var workloads: [ObjectReference: Workload] = [:]
    /// Traffic policies by namespace and name.
    public var trafficPolicies: [ObjectReference: TrafficPolicy] = [:]
    /// Certificate mappings by name.
    public var certificateMappings: [ObjectReference: CertificateMapping] = [:]
    /// Problems met while reading, sorted.
    public var diagnostics: [Diagnostic] = []

    /// Makes an empty world.
    public init() {}

    /// Adds `object`, in place of the one with the same identity.
    public mutating func insert(_ object: MeshObject) {
        switch object {
        case .mesh(let object): meshes[object.reference] = object
        case .namespace(let object): namespaces[object.reference] = object
        case .virtualNode(let object): virtualNodes[object.reference] = object
        case .virtualService(let object): virtualServices[object.reference] = object
        case .virtualRouter(let object): virtualRouters[object.reference] = object
        case .virtualGateway(let object): virtualGateways[object.reference] = object
        case .gatewayRoute(let object): gatewayRoutes[object.reference] = object
        case .backendGroup(let object): backendGroups[object.reference] = object
        case .workload(let object): workloads[object.reference] = object
        case .trafficPolicy(let object): trafficPolicies[object.reference] = object
        case .certificateMapping(let object): certificateMappings[object.reference] = object
        }
    }

    /// The labels of the namespace `name`, with the one that Kubernetes gives to each.
    public func labels(ofNamespace name: String) -> [String: String] {
        var labels = namespaces[ObjectReference(name: name)]?.metadata.labels ?? [:]
        labels["kubernetes.io/metadata.name"] = name
        return labels
    }

    /// Every object, ordered by identity.
    public var objects: [MeshObject] {
        let all = unorderedObjects
        // Objects are large, and identities are not.
        let ids = all.map(\.id)
        return all.indices.sorted { ids[$0] < ids[$1] }.map { all[$0] }
    }

    /// Every object, in no order, which costs much less where there are thousands.
    public var unorderedObjects: [MeshObject] {
        var all: [MeshObject] = []
        all += meshes.values.lazy.map(MeshObject.mesh)
        all += namespaces.values.lazy.map(MeshObject.namespace)
        all += virtualNodes.values.lazy.map(MeshObject.virtualNode)
        all += virtualServices.values.lazy.map(MeshObject.virtualService)
        all += virtualRouters.values.lazy.map(MeshObject.virtualRouter)
        all += virtualGateways.values.lazy.map(MeshObject.virtualGateway)
        all += gatewayRoutes.values.lazy.map(MeshObject.gatewayRoute)
        all += backendGroups.values.lazy.map(MeshObject.backendGroup)
        all += workloads.values.lazy.map(MeshObject.workload)
        all += trafficPolicies.values.lazy.map(MeshObject.trafficPolicy)
        all += certificateMappings.values.lazy.map(MeshObject.certificateMapping)
        return all
    }
}

/// An object of any kind.
public enum MeshObject: Sendable {
    case mesh(Mesh)
    case namespace(Namespace)
    case virtualNode(VirtualNode)
    case virtualService(VirtualService)
    case virtualRouter(VirtualRouter)
    case virtualGateway(VirtualGateway)
    case gatewayRoute(GatewayRoute)
    case backendGroup(BackendGroup)
    case workload(Workload)
    case trafficPolicy(TrafficPolicy)
    case certificateMapping(CertificateMapping)

    /// Kind, namespace and name.
    public var id: ObjectID {
        switch self {
        case .mesh(let object): object.id
        case .namespace(let object): object.id
        case .virtualNode(let object): object.id
        case .virtualService(let object): object.id
        case .virtualRouter(let object): object.id
        case .virtualGateway(let object): object.id
        case .gatewayRoute(let object): object.id
        case .backendGroup(let object): object.id
        case .workload(let object): object.id
        case .trafficPolicy(let object): object.id
        case .certificateMapping(let object): object.id
        }
    }

    /// Name, labels and the like.
    public var metadata: Metadata {
        get {
            switch self {
            case .mesh(let object): object.metadata
            case .namespace(let object): object.metadata
            case .virtualNode(let object): object.metadata
            case .virtualService(let object): object.metadata
            case .virtualRouter(let object): object.metadata
            case .virtualGateway(let object): object.metadata
            case .gatewayRoute(let object): object.metadata
            case .backendGroup(let object): object.metadata
            case .workload(let object): object.metadata
            case .trafficPolicy(let object): object.metadata
            case .certificateMapping(let object): object.metadata
            }
        }
        set {
            switch self {
            case .mesh(var object): object.metadata = newValue; self = .mesh(object)
            case .namespace(var object): object.metadata = newValue; self = .namespace(object)
            case .virtualNode(var object): object.metadata = newValue; self = .virtualNode(object)
            case .virtualService(var object):
                object.metadata = newValue
                self = .virtualService(object)
            case .virtualRouter(var object):
                object.metadata = newValue
                self = .virtualRouter(object)
            case .virtualGateway(var object):
                object.metadata = newValue
                self = .virtualGateway(object)
            case .gatewayRoute(var object): object.metadata = newValue; self = .gatewayRoute(object)
            case .backendGroup(var object): object.metadata = newValue; self = .backendGroup(object)
            case .workload(var object): object.metadata = newValue; self = .workload(object)
            case .trafficPolicy(var object):
                object.metadata = newValue
                self = .trafficPolicy(object)
            case .certificateMapping(var object):
                object.metadata = newValue
                self = .certificateMapping(object)
            }
        }
    }

    /// The document that the object was read from.
    public var manifest: Manifest {
        switch self {
        case .mesh(let object): object.manifest
        case .namespace(let object): object.manifest
        case .virtualNode(let object): object.manifest
        case .virtualService(let object): object.manifest
        case .virtualRouter(let object): object.manifest
        case .virtualGateway(let object): object.manifest
        case .gatewayRoute(let object): object.manifest
        case .backendGroup(let object): object.manifest
        case .workload(let object): object.manifest
        case .trafficPolicy(let object): object.manifest
        case .certificateMapping(let object): object.manifest
        }
    }
}
