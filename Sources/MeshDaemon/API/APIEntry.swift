import MeshModel
import MeshPlan

/// One object as the API holds it; the document it shows is made on reading.
struct APIEntry: Sendable {
    /// Kind, namespace and name.
    var id: ObjectID
    /// Name, labels and the like.
    var metadata: Metadata
    /// The document that the object was read from; null for a Namespace that nothing declares.
    var manifest: JSONValue
    /// What is known of it; nil before the first plan that has it.
    var status: ObjectStatus?
    /// The resource version.
    var version: Int

    /// Whether both show the same; the resource version is ours and does not count.
    ///
    /// Unchanged parts of a plan share storage, which makes the comparison quick.
    func isEqual(to other: APIEntry) -> Bool {
        var left = metadata
        left.resourceVersion = other.metadata.resourceVersion
        return left == other.metadata && status == other.status && manifest == other.manifest
    }

    /// The object: the manifest with the metadata that the server keeps, and its status.
    var document: JSONValue {
        var document = manifest
        document["apiVersion"] = .string(id.kind.apiVersion)
        document["kind"] = .string(id.kind.rawValue)
        document["metadata"] = metadataDocument
        if let status = statusDocument { document["status"] = status }
        return document
    }

    /// `metadata`.
    var metadataDocument: JSONValue {
        var document = manifest["metadata"] ?? [:]
        document["name"] = .string(metadata.name)
        if id.kind.isNamespaced { document["namespace"] = .string(metadata.namespace) }
        if !metadata.uid.isEmpty { document["uid"] = .string(metadata.uid) }
        document["resourceVersion"] = .string(String(version))
        document["generation"] = .integer(metadata.generation)
        document["creationTimestamp"] =
            metadata.creationTimestampSeconds == 0
            ? .null
            : .string(timestamp(secondsSince1970: metadata.creationTimestampSeconds))
        func strings(_ values: [String: String]) -> JSONValue? {
            values.isEmpty ? nil : .object(values.mapValues(JSONValue.string))
        }
        document["labels"] = strings(metadata.labels)
        document["annotations"] = strings(metadata.annotations)
        return document
    }

    private var statusDocument: JSONValue? {
        guard id.kind == .namespace else { return status?.document }
        var document = status?.document ?? [:]
        document["phase"] = "Active"
        return document
    }

    /// The condition that says whether the object is in effect, such as `VirtualNodeActive`.
    var mainCondition: Condition? {
        guard let type = id.kind.conditionType else { return nil }
        return status?.conditions.first { $0.type == type }
    }
}
