import MeshModel

/// A JSON Patch that does not fit the document.
struct PatchMisfit: Error { let operation: JSONValue }

extension JSONValue {
    /// `document` with this JSON Patch applied, by the letter of RFC 6902.
    func applied(to document: JSONValue) throws -> JSONValue {
        var document = document
        for operation in array ?? [] {
            guard let path = operation["path"]?.string else {
                throw PatchMisfit(operation: operation)
            }
            let tokens = path.split(separator: "/", omittingEmptySubsequences: false).dropFirst()
                .map { String($0).replacing("~1", with: "/").replacing("~0", with: "~") }
            document = try document.changed(at: tokens[...], by: operation)
        }
        return document
    }

    private func changed(at path: ArraySlice<String>, by operation: JSONValue) throws -> JSONValue {
        let (name, value) = (operation["op"]?.string, operation["value"])
        func misfit() -> PatchMisfit { PatchMisfit(operation: operation) }
        guard let token = path.first else {
            guard let value, name == "replace" || name == "add" else { throw misfit() }
            return value
        }
        switch self {
        case .object(var members):
            if path.count > 1 {
                guard let member = members[token] else { throw misfit() }
                members[token] = try member.changed(at: path.dropFirst(), by: operation)
                return .object(members)
            }
            switch name {
            case "add": members[token] = value
            case "replace" where members[token] != nil: members[token] = value
            case "remove" where members[token] != nil: members[token] = nil
            default: throw misfit()
            }
            return .object(members)
        case .array(var elements):
            let isLast = path.count == 1
            guard let index = token == "-" && isLast ? elements.count : Int(token), index >= 0,
                index < elements.count || (isLast && name == "add" && index == elements.count)
            else { throw misfit() }
            if !isLast {
                elements[index] = try elements[index].changed(at: path.dropFirst(), by: operation)
                return .array(elements)
            }
            switch (name, value) {
            case ("add", let value?): elements.insert(value, at: index)
            case ("replace", let value?): elements[index] = value
            case ("remove", _): elements.remove(at: index)
            default: throw misfit()
            }
            return .array(elements)
        case .null, .bool, .integer, .number, .string: throw misfit()
        }
    }
}
