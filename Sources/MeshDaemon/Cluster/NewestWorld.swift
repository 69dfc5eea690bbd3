public import MeshModel
internal import Synchronization

/// The newest world, for who decides by it and for who waits for another.
public final class NewestWorld: Sendable {
    private struct State {
        var world: World?
        var readers: [Int: AsyncStream<World>.Continuation] = [:]
        var lastReader = 0
    }

    private let state = Mutex(State())

    /// Makes one without a world.
    public init() {}

    /// The newest; nil before the first.
    public var current: World? { state.withLock { $0.world } }

    /// How many wait for another.
    public var readerCount: Int { state.withLock { $0.readers.count } }

    /// Puts `world` in the place of the one before, and tells who waits.
    public func show(_ world: World) {
        state.withLock { state in
            state.world = world
            for reader in state.readers.values { reader.yield(world) }
        }
    }

    /// What `decide` says of the newest world, or of the first one after it of which it says what is final:
    /// each is decided upon once.
    ///
    /// - Parameters:
    ///   - patience: For how long to wait for such a world.
    ///   - isFinal: Whether no other world could change what was decided.
    ///   - decide: Decides.
    /// - Returns: The last decision.
    func decision<Decision: Sendable>(
        within patience: Duration,
        isFinal: @escaping @Sendable (Decision) -> Bool,
        _ decide: @escaping @Sendable (World?) -> Decision
    ) async -> Decision {
        let worlds = worlds
        let first = decide(worlds.first)
        if isFinal(first) { return first }
        return await withTaskGroup(of: Decision?.self) { group in
            group.addTask {
                var last: Decision?
                for await world in worlds.later {
                    let decision = decide(world)
                    last = decision
                    if isFinal(decision) { break }
                }
                return last
            }
            group.addTask {
                try? await Task.sleep(for: patience)
                return nil
            }
            for await decision in group {
                group.cancelAll()
                if let decision { return decision }
            }
            return first
        }
    }

    /// The newest world, and those that are shown after it: the newest of them, for who is slow.
    private var worlds: (first: World?, later: AsyncStream<World>) {
        let (stream, reader) = AsyncStream.makeStream(
            of: World.self,
            bufferingPolicy: .bufferingNewest(1)
        )
        let (id, first) = state.withLock { state in
            state.lastReader += 1
            state.readers[state.lastReader] = reader
            return (state.lastReader, state.world)
        }
        reader.onTermination = { [weak self] _ in
            _ = self?.state.withLock { $0.readers.removeValue(forKey: id) }
        }
        return (first, stream)
    }
}
