/// `spec` of a Mesh.
public struct MeshSpec: ObjectSpec {
    /// Mesh.
    public static var kind: Kind { .mesh }

    /// What proxies may reach beyond their backends (`egressFilter.type`).
    public enum EgressFilter: String, CaseIterable, Hashable, Sendable {
        case allowAll = "ALLOW_ALL"
        case dropAll = "DROP_ALL"
    }

    /// The mesh's name in node ids and resource names; default `metadata.name`.
    public var awsName: String
    /// Whose namespaces' objects belong to the mesh; nil selects none.
    public var namespaceSelector: LabelSelector?
    /// Default `DROP_ALL`, as the App Mesh API has it.
    public var egressFilter: EgressFilter
    /// The account that owns a shared mesh; becomes `mesh/<name>@<owner>` in node ids.
    public var meshOwner: String?
    /// `meshServiceDiscovery.ipPreference`.
    public var ipPreference: IPPreference?

    /// Makes a mesh.
    public init(
        awsName: String,
        namespaceSelector: LabelSelector? = nil,
        egressFilter: EgressFilter = .dropAll,
        meshOwner: String? = nil,
        ipPreference: IPPreference? = nil
    ) {
        self.awsName = awsName
        self.namespaceSelector = namespaceSelector
        self.egressFilter = egressFilter
        self.meshOwner = meshOwner
        self.ipPreference = ipPreference
    }
}

/// `spec` of a Namespace: nothing that matters to a mesh.
public struct NamespaceSpec: ObjectSpec {
    /// Namespace.
    public static var kind: Kind { .namespace }

    /// Makes the one value.
    public init() {}
}

/// A `meshRef` or `virtualGatewayRef` that a manifest carries, which only dumps of a
/// cluster do.
public struct DesignatedReference: Hashable, Sendable {
    /// `name`.
    public var name: String
    /// `namespace`, for gateways.
    public var namespace: String?
    /// `uid` of the object at the time.
    public var uid: String

    /// Makes a reference.
    public init(name: String, namespace: String? = nil, uid: String) {
        self.name = name
        self.namespace = namespace
        self.uid = uid
    }
}
