public import MeshModel
internal import Synchronization

/// Hands requests that tapped proxies tell of to those who listen.
///
/// A proxy tells of them in the access logs `tap.inbound` and `tap.outbound`, and while nobody listens
/// what comes is not even read.
public final class RequestFeed: Sendable {
    /// One who listens.
    public final class Listener: Sendable {
        /// What it heard so far.
        public struct Counts: Hashable, Sendable {
            /// How many entries each proxy sent, admitted or not.
            public var received: [ProxyID: Int] = [:]
            /// How many admitted requests made room for later ones before they were taken.
            public var lost = 0
        }

        private struct State {
            var counts = Counts()
            var waiting: [RequestRecord] = []
        }

        /// An element after each request that was admitted, or after several; for one reader.
        public let signals: AsyncStream<Void>
        fileprivate let signal: AsyncStream<Void>.Continuation
        private let limit: Int
        private let admits: @Sendable (RequestRecord) -> Bool
        private let state = Mutex(State())

        fileprivate init(_ limit: Int, _ admits: @escaping @Sendable (RequestRecord) -> Bool) {
            (signals, signal) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
            self.limit = limit
            self.admits = admits
        }

        /// What it heard so far.
        public var counts: Counts { state.withLock { $0.counts } }

        /// Takes the requests that were admitted since the last call, the oldest first.
        public func take() -> [RequestRecord] {
            state.withLock { state in
                defer { state.waiting = [] }
                return state.waiting
            }
        }

        /// Causes a signal.
        public func wake() { signal.yield() }

        fileprivate func hear(_ records: [RequestRecord], of proxy: ProxyID) {
            let admitted = records.filter(admits)
            state.withLock { state in
                state.counts.received[proxy, default: 0] += records.count
                state.waiting += admitted
                // Not at each request, as that would move all others.
                guard state.waiting.count > 2 * limit else { return }
                let excess = state.waiting.count - limit
                state.waiting.removeFirst(excess)
                state.counts.lost += excess
            }
            if !admitted.isEmpty { signal.yield() }
        }
    }

    private struct Ear {
        var listener: Listener
        var proxies: Set<ProxyID>
    }

    private let ears = Mutex<[ObjectIdentifier: Ear]>([:])

    init() {}

    /// Begins to listen; to no proxy before `listen(to:_:)` names some.
    ///
    /// - Parameters:
    ///   - limit: How many requests wait for a slow reader at least, and half of how many at most.
    ///   - admits: Which requests are heard; called at once for each, from any thread.
    /// - Returns: Who listens, until `end(_:)`.
    public func listener(
        keeping limit: Int,
        admits: @escaping @Sendable (RequestRecord) -> Bool = { _ in true }
    ) -> Listener {
        let listener = Listener(limit, admits)
        ears.withLock { $0[ObjectIdentifier(listener)] = Ear(listener: listener, proxies: []) }
        return listener
    }

    /// Has `listener` hear these proxies and no others.
    public func listen(to proxies: Set<ProxyID>, _ listener: Listener) {
        ears.withLock { $0[ObjectIdentifier(listener)]?.proxies = proxies }
    }

    /// Ends the listening, and the listener's signals.
    public func end(_ listener: Listener) {
        _ = ears.withLock { $0.removeValue(forKey: ObjectIdentifier(listener)) }
        listener.signal.finish()
    }

    /// Hands on what `proxy` told; `records` is called only when somebody listens.
    func publish(of proxy: ProxyID, _ records: () -> [RequestRecord]) {
        let listeners = ears.withLock { ears in
            ears.values.filter { $0.proxies.contains(proxy) }.map(\.listener)
        }
        guard !listeners.isEmpty else { return }
        let records = records()
        for listener in listeners { listener.hear(records, of: proxy) }
    }
}
