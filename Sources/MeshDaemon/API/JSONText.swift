import MeshModel

/// Writes a JSON value as text, with sorted keys so that equal values give equal text.
enum JSONText {
    /// The value on one line, as UTF-8.
    static func compact(_ value: JSONValue) -> [UInt8] {
        var bytes: [UInt8] = []
        append(value, to: &bytes, indentation: nil)
        return bytes
    }

    /// The value on many lines with four spaces for each level, as `kubectl -o json` prints it.
    static func pretty(_ value: JSONValue) -> String {
        var bytes: [UInt8] = []
        append(value, to: &bytes, indentation: 0)
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Appends `value`; `indentation` is the present level, or nil for a single line.
    private static func append(_ value: JSONValue, to bytes: inout [UInt8], indentation: Int?) {
        switch value {
        case .null: bytes += "null".utf8
        case .bool(let value): bytes += (value ? "true" : "false").utf8
        case .integer(let value): bytes += String(value).utf8
        case .number(let value): bytes += (value.isFinite ? "\(value)" : "null").utf8
        case .string(let value): append(string: value, to: &bytes)
        case .array(let values):
            appendList(values, "[", "]", to: &bytes, indentation) { value, bytes, level in
                append(value, to: &bytes, indentation: level)
            }
        case .object(let members):
            let sorted = members.sorted { $0.key < $1.key }
            appendList(sorted, "{", "}", to: &bytes, indentation) { member, bytes, level in
                append(string: member.key, to: &bytes)
                bytes += (level == nil ? ":" : ": ").utf8
                append(member.value, to: &bytes, indentation: level)
            }
        }
    }

    private static func appendList<Element>(
        _ elements: [Element],
        _ opening: String,
        _ closing: String,
        to bytes: inout [UInt8],
        _ indentation: Int?,
        each appendElement: (Element, inout [UInt8], Int?) -> Void
    ) {
        func breakLine(_ level: Int?) {
            guard let level else { return }
            bytes.append(UInt8(ascii: "\n"))
            bytes += repeatElement(UInt8(ascii: " "), count: 4 * level)
        }
        let level = indentation.map { $0 + 1 }
        bytes += opening.utf8
        for (index, element) in elements.enumerated() {
            if index > 0 { bytes.append(UInt8(ascii: ",")) }
            breakLine(level)
            appendElement(element, &bytes, level)
        }
        if !elements.isEmpty { breakLine(indentation) }
        bytes += closing.utf8
    }

    private static func append(string: String, to bytes: inout [UInt8]) {
        bytes.append(UInt8(ascii: "\""))
        for byte in string.utf8 {
            switch byte {
            case UInt8(ascii: "\""): bytes += "\\\"".utf8
            case UInt8(ascii: "\\"): bytes += "\\\\".utf8
            case UInt8(ascii: "\n"): bytes += "\\n".utf8
            case UInt8(ascii: "\r"): bytes += "\\r".utf8
            case UInt8(ascii: "\t"): bytes += "\\t".utf8
            case 0..<0x20:
                let digits = String(byte, radix: 16)
                bytes +=
                    ("\\u" + String(repeating: "0", count: 4 - digits.utf8.count) + digits).utf8
            default: bytes.append(byte)
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }
}
