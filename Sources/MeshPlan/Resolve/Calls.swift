internal import MeshModel

/// All that a node or gateway calls, and how it is called itself.
struct Calls {
    /// The virtual services of a node's backends, in the order of the manifest.
    var backends: [ResolvedService] = []
    /// What a node's egress answers beside 15001.
    var chains: [Port: EgressListener.Chain] = [:]
    /// A gateway with its routes.
    var gateway: ResolvedGateway?
    /// What a node's listeners do about TLS, by port.
    var listeners: [Port: ListenerSecurity] = [:]
    /// How each destination is called.
    var securities: [Destination: CallerSecurity] = [:]
}

extension Resolution {
    /// Finds who calls whom and how, with and without workloads: references count in any case, and a
    /// node has to know all who may call it.
    mutating func resolveCalls() {
        for node in world.virtualNodes.values {
            guard let mesh = mesh(of: node.id) else { continue }
            var calls = Calls(backends: backends(of: node, in: mesh))
            calls.chains = egressChains(of: node, to: calls.backends)
            calls.securities = securities(of: caller(node, in: mesh), to: calls.backends)
            if mesh.accessControl != .off {
                allow(node.id, calls.backends, [node.id: node.metadata.generation])
            }
            calls.listeners = securities(of: node, in: mesh)
            self.calls[node.id] = calls
        }
        for gateway in world.virtualGateways.values {
            guard let mesh = mesh(of: gateway.id) else { continue }
            let resolved = resolve(gateway, in: mesh)
            var calls = Calls(gateway: resolved)
            let caller = Caller(
                object: gateway,
                mesh: mesh,
                defaults: gateway.spec.backendDefaults
            )
            calls.securities = securities(of: caller, to: resolved.services)
            if mesh.accessControl != .off {
                allow(gateway.id, resolved.services, resolved.origins)
            }
            self.calls[gateway.id] = calls
        }
    }
}
