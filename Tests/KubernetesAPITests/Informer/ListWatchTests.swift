import MeshTesting
import Testing

@testable import KubernetesAPI

/// An object as these tests need it.
struct Item: KubernetesObject, Decodable, Hashable {
    var metadata: ObjectMetadata

    init(_ name: String, _ version: Int) {
        metadata = ObjectMetadata(name: name, namespace: "demo", resourceVersion: "\(version)")
    }
}

extension KubernetesError {
    /// An answer of `code`.
    static func answered(_ code: Int, retryAfterSeconds: Int? = nil) -> KubernetesError {
        let status = Status(code: code, retryAfterSeconds: retryAfterSeconds)
        return KubernetesError(.status(status), request: "list items", problem: "\(code)")
    }

    /// No answer.
    static let cut = KubernetesError(.unreachable, request: "watch items", problem: "cut")
}

/// What is told, in a form that can be compared.
private enum Told: Hashable {
    case replaced([String: String])
    case changed(String, String)
    case deleted(String)
    case failed(Int?)
    case recovered

    init(_ event: InformerEvent<Item>) {
        self =
            switch event {
            case .replaced(let items):
                .replaced(
                    Dictionary(
                        uniqueKeysWithValues: items.map {
                            ($0.key.name, $0.value.metadata.resourceVersion ?? "")
                        }
                    )
                )
            case .changed(let item):
                .changed(item.metadata.name, item.metadata.resourceVersion ?? "")
            case .deleted(let key): .deleted(key.name)
            case .failed(let error): .failed(error.code)
            case .recovered: .recovered
            }
    }
}

extension [InformerEvent<Item>] {
    fileprivate var told: [Told] { map(Told.init) }
}

extension ListWatch<Item> {
    fileprivate static func new() -> ListWatch<Item> {
        ListWatch(name: "items", backOff: BackOff(SeededGenerator(seed: 1)))
    }

    /// One that has listed `blue` at version 5 and watches.
    fileprivate static func watching() -> ListWatch<Item> {
        var machine = new()
        _ = machine.arrived(ObjectPage(items: [Item("blue", 3)], resourceVersion: "5"))
        _ = machine.told(.begun)
        return machine
    }

    /// Lets time pass if that is what to do; how long.
    fileprivate mutating func letPass() -> Duration? {
        guard case .wait(let duration) = step else { return nil }
        waited()
        return duration
    }
}

/// What an informer decides.
@Suite struct ListWatchTests {
    @Test func `a list is told once it is whole, and watched from its version`() {
        var machine = ListWatch<Item>.new()
        #expect(machine.step == .list(next: nil, isPaged: true))
        let first = ObjectPage(items: [Item("blue", 3)], resourceVersion: "5", next: "a")
        #expect(machine.arrived(first).told == [])
        #expect(machine.step == .list(next: "a", isPaged: true))
        let second = ObjectPage(items: [Item("red", 4)], resourceVersion: "5")
        #expect(machine.arrived(second).told == [.replaced(["blue": "3", "red": "4"])])
        #expect(machine.step == .watch(from: "5"))
    }

    @Test func `events are told, and move the version`() {
        var machine = ListWatch<Item>.watching()
        #expect(machine.told(.added(Item("red", 6))).told == [.changed("red", "6")])
        #expect(machine.told(.modified(Item("red", 7))).told == [.changed("red", "7")])
        #expect(machine.told(.deleted(Item("blue", 8))).told == [.deleted("blue")])
        #expect(machine.step == .watch(from: "8"))
        #expect(machine.told(.bookmark(resourceVersion: "20")).told == [])
        #expect(machine.step == .watch(from: "20"))
    }

    @Test func `a watch that ends goes on from its last version, without a list or a pause`() {
        var machine = ListWatch<Item>.watching()
        _ = machine.told(.bookmark(resourceVersion: "9"))
        machine.watchEnded(after: .seconds(60))
        #expect(machine.step == .watch(from: "9"))
    }

    @Test func `watches that end at once are asked for more and more seldom`() {
        var machine = ListWatch<Item>.watching()
        var waits: [Duration] = []
        for _ in 0..<10 {
            _ = machine.told(.begun)
            machine.watchEnded(after: .milliseconds(1))
            waits.append(machine.letPass() ?? .zero)
            #expect(machine.step == .watch(from: "5"))
        }
        #expect(waits.allSatisfy { $0 >= .milliseconds(250) && $0 <= .seconds(30) })
        #expect((waits.last ?? .zero) >= .seconds(15))
    }

    @Test func `a watch that is cut goes on after a pause, and nobody is told`() {
        var machine = ListWatch<Item>.watching()
        #expect(machine.watchFailed(.cut).told == [])
        #expect(machine.letPass() != nil)
        #expect(machine.step == .watch(from: "5"))
    }

    @Test func `a version that is forgotten leads to a new list at once`() {
        var machine = ListWatch<Item>.watching()
        #expect(machine.watchFailed(.answered(410)).told == [])
        #expect(machine.step == .list(next: nil, isPaged: true))
        let page = ObjectPage(items: [Item("red", 9)], resourceVersion: "10")
        #expect(machine.arrived(page).told == [.replaced(["red": "9"])])
        // The version of the list itself is forgotten: it is not asked for without a pause.
        #expect(machine.watchFailed(.answered(410)).told == [])
        #expect(machine.letPass() != nil)
        #expect(machine.step == .list(next: nil, isPaged: true))
    }

    @Test func `a list that is forgotten half way begins anew, and at last is one page`() {
        var machine = ListWatch<Item>.new()
        let half = ObjectPage(items: [Item("gone", 3)], resourceVersion: "5", next: "a")
        _ = machine.arrived(half)
        #expect(machine.listFailed(.answered(410)).told == [])
        #expect(machine.step == .list(next: nil, isPaged: true))
        _ = machine.arrived(half)
        #expect(machine.listFailed(.answered(410)).told == [])
        #expect(machine.letPass() != nil)
        #expect(machine.step == .list(next: nil, isPaged: false))
        let whole = ObjectPage(items: [Item("blue", 7)], resourceVersion: "8")
        #expect(machine.arrived(whole).told == [.replaced(["blue": "7"])])
    }

    @Test func `a list that is broken off goes on with the page that failed`() {
        var machine = ListWatch<Item>.new()
        let half = ObjectPage(items: [Item("blue", 3)], resourceVersion: "5", next: "a")
        _ = machine.arrived(half)
        #expect(machine.listFailed(.cut).told == [.failed(nil)])
        #expect(machine.letPass() != nil)
        #expect(machine.step == .list(next: "a", isPaged: true))
        #expect(machine.listFailed(.answered(400)).told == [.failed(400)])
        _ = machine.letPass()
        #expect(machine.step == .list(next: nil, isPaged: true))
    }

    @Test func `pages of several versions are watched from the first`() {
        var machine = ListWatch<Item>.new()
        let first = ObjectPage(items: [Item("blue", 3)], resourceVersion: "5", next: "a")
        _ = machine.arrived(first)
        _ = machine.arrived(ObjectPage(items: [Item("red", 7)], resourceVersion: "9"))
        #expect(machine.step == .watch(from: "5"))
    }

    @Test(arguments: [
        ObjectPage(items: [Item("blue", 3)], resourceVersion: ""),
        ObjectPage(items: [Item("blue", 3)], resourceVersion: "5", next: "a"),
    ])
    func `a list without a version or an end is refused`(page: ObjectPage<Item>) {
        var machine = ListWatch<Item>.new()
        _ = machine.arrived(ObjectPage(items: [], resourceVersion: "5", next: "a"))
        #expect(machine.arrived(page).told == [.failed(nil)])
        _ = machine.letPass()
        #expect(machine.step == .list(next: nil, isPaged: true))
    }

    @Test func `a failure is told once until the watch is on again`() {
        var machine = ListWatch<Item>.watching()
        _ = machine.watchFailed(.cut)
        _ = machine.letPass()
        #expect(machine.watchFailed(.cut).told == [.failed(nil)])
        for code in [503, 429, 500] {
            #expect(machine.letPass() != nil)
            #expect(machine.watchFailed(.answered(code)).told == [])
        }
        _ = machine.letPass()
        // The server was asked for this version three times.
        #expect(machine.step == .list(next: nil, isPaged: true))
        let page = ObjectPage(items: [Item("blue", 3)], resourceVersion: "5")
        #expect(machine.arrived(page).told == [.replaced(["blue": "3"])])
        #expect(machine.told(.begun).told == [.recovered])
        #expect(machine.told(.begun).told == [])
    }

    @Test func `a missing right is told by itself, and lists make up for a watch`() {
        var machine = ListWatch<Item>.new()
        #expect(machine.listFailed(.cut).told == [.failed(nil)])
        _ = machine.letPass()
        #expect(machine.listFailed(.answered(403)).told == [.failed(403)])
        _ = machine.letPass()
        #expect(machine.listFailed(.answered(403)).told == [])
        _ = machine.letPass()
        for round in 0..<3 {
            let page = ObjectPage(items: [Item("blue", round)], resourceVersion: "\(round + 5)")
            #expect(machine.arrived(page).told == [.replaced(["blue": "\(round)"])])
            let told = machine.watchFailed(.answered(403)).told
            // Listing was forbidden before; now it is watching.
            #expect(told == (round == 0 ? [.failed(403)] : []))
            #expect(machine.letPass() != nil)
            #expect(machine.step == .list(next: nil, isPaged: true))
        }
    }

    @Test func `a kind that is not installed is looked for until it is`() {
        var machine = ListWatch<Item>.new()
        #expect(machine.listFailed(.answered(404)).told == [.failed(404)])
        #expect(machine.letPass() != nil)
        #expect(machine.listFailed(.answered(404)).told == [])
        _ = machine.letPass()
        #expect(machine.step == .list(next: nil, isPaged: true))
        #expect(
            machine.arrived(ObjectPage(items: [], resourceVersion: "5")).told == [.replaced([:])]
        )
    }

    @Test func `an error within a watch leads to a list, as its version may be no good`() {
        var machine = ListWatch<Item>.watching()
        #expect(machine.watchFailed(.answered(500)).told == [.failed(500)])
        _ = machine.letPass()
        #expect(machine.step == .list(next: nil, isPaged: true))
    }

    @Test func `pauses grow, are as long as the server asks, and begin anew`() throws {
        var machine = ListWatch<Item>.new()
        var waits: [Duration] = []
        for _ in 0..<12 {
            _ = machine.listFailed(.cut)
            waits.append(machine.letPass() ?? .zero)
        }
        let (first, last) = (try #require(waits.first), try #require(waits.last))
        #expect(first >= .milliseconds(250) && first <= .milliseconds(500))
        #expect(last >= .seconds(15) && last <= .seconds(30))
        #expect(Set(waits).count == waits.count)
        _ = machine.listFailed(.answered(429, retryAfterSeconds: 60))
        let asked = machine.letPass()
        #expect(try #require(asked) >= .seconds(60))
        _ = machine.listFailed(.answered(429, retryAfterSeconds: .max))
        let excessive = machine.letPass()
        #expect(try #require(excessive) <= .seconds(330))
        _ = machine.arrived(ObjectPage(items: [], resourceVersion: "5"))
        _ = machine.told(.bookmark(resourceVersion: "6"))
        _ = machine.watchFailed(.cut)
        let anew = machine.letPass()
        #expect(try #require(anew) <= .milliseconds(500))
    }
}
