import MeshModel
import ServiceLifecycle
import Synchronization
import XDSServer

/// Taps proxies for as long as somebody looks, and no longer.
///
/// A proxy tells of requests while `heddle.tap` in its runtime lets it; the part that several who look
/// ask for is the largest of theirs.
final class TapHub: Sendable {
    /// The key of Envoy's runtime behind which the access logs `tap.inbound` and `tap.outbound` are.
    static let runtimeKey = "heddle.tap"
    /// How many requests wait for a slow reader.
    static let waitingLimit = 1000
    /// What those may receive a second at least who look for some of all requests, as the proxy tells of all.
    private static let filteredBudget = 1000

    /// Sets values of a proxy's runtime, now and in each Envoy that comes.
    typealias RuntimeSetter = @Sendable (_ values: [String: String], _ proxy: ProxyID) -> Void

    private struct State {
        /// The part that each who looks asks for, by its number.
        var shares: [ProxyID: [Int: Double]] = [:]
        var lastNumber = 0
    }

    private let feed: RequestFeed
    private let setRuntime: RuntimeSetter
    private let requestsPerSecond: @Sendable (ProxyID) -> Double?
    private let interval: Duration
    private let state = Mutex(State())

    /// Makes a hub.
    ///
    /// - Parameters:
    ///   - feed: Where requests arrive.
    ///   - adopted: Proxies that an earlier daemon started, which may have been tapped at its end.
    ///   - interval: How often the part of the requests is adjusted.
    ///   - requestsPerSecond: How many requests a proxy answers at the moment, if that is known.
    ///   - setRuntime: Tells proxies.
    init(
        feed: RequestFeed,
        adopted: some Sequence<ProxyID>,
        interval: Duration = .seconds(1),
        requestsPerSecond: @escaping @Sendable (ProxyID) -> Double? = { _ in nil },
        setRuntime: @escaping RuntimeSetter
    ) {
        self.feed = feed
        self.interval = interval
        self.requestsPerSecond = requestsPerSecond
        self.setRuntime = setRuntime
        for proxy in adopted { setRuntime([Self.runtimeKey: ""], proxy) }
    }

    /// Shows requests of proxies until the task is cancelled, `tell` throws, or the daemon ends.
    ///
    /// - Parameters:
    ///   - query: Which requests.
    ///   - proxies: The proxies as of now; asked again from time to time.
    ///   - tell: Takes the lines; the first is a notice.
    /// - Throws: What `tell` throws, as when the client goes.
    func tap(
        _ query: TapQuery,
        _ proxies: @escaping @Sendable () -> Set<ProxyID>,
        _ tell: ([TapLine]) async throws -> Void
    ) async throws {
        let tap = Tap(self, query, proxies)
        defer { tap.end() }
        tap.adjust(after: nil)
        var told: TapNotice?
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { [interval] in
                var last = ContinuousClock.now
                while true {
                    try await Task.sleep(for: interval)
                    let now = ContinuousClock.now
                    tap.adjust(after: now - last)
                    last = now
                }
            }
            defer { group.cancelAll() }
            for await _ in tap.listener.signals.cancelOnGracefulShutdown() {
                var lines = tap.listener.take().map(TapLine.request)
                if let notice = tap.dueNotice(), notice != told {
                    lines.insert(.notice(notice), at: 0)
                    told = notice
                }
                if !lines.isEmpty { try await tell(lines) }
            }
        }
    }

    /// The numbers of those who look.
    private func newNumber() -> Int {
        state.withLock { state in
            state.lastNumber += 1
            return state.lastNumber
        }
    }

    /// Has `number` ask for these parts and no others, and tells proxies whose part is another now.
    private func ask(_ shares: [ProxyID: Double], as number: Int) {
        // Told under the lock, so that what is told last is what holds.
        state.withLock { state in
            for proxy in Set(state.shares.keys).union(shares.keys) {
                let before = state.shares[proxy]?.values.max() ?? 0
                state.shares[proxy, default: [:]][number] = shares[proxy]
                let after = state.shares[proxy]?.values.max() ?? 0
                if state.shares[proxy]?.isEmpty ?? false { state.shares[proxy] = nil }
                guard after != before else { continue }
                setRuntime([Self.runtimeKey: TapShare.runtimeValue(after)], proxy)
            }
        }
    }

    /// The part of its requests of which `proxy` tells.
    private func share(of proxy: ProxyID) -> Double {
        state.withLock { $0.shares[proxy]?.values.max() ?? 0 }
    }

    /// One who looks.
    private final class Tap: Sendable {
        private struct State {
            var share: TapShare?
            var proxies: Set<ProxyID> = []
            var received: [ProxyID: Int] = [:]
            var isNoticeDue = true
        }

        let listener: RequestFeed.Listener
        private let hub: TapHub
        private let number: Int
        private let budget: Double
        private let limit: RateLimit
        private let wanted: @Sendable () -> Set<ProxyID>
        private let state = Mutex(State())

        init(_ hub: TapHub, _ query: TapQuery, _ wanted: @escaping @Sendable () -> Set<ProxyID>) {
            self.hub = hub
            self.wanted = wanted
            number = hub.newNumber()
            let rate = query.maximumRate
            budget = Double(query.isForAll ? rate : max(rate, TapHub.filteredBudget))
            let limit = RateLimit(perSecond: rate)
            self.limit = limit
            listener = hub.feed.listener(keeping: TapHub.waitingLimit) { record in
                query.matches(record) && limit.admits(.now)
            }
        }

        func end() {
            hub.feed.end(listener)
            hub.ask([:], as: number)
        }

        /// Follows which proxies there are and how much they tell; `time` since the last call.
        func adjust(after time: Duration?) {
            let proxies = wanted()
            let received = listener.counts.received
            state.withLock { state in
                if let time, var share = state.share {
                    let rate = rate(received, state, time)
                    share.observe(requestsPerSecond: rate)
                    state.share = share
                }
                state.share =
                    state.share
                    ?? TapShare(
                        budget: budget,
                        requestsPerSecond: proxies.lazy.compactMap(hub.requestsPerSecond)
                            .reduce(0, +)
                    )
                state.proxies = proxies
                state.received = received
                state.isNoticeDue = true
                let share = state.share?.value ?? 1
                hub.feed.listen(to: proxies, listener)
                hub.ask(Dictionary(uniqueKeysWithValues: proxies.map { ($0, share) }), as: number)
            }
            listener.wake()
        }

        /// How many requests a second all proxies have, by what arrived in `time`.
        private func rate(_ received: [ProxyID: Int], _ state: State, _ time: Duration) -> Double {
            state.proxies.reduce(0) { sum, proxy in
                let share = hub.share(of: proxy)
                let count = (received[proxy] ?? 0) - (state.received[proxy] ?? 0)
                return share > 0 ? sum + Double(count) / share / (time / .seconds(1)) : sum
            }
        }

        /// What is to be told beside requests, once after each `adjust`.
        func dueNotice() -> TapNotice? {
            let lost = listener.counts.lost
            let overRate = limit.refused
            return state.withLock { state in
                defer { state.isNoticeDue = false }
                guard state.isNoticeDue else { return nil }
                return TapNotice(
                    proxies: state.proxies.sorted().map(\.description),
                    share: state.share?.value ?? 1,
                    overRate: overRate,
                    lost: lost
                )
            }
        }
    }
}
