internal import Synchronization

/// Lets few in at once, and of those who wait first one of whom fewest are inside: who comes in numbers
/// waits for himself, and others do not.
public final class FairGate: Sendable {
    private struct Waiter {
        var name: String
        var caller: CheckedContinuation<Bool, Never>
    }

    private struct State {
        /// How many are inside, by their names.
        var inside: [String: Int] = [:]
        var count = 0
        var queue: [Waiter] = []
        /// How many wait, by their names.
        var waiting: [String: Int] = [:]
    }

    private let places: Int
    private let waiting: Int
    private let waitingOfOne: Int
    private let state = Mutex(State())

    /// Makes a gate.
    ///
    /// - Parameters:
    ///   - places: How many are let in at once.
    ///   - waiting: How many may wait.
    ///   - waitingOfOne: How many of one name may wait.
    public init(places: Int, waiting: Int = .max, waitingOfOne: Int = .max) {
        self.places = places
        self.waiting = waiting
        self.waitingOfOne = waitingOfOne
    }

    /// How many wait.
    var waitingCount: Int { state.withLock { $0.queue.count } }

    /// Waits to be let in; false when too many wait.
    ///
    /// Whom it lets in has to leave.
    public func enter(as name: String) async -> Bool {
        await withCheckedContinuation { caller in
            let isInside: Bool? = state.withLock { state in
                if state.count < places {
                    state.count += 1
                    state.inside[name, default: 0] += 1
                    return true
                }
                let others = state.waiting[name] ?? 0
                guard state.queue.count < waiting, others < waitingOfOne else { return false }
                state.queue.append(Waiter(name: name, caller: caller))
                state.waiting[name] = others + 1
                return nil
            }
            if let isInside { caller.resume(returning: isInside) }
        }
    }

    /// Leaves, and lets the next in.
    public func leave(as name: String) {
        let next: Waiter? = state.withLock { state in
            state.inside.decrement(name)
            let few = state.queue.indices.min {
                state.inside[state.queue[$0].name] ?? 0 < state.inside[state.queue[$1].name] ?? 0
            }
            guard let few else {
                state.count -= 1
                return nil
            }
            let next = state.queue.remove(at: few)
            state.waiting.decrement(next.name)
            state.inside[next.name, default: 0] += 1
            return next
        }
        next?.caller.resume(returning: true)
    }
}

extension [String: Int] {
    /// Counts one less, and forgets what is none.
    mutating func decrement(_ key: String) {
        let rest = (self[key] ?? 1) - 1
        self[key] = rest > 0 ? rest : nil
    }
}
