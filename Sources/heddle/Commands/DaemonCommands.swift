import ArgumentParser
import Logging
import MeshDaemon
import MeshModel
import MeshPlan

/// `heddle run`.
struct RunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Runs the mesh that folders of manifests, or a Kubernetes cluster, describe.",
        discussion: """
            Every Workload gets an Envoy. Saving a file deploys it; deleting it removes its \
            objects. Ctrl-C drains and stops all proxies, or with --keep-proxies leaves them to \
            the Heddle that comes next.

            With --kubernetes it is the controller of a cluster: it reads objects and Pods, \
            configures the proxies in Pods, and injects them. It runs in a Pod of the chart; \
            options of processes on this host have no meaning there.

            Examples:
              heddle run ./mesh
              heddle run ./mesh ./more --state-dir /tmp/heddle --log-level debug
              heddle run --kubernetes --kubeconfig ~/.kube/config --service-name heddle.example
            """
    )

    @Argument(help: "Folders and files of manifests.", completion: .directory)
    var paths: [String] = []
    @OptionGroup var state: StateOptions
    @OptionGroup(title: "In a cluster") var cluster: ClusterOptions
    @Option(
        help:
            "The Envoy to run. Default: HEDDLE_ENVOY, else envoy in PATH, else the installed one.",
        completion: .file()
    )
    var envoy: String?
    @Option(
        help: ArgumentHelp(
            "Where proxies take their ingress and egress addresses from.",
            valueName: "ranges"
        )
    )
    var proxyAddresses = "127.66.0.0/16,127.67.0.0/16"
    @Option(
        name: .customLong("http-address"),
        help: ArgumentHelp(
            "Where the API and the page listen beside the socket: host:port, or none.",
            valueName: "address"
        )
    )
    var httpAddress = "127.0.0.1:18001"
    @Option(
        name: .customLong("xray-address"),
        help: ArgumentHelp(
            "Where segments are taken as AWS X-Ray's daemon takes them, over UDP: IP:port, or none.",
            valueName: "address"
        )
    )
    var xRayAddress = "\(TelemetryEndpoint.xRay)"
    @Option(
        name: .customLong("otlp-address"),
        help: ArgumentHelp(
            "Where traces are taken as OpenTelemetry's collector takes them, by gRPC: IP:port, or none.",
            valueName: "address"
        )
    )
    var openTelemetryAddress = "\(TelemetryEndpoint.openTelemetry)"
    @Option(help: "For how long a removed proxy may finish its requests: 20s, 500ms, 2m.")
    var drainTime = "20s"
    @Flag(
        help: ArgumentHelp(
            "Proxies and applications go on when Heddle ends, and the next one takes them over.",
            discussion: """
                For a restart or an upgrade of Heddle itself: no request fails. A proxy goes on with \
                the configuration that it has.
                """
        )
    )
    var keepProxies = false
    @Option(
        help: ArgumentHelp(
            "At which size the log of a proxy or an application is put aside and begun anew: 64Ki or more.",
            valueName: "size"
        )
    )
    var logSize = "10Mi"
    @Option(
        help: ArgumentHelp(
            "How long a certificate lasts that Heddle issues: 10s or more; renewed at half of it. "
                + "Default: 1h, and 24h with --kubernetes.",
            valueName: "time"
        )
    )
    var certificateLifetime: String?
    @Option(
        name: .customLong("ca-certificate"),
        help: ArgumentHelp(
            "The certificate of your own authority, in place of a root that Heddle makes.",
            discussion: """
                A PEM file: a root, or an intermediate whose path length allows one more, followed \
                by those above it.
                """,
            valueName: "file"
        ),
        completion: .file()
    )
    var authorityCertificate: String?
    @Option(
        name: .customLong("ca-key"),
        help: ArgumentHelp("Its private key, a PEM file.", valueName: "file"),
        completion: .file()
    )
    var authorityKey: String?
    @OptionGroup var externalSecrets: ExternalSecretsOption
    @Option(help: "What to log: trace, debug, info, notice, warning, error or critical.")
    var logLevel = Logger.Level.notice

    func validate() throws {
        if cluster.isKubernetes != paths.isEmpty {
            throw ValidationError(
                paths.isEmpty
                    ? "nothing to run; name a folder of manifests, or pass --kubernetes"
                    : "--kubernetes runs the mesh of a cluster and no folder; leave out "
                        + paths.joined(separator: " ")
            )
        }
        guard AddressRanges(proxyAddresses) != nil else {
            throw ValidationError(
                "--proxy-addresses \"\(proxyAddresses)\" is not two different /16 ranges of "
                    + "127.0.0.0/8; write them as 127.66.0.0/16,127.67.0.0/16"
            )
        }
        if httpAddress != "none", HostAndPort(httpAddress) == nil {
            throw ValidationError("--http-address \"\(httpAddress)\" is neither host:port nor none")
        }
        for (option, address) in [
            ("--xray-address", xRayAddress), ("--otlp-address", openTelemetryAddress),
        ] where address != "none" && telemetryEndpoint(address) == nil {
            throw ValidationError(
                "\(option) \"\(address)\" is neither an IP address and a port nor none"
            )
        }
        if duration(drainTime) == nil {
            throw ValidationError(
                "--drain-time \"\(drainTime)\" is no time; write 20s, 500ms or 2m"
            )
        }
        guard let size = byteCount(logSize) else {
            throw ValidationError(
                "--log-size \"\(logSize)\" is no size; write 512Ki, 10Mi or 1Gi"
            )
        }
        if size < 64 << 10 {
            throw ValidationError("--log-size \(logSize) is too small; give at least 64Ki")
        }
        try validateIdentity()
    }

    private func validateIdentity() throws {
        if let certificateLifetime {
            guard let lifetime = duration(certificateLifetime) else {
                throw ValidationError(
                    "--certificate-lifetime \"\(certificateLifetime)\" is no time; write 10m, 1h or 7d"
                )
            }
            if lifetime < .seconds(10) {
                throw ValidationError(
                    "--certificate-lifetime \(certificateLifetime) is too short; give at least 10s"
                )
            }
        }
        if (authorityCertificate == nil) != (authorityKey == nil) {
            throw ValidationError("--ca-certificate and --ca-key go together; pass both or none")
        }
        for (option, path) in [
            ("--ca-certificate", authorityCertificate), ("--ca-key", authorityKey),
            ("--sds-socket", externalSecrets.sdsSocket),
        ] where path?.isEmpty == true {
            throw ValidationError("\(option) is empty; name a file")
        }
    }

    func run() async throws {
        var logger = Logger(label: "heddle") { StreamLogHandler.standardError(label: $0) }
        logger.logLevel = logLevel
        guard !cluster.isKubernetes else {
            return try await runController(controllerConfiguration, logger: logger)
        }
        try await runDaemon(
            DaemonConfiguration(
                paths: paths,
                stateDirectory: state.path,
                envoy: try EnvoyBinary.find(option: envoy, environment: state.environment),
                apiAddress: HostAndPort(httpAddress),
                xRayAddress: telemetryEndpoint(xRayAddress),
                openTelemetryAddress: telemetryEndpoint(openTelemetryAddress),
                addressRanges: AddressRanges(proxyAddresses) ?? .loopback,
                drainTime: duration(drainTime) ?? .seconds(20),
                certificateLifetime: certificateLifetime.flatMap(duration) ?? .seconds(3600),
                authority: authorityCertificate.flatMap { certificate in
                    authorityKey.map {
                        FileCertificate(
                            certificateChain: absolutePath(certificate),
                            privateKey: absolutePath($0)
                        )
                    }
                },
                sdsSocketPath: externalSecrets.sdsSocket.map(absolutePath),
                keepsProxies: keepProxies,
                logSizeBytes: byteCount(logSize) ?? 10 << 20,
                clientOptions: state.clientOptions
            ),
            logger: logger,
            print: { [console = state.console] line in console.print(line + "\n") }
        )
    }

    private var controllerConfiguration: ControllerConfiguration {
        let everywhere = HostAndPort(host: "0.0.0.0", port: 18000)
        return ControllerConfiguration(
            kubeconfig: cluster.kubeconfig,
            context: cluster.context,
            xdsAddress: HostAndPort(cluster.xdsAddress) ?? everywhere,
            takesClientCertificates: cluster.takesClientCertificates,
            webhookAddress: HostAndPort(cluster.webhookAddress),
            httpAddress: HostAndPort(httpAddress),
            serviceName: cluster.serviceName,
            namespace: cluster.leaseNamespace,
            leaseName: cluster.leaseName,
            authoritySecret: cluster.authoritySecret,
            webhookConfiguration: cluster.webhookConfiguration,
            injectionSettingsPath: cluster.injectionSettings.map(absolutePath),
            stateDirectory: state.path,
            certificateLifetime: certificateLifetime.flatMap(duration) ?? .seconds(86_400)
        )
    }
}

/// The option that names an SDS server, as what manifests may ask for depends on it.
struct ExternalSecretsOption: ParsableArguments {
    @Option(
        name: .customLong("sds-socket"),
        help: ArgumentHelp(
            "The Unix socket of an SDS server, such as a SPIRE agent, that serves the secrets which "
                + "manifests name by sds.",
            valueName: "path"
        ),
        completion: .file()
    )
    var sdsSocket: String?

    /// Settings of a plan that follow.
    var planOptions: PlanOptions { PlanOptions(hasExternalSecrets: sdsSocket != nil) }
}

/// `heddle validate`.
struct ValidateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "validate",
        abstract: "Reports every mistake in manifests.",
        discussion: """
            Each problem names file, line, object and field. The exit code is 1 if one is an error.

            Examples:
              heddle validate ./mesh
              heddle validate mesh.yaml workloads.yaml
            """
    )

    @Argument(help: "Files or folders of manifests.", completion: .file())
    var paths: [String]
    @OptionGroup var externalSecrets: ExternalSecretsOption

    func run() throws {
        let report = MeshDaemon.validate(paths: paths, options: externalSecrets.planOptions)
        for diagnostic in report.diagnostics { print(diagnostic) }
        print(report.summary)
        try (report.isValid ? ExitStatus.ok : .badNews).end()
    }
}

/// `heddle render`.
struct RenderCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "render",
        abstract: "Prints the Envoy configuration that manifests give, without running anything.",
        discussion: """
            Of one proxy it is JSON that passes envoy --mode validate; of several, a YAML stream \
            with a document for each. Problems go to standard error; the exit code is 1 if one is \
            an error.

            Examples:
              heddle render ./mesh --proxy demo/blue-1 > envoy.json
            """
    )

    @Argument(help: "Files or folders of manifests.", completion: .file())
    var paths: [String]
    @Option(help: ArgumentHelp("Only the proxy of this Workload.", valueName: "namespace/name"))
    var proxy: String?
    @OptionGroup var externalSecrets: ExternalSecretsOption

    func run() throws {
        let rendered = try render(
            paths: paths,
            proxy: proxy,
            options: externalSecrets.planOptions
        )
        let console = Console.standard(environment: [:])
        for diagnostic in rendered.diagnostics { console.note("\(diagnostic)") }
        if rendered.documents.isEmpty { console.note("no proxy to render: no Workload has one") }
        console.print(rendered.text)
        try (rendered.isValid ? ExitStatus.ok : .badNews).end()
    }
}
