public import MeshModel

/// How large a file of documents may be.
private enum DocumentLimits {
    static let bytes = 512 << 20
    static let documents = 100_000
    /// Values in one document, which a List of all Pods of a cluster is.
    static let nodes = 8_000_000
}

/// The documents of one file as they stand there, whatever their kinds.
public struct ManifestDocuments: Sendable {
    /// The documents, those of Lists one by one.
    public var documents: [JSONValue] = []
    /// What could not be read.
    public var diagnostics: [Diagnostic] = []
}

/// Reads every document of a file, such as a dump of a cluster: YAML of one or many documents, or JSON.
///
/// Lists of any kind are opened; what `kubectl get --raw` prints leaves `kind` and `apiVersion` to the
/// list, and its items get them. What clusters write for themselves alone, `metadata.managedFields` and
/// the last applied manifest, is left out.
///
/// - Parameters:
///   - bytes: The file's content, at most 512 MiB.
///   - path: The file as the user named it, for messages.
/// - Returns: The documents that could be read, and why others could not.
public func decodeDocuments(_ bytes: [UInt8], path: String) -> ManifestDocuments {
    var result = ManifestDocuments()
    func fail(_ problem: String, _ remedy: String, line: Int = 1) {
        result.diagnostics.append(
            Diagnostic(
                .error,
                problem: problem,
                remedy: remedy,
                location: SourceLocation(file: path, line: line)
            )
        )
    }
    guard bytes.count <= DocumentLimits.bytes else {
        fail("the file has \(bytes.count) bytes, and 512 MiB are allowed", "split it")
        return result
    }
    if bytes.starts(with: [0xFF, 0xFE]) || bytes.starts(with: [0xFE, 0xFF]) {
        fail("the file is UTF-16", "save the file as UTF-8")
        return result
    }
    let texts = splitDocuments(bytes)
    guard texts.count <= DocumentLimits.documents else {
        fail("the file has more than \(DocumentLimits.documents) documents", "split it")
        return result
    }
    for text in texts {
        do throws(YAMLFailure) {
            guard let node = try parseYAML(text, nodes: DocumentLimits.nodes), !node.isNull else {
                continue
            }
            add(node.document, to: &result.documents)
        } catch {
            fail(error.problem, error.remedy, line: error.line)
        }
    }
    return result
}

/// Adds `document`, of a List its items.
private func add(_ document: JSONValue, to documents: inout [JSONValue]) {
    guard let kind = document["kind"]?.string, kind.hasSuffix("List"),
        let items = document["items"]?.array
    else { return documents.append(document) }
    let itemKind = String(kind.dropLast("List".count))
    for var item in items {
        if item["kind"] == nil, !itemKind.isEmpty { item["kind"] = .string(itemKind) }
        if item["apiVersion"] == nil { item["apiVersion"] = document["apiVersion"] }
        documents.append(item)
    }
}

extension YAMLNode {
    /// The node as a value, without what clusters write for themselves alone.
    fileprivate var document: JSONValue {
        switch content {
        case .scalar(.null): return .null
        case .scalar(.bool(let value, _)): return .bool(value)
        case .scalar(.integer(let value, _)): return .integer(value)
        case .scalar(.number(let value, _)): return .number(value)
        case .scalar(.string(let value)): return .string(value)
        case .sequence(let nodes): return .array(nodes.map { $0.document })
        case .mapping(let entries):
            var members: [String: JSONValue] = [:]
            members.reserveCapacity(entries.count)
            for entry in entries where members[entry.key] == nil {
                if entry.key == "managedFields" || entry.key == lastApplied { continue }
                members[entry.key] = entry.value.document
            }
            return .object(members)
        }
    }
}

/// Where kubectl keeps the manifest that it applied last.
private let lastApplied = "kubectl.kubernetes.io/last-applied-configuration"
