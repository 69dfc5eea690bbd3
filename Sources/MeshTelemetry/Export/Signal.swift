internal import Synchronization

/// Wakes the one who waits for it; set while nobody waits, it wakes the next one at once.
final class Signal: Sendable {
    private struct State {
        var isSet = false
        var waiter: CheckedContinuation<Void, Never>?
    }

    private let state = Mutex(State())

    /// Wakes.
    func set() {
        let waiter = state.withLock { state in
            state.isSet = state.waiter == nil
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
                        state.isSet = false
                        return true
                    }
                    state.waiter = continuation
                    return false
                }
                if isOver { continuation.resume() }
            }
        } onCancel: {
            set()
        }
    }

    /// Waits until it is set, or for `duration`; whether it was set, or the task cancelled.
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
