public import KubernetesAPI
internal import MeshManifests
public import MeshModel

/// An object of one of a mesh's kinds as the API server has it, decoded as it arrives.
///
/// What kubectl and the API server write for themselves is dropped: `managedFields`, and the annotation
/// with the manifest that was last applied.
public struct MeshDocument: KubernetesObject {
    /// Name, uid, versions, finalizers and the like; labels and annotations are in `object`.
    public var metadata: ObjectMetadata
    /// The object; nil when it has a mistake.
    public var object: MeshObject?
    /// What is wrong or noteworthy.
    public var diagnostics: [Diagnostic]
    /// `status` as the server has it.
    public var status: JSONValue

    /// Reads an object as the API server has it.
    ///
    /// What no kind has is dropped, and so is what is nested deeper than any field: who may write one
    /// object shall not be able to hold up the reading of all.
    ///
    /// Guarantee: whatever the object says, it is read; a mistake becomes a diagnostic.
    public init(json: ArraySlice<UInt8>) throws { try self.init(json: json, withoutKind: nil) }

    /// Reads an object that is of `kind` when it does not say of which.
    fileprivate init(json: ArraySlice<UInt8>, withoutKind kind: Kind?) throws {
        let whole = try BoundedJSON.value(of: json, depth: 64, values: .max, isCutting: true)
        let members = whole.object ?? [:]
        var metadata = members["metadata"]?.object ?? [:]
        metadata["managedFields"] = nil
        metadata["annotations"]?["kubectl.kubernetes.io/last-applied-configuration"] = nil
        var document = members.filter { ["apiVersion", "kind", "spec"].contains($0.key) }
        document["metadata"] = .object(metadata)
        if let kind, document["kind"] == nil {
            document["apiVersion"] = .string(kind.apiVersion)
            document["kind"] = .string(kind.rawValue)
        }
        self.init(
            .object(document),
            ObjectMetadata(ofMeshObject: metadata),
            status: members["status"] ?? .null
        )
    }

    private init(_ document: JSONValue, _ metadata: ObjectMetadata, status: JSONValue) {
        let decoded = decodeObject(document)
        self.metadata = metadata
        self.status = status
        object = decoded.object
        diagnostics = decoded.diagnostics
    }
}

extension JSONValue: JSONReadable {
    /// Reads a document; what is nested deeper than any object of a cluster becomes null.
    public init(json: ArraySlice<UInt8>) throws {
        self = try BoundedJSON.value(of: json, depth: 64, values: .max, isCutting: true)
    }
}

/// A Namespace as the API server has it: lists of the core group leave out the kind of what is in them.
struct NamespaceDocument: KubernetesObject {
    /// The object, as others are.
    let document: MeshDocument
    var metadata: ObjectMetadata { document.metadata }

    init(json: ArraySlice<UInt8>) throws {
        document = try MeshDocument(json: json, withoutKind: .namespace)
    }
}

extension InformerEvent {
    /// The event, told of what `transform` makes of each object.
    func map<Other>(_ transform: (Object) -> Other) -> InformerEvent<Other> {
        switch self {
        case .replaced(let objects): .replaced(objects.mapValues(transform))
        case .changed(let object): .changed(transform(object))
        case .deleted(let key): .deleted(key)
        case .failed(let error): .failed(error)
        case .recovered: .recovered
        }
    }
}

extension ObjectMetadata {
    /// What is read of `metadata` beside what is in the object itself.
    fileprivate init(ofMeshObject members: [String: JSONValue]) {
        self.init(
            name: members["name"]?.string ?? "",
            namespace: members["namespace"]?.string,
            resourceVersion: members["resourceVersion"]?.string
        )
        uid = members["uid"]?.string
        generation = members["generation"]?.integer
        deletionTimestamp = members["deletionTimestamp"]?.string
        finalizers = members["finalizers"]?.array?.compactMap(\.string)
    }
}

extension KubernetesResource {
    /// The objects of a mesh's kind.
    init(_ kind: Kind) {
        self.init(
            group: kind.group,
            version: kind.version,
            plural: kind.plural,
            kind: kind.rawValue,
            isNamespaced: kind.isNamespaced
        )
    }
}

extension ObjectID {
    /// The object of `kind` that `key` names.
    init(_ kind: Kind, _ key: ObjectKey) {
        self.init(
            kind,
            ObjectReference(namespace: kind.isNamespaced ? key.namespace : "", name: key.name)
        )
    }

    /// Namespace and name.
    var key: ObjectKey { ObjectKey(namespace: namespace, name: name) }
}
