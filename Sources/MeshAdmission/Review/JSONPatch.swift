public import MeshModel

/// One operation of a JSON Patch (RFC 6902).
public enum PatchOperation: Hashable, Sendable {
    case add(path: String, JSONValue)
    case replace(path: String, JSONValue)
    case remove(path: String)

    /// The operation as the RFC writes it.
    public var document: JSONValue {
        switch self {
        case .add(let path, let value): ["op": "add", "path": .string(path), "value": value]
        case .replace(let path, let value):
            ["op": "replace", "path": .string(path), "value": value]
        case .remove(let path): ["op": "remove", "path": .string(path)]
        }
    }
}

/// The operations that make `new` of `old`: none for what is equal, and of an array that grew at one
/// place only what came to it.
///
/// Guarantee: the operations hold in their order, each upon what those before it left.
func patch(from old: JSONValue, to new: JSONValue, at path: String = "") -> [PatchOperation] {
    if old == new { return [] }
    switch (old, new) {
    case (.object(let old), .object(let new)): return memberPatch(from: old, to: new, at: path)
    case (.array(let old), .array(let new)): return elementPatch(from: old, to: new, at: path)
    case (.object, _), (.array, _), (.null, _), (.bool, _), (.integer, _), (.number, _),
        (.string, _):
        return [.replace(path: path, new)]
    }
}

private func memberPatch(
    from old: [String: JSONValue],
    to new: [String: JSONValue],
    at path: String
) -> [PatchOperation] {
    Set(old.keys).union(new.keys).sorted().flatMap { key -> [PatchOperation] in
        let member = path + "/" + pointerToken(key)
        guard let after = new[key] else { return [.remove(path: member)] }
        guard let before = old[key] else { return [.add(path: member, after)] }
        return patch(from: before, to: after, at: member)
    }
}

private func elementPatch(
    from old: [JSONValue],
    to new: [JSONValue],
    at path: String
) -> [PatchOperation] {
    var head = 0
    while head < min(old.count, new.count), old[head] == new[head] { head += 1 }
    var tail = 0
    while tail < min(old.count, new.count) - head,
        old[old.count - 1 - tail] == new[new.count - 1 - tail]
    {
        tail += 1
    }
    let before = old[head..<(old.count - tail)]
    let after = new[head..<(new.count - tail)]
    let common = min(before.count, after.count)
    var operations: [PatchOperation] = []
    for offset in 0..<common {
        let index = head + offset
        operations += patch(from: old[index], to: new[index], at: "\(path)/\(index)")
    }
    // From the end, as each removal moves what comes after it.
    for index in (head + common..<head + before.count).reversed() {
        operations.append(.remove(path: "\(path)/\(index)"))
    }
    for index in head + common..<head + after.count {
        operations.append(.add(path: "\(path)/\(index)", new[index]))
    }
    return operations
}

/// A key as a JSON Pointer (RFC 6901) writes it.
private func pointerToken(_ key: String) -> String {
    var token = ""
    for scalar in key.unicodeScalars {
        switch scalar {
        case "~": token += "~0"
        case "/": token += "~1"
        default: token.unicodeScalars.append(scalar)
        }
    }
    return token
}
