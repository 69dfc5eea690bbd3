import ArgumentParser
import MeshDaemon

/// The options of `heddle run` that only mean something with `--kubernetes`.
struct ClusterOptions: ParsableArguments {
    @Flag(
        name: .customLong("kubernetes"),
        help: ArgumentHelp(
            "Runs the mesh of a Kubernetes cluster, in place of folders.",
            discussion: """
                Objects and Pods are read from the Kubernetes API, whose server and credentials are \
                those of the Pod that Heddle runs in, else of a kubeconfig. Proxies run in their own \
                Pods and connect over TLS.
                """
        )
    )
    var isKubernetes = false
    @Option(
        help: ArgumentHelp(
            "The kubeconfig. Default: the Pod's own account, else KUBECONFIG, else ~/.kube/config.",
            valueName: "file"
        ),
        completion: .file()
    )
    var kubeconfig: String?
    @Option(help: ArgumentHelp("The context of the kubeconfig.", valueName: "name"))
    var context: String?
    @Option(
        name: .customLong("xds-address"),
        help: ArgumentHelp("Where proxies connect, over TLS: host:port.", valueName: "address")
    )
    var xdsAddress = "0.0.0.0:18000"
    @Flag(
        name: .customLong("xds-client-certificates"),
        help: ArgumentHelp(
            "Takes a certificate of a virtual node in place of a Pod's token.",
            discussion: """
                For proxies that have no token. Who has such a certificate can be any proxy of the \
                node until it ends, also when the Pod is gone that had it.
                """
        )
    )
    var takesClientCertificates = false
    @Option(
        name: .customLong("webhook-address"),
        help: ArgumentHelp(
            "Where the API server calls the admission webhooks, over TLS: host:port, or none.",
            valueName: "address"
        )
    )
    var webhookAddress = "0.0.0.0:9443"
    @Option(
        name: .customLong("service-name"),
        help: ArgumentHelp(
            "The DNS name of Heddle's Service. Default: heddle.NAMESPACE.svc.",
            discussion: """
                Proxies and the API server know Heddle by it: it is in the certificates that Heddle \
                serves, and in the bootstraps of the proxies that it injects.
                """,
            valueName: "name"
        )
    )
    var serviceName: String?
    @Option(
        name: .customLong("lease-namespace"),
        help: ArgumentHelp(
            "The namespace of the Lease and of the CA's Secret. Default: that of the Pod or context.",
            valueName: "namespace"
        )
    )
    var leaseNamespace: String?
    @Option(
        name: .customLong("lease-name"),
        help: ArgumentHelp(
            "The Lease that the replica holds which writes statuses and Events.",
            valueName: "name"
        )
    )
    var leaseName = "heddle"
    @Option(
        name: .customLong("ca-secret"),
        help: ArgumentHelp(
            "The Secret with the authority's certificate and key; made if it is not there.",
            valueName: "name"
        )
    )
    var authoritySecret = "heddle-ca"
    @Option(
        name: .customLong("webhook-configuration"),
        help: ArgumentHelp(
            "The webhook configurations whose caBundle is kept up to date.",
            valueName: "name"
        )
    )
    var webhookConfiguration = "heddle"
    @Option(
        name: .customLong("injection-settings"),
        help: ArgumentHelp(
            "A JSON file that says what is injected into Pods; the chart writes it.",
            valueName: "file"
        ),
        completion: .file()
    )
    var injectionSettings: String?

    func validate() throws {
        for (option, address) in [
            ("--xds-address", xdsAddress), ("--webhook-address", webhookAddress),
        ] where HostAndPort(address) == nil && !(option == "--webhook-address" && address == "none")
        {
            throw ValidationError("\(option) \"\(address)\" is not host:port")
        }
    }
}
