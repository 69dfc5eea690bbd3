public import MeshModel

/// What happened in the meshes from one moment to another: exporters of metrics get it, one interval
/// after the other, without gap or overlap.
public struct TrafficInterval: Hashable, Sendable {
    /// When it began, in seconds since 1970.
    public var fromSeconds: Double
    /// When it ended.
    public var toSeconds: Double
    /// What each virtual node and gateway was asked, all its proxies together, sorted by `owner`; those
    /// where nothing happened, too, and those that left where something did.
    public var resources: [Resource]
    /// What each asked of others, sorted by `source`, then by `target`; only where something happened
    /// or connections are open.
    public var targets: [Target]

    /// Makes an interval.
    public init(
        fromSeconds: Double,
        toSeconds: Double,
        resources: [Resource] = [],
        targets: [Target] = []
    ) {
        self.fromSeconds = fromSeconds
        self.toSeconds = toSeconds
        self.resources = resources
        self.targets = targets
    }

    /// A virtual node or gateway by its names in App Mesh's dimensions.
    public struct Owner: Hashable, Sendable, Comparable {
        /// The mesh.
        public var mesh: ObjectID
        /// The mesh's `awsName`.
        public var meshName: String
        /// The VirtualNode or VirtualGateway.
        public var id: ObjectID
        /// Its `awsName`.
        public var name: String

        /// Makes an owner.
        public init(mesh: ObjectID, meshName: String, id: ObjectID, name: String) {
            self.mesh = mesh
            self.meshName = meshName
            self.id = id
            self.name = name
        }

        /// Orders by object.
        public static func < (left: Owner, right: Owner) -> Bool { left.id < right.id }
    }

    /// What one virtual node or gateway was asked.
    public struct Resource: Hashable, Sendable {
        /// Who was asked.
        public var owner: Owner
        /// HTTP requests that were answered, gRPC's aside.
        public var requests = 0
        /// gRPC requests that were answered.
        public var grpcRequests = 0
        /// Connections that were made.
        public var newConnections = 0
        /// Connections that are open at the end.
        public var activeConnections = 0
        /// Bytes of connections, both ways.
        public var processedBytes = 0

        /// Makes a resource that was asked nothing.
        public init(owner: Owner) { self.owner = owner }
    }

    /// What one asked of another.
    public struct Target: Hashable, Sendable {
        /// Who asked.
        public var source: Owner
        /// Who was asked: the virtual node's `awsName`, the host outside, or the name of what does not
        /// exist.
        public var target: String
        /// The virtual services (`awsName`) through which that happens, sorted; more than one share a
        /// cluster, and their shares cannot be told apart.
        public var services: [String]
        /// Whether requests are seen, or connections only.
        public var isHTTP: Bool
        /// Requests that were answered, each counted once however often it was sent.
        public var requests = 0
        /// The same by the class of their status: 2 to 5 are keys.
        public var responses: [Int: Int] = [:]
        /// How long requests took, growing: the middle of a range, at most 5 % from its ends, and how
        /// many were in it.
        public var latencies: [Latency] = []
        /// Connections that were made.
        public var newConnections = 0
        /// Connections that are open at the end.
        public var activeConnections = 0
        /// Bytes to the target.
        public var sentBytes = 0
        /// Bytes from the target.
        public var receivedBytes = 0

        /// Makes a target that was asked nothing.
        public init(source: Owner, target: String, services: [String], isHTTP: Bool) {
            self.source = source
            self.target = target
            self.services = services
            self.isHTTP = isHTTP
        }
    }

    /// How many requests took about how long.
    public struct Latency: Hashable, Sendable {
        /// In milliseconds.
        public var milliseconds: Double
        /// How many requests.
        public var count: Int

        /// Makes a latency.
        public init(milliseconds: Double, count: Int) {
            self.milliseconds = milliseconds
            self.count = count
        }
    }
}
