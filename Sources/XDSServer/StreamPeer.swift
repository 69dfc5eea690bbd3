internal import MeshModel

/// Who opens a stream, as was proved.
enum StreamPeer: Hashable, Sendable {
    /// An Envoy of this host that has `token`.
    case local(token: String)
    /// An Envoy of a Pod.
    case remote(RemotePeer)

    /// Tells one Envoy of a proxy from the next.
    var envoy: String {
        switch self {
        case .local(let token): token
        case .remote(let peer): "\(peer.admitted.podUID) \(peer.envoy)"
        }
    }
}

/// An Envoy of a Pod that proved which one.
struct RemotePeer: Hashable, Sendable {
    var proxy: ProxyID
    /// As it was planned when it proved itself.
    var admitted: RemoteProxy
    /// What it calls itself among the Envoys of its Pod; empty when it says nothing.
    var envoy: String
}
