internal import MeshAdmission
internal import MeshModel

extension MigratingCluster {
    /// What becomes of the Pods of the mesh.
    mutating func checkPods() {
        for group in groups where isOfMesh(group) {
            checkSelection(of: group)
            checkProxy(of: group)
            checkReadinessGates(of: group)
            checkKubeletProbes(of: group)
            checkRedirection(of: group)
            checkAnnotations(of: group)
        }
        checkInjection()
    }

    /// Whether a node or gateway selects the group, the injector is to look at it, or it has a proxy.
    func isOfMesh(_ group: PodGroup) -> Bool {
        !(owners[group.controller] ?? []).isEmpty
            || group.pods.contains { $0.hasAWSProxy || $0.injectionMode == "enabled" }
    }

    private mutating func report(
        _ effect: MigrationEffect,
        _ check: MigrationCheckName,
        _ group: PodGroup,
        field: String = "",
        value: String = "",
        _ problem: String,
        remedy: String = "",
        where holds: (MigratingPod) -> Bool
    ) {
        let count = group.count(holds)
        guard count.holds else { return }
        report(
            MigrationFinding(
                effect,
                check,
                group.controller,
                field: field,
                value: value,
                pods: count.pods,
                problem,
                remedy: remedy
            )
        )
    }

    // MARK: Who it belongs to

    private mutating func checkSelection(of group: PodGroup) {
        let found = owners[group.controller] ?? []
        let words = found.map(\.description).joined(separator: ", ")
        if found.count > 1 {
            return report(
                .blocks,
                .refusedPod,
                group,
                field: "metadata.labels",
                value: words,
                "more than one podSelector selects its Pods, so that new ones are refused, as by App Mesh's "
                    + "injector",
                remedy: "narrow the podSelector of all but one"
            ) { $0.injectionMode != "disabled" }
        }
        let suspects = documents.keys.contains { id in
            (id.kind == .virtualNode || id.kind == .virtualGateway)
                && id.namespace == group.controller.namespace
                && world.virtualNodes[id.reference] == nil
                && world.virtualGateways[id.reference] == nil
        }
        if found.isEmpty, !suspects, isKnown(.virtualNode), isKnown(.virtualGateway) {
            report(
                .changes,
                .refusedPod,
                group,
                field: "metadata.labels",
                "no podSelector selects its Pods in a namespace with injection, so that new ones are "
                    + "refused, as by App Mesh's injector",
                remedy:
                    "give the Pods the annotation appmesh.k8s.aws/sidecarInjectorWebhook: disabled, or "
                    + "labels that a podSelector selects"
            ) { $0.injectionMode == "enabled" }
        }
        guard owner(of: group)?.kind == .virtualNode else { return }
        report(
            .changes,
            .hostNetwork,
            group,
            field: "spec.hostNetwork",
            value: "true",
            "its Pods share the network of their Kubernetes node: they get no proxy, as that would redirect "
                + "the whole node, and are no endpoints",
            remedy:
                "take hostNetwork away, or describe them by serviceDiscovery.dns without a podSelector"
        ) { $0.usesHostNetwork }
        guard !group.isTemplate else { return }
        report(
            .changes,
            .notInjected,
            group,
            field: "spec.containers",
            "its Pods are selected and have no proxy: they call and are called in plaintext, past the mesh",
            remedy:
                "label the Namespace appmesh.k8s.aws/sidecarInjectorWebhook=enabled if it is not, then: "
                + group.restart
        ) { $0.proxy == nil && !$0.usesHostNetwork && $0.injectionMode != "disabled" }
    }

    // MARK: Its proxy

    private mutating func checkProxy(of group: PodGroup) {
        let isGateway = owner(of: group)?.kind == .virtualGateway
        if !group.isTemplate {
            report(
                .changes,
                .awsEnvoy,
                group,
                field: "spec.containers[name=envoy].image",
                value: group.pods.first(where: \.hasAWSProxy)?.proxy?.image ?? "",
                "its Pods run an Envoy of App Mesh, which goes on with the configuration that it has, and "
                    + "has none once it is started again; Heddle configures Pods that are made anew",
                remedy: group.restart
            ) { $0.hasAWSProxy }
        }
        if isGateway { checkGateway(group) }
        let roles = group.pods.compactMap { $0.proxy?.role }
        report(
            .works,
            .iam,
            group,
            field: "spec.serviceAccountName",
            value: roles.first ?? "",
            "its proxies do not use its IAM role any more: they prove themselves to Heddle by a token of "
                + "their service account",
            remedy: "take appmesh:StreamAggregatedResources and acm rights from the role when no "
                + "application needs them"
        ) { $0.hasAWSProxy && $0.proxy?.role != nil }
    }

    private mutating func checkGateway(_ group: PodGroup) {
        report(
            .blocks,
            .gateway,
            group,
            field: "spec.containers",
            "a gateway selects its Pods, and no container of theirs is named envoy, so that none becomes "
                + "its proxy",
            remedy: "name the container with Envoy \"envoy\""
        ) { $0.proxy == nil }
        let field = "metadata.annotations[\"appmesh.k8s.aws/virtualGatewaySkipImageOverride\"]"
        report(
            .blocks,
            .gateway,
            group,
            field: field,
            value: "enabled",
            "it keeps AWS' image, whose program asks App Mesh for its configuration",
            remedy: "take the annotation away, or name an Envoy of your own as the image"
        ) { $0.keepsGatewayImage && $0.proxy.map { isAWSProxy(image: $0.image) } == true }
        report(
            .changes,
            .gateway,
            group,
            field: "spec.containers[name=envoy].image",
            value: group.pods.first?.proxy?.image ?? "",
            "the injector puts Heddle's Envoy, its command and its arguments in place of those of the "
                + "container envoy; ports, resources and the Service stay yours",
            remedy: group.isTemplate ? "" : group.restart
        ) { !$0.keepsGatewayImage && $0.proxy?.hasToken == false }
        checkProbes(of: group)
        report(
            .changes,
            .gateway,
            group,
            field: "metadata.annotations",
            "it is not to be injected, and a gateway's Pod needs the injector for its configuration",
            remedy:
                "label the Namespace appmesh.k8s.aws/sidecarInjectorWebhook=enabled, or annotate the Pods"
        ) { $0.injectionMode == "disabled" }
    }

    /// Probes of a gateway's owner stay as they are.
    private mutating func checkProbes(of group: PodGroup) {
        for probe in group.template?.proxy?.foreignProbes ?? [] {
            let isProgram = probe.contains(".exec: ")
            report(
                MigrationFinding(
                    isProgram ? .changes : .blocks,
                    .gateway,
                    group.controller,
                    field: "spec.template.spec.containers[name=envoy]",
                    value: probe,
                    isProgram
                        ? "its probe runs a program that a stock Envoy's image need not have"
                        : "its probe asks Envoy's admin interface, which listens on 127.0.0.1 alone, so that "
                            + "new Pods never become ready",
                    remedy:
                        "take the probe away, and Heddle adds one, or let it ask GET /ready on port 9902"
                )
            )
        }
    }

    /// What App Mesh's injector added to a Pod is not in its template.
    private mutating func checkReadinessGates(of group: PodGroup) {
        let gate = "conditions.appmesh.k8s.aws/aws-cloudmap-healthy"
        guard let template = group.template, template.readinessGates.contains(gate) else { return }
        report(
            MigrationFinding(
                .blocks,
                .readinessGate,
                group.controller,
                field: "spec.template.spec.readinessGates",
                value: gate,
                "App Mesh's controller told by this condition that Cloud Map finds a Pod healthy; nobody "
                    + "does any more, so that new Pods never become ready",
                remedy: "take the gate away"
            )
        )
    }

    /// Probes that come in plaintext to a port where the mesh takes nothing but mutual TLS.
    ///
    /// Where a listener's own TLS refuses them it did so with App Mesh.
    private mutating func checkKubeletProbes(of group: PodGroup) {
        guard let owner = owner(of: group), let mesh = mesh(of: owner),
            var node = world.virtualNodes[owner.reference], owner.kind == .virtualNode,
            let pod = group.template ?? group.pods.first, !pod.usesHostNetwork,
            group.pods.first?.injectionMode != "disabled"
        else { return }
        node.spec.listeners.removeAll { $0.tls != nil }
        for probe in refusedProbes(pod.probes, pod.annotations, node, in: mesh) {
            report(
                MigrationFinding(
                    .blocks,
                    .probes,
                    group.controller,
                    field: "spec.containers[name=\(probe.container)].\(probe.name)",
                    value: "port \(probe.port)",
                    "the mesh takes nothing but mutual TLS there (heddle.dev/mtls: STRICT), and kubelet has no "
                        + "certificate: its probe fails, and Pods that are made anew never become ready",
                    remedy:
                        "annotate the Mesh heddle.dev/mtls=PERMISSIVE, or let the probe run a program "
                        + "(exec) or ask a port that no listener has"
                )
            )
        }
    }

    // MARK: How its traffic is redirected

    private mutating func checkRedirection(of group: PodGroup) {
        guard owner(of: group)?.kind == .virtualNode else { return }
        report(
            .blocks,
            .fargate,
            group,
            field: "metadata.labels[\"eks.amazonaws.com/fargate-profile\"]",
            "Fargate runs its Pods, where no container may redirect their traffic: Heddle writes the "
                + "annotations by which AWS did, and whether AWS still does is in its hands",
            remedy:
                "run them on Kubernetes nodes of your own, or make one Pod anew and see at its port 9902, "
                + "/stats/prometheus, whether requests go through its proxy"
        ) { $0.isOnFargate }
        report(
            .changes,
            .cni,
            group,
            field: "metadata.annotations[\"appmesh.k8s.aws/appmeshCNI\"]",
            value: "enabled",
            "App Mesh's CNI plugin redirects its traffic, by annotations that Heddle writes as well; the "
                + "plugin is no part of Heddle",
            remedy:
                "keep the plugin on the Kubernetes nodes, or take the annotation away, so that an init "
                + "container does it"
        ) { !$0.isOnFargate && $0.annotation("appmeshCNI")?.lowercased() == "enabled" }
    }

    private mutating func checkAnnotations(of group: PodGroup) {
        for unknown in unknownAnnotations(group.pods.first?.annotations ?? [:]) {
            report(
                MigrationFinding(
                    .changes,
                    .annotations,
                    group.controller,
                    field: "metadata.annotations[\"\(unknown.key)\"]",
                    "the injector has no such annotation, and it has no effect",
                    remedy: unknown.suggestion.map { "did you mean \($0)?" } ?? "take it away"
                )
            )
        }
        report(
            .changes,
            .annotations,
            group,
            field: "metadata.annotations[\"appmesh.k8s.aws/preview\"]",
            value: "enabled",
            "there is no preview channel, and it has no effect",
            remedy: "take it away"
        ) { $0.annotation("preview")?.lowercased() == "enabled" }
        report(
            .changes,
            .annotations,
            group,
            field: "metadata.annotations[\"appmesh.k8s.aws/xrayAgentConfigMount\"]",
            "it has effect where the chart adds X-Ray's daemon to Pods",
            remedy: "install the chart with tracing.enabled=true, tracing.provider=x-ray and region"
        ) { $0.annotation("xrayAgentConfigMount") != nil }
        report(
            .changes,
            .statistics,
            group,
            field: "metadata.annotations[\"prometheus.io/port\"]",
            value: "9901",
            "Prometheus asks Envoy's admin interface, which listens on 127.0.0.1 alone",
            remedy: "let it ask port 9902, path /stats/prometheus"
        ) { $0.annotations["prometheus.io/port"] == "9901" }
        // A gateway's container is its owner's own.
        guard owner(of: group)?.kind == .virtualNode else { return }
        report(
            .changes,
            .annotations,
            group,
            field: "metadata.annotations[\"appmesh.k8s.aws/cpuRequest\"]",
            "nothing is asked for its proxies: they get 250m and 256Mi, where App Mesh's had 10m and 32Mi",
            remedy: "see that Kubernetes nodes have room, or set sidecar.resources in the chart"
        ) {
            $0.hasAWSProxy && $0.annotation("cpuRequest") == nil
                && $0.annotation("memoryRequest") == nil
        }
    }

    /// Namespaces whose Pods the injector looks at.
    private mutating func checkInjection() {
        for namespace in world.namespaces.values.sorted(by: { $0.reference < $1.reference }) {
            let mode = namespace.metadata.labels["appmesh.k8s.aws/sidecarInjectorWebhook"]
            guard let mode else { continue }
            report(
                MigrationFinding(
                    .works,
                    .injection,
                    MigrationObject(namespace.id),
                    field: "metadata.labels[\"appmesh.k8s.aws/sidecarInjectorWebhook\"]",
                    value: mode,
                    "Heddle's injector goes by this label and the Pods' annotation of that name"
                )
            )
        }
    }
}
