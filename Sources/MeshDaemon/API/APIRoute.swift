import MeshModel

/// A request to the API without its transport.
struct APIRequest: Sendable {
    /// The HTTP method.
    var method = "GET"
    /// The path, without the query.
    var path: String
    /// The query's parameters, decoded.
    var query: [String: String] = [:]
    /// `Accept`, empty when absent.
    var accept = ""
    /// `If-None-Match`, empty when absent.
    var ifNoneMatch = ""
    /// Whether it came over the Unix socket, which only its owner may use.
    var isFromSocket = false

    /// The request for `target`, a path with a query.
    init(
        method: String = "GET",
        target: String,
        accept: String = "",
        ifNoneMatch: String = "",
        isFromSocket: Bool = false
    ) {
        self.isFromSocket = isFromSocket
        let parts = target.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        self.method = method
        self.accept = accept
        self.ifNoneMatch = ifNoneMatch
        path = String(parts[0])
        for pair in parts.dropFirst().first?.split(separator: "&") ?? [] {
            let sides = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            query[Self.decode(sides[0])] = sides.count > 1 ? Self.decode(sides[1]) : ""
        }
    }

    /// Whether the parameter `name` is `true` or `1`.
    func flag(_ name: String) -> Bool { query[name] == "true" || query[name] == "1" }

    /// Undoes the encoding of a query: `+` is a space and `%2F` a slash.
    private static func decode(_ text: Substring) -> String {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "%"), rest.count >= 2,
                let code = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
            {
                bytes.append(code)
                rest = rest.dropFirst(2)
            } else {
                bytes.append(byte == UInt8(ascii: "+") ? UInt8(ascii: " ") : byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// What a path names.
enum APIRoute: Hashable {
    /// `/version`.
    case version
    /// `/healthz` and `/livez`.
    case health
    /// `/readyz`.
    case readiness
    /// `/api`.
    case coreVersions
    /// `/apis`.
    case groups
    /// `/apis/<group>`.
    case group(String)
    /// `/api/v1` or `/apis/<group>/<version>`.
    case resources(apiVersion: String)
    /// All objects of a kind, of one namespace or of all.
    case list(Kind, namespace: String?)
    /// One object.
    case object(ObjectID)
    /// `status` of one object, which answers with the whole object.
    case status(ObjectID)
    /// `log` of a Workload.
    case log(ObjectReference)
    /// All certificates, of one namespace or of all.
    case certificates(namespace: String?)
    /// One certificate; an authority is in no namespace.
    case certificate(namespace: String?, name: String)
    /// `rotate` of one certificate, or of all.
    case rotation(namespace: String?, name: String?)
    /// All proxies, of one namespace or of all.
    case proxies(namespace: String?)
    /// One proxy.
    case proxy(ProxyID)
    /// `upgrade` of one proxy, or of all that are outdated.
    case upgrade(ProxyID?)
    /// All events, of one namespace or of all.
    case events(namespace: String?)
    /// One event.
    case event(namespace: String, name: String)
    /// `/metrics`.
    case metrics

    /// The one method that it answers.
    var method: String {
        switch self {
        case .rotation, .upgrade: "POST"
        case .version, .health, .readiness, .coreVersions, .groups, .group, .resources, .list,
            .object, .status, .log, .certificates, .certificate, .proxies, .proxy, .events,
            .event, .metrics:
            "GET"
        }
    }

    /// Reads a path; nil when nothing has it.
    init?(path: String) {
        var parts = path.split(separator: "/")[...]
        let version: String
        switch parts.popFirst() {
        case "version" where parts.isEmpty: self = .version; return
        case "healthz" where parts.isEmpty, "livez" where parts.isEmpty: self = .health; return
        case "readyz" where parts.isEmpty: self = .readiness; return
        case "metrics" where parts.isEmpty: self = .metrics; return
        case "api":
            guard let first = parts.popFirst() else { self = .coreVersions; return }
            version = String(first)
        case "apis":
            guard let group = parts.popFirst() else { self = .groups; return }
            guard let second = parts.popFirst() else { self = .group(String(group)); return }
            version = "\(group)/\(second)"
        case nil, .some: return nil
        }
        if parts.isEmpty {
            self = .resources(apiVersion: version)
        } else {
            self.init(apiVersion: version, parts: parts)
        }
    }

    private init?(apiVersion: String, parts: ArraySlice<Substring>) {
        var parts = parts
        var namespace: String?
        // `namespaces` is a kind of its own too: a third part tells.
        if parts.count > 2, parts.first == "namespaces" {
            namespace = String(parts[parts.startIndex + 1])
            parts = parts.dropFirst(2)
        }
        if apiVersion == Certificates.apiVersion, parts.first == Certificates.plural[...] {
            self.init(certificates: parts.dropFirst().map(String.init), namespace)
            return
        }
        if apiVersion == Proxies.apiVersion, parts.first == Proxies.plural[...] {
            self.init(proxies: parts.dropFirst().map(String.init), namespace)
            return
        }
        if apiVersion == Events.apiVersion, parts.first == Events.plural[...] {
            let name = parts.dropFirst().first.map(String.init)
            guard parts.count <= 2, name == nil || namespace != nil else { return nil }
            self =
                if let name, let namespace { .event(namespace: namespace, name: name) } else {
                    .events(namespace: namespace)
                }
            return
        }
        let kinds = Kind.allCases.filter { $0.apiVersion == apiVersion }
        guard let kind = kinds.first(where: { $0.plural == parts[parts.startIndex] }) else {
            // `namespaces/<name>/status`
            guard apiVersion == Kind.namespace.apiVersion, let namespace, parts == ["status"] else {
                return nil
            }
            self = .status(ObjectID(.namespace, ObjectReference(name: namespace)))
            return
        }
        let rest = parts.dropFirst().map(String.init)
        guard kind.isNamespaced || namespace == nil else { return nil }
        guard let name = rest.first else { self = .list(kind, namespace: namespace); return }
        guard kind.isNamespaced == (namespace != nil) else { return nil }
        let id = ObjectID(kind, ObjectReference(namespace: namespace ?? "", name: name))
        switch Array(rest.dropFirst()) {
        case []: self = .object(id)
        case ["status"]: self = .status(id)
        case ["log"] where kind == .workload: self = .log(id.reference)
        default: return nil
        }
    }

    /// Reads what follows `proxies`.
    private init?(proxies parts: [String], _ namespace: String?) {
        let id = parts.first.flatMap { name in
            namespace.map { ProxyID(ObjectReference(namespace: $0, name: name)) }
        }
        switch (parts.count, parts.last, id) {
        case (0, _, _): self = .proxies(namespace: namespace)
        case (1, "upgrade", nil): self = .upgrade(nil)
        case (1, _, let id?): self = .proxy(id)
        case (2, "upgrade", let id?): self = .upgrade(id)
        default: return nil
        }
    }

    /// Reads what follows `certificates`.
    private init?(certificates parts: [String], _ namespace: String?) {
        switch (parts.count, parts.last) {
        case (0, _): self = .certificates(namespace: namespace)
        case (1, "rotate") where namespace == nil: self = .rotation(namespace: nil, name: nil)
        case (1, _): self = .certificate(namespace: namespace, name: parts[0])
        case (2, "rotate"): self = .rotation(namespace: namespace, name: parts[0])
        default: return nil
        }
    }
}
