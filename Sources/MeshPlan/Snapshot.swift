public import MeshModel

/// All xDS resources of one proxy.
///
/// Guarantee: each cluster, endpoint set and route configuration that a resource names is in the
/// same snapshot. Of secrets a plan has those alone that are files in the proxy's own Pod, and no more of
/// them than their paths.
public struct Snapshot: Hashable, Codable, Sendable {
    private var resourcesByType: [ResourceType: [String: EncodedResource]] = [:]

    /// Makes an empty snapshot.
    public init() {}

    /// The resources of `type` by name.
    public subscript(type: ResourceType) -> [String: EncodedResource] {
        get { resourcesByType[type] ?? [:] }
        set { resourcesByType[type] = newValue.isEmpty ? nil : newValue }
    }

    /// Adds `resource`, in place of the one with its type and name.
    public mutating func insert(_ resource: EncodedResource) {
        resourcesByType[resource.type, default: [:]][resource.name] = resource
    }
}

/// One xDS resource, encoded once and shared by every proxy that receives it.
public final class EncodedResource: Sendable {
    /// The resource's type.
    public let type: ResourceType
    /// The resource's name, unique in its type.
    public let name: String
    /// Changes when and only when the resource's bytes do.
    public let version: String
    /// The resource's own message, serialized deterministically.
    public let payload: [UInt8]
    /// The resource as one entry of `DeltaDiscoveryResponse.resources`.
    ///
    /// Field tag, length, and an `envoy.service.discovery.v3.Resource`: a response's resources are these bytes in a row.
    public let deltaEntry: [UInt8]
    /// The objects that the resource was made from, with the generation of each.
    public let origins: [ObjectID: Int]
    /// For a cluster that takes its endpoints over EDS, the name of those endpoints.
    public let endpointsName: String?
    /// For a listener, the secrets that it needs from the control plane.
    public let secretNames: Set<String>
    /// What it adds to the size of its proxies' configuration.
    let size: ConfigurationSize

    init(
        type: ResourceType,
        name: String,
        version: String,
        payload: [UInt8],
        deltaEntry: [UInt8],
        origins: [ObjectID: Int],
        endpointsName: String?,
        secretNames: Set<String> = []
    ) {
        self.type = type
        self.name = name
        self.version = version
        self.payload = payload
        self.deltaEntry = deltaEntry
        self.origins = origins
        self.endpointsName = endpointsName
        self.secretNames = secretNames
        size = ConfigurationSize(of: type, payload)
    }
}

extension EncodedResource: Hashable {
    /// Whether both are the same version of the same resource.
    public static func == (left: EncodedResource, right: EncodedResource) -> Bool {
        left === right
            || left.type == right.type && left.name == right.name && left.version == right.version
    }

    /// Hashes type, name and version.
    public func hash(into hasher: inout Hasher) {
        hasher.combine(type)
        hasher.combine(name)
        hasher.combine(version)
    }
}

extension EncodedResource: CustomStringConvertible, CustomReflectable {
    /// `<type> <name> <version>`.
    public var description: String { "\(type.rawValue) \(name) \(version)" }
    /// Shows type, name and version: the bytes of a secret have a key in them.
    public var customMirror: Swift.Mirror {
        Swift.Mirror(self, children: ["type": type, "name": name, "version": version])
    }
}
