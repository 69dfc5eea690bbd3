internal import Synchronization

/// Lets so many requests at once through, in the order in which they came.
final class RequestGate: Sendable {
    private struct State {
        var free: Int
        var lastID = 0
        /// In order; those that gave up are not in `waiters` any more.
        var queue: [Int] = []
        var waiters: [Int: CheckedContinuation<Void, any Error>] = [:]
    }

    private let state: Mutex<State>

    init(limit: Int) { state = Mutex(State(free: max(limit, 1))) }

    /// Does `body` as one of them; nil when it was not let through before `deadline`.
    func run<Value: Sendable>(
        until deadline: ContinuousClock.Instant,
        _ body: () async throws -> Value
    ) async throws -> Value? {
        guard try await enter(until: deadline) else { return nil }
        defer { leave() }
        return try await body()
    }

    private func enter(until deadline: ContinuousClock.Instant) async throws -> Bool {
        let id = state.withLock { state -> Int? in
            if state.free > 0 {
                state.free -= 1
                return nil
            }
            state.lastID += 1
            return state.lastID
        }
        guard let id else { return true }
        return try await withThrowingTaskGroup(of: Bool.self) { group in
            group.addTask {
                try await self.wait(id)
                return true
            }
            group.addTask {
                try? await Task.sleep(until: deadline, clock: .continuous)
                return false
            }
            var results: [Bool] = []
            // Whichever is first ends the other, which may have been let through meanwhile.
            while let result = await group.nextResult() {
                if case .success(let isLetThrough) = result { results.append(isLetThrough) }
                group.cancelAll()
            }
            if results.contains(true) { return true }
            try Task.checkCancellation()
            return false
        }
    }

    private func wait(_ id: Int) async throws {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let result: Result<Void, any Error>? = state.withLock { state in
                    // The handler below may have run before there was anybody to wake.
                    if Task.isCancelled { return .failure(CancellationError()) }
                    if state.free > 0 {
                        state.free -= 1
                        return .success(())
                    }
                    state.queue.append(id)
                    state.waiters[id] = continuation
                    return nil
                }
                if let result { continuation.resume(with: result) }
            }
        } onCancel: {
            state.withLock { $0.waiters.removeValue(forKey: id) }?
                .resume(throwing: CancellationError())
        }
    }

    private func leave() {
        let next: CheckedContinuation<Void, any Error>? = state.withLock { state in
            while !state.queue.isEmpty {
                if let waiter = state.waiters.removeValue(forKey: state.queue.removeFirst()) {
                    return waiter
                }
            }
            state.free += 1
            return nil
        }
        next?.resume()
    }
}
