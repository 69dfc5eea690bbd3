import MeshModel
import MeshTesting
import Testing

@testable import MeshPlan

@Suite struct AddressTests {
    private func proxy(_ name: String) -> ProxyID {
        ProxyID(ObjectReference(namespace: "demo", name: name))
    }

    @Test func `proxies take the lowest free addresses in the order of their names`() {
        let table = assignAddresses(
            to: [proxy("b"), proxy("a")],
            keeping: [:],
            from: .loopback
        )
        #expect(table[proxy("a")] == .init(ingress: "127.66.0.1", egress: "127.67.0.1"))
        #expect(table[proxy("b")] == .init(ingress: "127.66.0.2", egress: "127.67.0.2"))
    }

    @Test func `addresses stay, and those of removed proxies are not given away`() {
        let first = assignAddresses(
            to: [proxy("a"), proxy("b")],
            keeping: [:],
            from: .loopback
        )
        let second = assignAddresses(
            to: [proxy("0"), proxy("b")],
            keeping: first,
            from: .loopback
        )
        #expect(second[proxy("b")] == first[proxy("b")])
        #expect(second[proxy("0")]?.ingress == "127.66.0.3")
        let third = assignAddresses(to: [proxy("a")], keeping: second, from: .loopback)
        #expect(third[proxy("a")] == first[proxy("a")])
    }

    @Test(arguments: seeds(10))
    func `addresses are stable and unique whatever comes and goes`(_ seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        var table: [ProxyID: ProxyAddresses] = [:]
        for _ in 0..<30 {
            let proxies = (0..<20).filter { _ in generator.chance(50) }.map { proxy("p\($0)") }
            let next = assignAddresses(to: proxies, keeping: table, from: .loopback)
            #expect(Set(next.values).count == next.count)
            #expect(proxies.allSatisfy { next[$0] != nil })
            #expect(table.allSatisfy { next[$0.key] == $0.value })
            table = next
        }
    }

    @Test func `when none is free a removed proxy's address is used, and then there is none`() {
        let all = (0..<AddressRanges.capacity).map { proxy("p\($0)") }
        let full = assignAddresses(to: all, keeping: [:], from: .loopback)
        #expect(Set(full.values.map(\.egress)).count == AddressRanges.capacity)
        #expect(full.values.allSatisfy { !$0.ingress.hasSuffix(".0") })
        #expect(full.values.allSatisfy { !$0.ingress.hasSuffix(".255") })
        let later = assignAddresses(
            to: all.dropFirst() + [proxy("new"), proxy("newer")],
            keeping: full,
            from: .loopback
        )
        #expect(later[proxy("new")] == full[all[0]])
        #expect(later[proxy("newer")] == nil)
        #expect(later[all[0]] == nil)
    }

    @Test func `addresses outside the ranges are given up`() throws {
        let first = assignAddresses(to: [proxy("a"), proxy("b")], keeping: [:], from: .loopback)
        let moved = try #require(AddressRanges("127.80.0.0/16,127.81.0.0/16"))
        let second = assignAddresses(to: [proxy("b")], keeping: first, from: moved)
        #expect(second == [proxy("b"): .init(ingress: "127.80.0.1", egress: "127.81.0.1")])
    }

    @Test(arguments: [
        ("127.80.0.0/16,127.81.0.0/16", true),
        ("127.80.0.0/16,127.80.0.0/16", false),
        ("127.80.0.0/16", false),
        ("10.0.0.0/16,127.81.0.0/16", false),
        ("127.80.0.0/24,127.81.0.0/24", false),
        ("127.256.0.0/16,127.81.0.0/16", false),
        ("127..0.0/16,127.81.0.0/16", false),
        (" 127.80.0.0/16,127.81.0.0/16", false),
        ("", false),
    ])
    func `ranges are two of the loopback network`(_ text: String, _ isValid: Bool) {
        #expect((AddressRanges(text) != nil) == isValid)
        #expect(AddressRanges(text).map { $0.description == text } ?? true)
    }
}
