/// An object of the Kubernetes API, decoded as far as its reader needs it.
public protocol KubernetesObject: JSONReadable {
    /// Who it is.
    var metadata: ObjectMetadata { get }
}

/// `metadata` of an object, without what nobody here reads, such as `managedFields`.
public struct ObjectMetadata: Hashable, Codable, Sendable {
    /// The name.
    public var name: String
    /// The namespace; nil for objects of the whole cluster.
    public var namespace: String?
    /// Differs between an object and its re-creation under the same name.
    public var uid: String?
    /// Differs with each change; it has no other meaning.
    public var resourceVersion: String?
    /// Grows by one with each change of `spec`.
    public var generation: Int?
    /// When it was created, in RFC 3339.
    public var creationTimestamp: String?
    /// When its deletion was asked for, in RFC 3339; nil while it was not.
    public var deletionTimestamp: String?
    /// Labels.
    public var labels: [String: String]?
    /// Annotations.
    public var annotations: [String: String]?
    /// Who has to let go of it before it can be deleted.
    public var finalizers: [String]?

    /// Makes metadata.
    public init(
        name: String,
        namespace: String? = nil,
        resourceVersion: String? = nil,
        labels: [String: String]? = nil,
        annotations: [String: String]? = nil
    ) {
        self.name = name
        self.namespace = namespace
        self.resourceVersion = resourceVersion
        self.labels = labels
        self.annotations = annotations
    }

    /// Namespace and name.
    public var key: ObjectKey { ObjectKey(namespace: namespace ?? "", name: name) }
}

/// Namespace and name of an object.
public struct ObjectKey: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// The namespace; empty for objects of the whole cluster.
    public var namespace: String
    /// The name.
    public var name: String

    /// Makes a key.
    public init(namespace: String = "", name: String) {
        self.namespace = namespace
        self.name = name
    }

    /// `namespace/name`, or the name alone.
    public var description: String { namespace.isEmpty ? name : "\(namespace)/\(name)" }

    /// Orders by namespace, then by name.
    public static func < (left: ObjectKey, right: ObjectKey) -> Bool {
        (left.namespace, left.name) < (right.namespace, right.name)
    }
}
