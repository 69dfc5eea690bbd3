internal import EnvoySupervisor
internal import MeshModel
internal import Synchronization

/// The last measurement of each proxy, for who looks, and the way of measurements into histories.
final class UsageBoard: Sendable {
    private struct State {
        var usages: [ProxyID: ProxyUsage] = [:]
        /// The proxies that refuse work, of which histories count the beginnings.
        var shedding: Set<ProxyID> = []
    }

    private let state = Mutex(State())

    /// What each proxy uses now.
    var current: [ProxyID: ProxyUsage] { state.withLock { $0.usages } }

    /// Forgets proxies of which `isPresent` is false.
    func forget(unless isPresent: (ProxyID) -> Bool) {
        state.withLock { state in
            state.usages = state.usages.filter { isPresent($0.key) }
            state.shedding = state.shedding.filter(isPresent)
        }
    }

    /// Takes what was seen of `proxy`, and hands it on to `keeper`.
    func take(_ proxy: ProxyID, _ report: UsageReport, _ keeper: SizingKeeper) {
        switch report {
        case .usage(let usage, let isShedding, let limitBytes):
            keeper.record([proxy: usage])
            let begins = state.withLock { state in
                state.usages[proxy] = usage
                guard isShedding else {
                    state.shedding.remove(proxy)
                    return false
                }
                return state.shedding.insert(proxy).inserted
            }
            if begins, let limit = limitBytes { keeper.recordShedding(proxy, limitBytes: limit) }
        case .outOfMemoryKill(let limitBytes, let peakBytes):
            keeper.recordOutOfMemoryKill(proxy, limitBytes: limitBytes, peakBytes: peakBytes)
        }
    }
}
