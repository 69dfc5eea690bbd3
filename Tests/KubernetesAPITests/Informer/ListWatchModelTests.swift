import MeshTesting
import Testing

@testable import KubernetesAPI

/// An API server as the documentation describes it, with chance in place of time.
private struct ModelServer {
    private enum Change { case put(Int), delete }

    private(set) var version = 1
    /// Versions before are forgotten.
    private(set) var oldest = 1
    private var history: [(version: Int, name: String, change: Change)] = []
    var generator: SeededGenerator
    /// In how many of a hundred cases something fails.
    var faults = 40

    init(seed: UInt64) { generator = SeededGenerator(seed: seed) }

    /// All objects as they were at each version.
    private(set) var states: [[String: Int]] = [[:], [:]]

    /// All objects as they were at `version`.
    func objects(at version: Int) -> [String: Int] {
        states.indices.contains(version) ? states[version] : [:]
    }

    mutating func change() {
        for _ in 0..<Int.random(in: 0...6, using: &generator) {
            version += 1
            let name = "item-\(Int.random(in: 0..<12, using: &generator))"
            let isThere = objects(at: version - 1)[name] != nil
            let change: Change = isThere && generator.chance(40) ? .delete : .put(version)
            history.append((version, name, change))
            var state = objects(at: version - 1)
            if case .put(let version) = change { state[name] = version } else { state[name] = nil }
            states.append(state)
        }
        if generator.chance(faults / 3) { oldest = version }
    }

    private mutating func failure() -> KubernetesError? {
        guard generator.chance(faults) else { return nil }
        return generator.pick([
            .cut, .answered(429), .answered(500), .answered(503), .answered(403),
        ])
    }

    mutating func list(next: String?, isPaged: Bool) -> Result<ObjectPage<Item>, KubernetesError> {
        if let error = failure() { return .failure(error) }
        let parts = next?.split(separator: "-").compactMap { Int($0) } ?? [version, 0]
        guard let at = parts.first, let from = parts.last, at >= oldest || next == nil else {
            return .failure(.answered(410))
        }
        let all = objects(at: at).sorted { $0.key < $1.key }.map { Item($0.key, $0.value) }
        let end = isPaged ? min(from + 3, all.count) : all.count
        return .success(
            ObjectPage(
                items: Array(all[min(from, end)..<end]),
                resourceVersion: "\(at)",
                next: end < all.count ? "\(at)-\(end)" : nil
            )
        )
    }

    /// What a watch tells before it ends, and how it ends; nil is well.
    mutating func watch(from text: String) -> ([WatchEvent<Item>], KubernetesError?) {
        if let error = failure() { return ([], error) }
        guard let from = Int(text), from >= oldest else {
            // Both are seen: as an answer, and as an event.
            return (generator.chance(50) ? [.begun] : [], .answered(410))
        }
        var events: [WatchEvent<Item>] = [.begun]
        for entry in history.dropFirst(from - 1) {
            if generator.chance(faults / 4) { return (events, .cut) }
            switch entry.change {
            case .put(let version):
                events.append(
                    generator.chance(50)
                        ? .added(Item(entry.name, version)) : .modified(Item(entry.name, version))
                )
            case .delete: events.append(.deleted(Item(entry.name, entry.version)))
            }
        }
        if generator.chance(50) { events.append(.bookmark(resourceVersion: "\(version)")) }
        return (events, nil)
    }
}

/// What a reader of an informer holds, and what it must not see.
private struct Reader {
    var view: [String: Int] = [:]
    var isFailing = false
    var lists = 0

    mutating func take(_ event: InformerEvent<Item>, _ server: ModelServer) {
        switch event {
        case .replaced(let items):
            lists += 1
            view = Dictionary(
                uniqueKeysWithValues: items.values.map {
                    ($0.metadata.name, Int($0.metadata.resourceVersion ?? "") ?? 0)
                }
            )
            let isWhole = (0...server.version).contains { server.objects(at: $0) == view }
            #expect(isWhole, "this was never the state: \(view)")
        case .changed(let item):
            view[item.metadata.name] = Int(item.metadata.resourceVersion ?? "")
        case .deleted(let key):
            let last = view.removeValue(forKey: key.name) ?? 0
            let isDeleted = (last...server.version).contains {
                server.objects(at: $0)[key.name] == nil
            }
            #expect(isDeleted, "\(key) was not deleted since \(last)")
        case .failed: isFailing = true
        case .recovered:
            #expect(isFailing, "recovered from nothing")
            isFailing = false
        }
    }
}

@Suite struct ListWatchModelTests {
    @Test(arguments: seeds(100))
    func `whatever fails, the view becomes the server's, by states that the server had`(
        seed: UInt64
    ) {
        var server = ModelServer(seed: seed)
        var reader = Reader()
        var machine = ListWatch<Item>(
            name: "items",
            backOff: BackOff(SeededGenerator(seed: seed))
        )
        for round in 0..<300 {
            if round < 270 { server.change() } else { server.faults = 0 }
            step(&machine, &server, &reader)
        }
        #expect(reader.view == server.objects(at: server.version))
        #expect(!reader.isFailing)
        #expect(reader.lists > 0)
    }

    private func step(
        _ machine: inout ListWatch<Item>,
        _ server: inout ModelServer,
        _ reader: inout Reader
    ) {
        switch machine.step {
        case .wait(let duration):
            #expect(duration > .zero)
            machine.waited()
        case .list(let next, let isPaged):
            switch server.list(next: next, isPaged: isPaged) {
            case .success(let page):
                for event in machine.arrived(page) { reader.take(event, server) }
            case .failure(let error):
                for event in machine.listFailed(error) { reader.take(event, server) }
            }
        case .watch(let version):
            let (events, error) = server.watch(from: version)
            for event in events.flatMap({ machine.told($0) }) { reader.take(event, server) }
            if let error {
                for event in machine.watchFailed(error) { reader.take(event, server) }
            } else {
                machine.watchEnded(after: .seconds(1))
            }
        }
    }
}
