internal import Synchronization

/// What became of what a receiver of spans was sent.
public struct ReceiverCounts: Hashable, Sendable {
    /// Spans that were handed on.
    public var received = 0
    /// Messages, or spans in them, that were not what they should be.
    public var malformed = 0
    /// Messages there was no room for, as more came than could be worked off.
    public var dropped = 0

    /// Nothing yet.
    public init() {}
}

/// Counts that several threads add to.
final class ReceiverCounter: Sendable {
    private let counts = Mutex(ReceiverCounts())

    var current: ReceiverCounts { counts.withLock { $0 } }

    func add(received: Int = 0, malformed: Int = 0, dropped: Int = 0) {
        counts.withLock {
            $0.received += received
            $0.malformed += malformed
            $0.dropped += dropped
        }
    }
}
