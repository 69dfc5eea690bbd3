internal import GRPCCore
internal import Logging
internal import MeshModel
internal import Synchronization

/// Whom the first message of a stream says it is from, against whom the stream's opener proved to be.
///
/// A Pod whose bootstrap is of another virtual node would run with the configuration of its own and count
/// and log as the other.
final class NodeClaim: Sendable {
    private let peer: RemotePeer
    private let store: SnapshotStore
    private let log: RefusedStreams
    private let isFirst = Mutex(true)

    init(_ peer: RemotePeer, _ store: SnapshotStore, _ log: RefusedStreams) {
        self.peer = peer
        self.store = store
        self.log = log
    }

    /// Why the stream has to end that calls itself `id` in a message; nil when it need not.
    ///
    /// Envoy says who it is in the first message only.
    func refusal(of id: String, logger: Logger) -> StreamSlot.Ending? {
        let isFirst = isFirst.withLock { isFirst in
            defer { isFirst = false }
            return isFirst
        }
        guard isFirst, !peer.admitted.isCalled(id) else { return nil }
        let problem: String
        let code: RPCError.Code
        if store.isPlanned(nodeID: id) || id.isEmpty {
            code = .permissionDenied
            problem = """
                node.id \(quoted(id)) is not that of Pod \(peer.proxy), which is planned as \
                "\(peer.admitted.nodeID)"; restart the Pod, so that it gets the bootstrap of its \
                VirtualNode or VirtualGateway
                """
        } else {
            code = .invalidArgument
            problem = """
                node.id \(quoted(id)): there is no VirtualNode or VirtualGateway of that name with a \
                Pod; Pod \(peer.proxy) is planned as "\(peer.admitted.nodeID)"
                """
        }
        log.note(.pod(peer.proxy, "node.id"), problem, logger)
        return .refused(code, problem)
    }

    private func quoted(_ id: String) -> String { "\"\(LogText(String(id.prefix(300))))\"" }
}
