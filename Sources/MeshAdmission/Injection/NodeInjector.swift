internal import MeshModel

/// Gives the Pod of a virtual node its proxy.
struct NodeInjector {
    private(set) var pod: Pod
    private(set) var warnings: [String] = []
    private let annotations: PodAnnotations
    private let settings: InjectionSettings
    private let proxy: ProxyContainer

    init(
        _ pod: Pod,
        _ owner: ProxyOwner,
        _ annotations: PodAnnotations,
        _ settings: InjectionSettings,
        _ bootstrap: @escaping AdmissionController.Bootstrap
    ) {
        self.pod = pod
        self.annotations = annotations
        self.settings = settings
        proxy = ProxyContainer(owner, settings, annotations, bootstrap)
    }

    mutating func run(_ node: VirtualNode, in mesh: Mesh) throws {
        warnOfProbes(node, in: mesh)
        let resources = try ContainerResources(settings.sidecar.resources, annotations)
        redirect(node, resources)
        // Started first, and so ended last.
        if settings.tracing.enabled, settings.tracing.provider == .xRay {
            try pod.addXRay(settings, annotations, resources, asSidecar: hasNativeSidecars)
        }
        if !pod.hasContainer(ProxyContainer.name) { try addProxy(resources) }
        pod.letProxyReadFiles()
        for name in settings.imagePullSecrets
        where !pod.list("imagePullSecrets").contains(where: { $0["name"]?.string == name }) {
            pod.append(["name": .string(name)], to: "imagePullSecrets")
        }
    }

    /// Tells of probes by kubelet that the proxy will refuse.
    private mutating func warnOfProbes(_ node: VirtualNode, in mesh: Mesh) {
        let probes = KubeletProbe.all(in: pod.document["spec"])
        for probe in refusedProbes(probes, pod.annotations, node, in: mesh) {
            // No more than 256 characters of a warning are shown.
            warnings.append(
                "container \(probe.container): kubelet's \(probe.name) of port \(probe.port) fails, as "
                    + "\(node.id) takes nothing but TLS there (STRICT); use exec, a port of no "
                    + "listener, or PERMISSIVE"
            )
        }
    }

    private var hasNativeSidecars: Bool { proxy.features.hasNativeSidecars }

    // MARK: The redirection

    /// By an init container, or by annotations for App Mesh's CNI plugin.
    private mutating func redirect(_ node: VirtualNode, _ resources: ContainerResources) {
        var ports = annotations.ports ?? []
        if annotations.ports == nil {
            for listener in node.spec.listeners {
                let port = Int(listener.portMapping.port.number)
                if !ports.contains(port) { ports.append(port) }
            }
        }
        let applicationPorts = ports.map(String.init).joined(separator: ",")
        let ignoredIPs = annotations.egressIgnoredIPs ?? settings.egressIgnoredIPs
        let isFargate = pod.labels["eks.amazonaws.com/fargate-profile"].map { !$0.isEmpty } ?? false
        if annotations.usesCNI ?? isFargate {
            annotate([
                "ports": applicationPorts, "egressIgnoredIPs": ignoredIPs,
                "egressIgnoredPorts": annotations.egressIgnoredPorts, "proxyEgressPort": "15001",
                "proxyIngressPort": "15000", "ignoredUID": "\(ProxyContainer.user)",
                "sidecarInjectorWebhook": "enabled",
            ])
            return
        }
        guard !pod.hasContainer("proxyinit") else { return }
        let environment = [
            "APPMESH_START_ENABLED": "1", "APPMESH_IGNORE_UID": "\(ProxyContainer.user)",
            "APPMESH_ENVOY_INGRESS_PORT": "15000", "APPMESH_ENVOY_EGRESS_PORT": "15001",
            "APPMESH_APP_PORTS": applicationPorts, "APPMESH_EGRESS_IGNORED_IP": ignoredIPs,
            "APPMESH_EGRESS_IGNORED_PORTS": annotations.egressIgnoredPorts,
            "APPMESH_ENABLE_IPV6": annotations.hasIPv6 ? "1" : "0",
        ]
        let list = environment.sorted { $0.key < $1.key }.map { name, value -> JSONValue in
            ["name": .string(name), "value": .string(value)]
        }
        pod.append(
            [
                "name": "proxyinit", "image": .string(settings.heddleImage),
                "command": ["heddle", "redirect"], "env": .array(list),
                "resources": resources.document,
                // iptables asks for NET_RAW too.
                "securityContext": [
                    "runAsUser": 0, "runAsNonRoot": false,
                    "capabilities": ["add": ["NET_ADMIN", "NET_RAW"], "drop": ["ALL"]],
                ],
            ],
            to: "initContainers"
        )
    }

    private mutating func annotate(_ values: [String: String]) {
        var all = pod.document["metadata"]?["annotations"] ?? [:]
        if all == .null { all = [:] }
        for (name, value) in values { all["appmesh.k8s.aws/\(name)"] = .string(value) }
        pod.document["metadata"]?["annotations"] = all
    }

    // MARK: The proxy

    private mutating func addProxy(_ resources: ContainerResources) throws {
        let environment = try ProxyEnvironment(
            proxy.owner,
            settings,
            hasSDS: proxy.hasSDS,
            own: annotations.environment
        )
        for name in environment.overridden(annotations.environment) {
            warnings.append(
                "\(PodAnnotations.Name.sidecarEnv.key): \(name) has no effect, as the chart's values "
                    + "say it for all Pods"
            )
        }
        let drain = drain
        let arguments = try proxy.arguments(
            workers: proxy.workers(annotations.environment) ?? resources.workerCount,
            memoryLimitBytes: resources.memoryLimitBytes,
            drain: drain
        )
        var container: JSONValue = [
            "name": .string(ProxyContainer.name), "image": .string(settings.proxyImage),
            "command": ["envoy"], "args": .array(arguments), "env": .array(environment.list),
            "ports": [
                [
                    "name": "stats", "containerPort": .integer(settings.sidecar.readinessPort),
                    "protocol": "TCP",
                ]
            ],
            "readinessProbe": proxy.readinessProbe, "resources": resources.document,
            "securityContext": ["runAsUser": .integer(ProxyContainer.user)],
            "volumeMounts": .array(try mounts()),
        ]
        if let drain {
            // The proxy has no shell that could sleep: it answers once it has drained.
            container["lifecycle"] = [
                "preStop": [
                    "httpGet": [
                        "path": .string("/drain/\(drain.secret)"),
                        "port": .integer(settings.sidecar.readinessPort), "scheme": "HTTP",
                    ]
                ]
            ]
        }
        place(container)
    }

    /// How the proxy drains, within the Pod's own time to end.
    private var drain: ProxyContainer.Drain? {
        let grace = pod.document["spec"]?["terminationGracePeriodSeconds"]?.integer ?? 30
        let seconds = min(settings.sidecar.lifecycleHooks.preStopDelay, grace)
        guard seconds > 0, let secret = pod.secret else { return nil }
        return ProxyContainer.Drain(secret: secret, seconds: seconds)
    }

    /// Puts the proxy among the containers: as a native sidecar it runs before and after the others.
    private mutating func place(_ container: JSONValue) {
        var container = container
        let waits = settings.sidecar.waitUntilProxyReady
        guard hasNativeSidecars else {
            pod.append(container, to: "containers", atFront: waits)
            if waits {
                warnings.append(
                    "sidecar.waitUntilProxyReady starts the proxy first and does not wait for it: "
                        + "that takes native sidecars, of Kubernetes 1.29"
                )
            }
            return
        }
        container["restartPolicy"] = "Always"
        if waits {
            let hooks = settings.sidecar.lifecycleHooks
            let period = max(hooks.postStartInterval, 1)
            var probe = proxy.readinessRequest
            probe["periodSeconds"] = .integer(period)
            probe["failureThreshold"] = .integer(max(hooks.postStartTimeout / period, 1))
            probe["timeoutSeconds"] = 1
            container["startupProbe"] = probe
        }
        pod.append(container, to: "initContainers")
    }

    /// The proxy's mounts: its token, and what annotations and settings ask for.
    private mutating func mounts() throws(PodRefusal) -> [JSONValue] {
        var mounts = [proxy.mountToken(in: &pod)]
        for mount in annotations.secretMounts {
            let name = pod.volume(mount.name, ["secret": ["secretName": .string(mount.name)]])
            try add(proxy.mount(name, mount.path), to: &mounts, .secretMounts)
        }
        for mount in annotations.volumeMounts {
            try pod.checkVolume(mount.name, .volumeMounts)
            try add(proxy.mount(mount.name, mount.path), to: &mounts, .volumeMounts)
        }
        if proxy.hasSDS {
            try add(proxy.mountSDS(in: &pod), to: &mounts, .sds)
        }
        return mounts
    }

    private func add(
        _ mount: JSONValue,
        to mounts: inout [JSONValue],
        _ name: PodAnnotations.Name
    ) throws(PodRefusal) {
        guard mounts.contains(where: { $0["mountPath"] == mount["mountPath"] }) else {
            return mounts.append(mount)
        }
        let path = mount["mountPath"]?.string ?? ""
        throw PodRefusal(
            field: name.field,
            problem: "\(quoted(path)) is mounted twice",
            remedy: "give each mount a path of its own"
        )
    }
}

extension Pod {
    /// Refuses the Pod if it has no volume `name`, which the annotation mounts.
    func checkVolume(_ name: String, _ annotation: PodAnnotations.Name) throws(PodRefusal) {
        guard !list("volumes").contains(where: { $0["name"]?.string == name }) else { return }
        throw PodRefusal(
            field: annotation.field,
            problem: "the Pod has no volume \(quoted(name))",
            remedy: "name one of spec.volumes"
        )
    }

    /// Adds the X-Ray daemon, unless there is one.
    mutating func addXRay(
        _ settings: InjectionSettings,
        _ annotations: PodAnnotations,
        _ resources: ContainerResources,
        asSidecar: Bool
    ) throws(PodRefusal) {
        guard !hasContainer(XRayContainer.name) else { return }
        if let mount = annotations.xRayConfiguration {
            try checkVolume(mount.name, .xrayAgentConfigMount)
        }
        var container = XRayContainer.document(settings, annotations, resources)
        if asSidecar { container["restartPolicy"] = "Always" }
        append(container, to: asSidecar ? "initContainers" : "containers")
    }
}
