/// How the controller of a cluster runs.
public struct ControllerConfiguration: Sendable {
    /// The kubeconfig; nil is the Pod's own account, else what kubectl would take.
    public var kubeconfig: String?
    /// The context of the kubeconfig; nil is its current one.
    public var context: String?
    /// Where proxies connect over TLS.
    public var xdsAddress: HostAndPort
    /// Whether a proxy may prove itself with a certificate of its virtual node, in place of a token.
    public var takesClientCertificates: Bool
    /// Where the API server calls the webhooks; nil is nowhere.
    public var webhookAddress: HostAndPort?
    /// Where health and metrics are served, and to this host the API and the page; nil is nowhere.
    public var httpAddress: HostAndPort?
    /// The DNS name by which proxies and the API server know Heddle; nil is `heddle.<namespace>.svc`.
    public var serviceName: String?
    /// The namespace of the Lease and of the authority's Secret; nil is that of the Pod or context.
    public var namespace: String?
    /// The Lease that the replica holds which writes.
    public var leaseName: String
    /// The Secret with the authority's certificate and key.
    public var authoritySecret: String
    /// The webhook configurations whose `caBundle` is kept up to date.
    public var webhookConfiguration: String
    /// A JSON file of injection settings; nil is the defaults.
    public var injectionSettingsPath: String?
    /// Where what outlives the process is kept: telemetry, events, intermediate authorities.
    public var stateDirectory: String
    /// How long a certificate lasts that Heddle issues.
    public var certificateLifetime: Duration

    /// Makes a configuration.
    public init(
        kubeconfig: String? = nil,
        context: String? = nil,
        xdsAddress: HostAndPort,
        takesClientCertificates: Bool = false,
        webhookAddress: HostAndPort?,
        httpAddress: HostAndPort?,
        serviceName: String? = nil,
        namespace: String? = nil,
        leaseName: String = "heddle",
        authoritySecret: String = "heddle-ca",
        webhookConfiguration: String = "heddle",
        injectionSettingsPath: String? = nil,
        stateDirectory: String,
        certificateLifetime: Duration = .seconds(86_400)
    ) {
        self.kubeconfig = kubeconfig
        self.context = context
        self.xdsAddress = xdsAddress
        self.takesClientCertificates = takesClientCertificates
        self.webhookAddress = webhookAddress
        self.httpAddress = httpAddress
        self.serviceName = serviceName
        self.namespace = namespace
        self.leaseName = leaseName
        self.authoritySecret = authoritySecret
        self.webhookConfiguration = webhookConfiguration
        self.injectionSettingsPath = injectionSettingsPath
        self.stateDirectory = stateDirectory
        self.certificateLifetime = certificateLifetime
    }
}
