/// PEM text: a certificate with those above it, several authorities, or a key.
///
/// Guarantee: it describes itself without what is in it, as that may be a private key.
public enum PEM: Hashable, Sendable, CustomStringConvertible, CustomReflectable {
    /// The file at a path; it is read for each new connection.
    case file(String)
    /// The text itself.
    case text([UInt8])

    /// Where it is from.
    public var description: String {
        switch self {
        case .file(let path): path
        case .text: "PEM in memory"
        }
    }
    /// Shows what `description` does.
    public var customMirror: Mirror { Mirror(self, children: ["source": description]) }
}

/// A proxy between a client and servers.
///
/// Guarantee: it describes itself without user and password.
public struct HTTPProxy: Hashable, Sendable, CustomStringConvertible, CustomReflectable {
    /// `http://`, `https://` or `socks5://[user:password@]host:port`.
    public var url: String
    /// Hosts that are asked without it, separated by commas, as in `NO_PROXY`; `*` is all.
    public var exceptions: String

    /// Makes a proxy.
    public init(_ url: String, except exceptions: String = "") {
        self.url = url
        self.exceptions = exceptions
    }

    /// `http://host:port`.
    public var description: String {
        guard let at = url.lastIndex(of: "@") else { return url }
        let scheme = url.firstRange(of: "://").map { url[..<$0.upperBound] } ?? ""
        return String(scheme + url[url.index(after: at)...])
    }
    /// Shows what `description` does.
    public var customMirror: Mirror { Mirror(self, children: ["url": description]) }
}

/// How connections to a server come about; requests with equal settings share connections.
public struct HTTPConnectionSettings: Hashable, Sendable {
    /// The authorities that an `https` server's certificate may come from; nil is the system's.
    public var authorities: PEM?
    /// The certificate that is shown to a server that asks for one, with those above it.
    public var certificate: PEM?
    /// The private key of `certificate`.
    public var key: PEM?
    /// The name that is sent to the server (SNI) and that its certificate must have; nil is the URL's
    /// host.
    public var serverName: String?
    /// Whether any certificate of the server is taken for good, and so any server.
    public var isInsecure = false
    /// The proxy; nil is none, whatever the environment says.
    public var proxy: HTTPProxy?
    /// Whether an `https` server that can is asked over HTTP/2, with all requests on one connection.
    ///
    /// A slow reader can't hold up the server then, as others share the connection: see
    /// `HTTPRequest.backlogLimit`.
    public var isShared = false
    /// After how long without any sign of the other host a connection is given up; nil leaves that to
    /// the system, which may take two hours.
    ///
    /// The hosts' kernels see to it (TCP keep-alive and `TCP_USER_TIMEOUT`), so a server that is only
    /// slow to answer is not given up.
    public var silenceLimit: Duration?

    /// The settings by which a server is asked without TLS of one's own, and without a proxy.
    public init() {}
}
