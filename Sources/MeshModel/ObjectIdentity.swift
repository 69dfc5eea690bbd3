/// A name within a namespace: how one object refers to another whose kind is known.
public struct ObjectReference: Hashable, Codable, Sendable, Comparable, CustomStringConvertible {
    /// The namespace, empty for kinds of the whole cluster.
    public var namespace: String
    /// `metadata.name`.
    public var name: String

    /// Makes the reference `namespace/name`.
    public init(namespace: String = "", name: String) {
        self.namespace = namespace
        self.name = name
    }

    /// `namespace/name`, or the name alone for kinds of the whole cluster.
    public var description: String { namespace.isEmpty ? name : "\(namespace)/\(name)" }

    /// Orders by namespace, then by name.
    public static func < (left: ObjectReference, right: ObjectReference) -> Bool {
        (left.namespace, left.name) < (right.namespace, right.name)
    }
}

/// What identifies an object among all objects: its kind, namespace and name.
public struct ObjectID: Hashable, Codable, Sendable, Comparable, CustomStringConvertible {
    /// The kind.
    public var kind: Kind
    /// The namespace and name.
    public var reference: ObjectReference

    /// Makes the identity of the object `reference` of the kind `kind`.
    public init(_ kind: Kind, _ reference: ObjectReference) {
        self.kind = kind
        self.reference = reference
    }

    /// `metadata.name`.
    public var name: String { reference.name }
    /// `metadata.namespace`, empty for kinds of the whole cluster.
    public var namespace: String { reference.namespace }

    /// `VirtualRouter demo/colors`, as messages name an object.
    public var description: String { "\(kind.rawValue) \(reference)" }

    /// Orders by kind, then by namespace and name.
    public static func < (left: ObjectID, right: ObjectID) -> Bool {
        left.kind == right.kind ? left.reference < right.reference : left.kind < right.kind
    }
}
