internal import MeshAdmission
internal import MeshModel
internal import MeshPlan

extension World {
    /// The world in which meshes that say nothing of tracing are traced as the chart's values say.
    ///
    /// The AWS controller told each proxy by its environment; Heddle's proxies are told over xDS.
    func tracing(by settings: InjectionSettings.Tracing) -> World {
        guard let tracing = settings.tracingSpec else { return self }
        var world = self
        for (reference, mesh) in meshes
        where mesh.spec.tracing == nil && mesh.metadata.annotations["heddle.dev/tracing"] == nil {
            world.meshes[reference]?.spec.tracing = tracing
        }
        return world
    }
}

extension InjectionSettings.Tracing {
    /// What they mean for a mesh; nil when nothing is traced.
    var tracingSpec: TracingSpec? {
        guard enabled else { return nil }
        switch provider {
        case .xRay:
            // The daemon is in the Pod, whatever address its own clients are told.
            return TracingSpec(
                provider: .xRay,
                endpoint: endpoint(default: .xRay),
                sampling: TraceSampling(rate: samplingRate)
            )
        case .jaeger:
            let collector = TelemetryEndpoint(
                host: "appmesh-jaeger.appmesh-system",
                port: .zipkin
            )
            return TracingSpec(provider: .jaeger, endpoint: endpoint(default: collector))
        case .datadog:
            let collector = TelemetryEndpoint(host: "datadog.appmesh-system", port: .datadog)
            return TracingSpec(provider: .datadog, endpoint: endpoint(default: collector))
        }
    }

    private func endpoint(default endpoint: TelemetryEndpoint) -> TelemetryEndpoint {
        TelemetryEndpoint(
            host: address.isEmpty || isAddressOfEachPod || provider == .xRay
                ? endpoint.host : address,
            port: Port(port) ?? endpoint.port
        )
    }

    /// Whether the address is another for each Pod, which the proxies of one node can't be told.
    var isAddressOfEachPod: Bool { address.hasPrefix("ref:") }
}
