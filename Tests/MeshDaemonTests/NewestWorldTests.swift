import MeshModel
import MeshTesting
import Synchronization
import Testing

@testable import MeshDaemon

@Suite struct NewestWorldTests {
    private static func world(_ mesh: String) -> World {
        var world = World()
        world.insert(
            .mesh(Mesh(metadata: Metadata(name: mesh), spec: MeshSpec(awsName: mesh)))
        )
        return world
    }

    /// The meshes of each world that was decided upon.
    private final class Decisions: Sendable {
        let meshes = Mutex<[String]>([])

        func decide(_ world: World?) -> String {
            let mesh = world?.meshes.keys.first?.name ?? "none"
            meshes.withLock { $0.append(mesh) }
            return mesh
        }
    }

    @Test func `each world is decided upon once, until one is final`() async throws {
        let newest = NewestWorld()
        newest.show(Self.world("first"))
        let decisions = Decisions()
        async let decision = newest.decision(within: .seconds(60)) {
            $0 == "last"
        } _: {
            decisions.decide($0)
        }
        for (number, name) in ["second", "third", "last"].enumerated() {
            try await poll({ decisions.meshes.withLock { $0.count } }, until: { $0 == number + 1 })
            newest.show(Self.world(name))
        }
        #expect(await decision == "last")
        #expect(decisions.meshes.withLock { $0 } == ["first", "second", "third", "last"])
        #expect(newest.readerCount == 0)
    }

    @Test func `what is final at once waits for nothing, and patience ends`() async {
        let newest = NewestWorld()
        let decisions = Decisions()
        let none = await newest.decision(within: .seconds(60)) {
            $0 == "none"
        } _: {
            decisions.decide($0)
        }
        #expect(none == "none")
        newest.show(Self.world("first"))
        let first = await newest.decision(within: .milliseconds(1)) { _ in
            false
        } _: {
            decisions.decide($0)
        }
        #expect(first == "first")
        #expect(decisions.meshes.withLock { $0 } == ["none", "first"])
        #expect(newest.readerCount == 0)
    }
}
