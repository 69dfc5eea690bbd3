internal import Synchronization

/// Wakes the one who waits for it; set while nobody waits, it wakes the next one at once.
final class Signal: Sendable {
    private struct State {
        var isSet = false
        var waiter: CheckedContinuation<Void, Never>?
    }

    private let state = Mutex(State())
    private let isLatch: Bool

    /// Makes a signal that is not set.
    ///
    /// - Parameter isLatch: Whether it stays set: whoever waits after that wakes at once, each time. So it
    ///   is not lost where it is set at the very end of a wait.
    init(isLatch: Bool = false) { self.isLatch = isLatch }

    /// Wakes.
    func set() {
        let waiter = state.withLock { state in
            state.isSet = isLatch || state.waiter == nil
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume()
    }

    /// Wakes who waits now, whose task was cancelled.
    private func cancel() {
        let waiter = state.withLock { state in
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume()
    }

    /// Waits until it is set, or the task is cancelled.
    func wait() async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOver = state.withLock { state in
                    precondition(state.waiter == nil, "a signal has one waiter")
                    if state.isSet || Task.isCancelled {
                        state.isSet = state.isSet && isLatch
                        return true
                    }
                    state.waiter = continuation
                    return false
                }
                if isOver { continuation.resume() }
            }
        } onCancel: {
            cancel()
        }
    }

    /// Waits until it is set, or for `duration`; whether it was set, or the task cancelled.
    ///
    /// Where both happen at once it may be told that it was not set: who must not miss that needs a latch.
    @discardableResult
    func wait(atMost duration: Duration, _ time: ExportTime) async -> Bool {
        await withTaskGroup { group in
            group.addTask {
                await time.sleep(duration)
                return false
            }
            group.addTask {
                await self.wait()
                return true
            }
            defer { group.cancelAll() }
            return await group.next() ?? true
        }
    }
}
