internal import FoundationEssentials
internal import Yams

/// A value in a kubeconfig, with the place that messages name.
struct KubeconfigNode {
    /// The file.
    let file: String
    /// `users[0].user.exec`; empty for the whole file.
    let field: String
    private let node: Node

    /// Reads `file`.
    init(contentsOf file: String) throws(KubernetesError) {
        let text: String
        do {
            text = String(decoding: try readFile(file, limit: 16 * 1024 * 1024), as: UTF8.self)
        } catch {
            throw KubernetesError(.credentials, request: file, problem: error.reason)
        }
        try self.init(text, file: file)
    }

    /// Parses `text`, the contents of `file`; of one that is empty, nothing.
    init(_ text: String, file: String) throws(KubernetesError) {
        let root: Node?
        do {
            root = try Yams.compose(yaml: text)
        } catch {
            // The error's text would show lines of the file.
            let mark = (error as? YamlError).flatMap(Self.line)
            throw KubernetesError(
                .credentials,
                request: file,
                problem: "it is no YAML" + (mark.map { " (line \($0))" } ?? "")
            )
        }
        self.init(file: file, field: "", node: root ?? Node([(Node, Node)]()))
        guard node.mapping != nil || isNull else { throw problem("must be a map") }
    }

    private init(file: String, field: String, node: Node) {
        self.file = file
        self.field = field
        self.node = node
    }

    private static func line(of error: YamlError) -> Int? {
        switch error {
        case .scanner(_, _, let mark, _), .parser(_, _, let mark, _), .composer(_, _, let mark, _):
            mark.line
        default: nil
        }
    }

    /// `null` and nothing are the same to kubectl.
    private var isNull: Bool { node.null != nil }

    /// An error that names this place.
    func problem(_ text: String) -> KubernetesError {
        KubernetesError(
            .credentials,
            request: file,
            problem: field.isEmpty ? text : "\(field): \(text)"
        )
    }

    /// The value of `key`; nil when there is none.
    subscript(key: String) -> KubeconfigNode? {
        guard let child = node.mapping?[key] else { return nil }
        let node = KubeconfigNode(
            file: file,
            field: field.isEmpty ? key : "\(field).\(key)",
            node: child
        )
        return node.isNull ? nil : node
    }

    /// The value of `key`, which must be a map.
    func map(_ key: String) throws(KubernetesError) -> KubeconfigNode? {
        guard let child = self[key] else { return nil }
        guard child.node.mapping != nil else { throw child.problem("must be a map") }
        return child
    }

    /// The values of the list at `key`; none when it is not there.
    func list(_ key: String) throws(KubernetesError) -> [KubeconfigNode] {
        guard let child = self[key] else { return [] }
        guard let sequence = child.node.sequence else { throw child.problem("must be a list") }
        return sequence.enumerated().map { index, node in
            KubeconfigNode(file: file, field: "\(child.field)[\(index)]", node: node)
        }
    }

    /// The keys and values of the map at `key`; none when it is not there.
    func entries(_ key: String) throws(KubernetesError) -> [(key: String, value: KubeconfigNode)] {
        guard let child = try map(key), let mapping = child.node.mapping else { return [] }
        return mapping.compactMap { name, node in
            guard let name = name.scalar?.string else { return nil }
            let field = "\(child.field).\(name)"
            return (name, KubeconfigNode(file: file, field: field, node: node))
        }
    }

    /// This value as text.
    func text() throws(KubernetesError) -> String {
        guard let scalar = node.scalar else { throw problem("must be a string") }
        return scalar.string
    }

    /// The text at `key`; nil when it is not there or empty, which is the same to kubectl.
    func text(_ key: String) throws(KubernetesError) -> String? {
        guard let text = try self[key]?.text(), !text.isEmpty else { return nil }
        return text
    }

    /// The text at `key`.
    func requiredText(_ key: String) throws(KubernetesError) -> String {
        if let text = try text(key) { return text }
        let place = field.isEmpty ? key : "\(field).\(key)"
        throw KubernetesError(.credentials, request: file, problem: "\(place): is missing")
    }

    /// Whether the value of `key` is true.
    func flag(_ key: String) throws(KubernetesError) -> Bool {
        guard let child = self[key] else { return false }
        guard let flag = child.node.bool else { throw child.problem("must be true or false") }
        return flag
    }

    /// The bytes that the base64 text at `key` stands for.
    func data(_ key: String) throws(KubernetesError) -> [UInt8]? {
        guard let child = self[key], let text = try text(key) else { return nil }
        let packed = text.filter { !$0.isWhitespace }
        guard let data = Data(base64Encoded: packed) else { throw child.problem("must be base64") }
        return Array(data)
    }

    /// The path at `key`; one that is relative starts at the file's folder.
    func path(_ key: String) throws(KubernetesError) -> String? {
        try text(key).map(resolved)
    }

    /// `path`, from the file's folder when it is relative.
    func resolved(_ path: String) -> String {
        guard !path.hasPrefix("/") else { return path }
        guard let slash = file.lastIndex(of: "/") else { return path }
        return String(file[...slash]) + path
    }

    /// This value, whatever it is.
    func value() throws(KubernetesError) -> ConfigurationValue {
        try Self.value(node, depth: 0, self)
    }

    private static func value(
        _ node: Node,
        depth: Int,
        _ place: KubeconfigNode
    ) throws(KubernetesError) -> ConfigurationValue {
        guard depth < 64 else { throw place.problem("is nested too deep") }
        switch node {
        case .mapping(let mapping):
            var result: [String: ConfigurationValue] = [:]
            for (key, child) in mapping {
                guard let key = key.scalar?.string else { continue }
                result[key] = try value(child, depth: depth + 1, place)
            }
            return .map(result)
        case .sequence(let sequence):
            var result: [ConfigurationValue] = []
            for child in sequence { result.append(try value(child, depth: depth + 1, place)) }
            return .list(result)
        case .scalar(let scalar):
            if node.null != nil { return .null }
            if let flag = node.bool { return .bool(flag) }
            if let integer = node.int { return .integer(integer) }
            if let number = node.float, number.isFinite { return .number(number) }
            return .string(scalar.string)
        case .alias: throw place.problem("has an alias that leads nowhere")
        }
    }
}
