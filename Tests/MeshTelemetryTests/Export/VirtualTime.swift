import MeshTelemetry
import Synchronization

/// Time that passes when a test says so.
final class VirtualTime: Sendable {
    private struct State {
        var now: Duration = .zero
        var lastID = 0
        var sleepers: [Int: (end: Duration, wake: CheckedContinuation<Void, Never>)] = [:]
        var watcher: CheckedContinuation<Void, Never>?
    }

    static let startSeconds = 1_800_000_000.0
    private let state = Mutex(State())

    /// How long it is since the start.
    var now: Duration { state.withLock { $0.now } }

    var time: ExportTime {
        ExportTime(
            wallSeconds: { Self.startSeconds + self.now / .seconds(1) },
            now: { self.now },
            sleep: { await self.sleep($0) },
            random: { 1 }
        )
    }

    /// Lets time pass as soon as somebody sleeps, until the task is cancelled.
    func passOn() async {
        while !Task.isCancelled { await passToNext() }
    }

    /// Waits until somebody sleeps, and lets time pass until the first of them wakes.
    func passToNext() async {
        await untilSomebodySleeps()
        let woken = state.withLock { state in
            guard let first = state.sleepers.min(by: { $0.value.end < $1.value.end }) else {
                return nil as CheckedContinuation<Void, Never>?
            }
            state.now = max(state.now, first.value.end)
            state.sleepers[first.key] = nil
            return first.value.wake
        }
        woken?.resume()
    }

    private func untilSomebodySleeps() async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOver = state.withLock { state in
                    guard state.sleepers.isEmpty, !Task.isCancelled else { return true }
                    state.watcher = continuation
                    return false
                }
                if isOver { continuation.resume() }
            }
        } onCancel: {
            let watcher = state.withLock { state in
                defer { state.watcher = nil }
                return state.watcher
            }
            watcher?.resume()
        }
    }

    private func sleep(_ duration: Duration) async {
        let id = state.withLock { state in
            state.lastID += 1
            return state.lastID
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let watcher: CheckedContinuation<Void, Never>? = state.withLock { state in
                    guard !Task.isCancelled else { return continuation }
                    state.sleepers[id] = (state.now + duration, continuation)
                    defer { state.watcher = nil }
                    return state.watcher
                }
                watcher?.resume()
            }
        } onCancel: {
            state.withLock { $0.sleepers.removeValue(forKey: id) }?.wake.resume()
        }
    }
}
