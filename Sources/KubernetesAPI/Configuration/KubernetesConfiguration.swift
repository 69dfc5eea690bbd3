internal import FoundationEssentials
internal import HTTPClient

/// Which Kubernetes API server to ask, and as whom.
///
/// Guarantee: it describes itself without credentials.
public struct KubernetesConfiguration: Sendable {
    /// `https://10.0.0.1:443`, perhaps with a path.
    public var server: String
    /// The namespace that the context or the Pod is in; `default` when nothing says so.
    public var namespace: String
    /// Server name, proxy and the like; certificates come with the credentials.
    var connection = HTTPConnectionSettings()
    /// Whether lists may be compressed.
    var acceptsCompressed = true
    /// The authorities that the server's certificate may come from; nil is the system's.
    var authorities: PEM?
    /// As whom to ask.
    var user = KubernetesUser()

    /// Makes a configuration by hand.
    ///
    /// - Parameters:
    ///   - server: `https://10.0.0.1:443`, perhaps with a path.
    ///   - namespace: The namespace that is meant where none is given.
    ///   - token: A bearer token.
    ///   - certificateAuthorityFile: A PEM file of authorities; nil is the system's.
    public init(
        server: String,
        namespace: String = "default",
        token: String? = nil,
        certificateAuthorityFile: String? = nil
    ) {
        self.server = Self.trimmed(server)
        self.namespace = namespace
        authorities = certificateAuthorityFile.map { .file($0) }
        user.token = token
        connection.isShared = true
        // A request with a deadline gives up a silent connection before.
        connection.silenceLimit = .seconds(20)
    }

    /// Paths are appended to it.
    private static func trimmed(_ server: String) -> String {
        var server = server[...]
        while server.last == "/" { server.removeLast() }
        return String(server)
    }

    /// What a kubeconfig says: `--kubeconfig`, else the files of `KUBECONFIG`, else `~/.kube/config`.
    ///
    /// - Throws: `KubernetesError` of kind `credentials`, with the file and the field.
    public static func kubeconfig(
        path: String? = nil,
        context: String? = nil
    ) throws(KubernetesError) -> KubernetesConfiguration {
        try kubeconfig(
            path: path,
            context: context,
            environment: ProcessInfo.processInfo.environment
        )
    }

    /// What a kubeconfig says, for a program with `environment`.
    static func kubeconfig(
        path: String?,
        context: String?,
        environment: [String: String]
    ) throws(KubernetesError) -> KubernetesConfiguration {
        let kubeconfig = try Kubeconfig(path: path, environment: environment)
        var configuration = try kubeconfig.configuration(context: context)
        if configuration.connection.proxy == nil {
            configuration.connection.proxy = .named(by: environment, for: configuration.server)
        }
        return configuration
    }

    /// What a Pod is given: `/var/run/secrets/kubernetes.io/serviceaccount`; nil outside a cluster.
    ///
    /// `folder` takes the place of that folder.
    public static func inCluster(
        folder: String = "/var/run/secrets/kubernetes.io/serviceaccount"
    ) throws(KubernetesError) -> KubernetesConfiguration? {
        try inCluster(folder: folder, environment: ProcessInfo.processInfo.environment)
    }
}

extension KubernetesConfiguration: CustomStringConvertible, CustomReflectable {
    /// The server.
    public var description: String { server }
    /// Shows server and namespace only.
    public var customMirror: Mirror {
        Mirror(self, children: ["server": server, "namespace": namespace])
    }
}

/// As whom the API is asked.
struct KubernetesUser: Sendable {
    /// A bearer token; the one in `tokenFile` counts more, as long as it can be read.
    var token: String?
    /// A file whose token may be replaced at any time.
    var tokenFile: String?
    /// User and password of Basic authentication.
    var basic: (name: String, password: String)?
    /// The client certificate and its key, whose files may be replaced at any time.
    var certificate: PEM?
    var key: PEM?
    /// A program that is asked for a token or a certificate.
    var plugin: ExecPlugin?
    /// On whose behalf (`Impersonate-User` and others).
    var impersonation: [HTTPField] = []
}

extension HTTPProxy {
    /// The proxy that the environment names for `server`, by Go's rules, which are kubectl's.
    ///
    /// This host itself is asked without a proxy.
    static func named(by environment: [String: String], for server: String) -> HTTPProxy? {
        let isTLS = server.lowercased().hasPrefix("https://")
        let names = isTLS ? ["HTTPS_PROXY", "https_proxy"] : ["HTTP_PROXY", "http_proxy"]
        guard let url = names.compactMap({ environment[$0] }).first(where: { !$0.isEmpty }),
            let host = hostOfURL(server)?.lowercased(),
            host != "localhost", !host.hasPrefix("127."), host != "[::1]"
        else { return nil }
        let exceptions = environment["NO_PROXY"] ?? environment["no_proxy"] ?? ""
        return HTTPProxy(url, except: exceptions)
    }
}

/// The host of `scheme://host:port/path`, IPv6 in brackets; nil when there is none.
func hostOfURL(_ url: String) -> String? {
    guard let start = url.firstRange(of: "://")?.upperBound else { return nil }
    let authority = url[start...].prefix { !"/?#".contains($0) }
    let place = authority.split(separator: "@", omittingEmptySubsequences: false).last ?? ""
    let host =
        place.hasPrefix("[")
        ? place.prefix { $0 != "]" } + "]" : place.prefix { $0 != ":" }
    return host.isEmpty ? nil : String(host)
}
