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
    /// Guarantee: whatever the object says, it is read; a mistake becomes a diagnostic.
    public init(from decoder: any Decoder) throws { try self.init(from: decoder, withoutKind: nil) }

    /// Reads an object that is of `kind` when it does not say of which.
    fileprivate init(from decoder: any Decoder, withoutKind kind: Kind?) throws {
        let fields = try decoder.container(keyedBy: AnyKey.self)
        var document: [String: JSONValue] = [:]
        for key in fields.allKeys where key.stringValue != "metadata" {
            document[key.stringValue] = try fields.decode(JSONValue.self, forKey: key)
        }
        let status = document.removeValue(forKey: "status") ?? .null
        if let kind, document["kind"] == nil {
            document["apiVersion"] = .string(kind.apiVersion)
            document["kind"] = .string(kind.rawValue)
        }
        var metadata: [String: JSONValue] = [:]
        if let own = AnyKey(stringValue: "metadata"), fields.contains(own) {
            let members = try fields.nestedContainer(keyedBy: AnyKey.self, forKey: own)
            for key in members.allKeys where key.stringValue != "managedFields" {
                metadata[key.stringValue] = try members.decode(JSONValue.self, forKey: key)
            }
        }
        metadata["annotations"]?["kubectl.kubernetes.io/last-applied-configuration"] = nil
        document["metadata"] = .object(metadata)
        self.init(.object(document), ObjectMetadata(ofMeshObject: metadata), status: status)
    }

    private init(_ document: JSONValue, _ metadata: ObjectMetadata, status: JSONValue) {
        let decoded = decodeObject(document)
        self.metadata = metadata
        self.status = status
        object = decoded.object
        diagnostics = decoded.diagnostics
    }
}

/// A Namespace as the API server has it: lists of the core group leave out the kind of what is in them.
struct NamespaceDocument: KubernetesObject {
    /// The object, as others are.
    let document: MeshDocument
    var metadata: ObjectMetadata { document.metadata }

    init(from decoder: any Decoder) throws {
        document = try MeshDocument(from: decoder, withoutKind: .namespace)
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

/// Any key of a JSON object.
private struct AnyKey: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }

    init?(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
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
