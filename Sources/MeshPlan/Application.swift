internal import MeshModel

/// The process that `workload` asks for; nil when its application is run by someone else.
///
/// The application learns its addresses from its environment, and that the egress address is its
/// HTTP proxy; a variable of the Workload's own comes before Heddle's.
func applicationPlan(
    of workload: Workload,
    _ node: VirtualNode,
    _ addresses: ProxyAddresses,
    nodeID: String
) -> ApplicationPlan? {
    guard !workload.spec.command.isEmpty else { return nil }
    let proxy = "http://\(addresses.egress):\(Port.egress)"
    let direct = "localhost,127.0.0.1,::1"
    var environment = [
        "HTTP_PROXY": proxy, "http_proxy": proxy,
        "HTTPS_PROXY": proxy, "https_proxy": proxy,
        "NO_PROXY": direct, "no_proxy": direct,
        "HEDDLE_EGRESS_ADDRESS": addresses.egress,
        "HEDDLE_INGRESS_ADDRESS": addresses.ingress,
        "HEDDLE_WORKLOAD": workload.metadata.name,
        "HEDDLE_NAMESPACE": workload.metadata.namespace,
        "APPMESH_VIRTUAL_NODE_NAME": nodeID,
    ]
    environment.merge(workload.spec.environment) { _, own in own }
    return ApplicationPlan(
        command: workload.spec.command,
        environment: environment,
        workingDirectory: workload.spec.workingDirectory,
        address: workload.spec.applicationAddress,
        ports: node.spec.listeners.map { workload.spec.applicationPort(of: $0.portMapping.port) }
    )
}

extension WorkloadSpec {
    /// Where the application listens; in a Pod at the loopback address of the family that is wanted.
    func applicationAddress(in mesh: Mesh) -> String {
        guard pod != nil else { return applicationAddress }
        switch mesh.spec.ipPreference {
        case .ipv6Only: return "::1"
        case .ipv4Only, .ipv4Preferred, .ipv6Preferred, nil: return "127.0.0.1"
        }
    }

    /// The port on which the application takes what arrives on `port` of the virtual node.
    func applicationPort(of port: Port) -> Port { ports[port] ?? port }
}

extension Resolution {
    /// Warns of applications that Heddle is to start on one and the same address and port.
    mutating func checkApplicationPorts() {
        var owners: [String: Workload] = [:]
        let started = world.workloads.values.filter { !$0.spec.command.isEmpty }
        for workload in started.sorted(by: { $0.reference < $1.reference }) {
            guard let node = node(of: workload.reference) else { continue }
            for listener in node.spec.listeners {
                let port = listener.portMapping.port
                let socket =
                    "\(workload.spec.applicationAddress):\(workload.spec.applicationPort(of: port))"
                if let first = owners[socket], first.reference != workload.reference {
                    report(
                        workload.diagnostic(
                            .warning,
                            "spec.ports",
                            "its application on \(socket) is also that of \(first.id)",
                            remedy: "map port \(port) to another application port"
                        )
                    )
                } else {
                    owners[socket] = workload
                }
            }
        }
    }
}
