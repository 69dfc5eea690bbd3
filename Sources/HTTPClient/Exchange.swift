import Synchronization

/// What the thread that receives a response and the task that reads it share.
///
/// The thread puts in the head, then chunks, then the end; the task takes them out in that order.
/// When the task is slow the thread is told to pause, or the exchange fails, so memory stays bounded.
final class Exchange: Sendable {
    /// With more bytes waiting than this, receiving pauses.
    static let highWaterBytes = 256 * 1024

    /// What becomes of bytes that were received.
    enum Receipt {
        /// They were taken.
        case taken
        /// They shall be offered again, once the reader has caught up.
        case paused
        /// The exchange failed, as the reader does not keep up.
        case refused
    }

    /// With more bytes waiting than this the exchange fails; nil pauses it instead.
    private let backlogLimit: Int?
    private let request: String

    private struct State {
        var head: HTTPResponseHead?
        var chunks: [[UInt8]] = []
        var byteCount = 0
        var isPaused = false
        /// Nil until the exchange is over; then nil inside when all went well.
        var end: (any Error)??
        var waiter: CheckedContinuation<Void, Never>?
    }

    private let state = Mutex(State())

    init(_ request: HTTPRequest) {
        // libcurl 7.88 would hold up all requests of a shared connection if one of them paused.
        backlogLimit = request.connection.isShared ? request.backlogLimit : nil
        self.request = request.summary
    }

    // MARK: The thread's side

    /// Takes the head, once.
    func receive(head: HTTPResponseHead) {
        change { $0.head = head }
    }

    /// Takes bytes of the body, or none of them when the reader shall catch up first.
    func receive(_ bytes: UnsafeRawBufferPointer) -> Receipt {
        var receipt = Receipt.taken
        change { state in
            if let backlogLimit {
                if state.byteCount + bytes.count > backlogLimit { receipt = .refused }
            } else if state.byteCount >= Self.highWaterBytes {
                receipt = .paused
            }
            state.isPaused = receipt == .paused
            guard receipt == .taken else { return }
            state.chunks.append(Array(bytes))
            state.byteCount += bytes.count
        }
        if receipt == .refused {
            finish(
                HTTPError(
                    kind: .bodyTooLarge,
                    request: request,
                    reason: "more than \(backlogLimit ?? 0) bytes of the response wait to be read"
                )
            )
        }
        return receipt
    }

    /// Ends the exchange; the first end counts.
    func finish(_ error: (any Error)?) {
        change { state in
            if state.end == nil { state.end = .some(error) }
        }
    }

    private func change(_ body: (inout State) -> Void) {
        let waiter = state.withLock { state in
            body(&state)
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume()
    }

    // MARK: The reader's side

    /// Whether everything was received, or the exchange failed.
    var isOver: Bool { state.withLock { $0.end != nil } }

    /// The head, as soon as it is there.
    func head() async throws -> HTTPResponseHead {
        while true {
            let head: HTTPResponseHead? = try state.withLock { state in
                if let head = state.head { return head }
                if let end = state.end { throw end ?? CancellationError() }
                return nil
            }
            if let head { return head }
            await changed { $0.head != nil || $0.end != nil }
        }
    }

    /// The bytes received so far, as soon as there are any; nil after the last.
    ///
    /// `resume` is called when receiving was paused and may go on.
    func bytes(resume: () -> Void) async throws -> [UInt8]? {
        while true {
            let (bytes, wasPaused): ([UInt8]?, Bool) = try state.withLock { state in
                guard state.chunks.isEmpty else { return Self.takeAll(&state) }
                guard let end = state.end else { return ([], false) }
                if let error = end { throw error }
                return (nil, false)
            }
            if wasPaused { resume() }
            guard let bytes, bytes.isEmpty else { return bytes }
            await changed { !$0.chunks.isEmpty || $0.end != nil }
        }
    }

    private static func takeAll(_ state: inout State) -> ([UInt8]?, Bool) {
        defer {
            state.chunks = []
            state.byteCount = 0
            state.isPaused = false
        }
        let bytes = state.chunks.count == 1 ? state.chunks[0] : Array(state.chunks.joined())
        return (bytes, state.isPaused)
    }

    private func changed(isDone: (State) -> Bool) async {
        await withCheckedContinuation { continuation in
            let isReady = state.withLock { state in
                precondition(state.waiter == nil, "an HTTP response has one reader")
                if isDone(state) { return true }
                state.waiter = continuation
                return false
            }
            if isReady { continuation.resume() }
        }
    }
}
