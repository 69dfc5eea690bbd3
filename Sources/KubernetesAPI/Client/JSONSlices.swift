internal import FoundationEssentials

/// What can be read from JSON that the API server sends.
public protocol JSONReadable: Sendable {
    /// Reads a document, by default with Foundation's decoder.
    init(json: ArraySlice<UInt8>) throws
}

extension JSONReadable where Self: Decodable {
    /// Reads a document with Foundation's decoder.
    public init(json: ArraySlice<UInt8>) throws {
        self = try JSONDecoder().decode(Self.self, from: Data(json))
    }
}

/// Where the parts of a JSON document are, found without looking into them.
///
/// So each object of a list is read by itself, and by whoever knows its bounds.
struct JSONSlices {
    /// A text that is no JSON object or array.
    struct Malformed: Error {}

    private let bytes: ArraySlice<UInt8>
    private var index: Int

    private init(_ bytes: ArraySlice<UInt8>) {
        self.bytes = bytes
        index = bytes.startIndex
    }

    /// The members of the object that `bytes` are; names are as they are written.
    static func members(
        of bytes: ArraySlice<UInt8>
    ) throws(Malformed) -> [String: ArraySlice<UInt8>] {
        var slices = JSONSlices(bytes)
        var members: [String: ArraySlice<UInt8>] = [:]
        try slices.parts("{", "}") { slices throws(Malformed) in
            let name = try slices.string()
            try slices.expect(":")
            members[name] = try slices.value()
        }
        return members
    }

    /// The elements of the array that `bytes` are; none of null, and of nothing.
    static func elements(
        of bytes: ArraySlice<UInt8>
    ) throws(Malformed) -> [ArraySlice<UInt8>] {
        var slices = JSONSlices(bytes)
        var elements: [ArraySlice<UInt8>] = []
        if bytes.isEmpty || bytes.elementsEqual("null".utf8) { return [] }
        try slices.parts("[", "]") { slices throws(Malformed) in
            elements.append(try slices.value())
        }
        return elements
    }

    private var next: UInt8? { index < bytes.endIndex ? bytes[index] : nil }

    private mutating func skipSpace() {
        while let byte = next, byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 {
            index += 1
        }
    }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        skipSpace()
        guard next == UInt8(ascii: character) else { return false }
        index += 1
        return true
    }

    private mutating func expect(_ character: Unicode.Scalar) throws(Malformed) {
        guard take(character) else { throw Malformed() }
    }

    private mutating func parts(
        _ open: Unicode.Scalar,
        _ close: Unicode.Scalar,
        _ part: (inout JSONSlices) throws(Malformed) -> Void
    ) throws(Malformed) {
        try expect(open)
        if take(close) { return }
        while true {
            try part(&self)
            if take(close) { return }
            try expect(",")
        }
    }

    /// The text between quotes.
    private mutating func string() throws(Malformed) -> String {
        skipSpace()
        let start = index + 1
        try skipString()
        return String(decoding: bytes[start..<index - 1], as: UTF8.self)
    }

    private mutating func skipString() throws(Malformed) {
        try expect("\"")
        while let byte = next {
            index += byte == UInt8(ascii: "\\") ? 2 : 1
            if byte == UInt8(ascii: "\"") { return }
        }
        throw Malformed()
    }

    /// The next value, whatever it is.
    private mutating func value() throws(Malformed) -> ArraySlice<UInt8> {
        skipSpace()
        let start = index
        var depth = 0
        repeat {
            switch next {
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                depth += 1
                index += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                guard depth > 0 else { throw Malformed() }
                depth -= 1
                index += 1
            case UInt8(ascii: "\""): try skipString()
            case UInt8(ascii: ","), UInt8(ascii: ":"), 0x20, 0x0a, 0x0d, 0x09:
                guard depth > 0 else { throw Malformed() }
                index += 1
            case nil: throw Malformed()
            default: skipWord()
            }
        } while depth > 0
        guard index > start, index <= bytes.endIndex else { throw Malformed() }
        return bytes[start..<index]
    }

    /// A number, true, false or null.
    private mutating func skipWord() {
        let ends = Array(#"{}[],:" "#.utf8) + [0x0a, 0x0d, 0x09]
        repeat { index += 1 } while next.map { !ends.contains($0) } ?? false
    }
}
