/// A text that is no JSON document, or one beyond bounds.
public struct MalformedJSON: Error {}

/// Reads JSON that may be hostile: never deeper or of more values than said.
///
/// Foundation's decoder tells the types of values by trying one after the other, which is too slow for
/// every span of a mesh.
public struct BoundedJSON {
    private let bytes: ArraySlice<UInt8>
    private var index: Int
    private var depthLeft: Int
    private var valuesLeft: Int
    private let isCutting: Bool

    private init(_ bytes: ArraySlice<UInt8>, depth: Int, values: Int, isCutting: Bool) {
        self.bytes = bytes
        self.isCutting = isCutting
        index = bytes.startIndex
        depthLeft = depth
        valuesLeft = values
    }

    /// The value that `bytes` are.
    ///
    /// - Parameters:
    ///   - bytes: A JSON document.
    ///   - depth: How deep objects and arrays may be nested.
    ///   - values: How many values there may be in all.
    ///   - isCutting: Whether what is deeper than that is taken for null.
    /// - Returns: The document; of a name that comes twice the first value.
    /// - Throws: `MalformedJSON`.
    public static func value(
        of bytes: ArraySlice<UInt8>,
        depth: Int = 64,
        values: Int = 16_384,
        isCutting: Bool = false
    ) throws(MalformedJSON) -> JSONValue {
        var reader = BoundedJSON(bytes, depth: depth, values: values, isCutting: isCutting)
        let value = try reader.value()
        reader.skipSpace()
        guard reader.index == bytes.endIndex else { throw MalformedJSON() }
        return value
    }

    private var next: UInt8? { index < bytes.endIndex ? bytes[index] : nil }

    private mutating func skipSpace() {
        while let byte = next, byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 {
            index += 1
        }
    }

    private mutating func take(_ byte: UInt8) -> Bool {
        guard next == byte else { return false }
        index += 1
        return true
    }

    private mutating func expect(_ byte: UInt8) throws(MalformedJSON) {
        guard take(byte) else { throw MalformedJSON() }
    }

    private mutating func value() throws(MalformedJSON) -> JSONValue {
        valuesLeft -= 1
        guard valuesLeft >= 0 else { throw MalformedJSON() }
        skipSpace()
        switch next {
        case UInt8(ascii: "{"):
            return try nested { reader throws(MalformedJSON) in try reader.object() }
        case UInt8(ascii: "["):
            return try nested { reader throws(MalformedJSON) in try reader.array() }
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        default: return try number()
        }
    }

    private mutating func nested(
        _ read: (inout BoundedJSON) throws(MalformedJSON) -> JSONValue
    ) throws(MalformedJSON) -> JSONValue {
        guard depthLeft > 0 else {
            guard isCutting else { throw MalformedJSON() }
            try skipNested()
            return .null
        }
        depthLeft -= 1
        index += 1
        let value = try read(&self)
        depthLeft += 1
        return value
    }

    /// Passes over an object or array without looking into it.
    private mutating func skipNested() throws(MalformedJSON) {
        var depth = 0
        repeat {
            switch next {
            case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"): depth -= 1
            case UInt8(ascii: "\""):
                _ = try string()
                continue
            case nil: throw MalformedJSON()
            default: break
            }
            index += 1
        } while depth > 0
    }

    private mutating func object() throws(MalformedJSON) -> JSONValue {
        var members: [String: JSONValue] = [:]
        skipSpace()
        if take(UInt8(ascii: "}")) { return .object(members) }
        while true {
            skipSpace()
            let name = try string()
            skipSpace()
            try expect(UInt8(ascii: ":"))
            let member = try value()
            if members[name] == nil { members[name] = member }
            skipSpace()
            if take(UInt8(ascii: "}")) { return .object(members) }
            try expect(UInt8(ascii: ","))
        }
    }

    private mutating func array() throws(MalformedJSON) -> JSONValue {
        var elements: [JSONValue] = []
        skipSpace()
        if take(UInt8(ascii: "]")) { return .array(elements) }
        while true {
            elements.append(try value())
            skipSpace()
            if take(UInt8(ascii: "]")) { return .array(elements) }
            try expect(UInt8(ascii: ","))
        }
    }

    private mutating func word(
        _ word: StaticString,
        _ value: JSONValue
    ) throws(MalformedJSON) -> JSONValue {
        let end = index + word.utf8CodeUnitCount
        guard end <= bytes.endIndex,
            word.withUTF8Buffer({ bytes[index..<end].elementsEqual($0) })
        else { throw MalformedJSON() }
        index = end
        return value
    }

    private mutating func number() throws(MalformedJSON) -> JSONValue {
        guard next != UInt8(ascii: "+") else { throw MalformedJSON() }
        let start = index
        var isInteger = true
        while let byte = next {
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"): break
            case UInt8(ascii: "."), UInt8(ascii: "e"), UInt8(ascii: "E"), UInt8(ascii: "+"):
                isInteger = false
            default: return try number(bytes[start..<index], isInteger: isInteger)
            }
            index += 1
        }
        return try number(bytes[start..<index], isInteger: isInteger)
    }

    private func number(
        _ digits: ArraySlice<UInt8>,
        isInteger: Bool
    ) throws(MalformedJSON) -> JSONValue {
        let text = String(decoding: digits, as: UTF8.self)
        if isInteger, let value = Int(text) { return .integer(value) }
        guard digits.count <= 64, let value = Double(text), value.isFinite else {
            throw MalformedJSON()
        }
        // As Foundation's decoder has it.
        return Int(exactly: value).map(JSONValue.integer) ?? .number(value)
    }

    private mutating func string() throws(MalformedJSON) -> String {
        try expect(UInt8(ascii: "\""))
        let start = index
        while let byte = next, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\"), byte >= 0x20
        {
            index += 1
        }
        let plain = bytes[start..<index]
        if take(UInt8(ascii: "\"")) { return String(decoding: plain, as: UTF8.self) }
        var text = Array(plain)
        while let byte = next, byte >= 0x20 {
            index += 1
            switch byte {
            case UInt8(ascii: "\""): return String(decoding: text, as: UTF8.self)
            case UInt8(ascii: "\\"): try text.append(contentsOf: escaped())
            default: text.append(byte)
            }
        }
        throw MalformedJSON()
    }

    private mutating func escaped() throws(MalformedJSON) -> [UInt8] {
        guard let byte = next else { throw MalformedJSON() }
        index += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return [byte]
        case UInt8(ascii: "b"): return [0x08]
        case UInt8(ascii: "f"): return [0x0c]
        case UInt8(ascii: "n"): return [0x0a]
        case UInt8(ascii: "r"): return [0x0d]
        case UInt8(ascii: "t"): return [0x09]
        case UInt8(ascii: "u"): return Array(String(try scalar()).utf8)
        default: throw MalformedJSON()
        }
    }

    /// The character of `\u` and four digits, or of two such where it takes a pair; half a pair is U+FFFD.
    private mutating func scalar() throws(MalformedJSON) -> Character {
        let first = try fourDigits()
        if let scalar = Unicode.Scalar(first) { return Character(scalar) }
        let isPair =
            first < 0xdc00 && index + 1 < bytes.endIndex
            && bytes[index] == UInt8(ascii: "\\") && bytes[index + 1] == UInt8(ascii: "u")
        guard isPair else { return "\u{fffd}" }
        let before = index
        index += 2
        let second = try fourDigits()
        guard (0xdc00..<0xe000).contains(second) else {
            index = before
            return "\u{fffd}"
        }
        let value = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)
        return Unicode.Scalar(value).map(Character.init) ?? "\u{fffd}"
    }

    private mutating func fourDigits() throws(MalformedJSON) -> UInt32 {
        guard index + 4 <= bytes.endIndex,
            bytes[index] != UInt8(ascii: "+"), bytes[index] != UInt8(ascii: "-"),
            let value = UInt32(String(decoding: bytes[index..<index + 4], as: UTF8.self), radix: 16)
        else { throw MalformedJSON() }
        index += 4
        return value
    }
}
