/// An object as Kubernetes describes objects in general.
public struct Metadata: Hashable, Sendable {
    /// `metadata.name`.
    public var name: String
    /// `metadata.namespace`, empty for kinds of the whole cluster.
    public var namespace: String
    /// Differs between an object and its re-creation under the same name.
    public var uid: String
    /// Grows by one with each change of `spec`; from 1.
    public var generation: Int
    /// The version of the object as the local API and Kubernetes count it.
    public var resourceVersion: String
    /// Seconds since 1970 at which the object first appeared.
    public var creationTimestampSeconds: Int
    /// Labels, which selectors match.
    public var labels: [String: String]
    /// Annotations.
    public var annotations: [String: String]

    /// Makes the metadata of the object `namespace/name`.
    public init(
        name: String,
        namespace: String = "",
        uid: String = "",
        generation: Int = 1,
        resourceVersion: String = "",
        creationTimestampSeconds: Int = 0,
        labels: [String: String] = [:],
        annotations: [String: String] = [:]
    ) {
        self.name = name
        self.namespace = namespace
        self.uid = uid
        self.generation = generation
        self.resourceVersion = resourceVersion
        self.creationTimestampSeconds = creationTimestampSeconds
        self.labels = labels
        self.annotations = annotations
    }
}

/// The `spec` of one kind of object.
public protocol ObjectSpec: Hashable, Sendable {
    /// The kind whose `spec` this is.
    static var kind: Kind { get }
}

/// One object: who it is, what it asks for, and the document that said so.
public struct Object<Spec: ObjectSpec>: Sendable {
    /// Name, labels and the like.
    public var metadata: Metadata
    /// What the object asks for, with every default of App Mesh's webhooks filled in.
    public var spec: Spec
    /// The document it was read from.
    public var manifest: Manifest

    /// Makes an object.
    public init(metadata: Metadata, spec: Spec, manifest: Manifest = Manifest()) {
        self.metadata = metadata
        self.spec = spec
        self.manifest = manifest
    }

    /// The object's kind, namespace and name.
    public var id: ObjectID { ObjectID(Spec.kind, reference) }
    /// The object's namespace and name.
    public var reference: ObjectReference {
        ObjectReference(namespace: metadata.namespace, name: metadata.name)
    }

    /// A diagnostic of this object at `field`, with the line on which the field stands.
    public func diagnostic(
        _ severity: Diagnostic.Severity,
        _ field: String,
        _ problem: String,
        remedy: String? = nil
    ) -> Diagnostic {
        var diagnostic = Diagnostic(
            severity,
            object: id,
            field: field,
            problem: problem,
            remedy: remedy,
            location: manifest.location(of: field)
        )
        diagnostic.isOfPod = (spec as? WorkloadSpec)?.pod != nil
        return diagnostic
    }
}

/// A Mesh.
public typealias Mesh = Object<MeshSpec>
/// A VirtualNode.
public typealias VirtualNode = Object<VirtualNodeSpec>
/// A VirtualService.
public typealias VirtualService = Object<VirtualServiceSpec>
/// A VirtualRouter.
public typealias VirtualRouter = Object<VirtualRouterSpec>
/// A VirtualGateway.
public typealias VirtualGateway = Object<VirtualGatewaySpec>
/// A GatewayRoute.
public typealias GatewayRoute = Object<GatewayRouteSpec>
/// A BackendGroup.
public typealias BackendGroup = Object<BackendGroupSpec>
/// A Namespace, of which only the labels matter.
public typealias Namespace = Object<NamespaceSpec>
/// A Workload.
public typealias Workload = Object<WorkloadSpec>
/// A TrafficPolicy.
public typealias TrafficPolicy = Object<TrafficPolicySpec>
/// A CertificateMapping.
public typealias CertificateMapping = Object<CertificateMappingSpec>

/// The document that an object was read from, after pruning unknown fields and filling in defaults.
public struct Manifest: Sendable {
    /// The whole document: apiVersion, kind, metadata, spec.
    public var document: JSONValue
    /// The file, nil when the object did not come from one.
    public var file: String?
    /// The line, from 1, on which each field stands, by its path (`spec.listeners[0].portMapping`);
    /// the empty path is the document's first line.
    public var lines: [String: Int]

    /// Makes a manifest.
    public init(document: JSONValue = .null, file: String? = nil, lines: [String: Int] = [:]) {
        self.document = document
        self.file = file
        self.lines = lines
    }

    /// Where `field` stands, or its nearest parent that the document has; nil without a file.
    public func location(of field: String) -> SourceLocation? {
        guard let file else { return nil }
        var path = field[...]
        while lines[String(path)] == nil, !path.isEmpty {
            guard let cut = path.lastIndex(where: { $0 == "." || $0 == "[" }) else {
                path = ""
                break
            }
            path = path[..<cut]
        }
        return SourceLocation(file: file, line: lines[String(path)] ?? 1)
    }
}
