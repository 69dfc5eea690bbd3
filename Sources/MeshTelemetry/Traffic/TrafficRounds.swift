public import ServiceLifecycle
import Synchronization
public import MeshModel

/// Makes a service map every 2.5 s, as often as proxies are asked, for whoever follows it.
public final class TrafficRounds: Service {
    private let board: TrafficBoard
    private let interval: Duration
    private let nodes: @Sendable () -> [ObjectID: TrafficNodeStatus]
    private let timeSeconds: @Sendable () -> Double
    private let state = Mutex(State())

    private struct State {
        var followers: [Int: AsyncStream<ServiceMap>.Continuation] = [:]
        var lastNumber = 0
        var isOver = false
    }

    /// Makes rounds that begin with `run`.
    ///
    /// - Parameters:
    ///   - board: What is known of traffic.
    ///   - interval: From one map to the next.
    ///   - nodes: Virtual nodes and gateways as they are known beside their traffic.
    ///   - timeSeconds: The time, in seconds since 1970.
    public init(
        _ board: TrafficBoard,
        interval: Duration = .milliseconds(2500),
        nodes: @escaping @Sendable () -> [ObjectID: TrafficNodeStatus],
        timeSeconds: @escaping @Sendable () -> Double
    ) {
        self.board = board
        self.interval = interval
        self.nodes = nodes
        self.timeSeconds = timeSeconds
    }

    /// The map as of now.
    public var current: ServiceMap { board.map(nodes: nodes(), timeSeconds: timeSeconds()) }

    /// The map as of now, then each that is made; a slow reader gets only the newest.
    public func maps() -> AsyncStream<ServiceMap> {
        let (stream, follower) = AsyncStream.makeStream(
            of: ServiceMap.self,
            bufferingPolicy: .bufferingNewest(1)
        )
        follower.yield(current)
        let number = state.withLock { state -> Int? in
            if state.isOver { return nil }
            state.lastNumber += 1
            state.followers[state.lastNumber] = follower
            return state.lastNumber
        }
        guard let number else {
            follower.finish()
            return stream
        }
        follower.onTermination = { [weak self] _ in
            self?.state.withLock { _ = $0.followers.removeValue(forKey: number) }
        }
        return stream
    }

    /// Makes a map for all followers; without any it costs nothing.
    func makeRound() {
        let followers = state.withLock { Array($0.followers.values) }
        guard !followers.isEmpty else { return }
        let map = current
        for follower in followers { follower.yield(map) }
    }

    /// Makes maps until shut down; then the streams end.
    public func run() async {
        await cancelWhenGracefulShutdown {
            while (try? await Task.sleep(for: self.interval)) != nil { self.makeRound() }
        }
        let followers = state.withLock { state in
            state.isOver = true
            return Array(state.followers.values)
        }
        for follower in followers { follower.finish() }
    }
}
