internal import GRPCCore

/// The open stream of one proxy and one service: a newer one takes its place.
struct StreamSlot: Sendable {
    /// Why a stream ended.
    enum Ending: Sendable {
        /// The client is gone, or done.
        case closed
        case replaced
        case removed
        case revoked
        case shutdown
        /// It may not go on, for the reason given.
        case refused(RPCError.Code, String)
    }

    /// What the handler of a stream waits for.
    struct Signals: Sendable {
        fileprivate let id: Int
        /// Wakes the writer, once for all that changed since it last looked.
        let changes: AsyncStream<Void>
        /// The reason, once the stream shall end.
        let ending: AsyncStream<Ending>
    }

    private struct OpenStream {
        let id: Int
        let changed: AsyncStream<Void>.Continuation
        let end: AsyncStream<Ending>.Continuation
    }

    private var stream: OpenStream?
    private var lastID = 0

    /// Whether a stream is open.
    var isOpen: Bool { stream != nil }

    /// Whether the stream with `signals` is the open one.
    func isOpen(_ signals: Signals) -> Bool { stream?.id == signals.id }

    /// Opens a stream, in place of the one that is open.
    mutating func open() -> Signals {
        let (changes, changed) = AsyncStream.makeStream(
            of: Void.self,
            bufferingPolicy: .bufferingNewest(1)
        )
        let (ending, end) = AsyncStream.makeStream(
            of: Ending.self,
            bufferingPolicy: .bufferingOldest(1)
        )
        self.end(.replaced)
        lastID += 1
        stream = OpenStream(id: lastID, changed: changed, end: end)
        return Signals(id: lastID, changes: changes, ending: ending)
    }

    /// Wakes the writer of the open stream.
    func wake() { stream?.changed.yield() }

    /// Ends the open stream.
    mutating func end(_ ending: Ending) {
        stream?.end.yield(ending)
        stream?.end.finish()
        stream?.changed.finish()
        stream = nil
    }
}
