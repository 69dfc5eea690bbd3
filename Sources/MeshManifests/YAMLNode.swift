/// A value of a YAML or JSON document, with the line on which it stands.
///
/// Equal aliases share their storage, so a node can be larger when walked than in memory.
struct YAMLNode {
    /// What a node holds.
    enum Content {
        case scalar(YAMLScalar)
        case sequence([YAMLNode])
        case mapping([Entry])
    }

    /// One member of a mapping, in the order of the document.
    struct Entry {
        var key: String
        /// The line of the key.
        var line: Int
        var value: YAMLNode
        /// The line of an earlier entry with the same key, which is a mistake.
        var duplicateOfLine: Int?
    }

    var content: Content
    /// The line of the file, from 1; 0 when the value came from no file.
    var line: Int

    var isNull: Bool {
        if case .scalar(.null) = content { return true }
        return false
    }

    /// The entries, if this is a mapping.
    var entries: [Entry]? {
        guard case .mapping(let entries) = content else { return nil }
        return entries
    }

    /// The value of `key`, if this is a mapping that has it and it is not null.
    subscript(key: String) -> YAMLNode? {
        guard let value = entries?.first(where: { $0.key == key })?.value, !value.isNull else {
            return nil
        }
        return value
    }

    /// The string, if this is one.
    var string: String? {
        guard case .scalar(.string(let text)) = content else { return nil }
        return text
    }

    /// The value in words, for messages: `the number 8080`.
    var description: String {
        switch content {
        case .scalar(.null): "null"
        case .scalar(.bool(_, let text)): text
        case .scalar(.integer(_, let text)), .scalar(.number(_, let text)):
            "the number \(shortened(text))"
        case .scalar(.string(let text)): "the string \(quoted(text))"
        case .sequence: "a list"
        case .mapping: "a mapping"
        }
    }
}

/// A scalar after YAML's core schema, as Kubernetes reads it, has told what it is.
enum YAMLScalar {
    case null
    case bool(Bool, text: String)
    case integer(Int, text: String)
    /// Everything numeric that is no integer of 64 bits.
    case number(Double, text: String)
    case string(String)

    /// Resolves a scalar that stands without quotes and without a tag.
    ///
    /// `yes`, `no`, `on` and `off` stay strings; an integer may be decimal, `0x`, `0o`, or octal with
    /// a leading zero, which is how Kubernetes reads it.
    init(plain text: String) {
        guard let first = text.utf8.first, text.utf8.count <= 64 else {
            self = text.isEmpty ? .null : .string(text)
            return
        }
        switch first {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "+"), UInt8(ascii: "-"),
            UInt8(ascii: "."):
            self = YAMLScalar.numeric(text) ?? .string(text)
        default:
            switch text {
            case "~", "null", "Null", "NULL": self = .null
            case "true", "True", "TRUE": self = .bool(true, text: text)
            case "false", "False", "FALSE": self = .bool(false, text: text)
            default: self = .string(text)
            }
        }
    }

    private static func numeric(_ text: String) -> YAMLScalar? {
        let isNegative = text.hasPrefix("-")
        let digits = isNegative || text.hasPrefix("+") ? text.dropFirst() : text[...]
        guard let first = digits.utf8.first else { return nil }
        if digits.utf8.allSatisfy(isDigit) {
            let radix = first == UInt8(ascii: "0") && digits.utf8.count > 1 ? 8 : 10
            if let value = Int(digits, radix: radix) {
                return .integer(isNegative ? -value : value, text: text)
            }
            return Double(text).map { .number($0, text: text) }
        }
        for (prefix, radix) in [("0x", 16), ("0o", 8)] where digits.hasPrefix(prefix) {
            let rest = digits.dropFirst(2)
            guard
                rest.utf8.first.map({ $0 != UInt8(ascii: "+") && $0 != UInt8(ascii: "-") }) == true
            else { return nil }
            return Int(rest, radix: radix).map { .integer(isNegative ? -$0 : $0, text: text) }
        }
        // Swift reads hexadecimal floats, "nan" and "inf" too, which YAML spells otherwise.
        guard isDigit(first) || first == UInt8(ascii: "."),
            digits.utf8.allSatisfy({ isDigit($0) || ".eE+-".utf8.contains($0) })
        else { return nil }
        let full = digits.hasPrefix(".") ? "0\(digits)" : String(digits)
        guard let value = Double(full.hasSuffix(".") ? full + "0" : full), value.isFinite else {
            return nil
        }
        return .number(isNegative ? -value : value, text: text)
    }

    private static func isDigit(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
    }
}
