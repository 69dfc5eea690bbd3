internal import EnvoySupervisor
internal import MeshModel
internal import Synchronization

/// The last measurement of each proxy, for who looks, and the way of measurements into histories.
final class UsageBoard: Sendable {
    private struct State {
        var usages: [ProxyID: ProxyUsage] = [:]
        /// The proxies that refuse work, of which histories count the beginnings.
        var shedding: Set<ProxyID> = []
        /// The memory limits under which they do.
        var limits: [ProxyID: Int] = [:]
    }

    private let state = Mutex(State())

    /// What each proxy uses now.
    var current: [ProxyID: ProxyUsage] { state.withLock { $0.usages } }

    /// Takes the proxies that there are, each with its memory limit, and forgets the others.
    func keep(_ limits: [ProxyID: Int?]) {
        state.withLock { state in
            state.usages = state.usages.filter { limits[$0.key] != nil }
            state.shedding = state.shedding.filter { limits[$0] != nil }
            state.limits = limits.compactMapValues(\.self)
        }
    }

    /// Takes what was seen of `proxy`, and hands it on to `keeper`.
    func take(_ proxy: ProxyID, _ report: UsageReport, _ keeper: SizingKeeper) {
        switch report {
        case .usage(let usage, let isShedding):
            keeper.record([proxy: usage])
            let limit = state.withLock { state -> Int? in
                state.usages[proxy] = usage
                guard isShedding else {
                    state.shedding.remove(proxy)
                    return nil
                }
                return state.shedding.insert(proxy).inserted ? state.limits[proxy] : nil
            }
            if let limit { keeper.recordShedding(proxy, limitBytes: limit) }
        case .outOfMemoryKill(let limitBytes, let peakBytes):
            keeper.recordOutOfMemoryKill(proxy, limitBytes: limitBytes, peakBytes: peakBytes)
        }
    }
}
