internal import EnvoyAPI
internal import MeshModel
internal import SwiftProtobuf

/// All that one resource is made from: equal inputs are one resource.
enum ResourceInput: Hashable {
    case cluster(Destination, CallerSecurity)
    case localCluster(LocalCluster)
    case forwardProxyCluster(name: String)
    case originalDestinationCluster(name: String)
    case endpoints(EndpointSet)
    case egressRoutes(EgressRoutes)
    case ingressRoutes(IngressRoutes)
    case ingressListener(IngressListener)
    case egressListener(EgressListener)
    case gatewayListener(GatewayListener)
    case gatewayRoutes(GatewayRoutes)
    case selfRedirectCluster(SelfRedirectCluster)
    case collectorCluster(CollectorCluster)
    case virtualServiceRoutes(VirtualServiceRoutes)
    case fileSecret(FileSecret)

    /// Translates and encodes the resource.
    func encoded(origins: [ObjectID: Int]) throws -> EncodedResource {
        func encode(
            _ type: ResourceType,
            _ name: String,
            _ message: some Message,
            endpointsName: String? = nil,
            secretNames: Set<String> = []
        ) throws -> EncodedResource {
            try EncodedResource(
                type,
                name: name,
                message: message,
                origins: origins,
                endpointsName: endpointsName,
                secretNames: secretNames
            )
        }
        switch self {
        case .cluster(let destination, let security):
            let cluster = try MeshPlan.cluster(for: destination, security)
            let endpointsName = cluster.type == .eds ? cluster.name : nil
            return try encode(.clusters, cluster.name, cluster, endpointsName: endpointsName)
        case .localCluster(let input):
            return try encode(.clusters, input.name, MeshPlan.cluster(for: input))
        case .forwardProxyCluster(let name):
            return try encode(.clusters, name, MeshPlan.forwardProxyCluster(named: name))
        case .originalDestinationCluster(let name):
            let cluster = try MeshPlan.originalDestinationCluster(named: name)
            return try encode(.clusters, name, cluster)
        case .endpoints(let set):
            return try encode(.endpoints, set.name, loadAssignment(set.name, set.endpoints))
        case .egressRoutes(let input):
            let name = RouteConfigurationName.egress(input.port)
            return try encode(.routes, name, routeConfiguration(for: input))
        case .ingressRoutes(let input):
            let name = RouteConfigurationName.ingress(input.listener.portMapping.port)
            return try encode(.routes, name, routeConfiguration(for: input))
        case .ingressListener(let input):
            return try encode(
                .listeners,
                IngressListener.name,
                listener(for: input),
                secretNames: Set(input.securities.values.flatMap(\.secretNames))
            )
        case .egressListener(let input):
            return try encode(.listeners, EgressListener.name, listener(for: input))
        case .gatewayListener(let input):
            return try encode(
                .listeners,
                input.name,
                listener(for: input),
                secretNames: Set(input.security.secretNames)
            )
        case .gatewayRoutes(let input):
            let name = RouteConfigurationName.ingress(input.port)
            return try encode(.routes, name, routeConfiguration(for: input))
        case .selfRedirectCluster(let input):
            return try encode(.clusters, input.name, MeshPlan.cluster(for: input))
        case .collectorCluster(let input):
            return try encode(.clusters, input.name, MeshPlan.cluster(for: input))
        case .virtualServiceRoutes(let input):
            let name = RouteConfigurationName.egress(.egress)
            return try encode(.routes, name, routeConfiguration(for: input))
        case .fileSecret(let input):
            return try encode(.secrets, input.name, secret(for: input))
        }
    }
}

/// Resources by what they are made from and the generations of the objects behind it.
struct ResourceKey: Hashable {
    var input: ResourceInput
    var origins: [ObjectID: Int]
}
