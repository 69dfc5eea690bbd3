import Hummingbird
import NIOCore

/// What the API knows of a request beside its head and body: who sent it.
struct APIRequestContext: RequestContext {
    var coreContext: CoreRequestContextStorage
    /// Whether it comes from this host: through the Unix socket or a loopback address.
    ///
    /// In a Pod, that is what `kubectl port-forward` connects from.
    let isFromThisHost: Bool
    /// The connection on which it came.
    let channel: any Channel

    init(source: ApplicationRequestContextSource) {
        coreContext = CoreRequestContextStorage(source: source)
        isFromThisHost = source.channel.remoteAddress?.isOfThisHost ?? true
        channel = source.channel
    }
}

extension SocketAddress {
    /// Whether it is a Unix socket or a loopback address, an IPv4 one in IPv6 among them.
    var isOfThisHost: Bool {
        guard let host = ipAddress else { return true }
        let plain = host.hasPrefix("::ffff:") ? host.dropFirst(7) : host[...]
        return plain.hasPrefix("127.") || plain == "::1"
    }
}

/// Whether everyone may ask for `path` who can reach the API's TCP port.
///
/// That is what shows that Heddle lives, and the numbers of the mesh. The rest is for this host.
func isPublic(path: String) -> Bool {
    switch path.prefix(while: { $0 != "?" }) {
    case "/healthz", "/livez", "/readyz", "/metrics": true
    default: false
    }
}
