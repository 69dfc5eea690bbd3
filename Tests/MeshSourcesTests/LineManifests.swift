import MeshManifests
import MeshModel

/// Decodes a language of one object a line, in place of YAML.
///
/// - `demo/blue 1` is the VirtualNode demo/blue with the spec `{version: 1}`.
/// - `demo/blue ?` is that node with a mistake.
/// - `?` is no document at all.
/// - `Deployment` is a document of another kind.
@Sendable func decodeLines(_ bytes: [UInt8], _ path: String, _ folder: String) -> ManifestFile {
    var file = ManifestFile()
    let lines = String(decoding: bytes, as: UTF8.self)
        .split(separator: "\n", omittingEmptySubsequences: false)
    for (index, line) in lines.enumerated() where !line.isEmpty {
        let place = SourceLocation(file: path, line: index + 1)
        let words = line.split(separator: " ").map(String.init)
        if words == ["?"] {
            file.diagnostics.append(Diagnostic(.error, problem: "no document", location: place))
        } else if words.count == 1 {
            file.ignored[words[0], default: 0] += 1
        } else {
            let object = virtualNode(words[0], version: words[1], at: place)
            if words[1] == "?" {
                let problem = Diagnostic(
                    .error,
                    object: object.id,
                    problem: "wrong",
                    location: place
                )
                file.diagnostics.append(problem)
            } else {
                file.objects.append(object)
            }
        }
    }
    return file
}

extension ManifestFile {
    /// A file of these objects.
    init(
        _ objects: [MeshObject] = [],
        diagnostics: [Diagnostic] = [],
        ignored: [String: Int] = [:]
    ) {
        self.init()
        self.objects = objects
        self.diagnostics = diagnostics
        self.ignored = ignored
    }
}

/// The virtual node `namespace/name`.
func virtualNode(
    _ name: String,
    version: String,
    uid: String = "",
    labels: [String: String] = [:],
    at place: SourceLocation? = nil
) -> MeshObject {
    let parts = name.split(separator: "/").map(String.init)
    return .virtualNode(
        VirtualNode(
            metadata: Metadata(name: parts[1], namespace: parts[0], uid: uid, labels: labels),
            spec: VirtualNodeSpec(awsName: version),
            manifest: Manifest(
                document: ["spec": ["version": .string(version)]],
                file: place?.file,
                lines: ["": place?.line ?? 1]
            )
        )
    )
}

extension World {
    /// The virtual nodes with their versions, as `demo/blue 1`, in order.
    var nodes: [String] {
        virtualNodes.values.map { "\($0.reference) \($0.spec.awsName)" }.sorted()
    }

    /// The metadata of the virtual node `demo/<name>`.
    func metadata(of name: String) -> Metadata? {
        virtualNodes[ObjectReference(namespace: "demo", name: name)]?.metadata
    }
}
