/// The kinds of objects that make up a mesh.
public enum Kind: String, CaseIterable, Hashable, Codable, Sendable, Comparable {
    case namespace = "Namespace"
    case mesh = "Mesh"
    case virtualGateway = "VirtualGateway"
    case gatewayRoute = "GatewayRoute"
    case virtualService = "VirtualService"
    case virtualRouter = "VirtualRouter"
    case virtualNode = "VirtualNode"
    case backendGroup = "BackendGroup"
    case workload = "Workload"
    case trafficPolicy = "TrafficPolicy"
    case certificateMapping = "CertificateMapping"

    /// The API group, empty for Kubernetes' core group.
    public var group: String {
        switch self {
        case .namespace: ""
        case .workload, .trafficPolicy, .certificateMapping: "heddle.dev"
        case .mesh, .virtualGateway, .gatewayRoute, .virtualService, .virtualRouter, .virtualNode,
            .backendGroup:
            "appmesh.k8s.aws"
        }
    }

    /// The version within the group.
    public var version: String {
        switch self {
        case .namespace: "v1"
        case .workload, .trafficPolicy, .certificateMapping: "v1alpha1"
        case .mesh, .virtualGateway, .gatewayRoute, .virtualService, .virtualRouter, .virtualNode,
            .backendGroup:
            "v1beta2"
        }
    }

    /// `group/version` as manifests spell it; `v1` for the core group.
    public var apiVersion: String { group.isEmpty ? version : "\(group)/\(version)" }

    /// The name in URLs and on the command line, as in App Mesh's CRDs.
    public var plural: String {
        switch self {
        case .mesh: "meshes"
        case .trafficPolicy: "trafficpolicies"
        case .namespace, .virtualGateway, .gatewayRoute, .virtualService, .virtualRouter,
            .virtualNode, .backendGroup, .workload, .certificateMapping:
            singular + "s"
        }
    }

    /// The lower-case singular name on the command line.
    public var singular: String { rawValue.lowercased() }

    /// False for kinds that belong to the whole cluster: Mesh, Namespace and CertificateMapping.
    public var isNamespaced: Bool {
        switch self {
        case .mesh, .namespace, .certificateMapping: false
        case .virtualGateway, .gatewayRoute, .virtualService, .virtualRouter, .virtualNode,
            .backendGroup, .workload, .trafficPolicy:
            true
        }
    }

    /// Orders kinds from the outermost to the innermost, as lists print them.
    public static func < (left: Kind, right: Kind) -> Bool {
        left.position < right.position
    }

    private var position: Int {
        switch self {
        case .namespace: 0
        case .mesh: 1
        case .virtualGateway: 2
        case .gatewayRoute: 3
        case .virtualService: 4
        case .virtualRouter: 5
        case .virtualNode: 6
        case .backendGroup: 7
        case .workload: 8
        case .trafficPolicy: 9
        case .certificateMapping: 10
        }
    }
}
