internal import MeshPlan
internal import Synchronization

/// Bootstraps as JSON, each made once: the supervisor asks for every proxy's with every plan.
final class BootstrapMemo: Sendable {
    private struct Key: Hashable {
        var nodeID: String
        var parameters: BootstrapParameters
    }

    private let texts = Mutex<[Key: [UInt8]]>([:])

    /// The bootstrap of the proxy `nodeID`.
    func text(nodeID: String, _ parameters: BootstrapParameters) throws -> [UInt8] {
        try texts.withLock { texts in
            let key = Key(nodeID: nodeID, parameters: parameters)
            if let known = texts[key] { return known }
            let text = Array(try bootstrap(nodeID: nodeID, parameters).json.prettyText.utf8)
            texts[key] = text
            return text
        }
    }
}
