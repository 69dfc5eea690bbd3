internal import MeshModel
internal import Synchronization

/// The newest observation of every proxy, and a wake-up for its reader.
final class ObservationBoard: Sendable {
    private let observations = Mutex<[ProxyID: XDSObservation]>([:])
    private let changes: AsyncStream<Void>
    private let changed: AsyncStream<Void>.Continuation

    init() {
        (changes, changed) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    /// Notes what is observed of `proxy` beside its health, nil to forget it, and wakes the reader
    /// when that is news.
    func update(_ proxy: ProxyID, _ observation: XDSObservation?) {
        change(proxy) { old in
            var new = observation
            if let health = old?.health { new?.health = health }
            return new
        }
    }

    /// Notes what `proxy` reports of its application, and wakes the reader when that is news.
    func update(_ proxy: ProxyID, health: [Port: ApplicationHealth]) {
        change(proxy) { old in
            if old == nil, health.isEmpty { return nil }
            var new = old ?? XDSObservation()
            new.health = health
            return new
        }
    }

    private func change(_ proxy: ProxyID, _ new: (XDSObservation?) -> XDSObservation?) {
        let isNews = observations.withLock { observations in
            let old = observations[proxy]
            let new = new(old)
            guard old != new else { return false }
            observations[proxy] = new
            return true
        }
        if isNews { changed.yield() }
    }

    /// All observations, whenever some changed since the reader looked last.
    ///
    /// The reader takes them when it comes: a copy for each change would cost as many entries as
    /// there are proxies.
    var newest: some AsyncSequence<[ProxyID: XDSObservation], Never> & Sendable {
        changes.map { [self] _ in current }
    }

    /// All observations.
    var current: [ProxyID: XDSObservation] { observations.withLock { $0 } }
}
