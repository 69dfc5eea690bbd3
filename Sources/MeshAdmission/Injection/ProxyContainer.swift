internal import MeshModel

/// The parts that the proxies of virtual nodes and of gateways have in common.
struct ProxyContainer {
    /// The name by which the injector knows a proxy.
    static let name = "envoy"
    /// The user as whom a proxy runs; what it sends is not redirected to it.
    static let user = 1337

    /// How kubelet has a proxy drain.
    struct Drain: Hashable {
        /// App Mesh's.
        static let usualSeconds = 20

        /// The last part of the path.
        var secret: String
        /// How long it drains, and goes on.
        var seconds: Int
    }

    let owner: ProxyOwner
    let settings: InjectionSettings
    let features: KubernetesFeatures
    let hasSDS: Bool
    let bootstrap: AdmissionController.Bootstrap

    init(
        _ owner: ProxyOwner,
        _ settings: InjectionSettings,
        _ annotations: PodAnnotations,
        _ bootstrap: @escaping AdmissionController.Bootstrap
    ) {
        self.owner = owner
        self.settings = settings
        features = KubernetesFeatures(settings)
        hasSDS = settings.sds.enabled && !annotations.isWithoutSDS
        self.bootstrap = bootstrap
    }

    /// Envoy's arguments.
    ///
    /// - Parameters:
    ///   - workers: How many worker threads it has; nil is one for each core of the host.
    ///   - memoryLimitBytes: What it may take; nil is any.
    ///   - drain: By which secret and for how long kubelet has it drain; nil is not at all.
    /// - Returns: The arguments, in which kubelet puts variables.
    /// - Throws: What making the bootstrap throws.
    func arguments(
        workers: Int?,
        memoryLimitBytes: Int?,
        drain: Drain?
    ) throws -> [JSONValue] {
        var stats = settings.stats
        let variable = "$(STATSD_ADDRESS)"
        if stats.statsdAddress == "ref:status.hostIP" { stats.statsdAddress = variable }
        let document = try bootstrap(
            ProxyBootstrapRequest(
                nodeID: owner.nodeID,
                owner: owner.id,
                mesh: owner.mesh.reference,
                adminPort: settings.sidecar.envoyAdminAccessPort,
                readinessPort: settings.sidecar.readinessPort,
                drainSecret: drain?.secret,
                drainSeconds: drain?.seconds ?? Drain.usualSeconds,
                tokenPath: PodProxy.tokenFolder + "/token",
                sdsSocketPath: hasSDS ? settings.sds.udsPath : nil,
                memoryLimitBytes: memoryLimitBytes,
                stats: stats
            )
        )
        // Kubelet makes one "$" of two, and takes "$(NAME)" for a variable.
        let escaped = document.split(separator: "$", omittingEmptySubsequences: false)
            .joined(separator: "$$")
        var arguments = [
            "--config-yaml",
            escaped.split(separator: "$" + variable, omittingEmptySubsequences: false)
                .joined(separator: variable),
            "--log-level", settings.sidecar.logLevel, "--drain-time-s",
            "\(drain?.seconds ?? Drain.usualSeconds)", "--disable-hot-restart",
            "--skip-deprecated-logs",
        ]
        if let workers { arguments += ["--concurrency", "\(workers)"] }
        return arguments.map { .string($0) }
    }

    /// The worker threads that `ENVOY_CONCURRENCY` asks for, as App Mesh's image read it.
    func workers(_ environment: [String: String]) -> Int? {
        environment["ENVOY_CONCURRENCY"].flatMap { Int($0) }.flatMap {
            (1...1024).contains($0) ? $0 : nil
        }
    }

    /// Whether the proxy takes requests.
    var readinessProbe: JSONValue {
        var probe = readinessRequest
        probe["initialDelaySeconds"] = .integer(settings.sidecar.probes.readinessProbeInitialDelay)
        probe["periodSeconds"] = .integer(settings.sidecar.probes.readinessProbePeriod)
        probe["timeoutSeconds"] = 1
        probe["successThreshold"] = 1
        probe["failureThreshold"] = 3
        return probe
    }

    /// What asks for the proxy's readiness.
    var readinessRequest: JSONValue {
        [
            "httpGet": [
                "path": "/ready", "port": .integer(settings.sidecar.readinessPort),
                "scheme": "HTTP",
            ]
        ]
    }

    /// Adds the volume of the token to the Pod; returns its mount.
    func mountToken(in pod: inout Pod) -> JSONValue {
        let token: JSONValue = [
            "serviceAccountToken": [
                "audience": .string(settings.token.audience),
                "expirationSeconds": .integer(settings.token.expirationSeconds), "path": "token",
            ]
        ]
        let name = pod.volume("heddle-token", ["projected": ["sources": [token]]])
        return mount(name, PodProxy.tokenFolder)
    }

    /// Adds the volume of the SDS server's socket to the Pod; returns its mount.
    func mountSDS(in pod: inout Pod) -> JSONValue {
        let path = settings.sds.udsPath
        let name = pod.volume(
            "appmesh-sds-socket-volume",
            ["hostPath": ["path": .string(path), "type": "Socket"]]
        )
        var mount = mount(name, path)
        mount["readOnly"] = nil
        return mount
    }

    /// A mount that can only be read.
    func mount(_ name: String, _ path: String) -> JSONValue {
        ["name": .string(name), "mountPath": .string(path), "readOnly": true]
    }
}

/// The X-Ray daemon's container.
struct XRayContainer {
    static let name = "xray-daemon"

    /// The container for `settings`, or with the configuration file of the annotation.
    static func document(
        _ settings: InjectionSettings,
        _ annotations: PodAnnotations,
        _ resources: ContainerResources
    ) -> JSONValue {
        let port = settings.tracing.port == 0 ? 2000 : settings.tracing.port
        var container: JSONValue = [
            "name": .string(name), "image": .string(settings.xRay.image.description),
            "securityContext": ["runAsUser": .integer(ProxyContainer.user)],
            "ports": [["name": "xray", "containerPort": .integer(port), "protocol": "UDP"]],
            "env": [["name": "AWS_REGION", "value": .string(settings.region)]],
            "resources": resources.document,
        ]
        if let mount = annotations.xRayConfiguration {
            let folder = mount.path.hasSuffix("/") ? String(mount.path.dropLast()) : mount.path
            container["command"] = ["/xray", "--config", .string("\(folder)/xray-daemon.yaml")]
            container["volumeMounts"] = [
                [
                    "name": .string(mount.name), "mountPath": .string(mount.path), "readOnly": true,
                ]
            ]
            return container
        }
        var arguments: [JSONValue] = []
        if !settings.tracing.logLevel.isEmpty {
            arguments += ["--log-level", .string(settings.tracing.logLevel)]
        }
        if !settings.tracing.role.isEmpty {
            arguments += ["--role-arn", .string(settings.tracing.role)]
        }
        if !arguments.isEmpty { container["args"] = .array(arguments) }
        return container
    }
}
