@testable import MeshAdmission
import MeshModel
import MeshTesting
import Testing

@Suite struct JSONPatchTests {
    @Test(arguments: seeds(300))
    func `a patch makes any document of any other`(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let old = RandomJSON.value(depth: 4, &random)
        var new = old
        for _ in 0..<Int.random(in: 0...4, using: &random) {
            new =
                random.chance(20)
                ? RandomJSON.value(depth: 4, &random) : RandomJSON.edited(new, &random)
        }
        let operations = patch(from: old, to: new)
        #expect(try JSONValue.array(operations.map(\.document)).applied(to: old) == new)
        if old == new { #expect(operations.isEmpty) }
    }

    @Test func `what is inserted into a list is one operation`() {
        let old: JSONValue = ["spec": ["list": [["name": "a"], ["name": "b"]]]]
        let new: JSONValue = ["spec": ["list": [["name": "a"], ["name": "new"], ["name": "b"]]]]
        #expect(patch(from: old, to: new) == [.add(path: "/spec/list/1", ["name": "new"])])
    }

    @Test func `a member of an element is replaced alone`() {
        let old: JSONValue = ["list": [["image": "a", "name": "envoy"], ["name": "b"]]]
        let new: JSONValue = ["list": [["image": "c", "name": "envoy"], ["name": "b"]]]
        #expect(patch(from: old, to: new) == [.replace(path: "/list/0/image", "c")])
    }

    @Test func `keys are escaped as JSON pointers are`() {
        let new: JSONValue = ["appmesh.k8s.aws/ports": "1", "a~b": "2"]
        #expect(
            patch(from: [:], to: new) == [
                .add(path: "/appmesh.k8s.aws~1ports", "1"), .add(path: "/a~0b", "2"),
            ]
        )
    }
}

/// JSON by chance.
enum RandomJSON {
    static func value(depth: Int, _ random: inout SeededGenerator) -> JSONValue {
        let keys = ["a", "b", "c/d", "e~f", "", "name", "0"]
        switch Int.random(in: 0..<(depth > 0 ? 8 : 6), using: &random) {
        case 0: return .null
        case 1: return .bool(random.chance(50))
        case 2: return .integer(Int.random(in: -3...3, using: &random))
        case 3: return .number(1.5)
        case 4, 5: return .string(random.pick(keys))
        case 6:
            return .array(
                (0..<Int.random(in: 0...4, using: &random)).map { _ in
                    value(depth: depth - 1, &random)
                }
            )
        default:
            var members: [String: JSONValue] = [:]
            for _ in 0..<Int.random(in: 0...4, using: &random) {
                members[random.pick(keys)] = value(depth: depth - 1, &random)
            }
            return .object(members)
        }
    }

    /// `value` with a change somewhere.
    static func edited(_ value: JSONValue, _ random: inout SeededGenerator) -> JSONValue {
        switch value {
        case .object(var members):
            guard let key = members.keys.sorted().randomElement(using: &random) else {
                return ["new": Self.value(depth: 2, &random)]
            }
            if random.chance(20) {
                members[key] = nil
            } else if random.chance(20) {
                members["new"] = Self.value(depth: 2, &random)
            } else {
                members[key] = members[key].map { edited($0, &random) }
            }
            return .object(members)
        case .array(var elements):
            guard let index = elements.indices.randomElement(using: &random) else {
                return [Self.value(depth: 2, &random)]
            }
            if random.chance(30) {
                elements.remove(at: index)
            } else if random.chance(40) {
                elements.insert(Self.value(depth: 2, &random), at: index)
            } else {
                elements[index] = edited(elements[index], &random)
            }
            return .array(elements)
        case .null, .bool, .integer, .number, .string: return Self.value(depth: 2, &random)
        }
    }
}
