internal import MeshModel

extension Planner {
    /// Plans the proxies in the Pods `workloads` of one node or gateway, which share all that they
    /// receive.
    ///
    /// - Parameters:
    ///   - workloads: The Pods.
    ///   - owner: The node or gateway.
    ///   - resolution: The world.
    ///   - plan: The plan in the making.
    ///   - make: Makes the plan of a proxy, of which nothing is of its own Pod.
    mutating func planPods<Spec: ObjectSpec>(
        _ workloads: [Workload],
        of owner: Object<Spec>,
        _ resolution: inout Resolution,
        into plan: inout Plan,
        _ make: (inout Planner, Workload) throws -> ProxyPlan
    ) {
        guard let first = workloads.first(where: { $0.injectedPod != nil }) else { return }
        let (served, files) = resolution.secretsInPods(of: owner.id)
        var shared: ProxyPlan
        do {
            shared = try make(&self, first)
            let origins = [owner.id: owner.metadata.generation]
            for file in files {
                shared.snapshot.insert(try resource(.fileSecret(file), origins))
            }
        } catch {
            resolution.report(owner.diagnostic(.error, "", "cannot be encoded for Envoy: \(error)"))
            return
        }
        shared.secrets = served
        for workload in workloads {
            guard let pod = workload.injectedPod else { continue }
            var proxy = shared
            proxy.id = ProxyID(workload.reference)
            proxy.addresses.ingress = pod.address ?? ""
            proxy.pod = pod
            proxy.concurrency = workload.spec.sidecar.workerCount
            proxy.resources = workload.spec.sidecar
            plan.proxies[proxy.id] = proxy
        }
    }

    /// The endpoint that `workload`, a Pod, is for `target`; nil when it is none.
    ///
    /// It is one from when it has an address and is ready until it is not, or is being deleted: what is not
    /// ready has no part in a Service either, and Envoy sends requests to unhealthy endpoints as well once
    /// most of them are. One that was not injected takes plaintext alone, and App Mesh's Envoy does the TLS
    /// of its node's listeners, but not that of a whole mesh, of which it knows nothing.
    func endpoint(
        in pod: PodPlacement,
        of workload: Workload,
        _ target: NodePort,
        _ observations: Observations
    ) -> Endpoint? {
        let id = ProxyID(workload.reference)
        guard let address = pod.address, !address.isEmpty,
            observations.proxies[id]?.isReady ?? options.assumesServing,
            target.tls?.takesPlaintext != false || pod.proxy.does(target.tls)
        else { return nil }
        return Endpoint(
            address: address,
            port: target.mapping.port,
            isHealthy: true,
            healthCheckPort: target.probe?.port,
            takesTLS: pod.proxy.does(target.tls) && takesTLS(id, target),
            zone: pod.zone
        )
    }
}

extension PodProxy {
    /// Whether it does `tls`.
    fileprivate func does(_ tls: TargetTLS?) -> Bool {
        switch self {
        case .heddle: true
        case .other: tls?.isMeshWide == false
        case .absent: false
        }
    }

    /// What becomes of a Pod with it, and what to do; nil when it is Heddle's.
    var uninjectedMessage: (problem: String, remedy: String)? {
        switch self {
        case .heddle: nil
        case .other:
            (
                "its Envoy is App Mesh's, or another that does not ask Heddle for its configuration",
                "let the Pod be made anew, as \"kubectl rollout restart\" does"
            )
        case .absent:
            (
                "it has no proxy, as it was not injected",
                "label its namespace appmesh.k8s.aws/sidecarInjectorWebhook=enabled, and let the Pod "
                    + "be made anew, as \"kubectl rollout restart\" does"
            )
        }
    }
}

extension ProxyObservation {
    /// Whether its Pod is ready; nil before anything is known of that.
    var isReady: Bool? { process.map { $0.phase == .running } }
}

extension Resolution {
    /// Warns of Pods that are members of the mesh and have no proxy of Heddle's.
    mutating func reportUninjectedPods() {
        for (owner, workloads) in workloads {
            guard let mesh = mesh(of: owner) else { continue }
            for workload in workloads {
                guard let proxy = workload.spec.pod?.proxy, let message = proxy.uninjectedMessage
                else { continue }
                report(uninjected(workload, proxy, message, owner, in: mesh))
            }
        }
    }

    private func uninjected(
        _ workload: Workload,
        _ proxy: PodProxy,
        _ message: (problem: String, remedy: String),
        _ owner: ObjectID,
        in mesh: Mesh
    ) -> Diagnostic {
        func warning(_ problem: String, _ remedy: String) -> Diagnostic {
            workload.diagnostic(.warning, "spec.containers", problem, remedy: remedy)
        }
        if owner.kind == .virtualGateway, proxy == .absent {
            return warning(
                "\(owner) selects it, and no container of it is named envoy, so that it serves nothing",
                "name the container with Envoy \"envoy\", and let the Pod be made anew"
            )
        }
        let node = owner.kind == .virtualNode ? world.virtualNodes[owner.reference] : nil
        let listeners = node?.spec.listeners ?? []
        let isMeshStrict = mesh.spec.mutualTLS == .strict
        let takesNoPlaintext =
            !listeners.isEmpty
            && listeners.allSatisfy {
                $0.tls.map { proxy == .absent && $0.mode == .strict } ?? isMeshStrict
            }
        let consequence =
            takesNoPlaintext
            ? "nobody calls it, as \(owner) takes nothing but TLS"
            : proxy == .absent
                ? "it calls and is called past the mesh, in plaintext"
                : "it goes on with what it was told last, and has nothing once it is started again"
        return warning("\(owner) selects it and \(message.problem): \(consequence)", message.remedy)
    }
}
