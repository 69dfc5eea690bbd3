internal import MeshModel

extension Planner {
    /// How the proxies of `node` trace requests; nil is not at all.
    func tracing(of node: VirtualNode, in mesh: Mesh) -> ProxyTracing? {
        tracing(node.spec.awsName, node.spec.traceSampling, in: mesh)
    }

    /// How the proxies of `gateway` trace requests; nil is not at all.
    func tracing(of gateway: VirtualGateway, in mesh: Mesh) -> ProxyTracing? {
        tracing(gateway.spec.awsName, gateway.spec.traceSampling, in: mesh)
    }

    private func tracing(
        _ owner: String,
        _ own: TraceSampling,
        in mesh: Mesh
    ) -> ProxyTracing? {
        guard let tracing = mesh.spec.tracing else { return nil }
        let endpoint =
            switch tracing.provider {
            case .xRay: options.xRayEndpoint
            case .openTelemetry: options.openTelemetryEndpoint
            case .zipkin, .jaeger, .datadog: tracing.provider.defaultEndpoint
            }
        return ProxyTracing(
            provider: tracing.provider,
            endpoint: tracing.endpoint ?? endpoint,
            sampling: own.filled(by: tracing.sampling).effective(tracing.provider),
            mesh: mesh.spec.awsName,
            owner: owner
        )
    }
}

extension TraceSampling {
    /// What is said here, and where nothing is what `mesh` says.
    ///
    /// A rate of one's own comes before rules of the mesh.
    fileprivate func filled(by mesh: TraceSampling) -> TraceSampling {
        TraceSampling(rate: rate ?? mesh.rate, rules: rules ?? (rate == nil ? mesh.rules : nil))
    }

    /// What counts of it at `provider`: rules come before a rate, and are X-Ray's alone.
    fileprivate func effective(_ provider: TracingSpec.Provider) -> TraceSampling {
        guard provider == .xRay, let rules else { return TraceSampling(rate: rate) }
        return TraceSampling(rules: rules)
    }
}

extension Resolution {
    /// Reports what is asked for of tracing and does not come out so.
    mutating func checkTracing() {
        for mesh in world.meshes.values {
            guard let tracing = mesh.spec.tracing, tracing.provider == .xRay else { continue }
            checkPercents(tracing.sampling, of: mesh)
        }
        for node in world.virtualNodes.values {
            check(node.spec.traceSampling, of: node)
        }
        for gateway in world.virtualGateways.values {
            check(gateway.spec.traceSampling, of: gateway)
        }
    }

    private mutating func check<Spec>(_ sampling: TraceSampling, of owner: Object<Spec>) {
        guard sampling != TraceSampling(), let mesh = mesh(of: owner.id) else { return }
        let field = sampling.rate == nil ? rulesField : rateField
        guard let provider = mesh.spec.tracing?.provider else {
            report(
                owner.diagnostic(.note, field, "it has no effect, as \(mesh.id) traces nothing")
            )
            return
        }
        if provider == .xRay { return checkPercents(sampling, of: owner) }
        guard sampling.rules != nil else { return }
        report(
            owner.diagnostic(
                .warning,
                rulesField,
                "sampling rules have no effect with \(provider.rawValue), as they are X-Ray's",
                remedy: "give a rate by heddle.dev/trace-sampling"
            )
        )
    }

    /// Warns of a rate for X-Ray that is no whole number of percents.
    private mutating func checkPercents<Spec>(
        _ sampling: TraceSampling,
        of owner: Object<Spec>
    ) {
        guard sampling.rules == nil, let rate = sampling.rate else { return }
        let percent = (rate * 100).rounded()
        guard abs(rate * 100 - percent) > 1e-9 else { return }
        report(
            owner.diagnostic(
                .warning,
                rateField,
                "X-Ray's tracer knows whole percents only, so that \(rate) becomes \(Int(percent)) %",
                remedy: "give hundredths"
            )
        )
    }
}

private let rateField = "metadata.annotations[\"heddle.dev/trace-sampling\"]"
private let rulesField = "metadata.annotations[\"heddle.dev/trace-sampling-rules\"]"
