import FoundationEssentials
import MeshModel

/// A small generator whose every state is a good one.
struct SplitMix64: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
        return value ^ (value >> 31)
    }
}

/// Pieces of text that parsers trip over.
private let snippets = [
    "\t", "\r", "\0", "---\n", "...\n", "&a ", "*a", "<<: *a", "!!binary ", "!!python/object ",
    "? ",
    "- ", ": ", "{", "}", "[", "]", "|\n", ">-\n", "\"", "'", "#", "~", "null", "true", "yes", "-1",
    "0",
    "65535", "65536", "9223372036854775807", "9223372036854775808", "1e309", ".inf", ".nan", "0x1F",
    "2026-11-23", "\u{feff}", "\u{2028}", "\u{0}", "🧵", "*", "..", "/", "arn:aws:appmesh:::mesh/",
    "arn:aws:appmesh:x:1:mesh/m/virtualNode/", "kind: List\nitems: ", "spec: ", "weight: ",
    "name: ", "%", "%%", "%REQ(", ")%", "):5%", "%START_TIME(%n)%", "percentage: ", "targetRefs: ",
    "heddle.dev/always-allowed: ", "*.a:1,", "heddle.dev/trust-domain: ", "spiffe://", "tls: ",
    "arn:aws:acm:eu-west-1:123456789012:certificate/", "secretMounts: {/: ..}",
]

/// `bytes` after one to eight changes.
func mutated(_ bytes: [UInt8], _ random: inout some RandomNumberGenerator) -> [UInt8] {
    var bytes = bytes
    for _ in 0..<Int.random(in: 1...8, using: &random) {
        let place = Int.random(in: 0...bytes.count, using: &random)
        let end = min(bytes.count, place + Int.random(in: 0...64, using: &random))
        switch Int.random(in: 0..<8, using: &random) {
        case 0 where place < bytes.count:
            bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
        case 1: bytes.insert(UInt8.random(in: 0...255, using: &random), at: place)
        case 2: bytes.removeSubrange(place..<end)
        case 3: bytes.insert(contentsOf: bytes[place..<end], at: place)
        case 4:
            bytes.insert(contentsOf: (snippets.randomElement(using: &random) ?? "").utf8, at: place)
        case 5:
            bytes.replaceSubrange(
                place..<end,
                with: (snippets.randomElement(using: &random) ?? "").utf8
            )
        case 6: bytes.removeSubrange(place...)
        default: swapLines(&bytes, &random)
        }
        // A mutation may double the text; a manifest stays one.
        if bytes.count > 1 << 20 { bytes.removeLast(bytes.count - 1 << 20) }
    }
    return bytes
}

private func swapLines(_ bytes: inout [UInt8], _ random: inout some RandomNumberGenerator) {
    var lines = bytes.split(separator: 10, omittingEmptySubsequences: false).map(Array.init)
    guard lines.count > 1 else { return }
    lines.swapAt(
        Int.random(in: 0..<lines.count, using: &random),
        Int.random(in: 0..<lines.count, using: &random)
    )
    bytes = Array(lines.joined(separator: [10]))
}

/// All `documents` as one stream of JSON, a few of them changed somewhere inside.
func mutatedDocuments(
    _ documents: [JSONValue],
    _ random: inout some RandomNumberGenerator
) -> [UInt8] {
    guard !documents.isEmpty else { return [] }
    let start = Int.random(in: 0..<documents.count, using: &random)
    var chosen = Array(documents[start...].prefix(24))
    for _ in 0..<Int.random(in: 1...6, using: &random) {
        let index = Int.random(in: 0..<chosen.count, using: &random)
        chosen[index] = mutated(chosen[index], donors: documents, &random)
    }
    let encoder = JSONEncoder()
    return chosen.flatMap { document -> [UInt8] in
        let json = (try? encoder.encode(document)).map([UInt8].init) ?? []
        return Array("---\n".utf8) + json + [10]
    }
}

private func mutated(
    _ value: JSONValue,
    donors: [JSONValue],
    _ random: inout some RandomNumberGenerator
) -> JSONValue {
    // Goes down to a random place and changes what is there.
    if Int.random(in: 0..<5, using: &random) > 0 {
        switch value {
        case .object(var members):
            guard let key = members.keys.sorted().randomElement(using: &random),
                let old = members[key]
            else { break }
            members[key] = mutated(old, donors: donors, &random)
            return .object(members)
        case .array(var elements):
            guard !elements.isEmpty else { break }
            let index = Int.random(in: 0..<elements.count, using: &random)
            elements[index] = mutated(elements[index], donors: donors, &random)
            return .array(elements)
        case .null, .bool, .integer, .number, .string: break
        }
    }
    switch Int.random(in: 0..<9, using: &random) {
    case 0: return .null
    case 1: return .bool(Bool.random(using: &random))
    case 2:
        return .integer(
            [-1, 0, 1, 100, 101, 65_535, 65_536, Int.max, Int.min].randomElement(using: &random)
                ?? 0
        )
    case 3: return .string(snippets.randomElement(using: &random) ?? "")
    case 4: return .array([value, value])
    case 5: return .object([snippets.randomElement(using: &random) ?? "": value])
    case 6: return .string(String(repeating: "x", count: Int.random(in: 0..<5000, using: &random)))
    case 7: return donors.randomElement(using: &random).flatMap { part(of: $0, &random) } ?? .null
    default: return .array(Array(repeating: value, count: Int.random(in: 0..<30, using: &random)))
    }
}

private func part(of value: JSONValue, _ random: inout some RandomNumberGenerator) -> JSONValue {
    guard Int.random(in: 0..<4, using: &random) > 0 else { return value }
    switch value {
    case .object(let members):
        guard let key = members.keys.sorted().randomElement(using: &random), let next = members[key]
        else { return value }
        return part(of: next, &random)
    case .array(let elements):
        return elements.randomElement(using: &random).map { part(of: $0, &random) } ?? value
    case .null, .bool, .integer, .number, .string: return value
    }
}
