import MeshModel
import MeshPlan
import Testing

@testable import MeshDaemon

@Suite struct ConnectionSpellTests {
    private var spell = ConnectionSpell()
    private let blue = ProxyID(ObjectReference(namespace: "demo", name: "blue-1"))

    @Test mutating func `Pods of which none connects for a minute are told once`() {
        #expect(spell.next(at: .seconds(100)) == .nothing, "no Pod is ready")
        (spell.ready, spell.example) = (2, blue)
        #expect(spell.next(at: .seconds(200)) == .nothing)
        #expect(spell.next(at: .seconds(259)) == .nothing)
        #expect(spell.next(at: .seconds(260)) == .lost(2, example: blue))
        #expect(spell.next(at: .seconds(300)) == .nothing)
        spell.isConnected = true
        #expect(spell.next(at: .seconds(301)) == .found)
        #expect(spell.next(at: .seconds(302)) == .nothing)
        spell.isConnected = false
        #expect(spell.next(at: .seconds(303)) == .nothing, "a new minute begins")
        #expect(spell.next(at: .seconds(363)) == .lost(2, example: blue))
    }

    @Test mutating func `one that is connected is proof enough`() {
        (spell.ready, spell.example, spell.isConnected) = (200, blue, true)
        #expect(spell.next(at: .seconds(0)) == .nothing)
        #expect(spell.next(at: .seconds(100)) == .nothing)
    }
}
