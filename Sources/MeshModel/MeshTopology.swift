/// Who may call whom, as planned: by it statistics of proxies become traffic between virtual nodes.
public struct MeshTopology: Hashable, Sendable {
    /// Each proxy that shall run.
    public var proxies: [ProxyID: ProxyTopology] = [:]
    /// How the requests to each virtual service are split, by its route and target.
    public var splits: [ServiceSplit] = []

    /// Makes a topology of nothing.
    public init() {}
}

/// One proxy among the others.
public struct ProxyTopology: Hashable, Sendable {
    /// The mesh.
    public var mesh: ObjectID
    /// The mesh's name in App Mesh's dimensions and tags, `awsName`.
    public var meshName: String
    /// The trust domain of the mesh's SPIFFE IDs; empty where there are none.
    public var trustDomain: String
    /// The VirtualNode or VirtualGateway.
    public var owner: ObjectID
    /// The owner's name in App Mesh's dimensions and tags, `awsName`.
    public var ownerName: String
    /// What each cluster of the proxy for outbound calls leads to, by the cluster's name.
    public var targets: [String: TrafficTarget]
    /// The clusters that lead to the proxy's own application.
    public var applicationClusters: Set<String>
    /// The file of its access log; nil when there is none.
    public var accessLogPath: String?

    /// Makes a proxy's place.
    public init(
        mesh: ObjectID,
        meshName: String,
        owner: ObjectID,
        ownerName: String,
        trustDomain: String = "",
        targets: [String: TrafficTarget] = [:],
        applicationClusters: Set<String> = [],
        accessLogPath: String? = nil
    ) {
        self.mesh = mesh
        self.meshName = meshName
        self.owner = owner
        self.ownerName = ownerName
        self.trustDomain = trustDomain
        self.targets = targets
        self.applicationClusters = applicationClusters
        self.accessLogPath = accessLogPath
    }
}

/// What a cluster leads to.
public struct TrafficTarget: Hashable, Sendable {
    /// Who is called.
    public enum Destination: Hashable, Sendable {
        /// A virtual node, by its object and its `awsName`.
        case virtualNode(ObjectID, name: String)
        /// Hosts outside the mesh: `*.amazonaws.com`, or `external` for all others.
        case external(String)
        /// A target that does not exist, by its name.
        case missing(String)
    }

    /// How connections to it are protected.
    public enum Security: String, Hashable, Codable, Sendable {
        case plaintext
        /// The server proves who it is.
        case tls
        /// Both sides prove who they are.
        case mutualTLS
    }

    /// Who is called.
    public var destination: Destination
    /// The virtual services (`awsName`) through which this proxy calls it, sorted.
    public var services: [String]
    /// The port that is called; nil where it varies.
    public var port: Port?
    /// Whether requests are seen, or connections only.
    public var isHTTP: Bool
    /// How connections are protected.
    public var security: Security

    /// Makes a target.
    public init(
        destination: Destination,
        services: [String] = [],
        port: Port? = nil,
        isHTTP: Bool = true,
        security: Security = .plaintext
    ) {
        self.destination = destination
        self.services = services
        self.port = port
        self.isHTTP = isHTTP
        self.security = security
    }
}

/// A target's share of the requests to a virtual service that one route takes.
public struct ServiceSplit: Hashable, Sendable {
    /// The virtual service's object.
    public var service: ObjectID
    /// The virtual service's name, `awsName`.
    public var serviceName: String
    /// The route's name; nil where the service has a virtual node and no router.
    public var route: String?
    /// The virtual node, or nil of one that does not exist.
    public var target: ObjectID?
    /// Its share, from 0 to 1.
    public var share: Double

    /// Makes a split.
    public init(
        service: ObjectID,
        serviceName: String,
        route: String?,
        target: ObjectID?,
        share: Double
    ) {
        self.service = service
        self.serviceName = serviceName
        self.route = route
        self.target = target
        self.share = share
    }
}
