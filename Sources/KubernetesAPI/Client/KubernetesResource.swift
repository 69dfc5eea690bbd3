/// A kind of objects as the Kubernetes API serves it.
public struct KubernetesResource: Hashable, Sendable {
    /// The API group; empty for the core group.
    public var group: String
    /// The version within the group.
    public var version: String
    /// The name in URLs: `virtualnodes`.
    public var plural: String
    /// The kind: `VirtualNode`.
    public var kind: String
    /// Whether objects belong to a namespace.
    public var isNamespaced: Bool

    /// Makes a resource.
    public init(
        group: String = "",
        version: String,
        plural: String,
        kind: String,
        isNamespaced: Bool = true
    ) {
        self.group = group
        self.version = version
        self.plural = plural
        self.kind = kind
        self.isNamespaced = isNamespaced
    }

    /// `group/version`; `v1` for the core group.
    public var apiVersion: String { group.isEmpty ? version : "\(group)/\(version)" }

    /// `virtualnodes.appmesh.k8s.aws`, as rights and messages name it; `pods` for the core group.
    public var qualifiedName: String { group.isEmpty ? plural : "\(plural).\(group)" }
}

extension KubernetesResource {
    /// Pods.
    public static let pods = KubernetesResource(version: "v1", plural: "pods", kind: "Pod")
    /// Kubernetes nodes.
    public static let nodes = KubernetesResource(
        version: "v1",
        plural: "nodes",
        kind: "Node",
        isNamespaced: false
    )
    /// Secrets.
    public static let secrets = KubernetesResource(version: "v1", plural: "secrets", kind: "Secret")
    /// Events of the core group.
    public static let events = KubernetesResource(version: "v1", plural: "events", kind: "Event")
    /// Leases.
    public static let leases = KubernetesResource(
        group: "coordination.k8s.io",
        version: "v1",
        plural: "leases",
        kind: "Lease"
    )
    /// Reviews of tokens.
    public static let tokenReviews = KubernetesResource(
        group: "authentication.k8s.io",
        version: "v1",
        plural: "tokenreviews",
        kind: "TokenReview",
        isNamespaced: false
    )
}
