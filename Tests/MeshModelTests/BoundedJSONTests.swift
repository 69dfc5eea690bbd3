import Foundation
import MeshModel
import MeshTesting
import Testing

@Suite struct BoundedJSONTests {
    @Test func `what is too deep is null where that is asked for, and what comes after is read`()
        throws
    {
        let deep =
            String(repeating: "[", count: 90_000) + #""]","# + "1"
            + String(repeating: "]", count: 90_000)
        let text = #"{"a": {"b": [1, {"c": \#(deep)}]}, "d": {"e": "}"}, "f": 2}"#
        let value = try BoundedJSON.value(
            of: Array(text.utf8)[...],
            depth: 3,
            values: .max,
            isCutting: true
        )
        #expect(value == ["a": ["b": [1, .null]], "d": ["e": "}"], "f": 2])
        #expect(throws: MalformedJSON.self) {
            try BoundedJSON.value(of: Array(text.utf8)[...], depth: 3, values: .max)
        }
        #expect(throws: MalformedJSON.self) {
            try BoundedJSON.value(
                of: Array(#"{"a": [[1, 2}"#.utf8)[...],
                depth: 1,
                isCutting: true
            )
        }
    }

    @Test(
        arguments: [
            (
                " {\"a\" : [ 1 , -2.5e3, true,false , null,\"x\" ] } ",
                JSONValue.object([
                    "a": .array([
                        .integer(1), .integer(-2500), .bool(true), .bool(false), .null,
                        .string("x"),
                    ])
                ])
            ),
            (#""\"\\\/\b\f\n\r\t\u0041\ud83d\ude00""#, .string("\"\\/\u{8}\u{c}\n\r\tA😀")),
            (#""\ude00\ud83dx\ud83d\u0041""#, .string("\u{fffd}\u{fffd}x\u{fffd}A")),
            ("{}", .object([:])), ("[]", .array([])),
            (#"{"a":1,"a":2}"#, .object(["a": .integer(1)])),
            ("9223372036854775808", .number(9_223_372_036_854_775_808)),
        ]
    )
    func `a document is the value it stands for`(text: String, value: JSONValue) throws {
        #expect(try BoundedJSON.value(of: Array(text.utf8)[...]) == value)
    }

    @Test(
        arguments: [
            "", " ", "{", "[", "[1", "[1,", "[1,]", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,}",
            "{a:1}", "tru", "truex", "nul", "+1", "-", "1.2.3", "1e999", "inf", "nan", "0x10",
            "\"", "\"\\", "\"\\x\"", "\"\\u12\"", "\"\\u+123\"", "\"a\nb\"", "1 2", "{} {}",
            String(repeating: "9", count: 400),
        ]
    )
    func `what is no document is refused`(text: String) {
        #expect(throws: MalformedJSON.self) { try BoundedJSON.value(of: Array(text.utf8)[...]) }
    }

    @Test func `depth and number of values have bounds`() throws {
        let nested = { (depth: Int) in
            Array(
                (String(repeating: "[", count: depth) + String(repeating: "]", count: depth)).utf8
            )
        }
        _ = try BoundedJSON.value(of: nested(8)[...], depth: 8)
        #expect(throws: MalformedJSON.self) { try BoundedJSON.value(of: nested(9)[...], depth: 8) }
        let list = Array("[1,2,3]".utf8)
        _ = try BoundedJSON.value(of: list[...], values: 4)
        #expect(throws: MalformedJSON.self) { try BoundedJSON.value(of: list[...], values: 3) }
    }

    @Test(arguments: seeds(20))
    func `what Foundation writes is read as it was`(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let encoder = JSONEncoder()
        for _ in 0..<30 {
            let value = random(&generator, depth: 4)
            let bytes = Array(try encoder.encode(value))
            #expect(try BoundedJSON.value(of: bytes[...]) == value)
        }
    }

    private func random(_ generator: inout SeededGenerator, depth: Int) -> JSONValue {
        switch Int.random(in: 0...(depth > 0 ? 6 : 4), using: &generator) {
        case 0: return .null
        case 1: return .bool(generator.chance(50))
        case 2: return .integer(Int(truncatingIfNeeded: generator.next()))
        // Halves, as a whole number would be read as an integer.
        case 3: return .number(Double(Int32(truncatingIfNeeded: generator.next())) + 0.5)
        case 4: return .string(text(&generator))
        case 5:
            let count = Int.random(in: 0...4, using: &generator)
            return .array((0..<count).map { _ in random(&generator, depth: depth - 1) })
        default:
            let count = Int.random(in: 0...4, using: &generator)
            var members: [String: JSONValue] = [:]
            for _ in 0..<count { members[text(&generator)] = random(&generator, depth: depth - 1) }
            return .object(members)
        }
    }

    private func text(_ generator: inout SeededGenerator) -> String {
        let characters = Array("ab\"\\/\n\t\u{1}é€😀 {}[]:,").map { String($0) }
        let count = Int.random(in: 0...12, using: &generator)
        return (0..<count).map { _ in generator.pick(characters) }.joined()
    }
}
