internal import MeshModel
internal import MeshPlan
internal import Synchronization

/// Bootstraps as JSON, each made once: the supervisor asks for every proxy's with every plan.
final class BootstrapMemo: Sendable {
    private struct Entry {
        var nodeID: String
        var parameters: BootstrapParameters
        var text: [UInt8]
    }

    private let entries = Mutex<[ProxyID: Entry]>([:])

    /// The bootstrap of `proxy`.
    func text(of proxy: ProxyPlan, _ parameters: BootstrapParameters) throws -> [UInt8] {
        try entries.withLock { entries in
            if let known = entries[proxy.id], known.nodeID == proxy.nodeID,
                known.parameters == parameters
            {
                return known.text
            }
            let text = Array(
                try bootstrap(nodeID: proxy.nodeID, parameters).json.prettyText.utf8
            )
            entries[proxy.id] = Entry(nodeID: proxy.nodeID, parameters: parameters, text: text)
            return text
        }
    }

    /// Forgets the bootstrap of a proxy that is gone, and the token in it.
    func forget(_ proxy: ProxyID) { entries.withLock { $0[proxy] = nil } }
}
