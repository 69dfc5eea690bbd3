import Foundation
import Synchronization

/// The lines that a process prints, for waiting.
final class OutputLines: Sendable {
    private struct State {
        var lines: [String] = []
        var consumed = 0
        var rest = ""
        var isEnded = false
    }

    /// What the process writes to.
    let pipe = Pipe()
    private let state = Mutex(State())
    private let changes: AsyncStream<Void>
    private let changed: AsyncStream<Void>.Continuation

    init() {
        (changes, changed) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    /// Reads on a thread of its own until every writer has closed the pipe.
    func start() {
        let thread = Thread { [self] in
            while true {
                let bytes = pipe.fileHandleForReading.availableData
                state.withLock { state in
                    var parts = (state.rest + String(decoding: bytes, as: UTF8.self))
                        .components(separatedBy: "\n")
                    state.rest = parts.removeLast()
                    state.lines += parts
                    state.isEnded = bytes.isEmpty
                }
                changed.yield()
                if bytes.isEmpty { return }
            }
        }
        thread.start()
    }

    /// Every line so far.
    var all: [String] { state.withLock { $0.lines } }

    /// The first line that contains `text` and was not returned or passed over before.
    func next(containing text: String) async throws -> String {
        var iterator = changes.makeAsyncIterator()
        while true {
            let (found, isEnded) = state.withLock { state -> (String?, Bool) in
                guard
                    let index = state.lines[state.consumed...].firstIndex(where: {
                        $0.contains(text)
                    })
                else { return (nil, state.isEnded) }
                state.consumed = index + 1
                return (state.lines[index], false)
            }
            if let found { return found }
            if isEnded { throw OutputEnded(text: text) }
            try Task.checkCancellation()
            await iterator.next()
        }
    }

    /// Waits until the process closed its output.
    func end() async {
        var iterator = changes.makeAsyncIterator()
        while !state.withLock({ $0.isEnded }) { await iterator.next() }
    }
}

/// The output ended without a line that was waited for.
struct OutputEnded: Error {
    var text: String
}
