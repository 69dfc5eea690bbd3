internal import MeshManifests
internal import MeshModel

/// Makes the container `envoy` of a virtual gateway's Pod its proxy.
///
/// The owner of the Pod made the container: its ports, resources and hooks stay as they are.
struct GatewayInjector {
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

    mutating func run(_ gateway: VirtualGateway) throws {
        guard let place = pod.place(ofContainer: ProxyContainer.name) else {
            warnings.append(
                "\(proxy.owner.id) selects the Pod, and it has no container "
                    + "\(quoted(ProxyContainer.name)): nothing is injected"
            )
            return
        }
        var container = pod.list(place.list)[place.index]
        let hasOwnStart = container.hasElements("command") || container.hasElements("args")
        if !annotations.keepsGatewayImage {
            container["image"] = .string(settings.proxyImage)
            container["command"] = ["envoy"]
        }
        if !annotations.keepsGatewayImage || !hasOwnStart {
            container["args"] = .array(try arguments(of: container))
        }
        if !annotations.keepsGatewayImage { warnOfProbes(of: container) }
        try setEnvironment(of: &container)
        if container["readinessProbe"] ?? .null == .null {
            container["readinessProbe"] = proxy.readinessProbe
        }
        if !annotations.keepsGatewayImage { setUser(of: &container, lowPorts(of: gateway)) }
        addMount(proxy.mountToken(in: &pod), to: &container)
        if proxy.hasSDS { addMount(proxy.mountSDS(in: &pod), to: &container) }
        var list = pod.list(place.list)
        list[place.index] = container
        pod.document["spec"]?[place.list] = .array(list)
        if settings.tracing.enabled, settings.tracing.provider == .xRay {
            let resources = try ContainerResources(settings.sidecar.resources, annotations)
            let asSidecar = proxy.features.hasNativeSidecars
            try pod.addXRay(settings, annotations, resources, asSidecar: asSidecar)
        }
    }

    /// Tells of probes that AWS' image answered and Heddle's Envoy does not.
    private mutating func warnOfProbes(of container: JSONValue) {
        let instead =
            "; take it away, or let it ask GET /ready on port "
            + "\(settings.sidecar.readinessPort)"
        for probe in KubeletProbe.probes(of: container)
        where probe.port == settings.sidecar.envoyAdminAccessPort {
            warnings.append(
                "container envoy: \(probe.name) asks port \(probe.port), Envoy's admin interface, which "
                    + "listens on 127.0.0.1 alone, and fails" + instead
            )
        }
        for name in KubeletProbe.names {
            let words = container[name]?["exec"]?["command"]?.array?.compactMap(\.string) ?? []
            let command = words.joined(separator: " ")
            guard let program = ["curl", "wget"].first(where: { command.contains($0) }) else {
                continue
            }
            warnings.append(
                "container envoy: \(name) runs \(program), which a stock Envoy's image has not, and "
                    + "fails" + instead
            )
        }
    }

    private func arguments(of container: JSONValue) throws -> [JSONValue] {
        let limits = container["resources"]?["limits"]
        let given = container["env"]?.array?.first { $0["name"] == "ENVOY_CONCURRENCY" }
        let environment = given?["value"]?.string.map { ["ENVOY_CONCURRENCY": $0] } ?? [:]
        return try proxy.arguments(
            workers: proxy.workers(environment)
                ?? ContainerResources.workers(cpu: limits?["cpu"]?.string),
            memoryLimitBytes: limits?["memory"]?.string.flatMap {
                quantity($0, inThousandths: false)
            },
            drain: nil
        )
    }

    /// The gateway's ports on which only root may listen.
    private func lowPorts(of gateway: VirtualGateway) -> [Port] {
        gateway.spec.listeners.map(\.portMapping.port).filter { $0.number < 1024 }
    }

    /// Has the proxy run as the user that it has in other Pods, unless the Pod says as whom.
    ///
    /// The entrypoint of Envoy's image would leave root's rights behind, and the command passes it by. A
    /// user has no use of the capability NET_BIND_SERVICE, which Kubernetes gives to root alone, so the
    /// Pod's own network lets everybody listen on low ports.
    private mutating func setUser(of container: inout JSONValue, _ lowPorts: [Port]) {
        let sharesNetwork = pod.document["spec"]?["hostNetwork"]?.bool == true
        let mayBeOpen = proxy.features.hasLowPortsForAll && !sharesNetwork
        if !lowPorts.isEmpty, mayBeOpen { openLowPorts() }
        let own = container["securityContext"] ?? .null
        guard own == .null || own.object != nil, own["runAsUser"] ?? .null == .null,
            pod.security("runAsUser") == nil
        else { return }
        guard lowPorts.isEmpty || mayBeOpen else {
            let ports = lowPorts.map(\.description).joined(separator: ", ")
            warnings.append(
                "the proxy runs as the image's user, which is root, as \(proxy.owner.id) listens on "
                    + "\(ports): use ports from 1024 on, which a Service may give other numbers"
            )
            return
        }
        var context = own == .null ? [:] : own
        context["runAsUser"] = .integer(ProxyContainer.user)
        container["securityContext"] = context
        pod.letProxyReadFiles()
    }

    private mutating func openLowPorts() {
        let name: JSONValue = "net.ipv4.ip_unprivileged_port_start"
        let present = pod.security("sysctls")?.array ?? []
        guard !present.contains(where: { $0["name"] == name }) else { return }
        pod.setSecurity("sysctls", .array(present + [["name": name, "value": "0"]]))
    }

    /// Puts the injector's variables in place of those that have their names, and the others at the end.
    private func setEnvironment(of container: inout JSONValue) throws(PodRefusal) {
        var entries = try ProxyEnvironment(
            proxy.owner,
            settings,
            hasSDS: proxy.hasSDS,
            own: [:]
        ).entries
        var list = container["env"]?.array ?? []
        for index in list.indices {
            guard let name = list[index]["name"]?.string,
                let entry = entries.removeValue(forKey: name)
            else { continue }
            if !isSame(list[index], entry) { list[index] = entry }
        }
        list += entries.sorted { $0.key < $1.key }.map(\.value)
        container["env"] = .array(list)
    }

    /// Whether two elements of `env` say the same; the server adds the version of a `fieldRef`.
    private func isSame(_ present: JSONValue, _ entry: JSONValue) -> Bool {
        let path = { (value: JSONValue) in value["valueFrom"]?["fieldRef"]?["fieldPath"] }
        return present["value"] == entry["value"] && path(present) == path(entry)
    }

    /// Adds a mount, unless something is mounted there.
    private func addMount(_ mount: JSONValue, to container: inout JSONValue) {
        let mounts = container["volumeMounts"]?.array ?? []
        guard !mounts.contains(where: { $0["mountPath"] == mount["mountPath"] }) else { return }
        container["volumeMounts"] = .array(mounts + [mount])
    }
}

extension JSONValue {
    /// Whether the member `key` is a list with something in it.
    fileprivate func hasElements(_ key: String) -> Bool { self[key]?.array?.isEmpty == false }
}
