public import KubernetesAPI

/// Of a Kubernetes node the zone that it is in.
public struct KubernetesNode: KubernetesObject, Decodable, Hashable {
    /// Its name and version.
    public var metadata: ObjectMetadata
    /// Its label `topology.kubernetes.io/zone`, or the one that was there before Kubernetes 1.17.
    public var zone: String?

    private enum CodingKeys: String, CodingKey { case metadata }

    /// Reads a Kubernetes node as the API server has it.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        let whole = try container.decode(ObjectMetadata.self, forKey: .metadata)
        zone =
            whole.labels?["topology.kubernetes.io/zone"]
            ?? whole.labels?["failure-domain.beta.kubernetes.io/zone"]
        metadata = ObjectMetadata(name: whole.name, resourceVersion: whole.resourceVersion)
        metadata.uid = whole.uid
    }
}
