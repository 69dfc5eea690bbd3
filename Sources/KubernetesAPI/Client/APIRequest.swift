/// One request to the Kubernetes API, before it has a server and credentials.
struct APIRequest: Sendable {
    /// What is done, in the words of RBAC.
    enum Verb: String, Sendable {
        case create, delete, get, list, patch, update, watch
    }

    var verb: Verb
    var resource: KubernetesResource
    /// The object; its name is empty for a list and for what is created under its own name.
    var key: ObjectKey
    var subresource: String?
    /// Of what is no object, such as `version`: the path from the server's root.
    var rootPath: String?
    var query: [(name: String, value: String)] = []
    var contentType = "application/json"
    var body: [UInt8]?
    /// Whether doing it twice is the same as doing it once.
    var isRepeatable = false

    init(
        _ verb: Verb,
        _ resource: KubernetesResource,
        _ key: ObjectKey,
        subresource: String? = nil
    ) {
        self.verb = verb
        self.resource = resource
        self.key = key
        self.subresource = subresource
        isRepeatable = [.get, .list, .watch].contains(verb)
    }

    /// `patch virtualnodes.appmesh.k8s.aws/status demo/blue`.
    var summary: String {
        if let rootPath { return "\(verb) /\(rootPath)" }
        let kind = resource.qualifiedName + (subresource.map { "/\($0)" } ?? "")
        if !key.name.isEmpty { return "\(verb) \(kind) \(key)" }
        return key.namespace.isEmpty ? "\(verb) \(kind)" : "\(verb) \(kind) in \(key.namespace)"
    }

    var method: String {
        switch verb {
        case .create: "POST"
        case .delete: "DELETE"
        case .get, .list, .watch: "GET"
        case .patch: "PATCH"
        case .update: "PUT"
        }
    }

    /// Path and query below the server's URL.
    ///
    /// - Throws: `KubernetesError` for names that no object can have and that would lead elsewhere.
    func path() throws(KubernetesError) -> String {
        if let rootPath { return "/" + rootPath }
        var segments = resource.group.isEmpty ? ["api"] : ["apis", resource.group]
        segments.append(resource.version)
        if resource.isNamespaced, !key.namespace.isEmpty {
            segments += ["namespaces", key.namespace]
        } else if resource.isNamespaced, !key.name.isEmpty || verb == .create {
            throw malformed("a \(resource.kind) belongs to a namespace, and none is given")
        }
        segments.append(resource.plural)
        if !key.name.isEmpty {
            segments.append(key.name)
        } else if ![.create, .list, .watch].contains(verb) {
            throw malformed("the name is empty")
        }
        if let subresource { segments.append(subresource) }
        if let wrong = segments.first(where: { $0 == "." || $0 == ".." || $0.contains("/") }) {
            throw malformed("\"\(wrong)\" can be no name")
        }
        let query = query.map { "\($0.name)=\(percentEncoded($0.value))" }.joined(separator: "&")
        return "/" + segments.map(percentEncoded).joined(separator: "/")
            + (query.isEmpty ? "" : "?\(query)")
    }

    private func malformed(_ problem: String) -> KubernetesError {
        KubernetesError(.malformed, request: summary, problem: problem)
    }
}

/// `text` with all but RFC 3986's unreserved characters percent-encoded.
func percentEncoded(_ text: String) -> String {
    let digits = Array("0123456789ABCDEF".utf8)
    var bytes: [UInt8] = []
    for byte in text.utf8 {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."),
            UInt8(ascii: "_"), UInt8(ascii: "~"):
            bytes.append(byte)
        default:
            bytes += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
        }
    }
    return String(decoding: bytes, as: UTF8.self)
}
