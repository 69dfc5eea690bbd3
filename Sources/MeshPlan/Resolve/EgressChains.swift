internal import MeshModel

extension Resolution {
    /// What answers on each port of the egress address of `node`, beside 15001.
    ///
    /// HTTP backends share a port and are told apart by their authority. A TCP backend has its port
    /// to itself, as in App Mesh: where several want one, HTTP comes first, then the one that the
    /// manifest names first, and the others are reported.
    mutating func egressChains(
        of node: VirtualNode,
        to backends: [ResolvedService]
    ) -> [Port: EgressListener.Chain] {
        var chains: [Port: EgressListener.Chain] = [:]
        var owners: [Port: ResolvedService] = [:]
        for service in backends {
            for (port, answer) in service.ports {
                if case .http = answer { chains[port] = .http }
            }
        }
        for service in backends {
            for port in service.ports.keys.sorted() {
                guard case .tcp(let targets, let idleTimeout) = service.ports[port],
                    targets.contains(where: { $0.weight > 0 })
                else { continue }
                let owner: String?
                if port == .egress {
                    owner = "the proxy's own egress"
                } else if let first = owners[port] {
                    owner = first.id.description
                } else {
                    owner = chains[port] == nil ? nil : "HTTP backends"
                }
                guard let owner else {
                    owners[port] = service
                    chains[port] = .tcp(targets, idleTimeout: idleTimeout)
                    continue
                }
                report(
                    node.diagnostic(
                        .warning,
                        "spec.backends",
                        "TCP port \(port) of \(service.id) is taken by \(owner)",
                        remedy: "TCP backends are told apart by port: give it another one"
                    )
                )
            }
        }
        return chains
    }
}
