/// `spec` of a VirtualService.
public struct VirtualServiceSpec: ObjectSpec {
    /// VirtualService.
    public static var kind: Kind { .virtualService }

    /// Who serves a virtual service.
    public enum Provider: Hashable, Sendable {
        case virtualNode(TargetReference)
        case virtualRouter(TargetReference)
    }

    /// The authority that clients use; default `<name>.<namespace>`.
    public var awsName: String
    /// `provider`; nil answers every request with 404.
    public var provider: Provider?
    /// `meshRef`, which only dumps of a cluster carry.
    public var meshRef: DesignatedReference?

    /// Makes a virtual service.
    public init(
        awsName: String,
        provider: Provider? = nil,
        meshRef: DesignatedReference? = nil
    ) {
        self.awsName = awsName
        self.provider = provider
        self.meshRef = meshRef
    }
}

/// `spec` of a BackendGroup.
public struct BackendGroupSpec: ObjectSpec {
    /// BackendGroup.
    public static var kind: Kind { .backendGroup }

    /// `virtualservices`, with namespaces filled in.
    public var virtualServices: [ObjectReference]
    /// `meshRef`, which only dumps of a cluster carry.
    public var meshRef: DesignatedReference?

    /// Makes a backend group.
    public init(virtualServices: [ObjectReference] = [], meshRef: DesignatedReference? = nil) {
        self.virtualServices = virtualServices
        self.meshRef = meshRef
    }
}
