import Testing

@testable import MeshPlan

@Suite struct MemoTests {
    @Test func `a value is made once while every turn asks for it`() {
        var memo = Memo<String, Int>()
        var made = 0
        for _ in 0..<3 {
            memo.turn()
            for _ in 0..<2 {
                _ = memo.value(for: "a") {
                    made += 1
                    return made
                }
            }
        }
        #expect(made == 1)
    }

    @Test func `a value that a turn does not ask for is forgotten, and others are kept`() {
        var memo = Memo<String, Int>()
        var made: [String] = []
        func ask(for names: String...) {
            memo.turn()
            for name in names {
                _ = memo.value(for: name) {
                    made.append(name)
                    return 0
                }
            }
        }
        ask(for: "a", "b")
        ask(for: "a")
        ask(for: "a", "b")
        #expect(made == ["a", "b", "b"])
    }
}
